"""What both a stream and a whole answer of Completions say alike."""

from typing import Any

from proxy.dialects._openai import stops
from proxy.event import Logprobs, Stop

NAME = "openai_completions"
KIND = "text_completion"
"""What an answer, and each chunk of one, calls itself."""
PREFIX = "cmpl-"
"""What the ids of answers begin with."""


class Offsets:
    """Where the tokens of each choice stand in its text, in characters."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}

    def logprobs(self, event: Logprobs) -> dict[str, list[Any]]:
        """Log-probabilities of a choice's next tokens, as four lists."""
        said: dict[str, list[Any]] = {
            "tokens": [token.token for token in event.tokens],
            "token_logprobs": [token.logprob for token in event.tokens],
            "top_logprobs": [
                {top.token: top.logprob for top in token.top} for token in event.tokens
            ],
            "text_offset": [],
        }
        end = self._ends.get(event.choice, 0)
        for token in event.tokens:
            said["text_offset"].append(end)
            end += len(token.token)
        self._ends[event.choice] = end
        return said


def finish(event: Stop) -> dict[str, Any]:
    """Why a choice stopped; of calls nobody who asks for completions knows."""
    said = stops.finish(event)
    if said["finish_reason"] in ("tool_calls", "function_call"):
        said["finish_reason"] = "stop"
    return said
