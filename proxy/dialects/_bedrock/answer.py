"""Converse's answers, whole: decoded into events, and put together from them."""

from collections.abc import Iterable, Iterator

import msgspec

from proxy.chat import Chat, seal
from proxy.dialects._bedrock.errors import malformed
from proxy.dialects._bedrock.wire import (
    MALFORMED,
    ORIGIN,
    STOP_WORDS,
    STOPS,
    Block,
    Raw,
    WireUsage,
    read_usage,
    spell_usage,
)
from proxy.errors import BadResponse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)


class _Use(msgspec.Struct, rename="camel", frozen=True):
    name: str
    input: Raw = Raw(b"{}")
    tool_use_id: str = ""
    type: str | None = None


class _ReasoningText(msgspec.Struct, frozen=True):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct, rename="camel", frozen=True):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Source(msgspec.Struct, frozen=True):
    bytes: str = ""


class _Image(msgspec.Struct, frozen=True):
    format: str = "png"
    source: _Source = _Source()


class _Content(msgspec.Struct, rename="camel", frozen=True):
    text: str | None = None
    tool_use: _Use | None = None
    reasoning_content: _Reasoning | None = None
    image: _Image | None = None
    citations_content: "_Cited | None" = None


class _Quote(msgspec.Struct, frozen=True):
    text: str = ""


class _Web(msgspec.Struct, frozen=True):
    url: str = ""


class _Location(msgspec.Struct, frozen=True):
    web: _Web | None = None


class _Citation(msgspec.Struct, rename="camel", frozen=True):
    title: str | None = None
    source: str | None = None
    source_content: list[_Quote] = []
    location: _Location | None = None


class _Cited(msgspec.Struct, frozen=True):
    content: list[_Quote] = []
    citations: list[Raw] = []


class _Message(msgspec.Struct, frozen=True):
    content: list[_Content] = []


class _Output(msgspec.Struct, frozen=True):
    message: _Message


class _More(msgspec.Struct, frozen=True):
    stop_sequence: str | None = None


class _Tier(msgspec.Struct, frozen=True):
    type: str = ""


class _Answer(msgspec.Struct, rename="camel", frozen=True):
    output: _Output
    stop_reason: str = "end_turn"
    usage: WireUsage | None = None
    additional_model_response_fields: _More | None = None
    service_tier: _Tier | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_citation = msgspec.json.Decoder(_Citation).decode


def read_answer(body: bytes) -> list[Event]:
    """The events of a whole response; raises BadResponse."""
    try:
        answer = _answer(body)
        tier, more = answer.service_tier, answer.additional_model_response_fields
        events: list[Event] = [Begin(service_tier="" if tier is None else tier.type)]
        calls = 0
        for content in answer.output.message.content:
            for event in _content(content, calls):
                calls += type(event) is Call
                events.append(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadResponse("the provider's answer is none of Converse").because(error) from error
    if answer.usage is not None:
        events.append(Used(read_usage(answer.usage)))
    events += stopped(answer.stop_reason, None if more is None else more.stop_sequence)
    return [*events, End()]


def stopped(word: str, sequence: str | None) -> list[Event]:
    """The events of a stop reason."""
    if word in MALFORMED:
        return [Failure(malformed(word))]
    return [Stop(STOPS.get(word, "stop"), word, sequence)]


def citation(raw: Raw) -> Citation:
    """The event of a citation. Raises MsgspecError."""
    wire = _citation(raw)
    web = None if wire.location is None else wire.location.web
    return Citation(
        url=(wire.source or "") if web is None else web.url,
        title=wire.title or "",
        quote="".join(quote.text for quote in wire.source_content),
        raw=bytes(raw),
        origin=ORIGIN,
    )


def spell_citation(event: Citation) -> Block | Raw:
    """A citation, as Converse has it."""
    if event.origin == ORIGIN and event.raw:
        return Raw(event.raw)
    cited: Block = {"title": event.title, "sourceContent": [{"text": event.quote}]}
    if "://" in event.url:
        cited["location"] = {"web": {"url": event.url}}
    else:
        cited["source"] = event.url
    return cited


def _content(content: _Content, calls: int) -> Iterator[Event]:
    if content.text:
        yield Text(content.text)
    use, reasoning = content.tool_use, content.reasoning_content
    if use is not None and use.type is None:
        yield Call(calls, use.tool_use_id, use.name)
        yield Arguments(calls, bytes(use.input).decode())
    if reasoning is not None:
        if reasoning.reasoning_text is not None:
            if reasoning.reasoning_text.text:
                yield Thinking(reasoning.reasoning_text.text)
            if reasoning.reasoning_text.signature:
                yield Signature(reasoning.reasoning_text.signature, ORIGIN)
        elif reasoning.redacted_content is not None:
            yield Signature(reasoning.redacted_content, ORIGIN, redacted=True)
    if content.image is not None:
        yield Media(f"image/{content.image.format}", content.image.source.bytes)
    if content.citations_content is not None:
        for quote in content.citations_content.content:
            if quote.text:
                yield Text(quote.text)
        for each in content.citations_content.citations:
            yield citation(each)


def encode_answer(chat: Chat, events: Iterable[Event]) -> bytes:
    """A whole response that says the events."""
    blocks: list[Block] = []
    calls: dict[int, Block] = {}
    arguments: dict[int, str] = {}
    word, usage = "end_turn", Usage()
    for event in events:
        match event:
            case Text() | Refusal():
                if blocks and "text" in blocks[-1]:
                    blocks[-1]["text"] += event.text
                else:
                    blocks.append({"text": event.text})
            case Citation():
                if not blocks or not blocks[-1].keys() & {"text", "citationsContent"}:
                    blocks.append({"text": ""})
                if "text" in blocks[-1]:
                    cited = {"content": [{"text": blocks[-1]["text"]}], "citations": []}
                    blocks[-1] = {"citationsContent": cited}
                blocks[-1]["citationsContent"]["citations"].append(spell_citation(event))
            case Thinking():
                if not blocks or "signature" in _reasoning_text(blocks[-1], {"signature": ""}):
                    blocks.append({"reasoningContent": {"reasoningText": {"text": ""}}})
                _reasoning_text(blocks[-1], {})["text"] += event.text
            case Signature():
                value = seal(event.value, event.origin, ORIGIN)
                if event.redacted:
                    blocks.append({"reasoningContent": {"redactedContent": value}})
                elif blocks and "reasoningContent" in blocks[-1]:
                    _reasoning_text(blocks[-1], {})["signature"] = value
            case Call():
                use: Block = {"toolUseId": event.id or f"tooluse_{event.index}", "name": event.name}
                calls[event.index] = use
                arguments[event.index] = ""
                blocks.append({"toolUse": use})
            case Arguments() if event.index in arguments:
                arguments[event.index] += event.text
            case Media():
                kind = event.media_type.removeprefix("image/")
                blocks.append({"image": {"format": kind, "source": {"bytes": event.data}}})
            case Stop():
                word = spell_stop(event)
            case Used():
                usage = event.usage
    for index, use in calls.items():
        use["input"] = _object(arguments[index])
    message = {"role": "assistant", "content": blocks}
    answer = {"output": {"message": message}, "stopReason": word, "usage": spell_usage(usage)}
    return msgspec.json.encode(answer | {"metrics": {"latencyMs": 0}})


def spell_stop(stop: Stop) -> str:
    """The stop reason that says why a model stopped."""
    return stop.native if STOPS.get(stop.native) == stop.reason else STOP_WORDS[stop.reason]


def _reasoning_text(block: Block, otherwise: Block) -> Block:
    found: Block = block.get("reasoningContent", {}).get("reasoningText", otherwise)
    return found


def _object(text: str) -> object:
    try:
        msgspec.json.decode(text or "{}", type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError):
        return {"INVALID_JSON": text}
    return Raw((text or "{}").encode())
