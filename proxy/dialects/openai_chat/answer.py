"""Events as a whole answer of OpenAI's Chat."""

from typing import Any

import msgspec

from proxy.chat import Chat
from proxy.dialects._openai.chunks import head
from proxy.dialects._openai.usage import in_chat
from proxy.dialects.openai_chat import said
from proxy.dialects.openai_chat.wire import NAME, PREFIX, detail_of
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    Event,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Used,
)
from proxy.exchange import Raw

Body = dict[str, Any]


class _Audio(msgspec.Struct):
    audio: Raw = Raw(b"null")


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Audio | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_answer = msgspec.json.Decoder(_Answer)


def answer(ask: Chat, events: list[Event]) -> bytes:
    """The answer to a client that asked `ask`."""
    begin = next((event for event in events if isinstance(event, Begin)), Begin())
    body = head(begin, ask, "chat.completion", PREFIX)
    messages: dict[int, _Message] = {}
    usage = None
    for event in events:
        if isinstance(event, Used):
            usage = in_chat(event.usage)
        elif isinstance(event, Other):
            _add_audio(event, messages, ask, body["id"])
        elif (index := getattr(event, "choice", None)) is not None:
            if index not in messages:
                messages[index] = _Message(ask, body["id"])
            messages[index].add(event)
    body["choices"] = [
        {"index": index, **message.choice()} for index, message in sorted(messages.items())
    ]
    if usage is not None:
        body["usage"] = usage
    return msgspec.json.encode(body)


def _add_audio(event: Other, messages: "dict[int, _Message]", ask: Chat, response: str) -> None:
    """What a whole answer says in sound goes back to its own dialect as it came."""
    if event.origin != NAME:
        return
    try:
        found = _answer.decode(event.frame)
    except msgspec.MsgspecError:
        return
    for choice in found.choices:
        if choice.message is not None:
            message = messages.setdefault(choice.index, _Message(ask, response))
            message.body["audio"] = choice.message.audio


class _Message:
    """The message of one choice, while it is put together."""

    def __init__(self, ask: Chat, response: str) -> None:
        self.body: Body = {}
        self._ask = ask
        self._response = response
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._thoughts: list[str] = []
        self._unsigned: list[str] = []
        self._details: list[Any] = []
        self._calls: dict[int, Body] = {}
        self._arguments: dict[int, list[str]] = {}
        self._logprobs: Body | None = None
        self._finish: Body = {"finish_reason": "stop"}
        self._shown = ask.reasoning is None or ask.reasoning.show is not False

    def add(self, event: Event) -> None:
        """What the choice says next."""
        if isinstance(event, Text):
            self._text.append(event.text)
        elif isinstance(event, Refusal):
            self._refusal.append(event.text)
        elif isinstance(event, Thinking):
            self._thoughts.append(event.text)
            self._unsigned.append(event.text)
        elif isinstance(event, Signature):
            self._sign(event)
        elif isinstance(event, Call):
            self._calls[event.index] = said.call(event, self._response)
            self._arguments[event.index] = []
        elif isinstance(event, Arguments):
            self._arguments.setdefault(event.index, []).append(event.text)
        elif isinstance(event, Logprobs):
            self._add_logprobs(event)
        elif isinstance(event, Citation):
            place = sum(map(len, self._text))
            self.body.setdefault("annotations", []).append(said.annotation(event, place))
        elif isinstance(event, Media):
            self._add_media(event)
        elif isinstance(event, Stop):
            self._finish = said.finish(event, self._ask)

    def choice(self) -> Body:
        """The choice without its index."""
        text, refusal = "".join(self._text), "".join(self._refusal)
        message: Body = {
            "role": "assistant",
            "content": text if text or not (refusal or self._calls) else None,
            "refusal": refusal or None,
            **self.body,
        }
        if self._shown and self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._shown and self._details:
            message["reasoning_details"] = self._details
        for index, call in self._calls.items():
            field, name = ("custom", "input") if "custom" in call else ("function", "arguments")
            call[field][name] = "".join(self._arguments[index])
        calls = [call for _, call in sorted(self._calls.items())]
        if calls and self._ask.legacy_functions:
            message["function_call"] = calls[0].get("function")
        elif calls:
            message["tool_calls"] = calls
        return {"message": message, "logprobs": self._logprobs, **self._finish}

    def _sign(self, event: Signature) -> None:
        text = "" if event.redacted else "".join(self._unsigned)
        if not event.redacted:
            self._unsigned.clear()
        index = len(self._details)
        detail = detail_of(text, event.value, event.origin, redacted=event.redacted, index=index)
        self._details.append(detail)

    def _add_logprobs(self, event: Logprobs) -> None:
        if self._logprobs is None:
            self._logprobs = {"content": None, "refusal": None}
        for name, tokens in said.logprobs(event).items():
            if tokens:
                self._logprobs[name] = (self._logprobs[name] or []) + tokens

    def _add_media(self, event: Media) -> None:
        if not event.media_type.startswith("audio/"):
            self.body.setdefault("images", []).append(said.image(event))
            return
        audio = {"id": f"audio_{self._response}", "data": event.data, "expires_at": 0}
        self.body["audio"] = audio | {"transcript": "".join(self._text)}
