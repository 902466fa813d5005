"""Events made into responses, whole or streamed.

A function call is written whole, so its arguments are held until the call is. So is the end of
a choice: its reason stands in the last chunk, together with the usage that comes after it.

Each chunk has a part, if an empty one: for Google's SDKs one without any is an answer that came to
nothing, and their chats forget the whole turn.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from proxy.chat import Ask
from proxy.dialects._gemini.citations import Written
from proxy.dialects._gemini.wire import (
    ORIGIN,
    STOP_WORDS,
    STOPS,
    encode,
    is_object,
    sealed,
)
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    Event,
    Logprob,
    Logprobs,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

Raw = msgspec.Raw
Part = dict[str, Any]

EMPTY: Part = {"text": ""}
BLOCKED = b'{"promptFeedback":'


class Held:
    """A call of which not all has come."""

    __slots__ = ("arguments", "begun")

    def __init__(self, begun: Call) -> None:
        self.begun = begun
        self.arguments = ""

    def part(self) -> Part | None:
        """The part that it is; None if its arguments are no object (yet)."""
        arguments = self.arguments.strip() or "{}"
        if self.begun.custom:
            arguments = encode({"input": self.arguments}).decode()
        elif not is_object(arguments):
            return None
        call = {"name": self.begun.name, "args": Raw(arguments.encode())}
        if self.begun.id:
            call["id"] = self.begun.id
        found: Part = {"functionCall": call}
        if self.begun.signature:
            found["thoughtSignature"] = sealed(self.begun.signature, self.begun.origin)
        return found


class Choice:
    """What has been said of one choice, and what is held of it."""

    __slots__ = ("calls", "citations", "said", "stop", "thinking", "written")

    def __init__(self) -> None:
        self.calls: dict[int, Held] = {}
        self.citations: list[Citation] = []
        self.written = Written()
        self.stop: Stop | None = None
        self.said = False
        self.thinking = False
        """The last that it said was a thought."""

    def settle(self, *, last: bool) -> list[Part]:
        """The calls that are complete, in their order; `last`: no more of them comes."""
        parts = []
        for index, call in list(self.calls.items()):
            part = call.part() if call.arguments or last else None
            if part is None:
                if last:
                    continue
                break
            parts.append(part)
            del self.calls[index]
        return parts

    def end(self) -> dict[str, Any]:
        """What the last chunk says of the candidate."""
        found: dict[str, Any] = {}
        if self.citations:
            found["groundingMetadata"] = self.written.spell(self.citations)
        stop = self.stop
        if stop is None:
            return found
        if self.calls and stop.reason not in ("length", "context"):
            names = ", ".join(call.begun.name for call in self.calls.values())
            found["finishReason"] = "MALFORMED_FUNCTION_CALL"
            found["finishMessage"] = f"the arguments of {names} are not a JSON object"
        elif STOPS.get(stop.native, "stop") == stop.reason and stop.native in STOPS:
            found["finishReason"] = stop.native
        else:
            found["finishReason"] = STOP_WORDS.get(stop.reason, "STOP")
        return found


class Speller:
    """What a stream and a whole response have in common: which parts an event is."""

    def __init__(self, ask: Ask) -> None:
        self.model = ask.model
        self.begin = Begin()
        self.usage: Usage | None = None
        self.choices: dict[int, Choice] = {}
        self.blocked = False
        """The prompt was not answered, which has been said."""

    def choice(self, index: int) -> Choice:
        choice = self.choices.get(index)
        if choice is None:
            choice = self.choices[index] = Choice()
        return choice

    def note(self, event: Event) -> bool:
        """Take in an event that is no part of an answer; returns whether it is one."""
        kind = type(event)
        if kind is Used:
            assert isinstance(event, Used)
            self.usage = event.usage
        elif kind is Stop:
            assert isinstance(event, Stop)
            self.choice(event.choice).stop = event
        elif kind is Begin:
            assert isinstance(event, Begin)
            self.begin = event
        elif kind is Citation:
            assert isinstance(event, Citation)
            if event.origin != ORIGIN:
                self.choice(event.choice).citations.append(event)
        elif kind is Call:
            assert isinstance(event, Call)
            self.choice(event.choice).calls[event.index] = Held(event)
        elif kind is Arguments:
            assert isinstance(event, Arguments)
            call = self.choice(event.choice).calls.get(event.index)
            if call is not None:
                call.arguments += event.text
        else:
            return False
        return True

    def part(self, event: Event) -> tuple[int, Part] | None:
        """The part that an event of a choice is; None if it is none."""
        if isinstance(event, Text | Refusal):
            part: Part = {"text": event.text}
            self.choice(event.choice).written.add(event.text)
        elif isinstance(event, Thinking):
            part = {"text": event.text, "thought": True}
        elif isinstance(event, Signature):
            part = dict(EMPTY)
            if event.origin != ORIGIN or self.choice(event.choice).thinking:
                part["thought"] = True
            value = sealed(event.value, event.origin, redacted=event.redacted)
            part["thoughtSignature"] = value
        elif isinstance(event, Media):
            part = {"inlineData": {"mimeType": event.media_type, "data": event.data}}
        else:
            return None
        choice = self.choice(event.choice)
        choice.thinking = isinstance(event, Thinking)
        choice.said = True
        return event.choice, part

    def envelope(self) -> dict[str, Any]:
        """What each response says of itself."""
        found = {"modelVersion": self.begin.model or self.model}
        if self.begin.id:
            found["responseId"] = self.begin.id
        return found

    def created(self) -> dict[str, str]:
        """What the first one says, too."""
        if not self.begin.created:
            return {}
        try:
            when = datetime.fromtimestamp(self.begin.created, UTC)
        except (ValueError, OverflowError, OSError):
            return {}
        return {"createTime": when.isoformat().replace("+00:00", "Z")}


def spell_candidate(index: int, parts: list[Part], more: dict[str, Any]) -> dict[str, Any]:
    content = {"content": {"parts": parts, "role": "model"}} if parts else {}
    return {**content, "index": index, **more}


def add_logprobs(candidate: dict[str, Any], event: Logprobs) -> None:
    result = candidate.setdefault("logprobsResult", {"chosenCandidates": [], "topCandidates": []})
    for token in event.tokens:
        result["chosenCandidates"].append(_spell_token(token))
        result["topCandidates"].append({"candidates": [_spell_token(top) for top in token.top]})


def _spell_token(token: Logprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
