"""The router: what a path and a model select. Routes are tried in the file's order."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from proxy.component import overrides
from proxy.dialect import Dialect, Endpoints
from proxy.errors import NoRoute
from proxy.exchange import ParsedRequest, Timeouts
from proxy.processor import Processor
from proxy.provider import Provider
from proxy.token import Token

MAX_FOUND = 1024
"""Paths and models whose route is remembered: models are the clients' to name."""


class Target:
    """A provider, and the model to ask it for (None: the client's own)."""

    __slots__ = ("heeds", "model", "provider", "timeouts", "token", "trusted")

    def __init__(
        self,
        provider: Provider,
        model: str | None,
        timeouts: Timeouts,
        token: Token | None = None,
    ) -> None:
        """`token` is used instead of the provider's own."""
        self.provider = provider
        self.model = model
        self.timeouts = timeouts
        self.token = token or provider.token
        self.trusted = self.token is not None and self.token.ours
        """The provider knows us by a token of ours, so a 401 is not about the client."""
        self.heeds = any(
            overrides(component, hook)
            for component in (provider.url, self.token)
            if component is not None
            for hook in ("report", "release")
        )
        """Its url or its token wants to know how requests fare."""

    def __repr__(self) -> str:
        return f"{self.provider.name}/{self.model}" if self.model else self.provider.name


class Pattern:
    """A model's name, or a glob that matches several."""

    __slots__ = ("exact", "matches", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.exact = not any(char in text for char in "*?[")
        self.matches: Callable[[str], object] = (
            text.__eq__ if self.exact else re.compile(translate(text)).match
        )


class Route:
    """One ``[[route]]``, compiled: what it takes, the hooks that exist, its targets in order."""

    __slots__ = (
        "_any_path",
        "_exact",
        "_prefixes",
        "models",
        "name",
        "on_end",
        "on_request",
        "processors",
        "reject_hints",
        "targets",
        "usage",
    )

    def __init__(
        self,
        name: str,
        *,
        paths: tuple[str, ...] | None,
        models: tuple[str, ...] | None,
        processors: tuple[Processor, ...],
        targets: tuple[Target, ...],
        usage: str,
        reject_hints: bool = False,
    ) -> None:
        """`reject_hints`: refuse hints that a target's dialect cannot say, instead of dropping."""
        self.name = name
        self.processors = processors
        self.targets = targets
        self.usage = usage
        self.reject_hints = reject_hints
        self.on_request = tuple(p.on_request for p in processors if overrides(p, "on_request"))
        self.on_end = tuple(p.on_end for p in processors if overrides(p, "on_end"))
        self._any_path = paths is None
        self._exact = frozenset(path for path in paths or () if not path.endswith("*"))
        self._prefixes = tuple(path[:-1] for path in paths or () if path.endswith("*"))
        self.models = None if models is None else tuple(map(Pattern, models))

    def __repr__(self) -> str:
        return f"<Route {self.name}>"

    def takes_path(self, path: str, *, endpoint: bool) -> bool:
        """Whether the path is this route's; `endpoint`: it is one of a dialect's."""
        if self._any_path:
            return endpoint
        return path in self._exact or path.startswith(self._prefixes)

    def takes_model(self, model: str | None) -> str | None:
        """The name or glob that the model matches, the route's own name if it takes any."""
        if self.models is None:
            return self.name
        if model is not None:
            for pattern in self.models:
                if pattern.matches(model):
                    return pattern.text
        return None


class Router:
    """Chooses the dialect of a path, and the route of a path and a model."""

    __slots__ = ("_endpoints", "_families", "_found", "routes")

    def __init__(self, dialects: Iterable[Dialect], routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._found: dict[tuple[str, str | None], tuple[Route, str]] = {}
        spoken = [dialect for dialect in dialects if dialect.client_facing]
        self._endpoints = Endpoints(spoken)
        self._families: dict[str, Dialect] = {}
        for dialect in spoken:
            self._families.setdefault(dialect.family, dialect)

    def dialect(self, path: str) -> Dialect | None:
        """The dialect whose endpoint the path is."""
        return self._endpoints.find(path)

    def family(self, name: str) -> Dialect | None:
        """A dialect of the API family `name`, if clients speak one."""
        return self._families.get(name)

    def route(self, dialect: Dialect, parsed: ParsedRequest) -> tuple[Route, str]:
        """The route of a parsed request, and what of it the model matched. Raises NoRoute.

        Routes match the endpoint's canonical path, whichever of its paths it was.
        """
        asked = (dialect.path, parsed.model)
        found = self._found.get(asked) or self._find(asked)
        if found is not None:
            return found
        wanted = f"model {parsed.model!r} on {dialect.path}" if parsed.model else dialect.path
        raise NoRoute(f"no route takes {wanted}", param="model" if parsed.model else None)

    def _find(self, asked: tuple[str, str | None]) -> tuple[Route, str] | None:
        path, model = asked
        for route in self.routes:
            if route.takes_path(path, endpoint=True):
                pattern = route.takes_model(model)
                if pattern is not None:
                    if len(self._found) >= MAX_FOUND:
                        self._found.clear()
                    found = self._found[asked] = (route, pattern)
                    return found
        return None

    def passing(self, path: str, *, endpoint: bool = False) -> Route | None:
        """The route that passes a request through whose body nobody reads.

        `endpoint`: a route that names no path takes this one, too.
        """
        for route in self.routes:
            if route.models is None and route.takes_path(path, endpoint=endpoint):
                return route
        return None
