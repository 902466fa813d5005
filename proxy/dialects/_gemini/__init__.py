"""What Gemini's endpoints share, in the Gemini API and on Vertex AI.

One thing in several files. ``path`` reads the model and the method out of a path; ``fields``,
``schema``, ``content`` and ``read`` read requests, ``render`` writes them; ``frames`` cuts
streams into chunks, ``answer`` and ``citations`` make events of them, ``spell`` makes parts of
events; ``stream`` and ``whole`` are the two kinds of responses; ``wire`` has the words and objects
of all of them; ``errors`` reads and writes errors, ``watch`` finds usage, and ``endpoint`` is
what the endpoints' dialects have in common.

https://ai.google.dev/api/generate-content
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""
