"""Every dialect that has no spelling of its own in this folder, as the mock speaks it.

The mock says its answer in events, and the dialect's own codec spells them: what a client of that
dialect would get of us, had any provider said so.
"""

import struct
from collections.abc import Iterator

import msgspec

from proxy.chat import Ask, Chat, Embedding
from proxy.dialect import Dialect
from proxy.errors import ProviderBroke, ProviderRefused, ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Stop,
    StopReason,
    Text,
    Usage,
    Used,
    Vector,
)
from proxy.event import Event as Meaning
from proxy.mock import openai
from proxy.mock.answer import Answer, Function, compose, interleave, steps
from proxy.mock.embeddings import DIMENSIONS, MAX_DIMENSIONS, vector
from proxy.mock.errors import MockError
from proxy.mock.reply import Event, Reply, Streamed, Whole
from proxy.mock.schema import Schema
from proxy.mock.settings import MockSettings
from proxy.mock.text import created, estimate_tokens, fingerprint, identifier

_STOPS: dict[str, StopReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


def reply(dialect: Dialect, body: bytes, path: str, query: str, settings: MockSettings) -> Reply:
    """Answer a request of `dialect`; raises MockError."""
    try:
        request = dialect.parse(body, path, query)
        ask = dialect.read(request)
    except ProxyError as error:
        raise MockError(error.status, str(error), param=error.param) from None
    model = request.model or ask.model
    key = fingerprint(settings.seed, body)
    if isinstance(ask, Embedding):
        return _embed(dialect, ask, model, settings)
    tokens = estimate_tokens(body)
    if dialect.form == "count":
        counted: list[Meaning] = [Used(Usage(input_tokens=tokens)), End()]
        return Whole(model, 1, dialect.encode(ask, counted))
    answers = _compose(ask, key, settings)
    begin = Begin(id=identifier("mock_", key), model=model, created=created(settings.seed))
    used = Used(Usage(input_tokens=tokens, output_tokens=sum(len(a.pieces) for a in answers)))
    end: list[Meaning] = [*_stops(answers), used, End()]
    if request.stream:
        return Streamed(
            model,
            _stream(dialect, ask, begin, answers, end),
            lambda sent: dialect.error_event(_broken(sent)),
            dialect.content_type(ask, stream=True).decode("ascii"),
        )
    said = [meaning for _, meanings in _turns(answers) for meaning in meanings]
    body = dialect.encode(ask, [begin, *said, *end])
    return Whole(model, steps(answers), body)


def error_body(dialect: Dialect, error: MockError) -> bytes:
    """The body of an error answer in `dialect`."""
    kind = ProviderBroke if error.status >= 500 else ProviderRefused
    return dialect.error(kind(str(error), status=error.status, param=error.param))


def _compose(ask: Chat, key: bytes, settings: MockSettings) -> list[Answer]:
    function = None
    if not (ask.messages and ask.messages[-1].role == "tool"):
        function = _choose(ask)
    schema = None
    if ask.format is not None:
        schema = _schema(ask.format.schema) or Schema(type="object")
    return compose(
        settings,
        [(key, index) for index in range(ask.n)],
        limit=ask.max_tokens or None,
        function=function,
        schema=schema,
    )


def _choose(ask: Chat) -> Function | None:
    """The tool to call: the one that is asked for by name, else the first."""
    choice = ask.tool_choice
    if choice is not None and choice.mode == "none":
        return None
    for tool in ask.tools:
        if tool.native is not None or tool.custom:
            continue
        if choice is None or not choice.names or tool.name in choice.names:
            return Function(tool.name, _schema(tool.schema))
    return None


def _schema(raw: msgspec.Raw | None) -> Schema | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Schema)
    except msgspec.ValidationError as error:
        raise MockError(400, f"schema: {error}") from None


def _turns(answers: list[Answer]) -> Iterator[tuple[bool, list[Meaning]]]:
    """What each token says, and whether the time between two tokens comes before it."""
    begun: set[int] = set()
    for index, piece, paced in interleave(answers):
        answer = answers[index]
        if answer.function is None:
            yield paced, [Text(piece, index)]
        elif index in begun:
            yield paced, [Arguments(0, piece, index)]
        else:
            begun.add(index)
            yield (
                paced,
                [Call(0, answer.call_id, answer.function, index), Arguments(0, piece, index)],
            )


def _stops(answers: list[Answer]) -> list[Meaning]:
    return [Stop(_STOPS[answer.finish], choice=index) for index, answer in enumerate(answers)]


def _stream(
    dialect: Dialect, ask: Ask, begin: Begin, answers: list[Answer], end: list[Meaning]
) -> Iterator[Event]:
    encoder = dialect.encoder(ask)
    if head := encoder.feed([begin]):
        yield Event(head)
    for paced, meanings in _turns(answers):
        if data := encoder.feed(meanings):
            yield Event(data, paced)
    if tail := encoder.feed(end) + encoder.close():
        yield Event(tail)


def _embed(dialect: Dialect, ask: Embedding, model: str, settings: MockSettings) -> Reply:
    dimensions = ask.dimensions or DIMENSIONS
    if dimensions > MAX_DIMENSIONS:
        message = f"dimensions: expected at most {MAX_DIMENSIONS}"
        raise MockError(400, message, param="dimensions")
    events: list[Meaning] = [Begin(model=model)]
    tokens = 0
    for index, each in enumerate(ask.inputs):
        data = each.encode() if isinstance(each, str) else msgspec.json.encode(each)
        packed = vector(fingerprint(settings.seed, data), dimensions)
        events.append(Vector(index, list(struct.unpack(f"<{dimensions}f", packed))))
        tokens += estimate_tokens(data) if isinstance(each, str) else len(each)
    return Whole(model, 0, dialect.encode(ask, [*events, Used(Usage(tokens)), End()]))


def _broken(sent: int) -> ProviderBroke:
    return ProviderBroke(str(openai.broken(sent)))
