"""Whole responses: events of them, and them of events."""

from typing import Any

import msgspec

from proxy.chat import Ask
from proxy.dialects._gemini.answer import UNREADABLE, Reader
from proxy.dialects._gemini.spell import (
    BLOCKED,
    EMPTY,
    Choice,
    Held,
    Part,
    Speller,
    add_logprobs,
    spell_candidate,
)
from proxy.dialects._gemini.wire import ORIGIN, decode_object, encode, spell_usage
from proxy.errors import BadResponse
from proxy.event import Call, Event, Failure, Logprobs, Other

Raw = msgspec.Raw


def decode_whole(body: bytes) -> list[Event]:
    """The events of a whole response. Raises BadResponse."""
    reader = Reader()
    try:
        events = reader.read(body)
    except UNREADABLE as error:
        raise BadResponse("the provider's answer is no response of Gemini's") from error
    if type(events[-1]) is Failure:
        return events
    end = reader.finish(whole=True)
    if not end:
        raise BadResponse("the provider's answer has no candidates")
    return events + end


_candidates = msgspec.json.Decoder(list[dict[str, Raw]])


class _Content(msgspec.Struct):
    parts: list[dict[str, Raw]] = []


_content = msgspec.json.Decoder(_Content)


def encode_whole(ask: Ask, events: list[Event]) -> bytes:
    """A whole response that says the events."""
    speller = Speller(ask)
    parts: dict[int, list[Part | Held]] = {}
    more: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for event in events:
        if isinstance(event, Other):
            if event.origin == ORIGIN:
                _add_other(event.frame, parts, more, whole)
                speller.blocked |= event.frame.startswith(BLOCKED)
            continue
        if isinstance(event, Logprobs):
            if not event.refusal:
                add_logprobs(more.setdefault(event.choice, {}), event)
            continue
        if speller.note(event):
            if isinstance(event, Call):
                # Its place, until its arguments are whole.
                held = speller.choice(event.choice).calls[event.index]
                parts.setdefault(event.choice, []).append(held)
            continue
        found = speller.part(event)
        if found is not None:
            index, part = found
            _join(parts.setdefault(index, []), part)
    candidates = []
    for index, choice in sorted(speller.choices.items()):
        said = _placed(parts.get(index, []), choice)
        if not said and speller.blocked:
            continue
        end = more.get(index, {}) | choice.end()
        filtered = choice.stop is not None and choice.stop.reason == "filter"
        candidates.append(spell_candidate(index, said or ([] if filtered else [EMPTY]), end))
    whole["candidates"] = candidates
    if not candidates:
        del whole["candidates"]
    if speller.usage is not None:
        whole["usageMetadata"] = spell_usage(speller.usage, speller.begin.service_tier)
    return encode(whole | speller.created() | speller.envelope())


def _placed(parts: list[Part | Held], choice: Choice) -> list[Part]:
    """The parts, with each call in its place."""
    found = []
    for part in parts:
        if not isinstance(part, Held):
            found.append(part)
            continue
        whole = part.part()
        if whole is not None:
            found.append(whole)
            choice.calls.pop(part.begun.index, None)
    return found


def _join(parts: list[Part | Held], part: Part) -> None:
    """Add a part to those of a whole response: deltas of one text are one part there."""
    last = parts[-1] if parts else None
    if (
        last is None
        or isinstance(last, Held)
        or "text" not in last
        or "text" not in part
        or "thoughtSignature" in last
        or bool(last.get("thought")) != bool(part.get("thought"))
    ):
        parts.append(part)
        return
    last["text"] += part["text"]
    if "thoughtSignature" in part:
        last["thoughtSignature"] = part["thoughtSignature"]


def _add_other(
    frame: bytes,
    parts: dict[int, list[Part | Held]],
    more: dict[int, dict[str, Any]],
    whole: dict[str, Any],
) -> None:
    """Put what only Gemini says where it stood."""
    said = dict(decode_object(frame))
    for candidate in _candidates.decode(said.pop("candidates", b"[]")):
        index = int(bytes(candidate.pop("index")))
        for part in _content.decode(candidate.pop("content")).parts:
            if list(part) != ["text"]:
                parts.setdefault(index, []).append(part)
        more.setdefault(index, {}).update(candidate)
    whole.update(said)
