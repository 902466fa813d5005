"""What would happen to a request, and why; nothing is sent.

The route and why not the ones before it, what each processor makes of the body, and each target
with what it would be asked. Processors do run: whoever explains has opened them.
"""

import difflib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from proxy.client import prepare
from proxy.component import overrides
from proxy.config.sections import Settings
from proxy.dialect import Dialect
from proxy.errors import NoRoute, ProcessorFailed, ProxyError, TooLarge
from proxy.exchange import Exchange, ParsedRequest, Raw
from proxy.models import asked, known_models
from proxy.processor import Processor
from proxy.router import Route, Router, Target
from proxy.units import clock, format_duration, format_size

DEFAULT_PATH = "/v1/chat/completions"
"""The path of a request that names none."""

_MAX_DIFF = 256 << 10
"""Bytes of a field, before and after, beyond which no difference is looked for."""
_MAX_LINE = 200


class Failure(msgspec.Struct, frozen=True):
    """The error that the client would get."""

    code: str
    status: int
    message: str


class Considered(msgspec.Struct, frozen=True):
    """A route that was looked at; the last one is the one that takes the request, if any does."""

    route: str
    takes: bool
    why: str


class Change(msgspec.Struct, frozen=True):
    """What becomes of a top-level field of the body, as the lines of a unified diff."""

    field: str
    diff: list[str]


class Step(msgspec.Struct, frozen=True):
    """What a processor of the route makes of the request."""

    processor: str
    changes: list[Change]
    error: Failure | None = None


class Asked(msgspec.Struct, frozen=True):
    """A target of the route, and what it would be asked, were it its turn."""

    target: str
    dialect: str | None
    """What it is asked in; None: as it came."""
    url: str | None
    """Where, or one of several; None: it runs inside the proxy."""
    model: str | None
    changes: list[Change]
    """What is changed for this target, after the processors."""
    hides_usage: bool
    """Usage is asked for that the client did not ask for, and taken out of the stream again."""
    timeouts: dict[str, str]
    dropped: list[str] = []
    """Hints that its dialect cannot say."""
    error: Failure | None = None
    """Why it cannot be asked."""


class Explanation(msgspec.Struct):
    """What would happen, as far as it would come."""

    path: str
    dialect: str | None = None
    """None: the path is no endpoint; its body passes through unread."""
    model: str | None = None
    stream: bool = False
    routes: list[Considered] = []
    processors: list[Step] = []
    targets: list[Asked] = []
    answer: str | None = None
    """Who answers, where that is no provider."""
    limits: dict[str, str] = {}
    """What the request itself must keep to."""
    error: Failure | None = None


class Explainer:
    """Explains requests to one configuration at work."""

    def __init__(self, router: Router, settings: Settings) -> None:
        self._router = router
        self._settings = settings
        self._names = {id(built): name for name, built in settings.processor.items()}

    def reads(self, path: str) -> bool:
        """Whether the body of a request to `path` matters."""
        return self._router.dialect(path) is not None

    async def explain(self, path: str, body: bytes) -> Explanation:
        """Say what a POST of `body` to `path` would come to."""
        server = self._settings.server
        limits = {"max_body_size": format_size(server.max_body_size)}
        limits["body_timeout"] = format_duration(server.body_timeout)
        explanation = Explanation(path=path, limits=limits)
        dialect = self._router.dialect(path)
        try:
            if dialect is not None:
                await self._read(explanation, dialect, body)
            else:
                self._pass_on(explanation)
        except ProxyError as error:
            explanation.error = _failure(error)
        return explanation

    async def _read(self, explanation: Explanation, dialect: Dialect, body: bytes) -> None:
        explanation.dialect = dialect.name
        limit = self._settings.server.max_body_size
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {format_size(limit)}")
        parsed = dialect.parse(body, explanation.path)
        explanation.model, explanation.stream = parsed.model, parsed.stream
        route, pattern = self._route(explanation, dialect, parsed)
        request = Request(explanation.path, body)
        exchange = Exchange(request=request, id="explain", received_at=clock())
        exchange.dialect, exchange.operation = dialect.name, dialect.operation
        exchange.parsed, exchange.route, exchange.pattern = parsed, route.name, pattern
        try:
            for processor in route.processors:
                if overrides(processor, "on_request"):
                    await self._process(explanation, exchange, processor, dialect, parsed)
        finally:
            for hook in route.on_end:
                hook(exchange)
        for target in route.targets:
            explanation.targets.append(self._prepared(route, target, dialect, request, parsed))

    def _prepared(
        self,
        route: Route,
        target: Target,
        dialect: Dialect,
        request: "Request",
        parsed: ParsedRequest,
    ) -> Asked:
        counts_usage = self._settings.monitoring.metrics
        model = target.model or parsed.model
        try:
            prepared = prepare(
                route,
                target,
                dialect,
                parsed.branch(),
                counts_usage=counts_usage,
                headers=request.raw_headers,
            )
        except ProxyError as error:
            return self._asked(route, target, request, None, model, error=_failure(error))
        translation = prepared.translation
        return self._asked(
            route,
            target,
            request,
            prepared.path,
            model,
            _changes(parsed.fields, prepared.request.fields),
            hides=prepared.strip,
            dialect=(translation.spoken if translation else dialect).name,
            dropped=translation.dropped if translation else [],
        )

    async def _process(
        self,
        explanation: Explanation,
        exchange: Exchange,
        processor: Processor,
        dialect: Dialect,
        parsed: ParsedRequest,
    ) -> None:
        before = dict(parsed.fields)
        error: ProxyError | None = None
        try:
            await processor.on_request(exchange, parsed, dialect)
        except ProxyError as raised:
            error = raised
        except Exception as raised:
            error = ProcessorFailed(f"a processor failed: {type(raised).__name__}: {raised}")
        name, changes = self._names[id(processor)], _changes(before, parsed.fields)
        explanation.processors.append(Step(name, changes, _failure(error) if error else None))
        if error is not None:
            raise error

    def _pass_on(self, explanation: Explanation) -> None:
        path = explanation.path
        models = asked(path) is not None
        if models and known_models(self._router):
            explanation.answer = "the proxy itself, with the models that its routes name"
            return
        route = self._router.passing(path, endpoint=models)
        self._consider(explanation, route, path, None, endpoint=models)
        if route is None:
            raise NoRoute(f"no route takes POST {path[:_MAX_LINE]}")
        request = Request(path, b"")
        target = route.targets[0]
        path = target.provider.passed_path(path, "")
        explanation.targets.append(self._asked(route, target, request, path))

    def _route(
        self, explanation: Explanation, dialect: Dialect, parsed: ParsedRequest
    ) -> tuple[Route, str]:
        """The route that takes the request, and by what of it; the ones before it with why not."""
        taken: Route | None = None
        try:
            taken, pattern = self._router.route(dialect, parsed)
            return taken, pattern
        finally:
            self._consider(explanation, taken, dialect.path, parsed)

    def _consider(
        self,
        explanation: Explanation,
        taken: Route | None,
        path: str,
        parsed: ParsedRequest | None,
        *,
        endpoint: bool = True,
    ) -> None:
        for route, section in zip(self._router.routes, self._settings.route, strict=True):
            models = None if section.models is None else ", ".join(section.models)
            if not route.takes_path(path, endpoint=endpoint):
                why = f"it takes {', '.join(section.path or ('endpoints of dialects',))} only"
            elif parsed is None:
                named = "it takes models by name, and here none is read"
                why = named if models else "it takes the path"
            elif models is not None and parsed.model is None:
                why = "it takes models by name, and the request has none"
            elif route is taken:
                why = (
                    f'it takes "{route.takes_model(parsed.model)}"'
                    if models
                    else "it takes every model"
                )
            else:
                why = f"it takes {models} only"
            explanation.routes.append(Considered(route.name, route is taken, why))
            if route is taken:
                break

    def _asked(
        self,
        route: Route,
        target: Target,
        request: "Request",
        path: str | None,
        model: str | None = None,
        changes: Sequence[Change] = (),
        *,
        hides: bool = False,
        dialect: str | None = None,
        dropped: Sequence[str] = (),
        error: Failure | None = None,
    ) -> Asked:
        seconds = msgspec.structs.asdict(target.timeouts)
        del seconds["connection_age"]  # no exchange ends by it
        # An exchange ends as a whole: the first target's says when.
        seconds["total"] = route.targets[0].timeouts.total
        return Asked(
            target=repr(target),
            dialect=dialect,
            url=None if path is None else _url(target, path),
            model=model,
            changes=list(changes),
            hides_usage=hides,
            timeouts={
                name: format_duration(value) if value else "none" for name, value in seconds.items()
            },
            dropped=list(dropped),
            error=error,
        )


def _url(target: Target, path: str) -> str | None:
    return " or ".join(f"{each}{path}" for each in target.provider.url.addresses()) or None


class Request:
    """A request that nobody sent: what processors and providers see of one."""

    method = "POST"
    query = ""
    headers: Mapping[str, str] = {"content-type": "application/json"}
    raw_headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)
    peer = ""

    def __init__(self, path: str, body: bytes) -> None:
        self.path = path
        self.forwarded: dict[object, bytes] = {}
        self.length: int | None = len(body)
        self._body = body

    async def body(self) -> bytes:
        """The whole body."""
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, in one piece."""
        yield self._body


def _changes(before: Mapping[str, Raw], after: Mapping[str, Raw]) -> list[Change]:
    """The fields that differ, in the order of the body, new ones last."""
    fields = dict.fromkeys((*before, *after))
    return [
        Change(field, _diff(before.get(field), after.get(field)))
        for field in fields
        if _bytes(before.get(field)) != _bytes(after.get(field))
    ]


def _diff(before: Raw | None, after: Raw | None) -> list[str]:
    sizes = len(_bytes(before)), len(_bytes(after))
    if sum(sizes) > _MAX_DIFF:
        return [f"({format_size(sizes[0])} became {format_size(sizes[1])})"]
    lines = difflib.unified_diff(_lines(before), _lines(after), n=1, lineterm="")
    # Not the heads: there are no files, and a field is short enough to find one's place in.
    return [line[:_MAX_LINE] for line in list(lines)[2:] if not line.startswith("@@")]


def _lines(value: Raw | None) -> list[str]:
    return msgspec.json.format(_bytes(value), indent=2).decode().splitlines() if value else []


def _bytes(value: Raw | None) -> bytes:
    return b"" if value is None else bytes(value)


def _failure(error: ProxyError) -> Failure:
    return Failure(code=error.code, status=error.status, message=str(error))
