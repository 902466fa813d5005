"""llm-proxy: a streaming proxy between applications and LLM providers.

One sentence holds the design: a request goes through stages, its response goes through the
relay; whoever does not look does not cost. ARCHITECTURE.md tells the whole. The words, one per
concept, in code, configuration, documentation and logs:

client      who asks us
provider    a configured service that answers
upstream    the connection to a provider (downstream: to the client)
exchange    one request and its response, from first byte to last, with everything known of it
route       what a path and a model select: processors and targets
target      a provider and a model there
dialect     an API family's spelling of requests, responses, streams and errors
token       an upstream credential (a model's tokens are input_tokens and output_tokens)
key         a client's credential
processor   one step of a route
component   anything that ``type = "…"`` can name
chunk       bytes as they came
frame       one unit of a stream's framing, such as one server-sent event
event       what a frame means
chat        what a client asks a model, in no dialect's spelling
"""

__version__ = "0.1.0"
