"""Events as a whole answer of Completions."""

from typing import Any

import msgspec

from proxy.chat import Chat
from proxy.dialects._openai.chunks import head
from proxy.dialects._openai.usage import in_chat
from proxy.dialects.openai_completions.wire import KIND, PREFIX, Offsets, finish
from proxy.event import Begin, Event, Logprobs, Refusal, Stop, Text, Used


class _Choice:
    """One choice, while it is put together."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.logprobs: dict[str, list[Any]] | None = None
        self.finish: dict[str, Any] = {"finish_reason": "stop"}

    def spelled(self, index: int) -> dict[str, Any]:
        """As it stands in the answer."""
        text = "".join(self.text)
        return {"index": index, "text": text, "logprobs": self.logprobs, **self.finish}


def answer(ask: Chat, events: list[Event]) -> bytes:
    """The answer to a client that asked `ask`."""
    begin = next((event for event in events if isinstance(event, Begin)), Begin())
    body = head(begin, ask, KIND, PREFIX)
    choices: dict[int, _Choice] = {}
    offsets = Offsets()
    usage = None
    for event in events:
        if isinstance(event, Used):
            usage = in_chat(event.usage)
        elif isinstance(event, Text | Refusal):
            choices.setdefault(event.choice, _Choice()).text.append(event.text)
        elif isinstance(event, Logprobs):
            choice = choices.setdefault(event.choice, _Choice())
            said = offsets.logprobs(event)
            before = choice.logprobs or {name: [] for name in said}
            choice.logprobs = {name: before[name] + said[name] for name in said}
        elif isinstance(event, Stop):
            choices.setdefault(event.choice, _Choice()).finish = finish(event)
    body["choices"] = [choice.spelled(index) for index, choice in sorted(choices.items())]
    if usage is not None:
        body["usage"] = usage
    return msgspec.json.encode(body)
