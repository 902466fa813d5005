"""Responses, whole or streamed, made into events."""

from datetime import datetime
from hashlib import blake2s
from typing import Any

import msgspec

from proxy.dialects._gemini.citations import Written
from proxy.dialects._gemini.errors import read_failure
from proxy.dialects._gemini.wire import (
    ABSENT,
    FAILURES,
    ORIGIN,
    STOPS,
    TIERS,
    Candidate,
    FunctionCall,
    LogprobsResult,
    Part,
    Response,
    Token,
    decode_feedback,
    decode_response,
    encode,
    finish_word,
    is_said,
    one_line,
    standard_base64,
    unsealed,
)
from proxy.errors import BadResponse, ProviderRefused, ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Media,
    Other,
    Signature,
    Stop,
    StopReason,
    Text,
    Thinking,
    Used,
    call_id,
)

Raw = msgspec.Raw

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NATIVE = (
    *("safety_ratings", "grounding_metadata", "citation_metadata", "url_context_metadata"),
    *("avg_logprobs", "finish_message", "continuation_token"),
)
"""What of a candidate has no event of its own."""


class _RawContent(msgspec.Struct):
    parts: list[Raw] = []


class _RawCandidate(msgspec.Struct):
    content: _RawContent | None = None


class _RawResponse(msgspec.Struct):
    candidates: list[_RawCandidate]


_raw_response = msgspec.json.Decoder(_RawResponse)


class _Choice:
    """What has been heard of one candidate."""

    __slots__ = ("calls", "native", "stop", "written")

    def __init__(self) -> None:
        self.calls = 0
        self.stop: StopReason | None = None
        self.native = ""
        self.written = Written()


class Reader:
    """Makes events of chunks, one after the other; a whole response is a single one."""

    __slots__ = ("_begun", "_calls", "_choices", "_id")

    def __init__(self) -> None:
        self._begun = False
        self._id = ""
        self._calls = 0
        self._choices: dict[int, _Choice] = {}

    def read(self, data: bytes) -> list[Event]:
        """The events of a chunk. Raises one of `UNREADABLE`."""
        chunk = decode_response(data)
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events.append(self._begin(chunk))
        failure: ProxyError | None = None
        for place, candidate in enumerate(chunk.candidates or ()):
            failure = self._read_candidate(candidate, place, data, events) or failure
        if chunk.prompt_feedback is not ABSENT:
            self._read_feedback(chunk.prompt_feedback, events)
        if chunk.usage_metadata is not None:
            usage = chunk.usage_metadata.usage()
            if usage is not None:
                events.append(Used(usage))
        if is_said(chunk.error):
            failure = read_failure(chunk.error)
        if failure is not None:
            events.append(Failure(failure))
        return events

    def finish(self, *, whole: bool = False) -> list[Event]:
        """The events of the end: none if the stream was cut off before it.

        `whole`: there is no doubt that nothing is missing.
        """
        choices = self._choices
        if not choices or not (whole or all(choice.stop for choice in choices.values())):
            return []
        events: list[Event] = []
        for index, choice in sorted(choices.items()):
            reason = choice.stop or "stop"
            if reason == "stop" and choice.calls:
                reason = "tool_calls"
            events.append(Stop(reason, choice.native, choice=index))
        events.append(End())
        return events

    def _begin(self, chunk: Response) -> Begin:
        self._id = chunk.response_id or ""
        tier = None if chunk.usage_metadata is None else chunk.usage_metadata.service_tier
        return Begin(
            id=self._id,
            model=chunk.model_version or "",
            created=_seconds(chunk.create_time),
            service_tier=TIERS.get(tier, tier) if tier else "",
        )

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _read_candidate(
        self, candidate: Candidate, place: int, data: bytes, events: list[Event]
    ) -> ProxyError | None:
        index = candidate.index
        choice = self._choice(index)
        content = candidate.content
        if content is not None and content.parts:
            for at, part in enumerate(content.parts):
                text = part.text
                if text is not None and part.function_call is None:
                    if text and part.thought:
                        events.append(Thinking(text, index, summary=True))
                    elif text:
                        events.append(Text(text, index))
                        choice.written.add(text)
                    if part.thought_signature:
                        events.append(_signature(part.thought_signature, index))
                elif not self._read_part(part, index, choice, data, events):
                    events += _native_part(data, place, at, index)
        if candidate.logprobs_result is not None:
            tokens = _logprobs(candidate.logprobs_result)
            if tokens:
                events.append(Logprobs(tokens, index))
        if not (
            candidate.safety_ratings
            is candidate.grounding_metadata
            is candidate.citation_metadata
            is candidate.url_context_metadata
            is candidate.avg_logprobs
            is candidate.finish_message
            is candidate.continuation_token
            is ABSENT
        ):
            self._read_rest(candidate, index, choice, events)
        reason = candidate.finish_reason
        if reason is None:
            return None
        word = finish_word(reason)
        if word in FAILURES:
            return _came_to_nothing(word, candidate.finish_message)
        choice.stop, choice.native = STOPS.get(word, "stop"), word
        return None

    def _read_part(
        self, part: Part, index: int, choice: _Choice, data: bytes, events: list[Event]
    ) -> bool:
        """Read a part that is no text; returns whether there is an event for it."""
        call = part.function_call
        blob = part.inline_data
        if call is not None:
            if call.partial_args is not ABSENT or call.will_continue:
                choice.calls += 1
                return False
            self._read_call(call, part.thought_signature, index, choice, data, events)
        elif blob is not None:
            events.append(Media(blob.mime_type, standard_base64(blob.data), index))
            if part.thought_signature:
                events.append(_signature(part.thought_signature, index))
        elif part.thought_signature:
            events.append(_signature(part.thought_signature, index))
        else:
            return False
        return True

    def _read_call(
        self,
        call: FunctionCall,
        signature: str | None,
        index: int,
        choice: _Choice,
        data: bytes,
        events: list[Event],
    ) -> None:
        number = choice.calls
        choice.calls += 1
        value = origin = ""
        if signature:
            value, origin, _ = unsealed(signature)
        events.append(
            Call(
                number,
                call.id or self._new_id(data),
                call.name,
                index,
                signature=value,
                origin=origin,
            )
        )
        arguments = one_line(bytes(call.args)).decode()
        events.append(Arguments(number, "{}" if arguments == "null" else arguments, index))
        self._calls += 1

    def _new_id(self, data: bytes) -> str:
        """An id for a call that has none."""
        return call_id(self._id or blake2s(data).hexdigest(), 0, self._calls)

    def _read_rest(
        self, candidate: Candidate, index: int, choice: _Choice, events: list[Event]
    ) -> None:
        native: dict[str, Raw] = {}
        if candidate.grounding_metadata is not ABSENT:
            events += choice.written.grounding(candidate.grounding_metadata, index, ORIGIN)
        if candidate.citation_metadata is not ABSENT:
            events += choice.written.citations(candidate.citation_metadata, index, ORIGIN)
        for name in _NATIVE:
            raw: Raw = getattr(candidate, name)
            if raw is not ABSENT and bytes(raw) not in (b"{}", b"[]", b"null"):
                native[_camel(name)] = raw
        if native:
            events.append(Other(_chunk(index, encode({"text": ""}), native), ORIGIN))

    def _read_feedback(self, raw: Raw, events: list[Event]) -> None:
        if not is_said(raw):
            return
        events.append(Other(_checked({"promptFeedback": raw}), ORIGIN))
        reason = decode_feedback(raw).block_reason
        if reason:
            choice = self._choice(0)
            choice.stop, choice.native = "filter", str(reason)


def _signature(text: str, choice: int) -> Signature:
    value, origin, redacted = unsealed(text)
    return Signature(value, origin, choice, redacted)


def _native_part(data: bytes, place: int, at: int, index: int) -> list[Event]:
    content = _raw_response.decode(data).candidates[place].content
    assert content is not None
    part = bytes(content.parts[at])
    return [] if part == b"{}" else [Other(_chunk(index, part, {}), ORIGIN)]


def _chunk(index: int, part: bytes, more: dict[str, Raw]) -> bytes:
    """A chunk of one part: SDKs take one without a part for an answer that came to nothing."""
    content = {"parts": [Raw(part)], "role": "model"}
    return _checked({"candidates": [{"content": content, "index": index, **more}]})


def _checked(said: dict[str, Any]) -> bytes:
    """JSON with raw values in it, which nobody has read yet. Raises one of `UNREADABLE`."""
    frame = one_line(encode(said))
    msgspec.json.decode(frame)
    return frame


def _logprobs(result: LogprobsResult) -> list[Logprob]:
    tops = result.top_candidates or []
    tokens = []
    for at, chosen in enumerate(result.chosen_candidates or []):
        found = _logprob(chosen)
        if at < len(tops):
            found.top = [_logprob(token) for token in tops[at].candidates or []]
        tokens.append(found)
    return tokens


def _logprob(token: Token) -> Logprob:
    return Logprob(token.token, token.log_probability or 0.0)


def _came_to_nothing(word: str, message: Raw) -> ProxyError:
    said = f": {msgspec.json.decode(message)}" if is_said(message) else ""
    words = f"the model's answer came to nothing ({word}){said}"
    if word == "MISSING_THOUGHT_SIGNATURE":
        return ProviderRefused(words, status=400)
    return BadResponse(words)


def _seconds(time: str | None) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp()) if time else 0
    except (ValueError, OverflowError):
        return 0


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
