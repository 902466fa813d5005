"""The whole tree to :class:`Settings`: every section, what they say of each other, every problem.

Problems are collected, not raised one at a time: whoever mends a file sees all of it at once.
"""

import contextlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from proxy.config import crosschecks
from proxy.config.address import ListenAddress
from proxy.config.conversion import Conversion
from proxy.config.environment import interpolate_all
from proxy.config.lines import KeyPath
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import keys
from proxy.config.sections import (
    GlobalConfig,
    ListenerConfig,
    MonitoringConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
    Settings,
    TargetConfig,
)
from proxy.config.source import Source, quote
from proxy.errors import BadCredentials, ConfigError
from proxy.headers import NEVER_FORWARDED
from proxy.preset import Preset, presets
from proxy.processor import Processor
from proxy.registry import names, nearest, suggest
from proxy.token import Reference, Token
from proxy.url import Url
from proxy.via import parse_proxy

# Names become response headers, metric labels and the first half of "provider/model".
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PATH = re.compile(r"/[!-~]*")
_VISIBLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_AUTH = re.compile(r"[A-Za-z0-9-]+: [ -~]*\{token\}[ -~]*")
_FIELD_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~?-]+")


def validate(source: Source, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The settings that `source` spells, and warnings; ConfigError with every problem of it."""
    validation = _Validation(source, environ)
    settings = validation.settings()
    if validation.into.problems:
        raise ConfigError(validation.into.problems)
    crosschecks.check(settings, source.tree, validation.into)
    return settings, validation.into.warnings


class _Validation:
    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self.into = Conversion(source, environ)
        self._tree = source.tree
        self._environ = environ
        interpolate_all(source, environ, self.into.problem)

    def settings(self) -> Settings:
        into, tree = self.into, self._tree
        for key in tree:
            if key not in keys(Settings):
                into.problem((key,), _unknown_section(key))
        server = into.table(ServerConfig, tree.get("server", {}), ("server",)) or ServerConfig()
        defaults = into.table(GlobalConfig, tree.get("global", {}), ("global",)) or GlobalConfig()
        security = into.table(SecurityConfig, tree.get("security", {}), ("security",))
        monitoring = into.table(MonitoringConfig, tree.get("monitoring", {}), ("monitoring",))
        security = security or SecurityConfig()
        provider = {
            name: config
            for name, raw in self._named("provider")
            if (config := self._provider(raw, ("provider", name))) is not None
        }
        processor = {
            name: built
            for name, raw in self._named("processor")
            if (built := self.into.component(Processor, raw, ("processor", name))) is not None
        }
        return Settings(
            server=self._listeners(server, security),
            global_=defaults,
            provider=provider,
            processor=processor,
            route=self._routes(),
            security=security,
            monitoring=monitoring or MonitoringConfig(),
        )

    def _named(self, section: str) -> list[tuple[str, object]]:
        """The tables of a section that has one for each name."""
        tables = self._tree.get(section, {})
        if not isinstance(tables, dict):
            self.into.problem((section,), f"expected tables, each [{section}.NAME]")
            return []
        for name in tables:
            self._check(_NAME, name, (section, name), "a name is letters, digits, '.', '_', '-'")
        return list(tables.items())

    def _check(self, pattern: re.Pattern[str], text: str, path: KeyPath, rule: str) -> None:
        if pattern.fullmatch(text) is None:
            self.into.problem(path, f"{quote(text)} cannot be used ({rule})")

    # Listeners

    def _listeners(self, server: ServerConfig, security: SecurityConfig) -> ServerConfig:
        into = self.into
        if not server.listen and not into.failed("server", "listen"):
            into.problem(("server", "listen"), "no address is listed")
        if 0 < server.stall_timeout < 1:
            problem = 'expected "1s" or more, or "0s" for ever'
            into.problem(("server", "stall_timeout"), problem)
        seen: list[ListenAddress] = []
        for path, listener in into.elements(("server", "listen"), server.listen):
            address = self._address(listener, path, seen)
            if address is None or address.loopback or listener.identifies:
                continue
            if security.allow_unauthenticated:
                into.warning(path, f"whoever can reach {address} may use this proxy")
            elif not into.failed("security", "allow_unauthenticated"):
                into.problem(
                    path,
                    f"clients are not authenticated, and {address} is not loopback (listen on "
                    "127.0.0.1 or a unix socket, or set [security] allow_unauthenticated = true)",
                )
        if server.admin_listen is not None:
            if server.admin_listen.address == "none":
                return msgspec.structs.replace(server, admin_listen=None)
            self._address(server.admin_listen, ("server", "admin_listen"), seen)
        return server

    def _address(
        self, listener: ListenerConfig, path: KeyPath, seen: list[ListenAddress]
    ) -> ListenAddress | None:
        try:
            address = listener.parsed()
        except ValueError as error:
            self.into.problem(path, error)
            return None
        if address.place in seen and (address.port or address.path or address.fd):
            self.into.problem(path, f"{address} is listed twice")
        seen.append(address.place)
        return address

    # Providers and processors

    def _provider(self, raw: object, path: KeyPath) -> ProviderConfig | MockConfig | None:
        if self.into.failed(*path, "type"):
            return None
        kind = raw.get("type") if isinstance(raw, dict) else None
        if isinstance(kind, str) and kind not in presets():
            problem = f"unknown provider type {quote(kind)} ({suggest(kind, presets())})"
            self.into.problem((*path, "type"), problem)
            return None
        config: ProviderConfig | MockConfig | None
        if kind == "mock":
            config = self.into.table(MockConfig, raw, path)
        else:
            config = self._complete(self.into.table(ProviderConfig, raw, path), raw, path)
        if config is not None:
            patterns = config.forward_headers
            for place, pattern in self.into.elements((*path, "forward_headers"), patterns):
                self._forwarded(pattern, place)
        return config

    def _complete(
        self, config: ProviderConfig | None, raw: Any, path: KeyPath
    ) -> ProviderConfig | None:
        """`config` with what its preset and the environment add."""
        if config is None:
            return None
        preset, into = presets()[config.type], self.into
        for place, name in into.elements((*path, "dialects"), config.dialects or ()):
            if name not in names("dialects"):
                problem = f"unknown dialect {quote(name)} ({suggest(name, names('dialects'))})"
                into.problem(place, problem)
        for key, value in config.headers.items():
            self._check(_FIELD_NAMES, key, (*path, "headers", key), "a header's name")
            self._check(_VISIBLE, value, (*path, "headers", key), "visible ASCII")
            if key.lower().encode() in NEVER_FORWARDED:
                into.problem((*path, "headers", key), "is ours to write")
        if config.auth is not None and not _AUTH.fullmatch(config.auth):
            into.problem((*path, "auth"), 'expected a header such as "x-api-key: {token}"')
        for key, value in config.paths.items():
            self._check(_PATH, value, (*path, "paths", key), "a path such as /v1/chat/completions")
        token, url = config.token, self._selecting(config, raw, path)
        if url is None and preset.url is not None:
            url = into.component(Url, preset.url, (*path, "url"))
        if url is None and not into.failed(*path, "url"):
            problem = f'is missing: {config.type} has none of its own (url = "http…")'
            into.problem((*path, "url"), problem)
        elif url is not None and not into.failed(*path):
            try:
                url.resolve(partial(config.preset().filled, "url"))
            except ValueError as error:
                key, colon, problem = str(error).partition(": ")
                known = colon and key in keys(ProviderConfig)
                into.problem((*path, key if known else "url"), problem if known else str(error))
            self._secured(config, url, path)
        if config.proxy is not None:
            self._proxy(config.proxy, url, (*path, "proxy"))
        if token is None and not into.failed(*path, "token"):
            token = self._usual_token(preset, (*path, "token"))
        # What it says of several URLs, those know now.
        select = None if url is not config.url else config.select
        return msgspec.structs.replace(config, url=url, select=select, token=token)

    def _usual_token(self, preset: Preset, path: KeyPath) -> Token | None:
        """The token of a provider whose section names none."""
        if not preset.needs_token and preset.token is None:
            return None
        found = next((name for name in preset.token_env if self._environ.get(name)), None)
        usual = preset.token if found is None else f"env:{found}"
        if usual is None:
            which = " or ".join(preset.token_env)
            lacks = f"is missing, and the environment variable {which} is not set"
            self.into.problem(path, f'{lacks} (token = "env:NAME", or set that)')
            return None
        made: Token | None = self.into.component(Token, usual, path)
        return made

    def _secured(self, config: ProviderConfig, url: Url, path: KeyPath) -> None:
        if config.tls is None or self.into.failed(*path, "url"):
            return
        if not any(address.origin.scheme == "https" for address in url.addresses()):
            self.into.problem((*path, "tls"), "means nothing where the URL is not https")
        elif not config.tls.verify:
            self.into.warning(
                (*path, "tls", "verify"),
                "whoever answers for the provider gets its requests and its token, unverified",
            )

    def _proxy(self, proxy: Reference, url: Url | None, path: KeyPath) -> None:
        if url is not None and any(each.origin.socket for each in url.addresses()):
            self.into.problem(path, "a unix socket is not reached through a proxy")
        try:
            # What a program prints is known only once it has run.
            with contextlib.suppress(BadCredentials):
                parse_proxy(proxy.reveal())
        except ValueError as error:
            self.into.problem(path, error)

    def _selecting(self, config: ProviderConfig, raw: Any, path: KeyPath) -> Url | None:
        """Its URL, or the pool of those listed, with what it says in `select`."""
        listed = raw.get("url")
        if config.select is not None and isinstance(listed, dict):
            problem = "belongs into the table of `url` (url = { type = …, select = … })"
            self.into.problem((*path, "select"), problem)
        elif config.select is not None and isinstance(listed, list) and len(listed) > 1:
            pool = {"type": "pool", "urls": listed, "select": config.select}
            made: Url | None = self.into.component(Url, pool, (*path, "url"))
            return made
        return config.url

    def _forwarded(self, pattern: str, path: KeyPath) -> None:
        self._check(_FIELD_NAMES, pattern, path, "a header's name or a glob such as x-mine-*")
        if pattern.lower().encode() in NEVER_FORWARDED:
            self.into.problem(path, f"{quote(pattern)} is never forwarded")

    # Routes

    def _routes(self) -> tuple[RouteConfig, ...]:
        tables = self._tree.get("route", [])
        providers = self._tree.get("provider", {})
        if not isinstance(tables, list):
            self.into.problem(("route",), "expected an array of tables, each [[route]]")
            return ()
        if not tables and isinstance(providers, dict):
            if len(providers) > 1:
                problem = f"is missing: which of {', '.join(providers)} answers? (add [[route]])"
                self.into.problem(("route",), problem)
                return ()
            targets = [TargetConfig(provider=name) for name in providers]
            return (RouteConfig(name="default", targets=tuple(targets)),) if targets else ()
        seen: set[str] = set()
        return tuple(
            route
            for position, raw in enumerate(tables)
            if (route := self._route(raw, position, seen)) is not None
        )

    def _route(self, raw: Any, position: int, seen: set[str]) -> RouteConfig | None:
        into, path = self.into, ("route", position)
        route = into.table(RouteConfig, raw, path, instead={"targets": ()})
        if route is None:
            return None
        if not route.name and (into.failed(*path, "name") or "name" not in raw):
            route = msgspec.structs.replace(route, name=f"route-{position + 1}")
        self._check(_NAME, route.name, (*path, "name"), "a name is letters, digits, '.', '_', '-'")
        if route.name in seen:
            into.problem((*path, "name"), f"another route is called {quote(route.name)}, too")
        seen.add(route.name)
        if not route.targets and not into.failed(*path, "targets"):
            into.problem((*path, "targets"), "no target is listed")
        for key, listed in (("path", route.path), ("models", route.models)):
            if listed == () and not into.failed(*path, key):
                into.problem((*path, key), "an empty list matches nothing (leave it out for all)")
        for place, text in into.elements((*path, "path"), route.path or ()):
            self._check(_PATH, text, place, 'a path such as "/v1/embeddings" or "/v1/*"')
            if "?" in text or "#" in text or "*" in text.removesuffix("/*"):
                into.problem(place, f'{quote(text)} cannot be used (only "/*" at the end is open)')
        for place, text in into.elements((*path, "models"), route.models or ()):
            self._check(_VISIBLE, text, place, "a model's name, or a glob")
        for place, name in into.elements((*path, "processors"), route.processors):
            self._refers("processor", name, place)
        if route.token is not None and route.token.ours:
            problem = (
                'a route passes the client\'s own on, or says nothing of it (token = "client")'
            )
            into.problem((*path, "token"), problem)
        for place, target in into.elements((*path, "targets"), route.targets):
            self._refers("provider", target.provider, place)
            if target.model is not None:
                self._check(_VISIBLE, target.model, place, '"provider/model", in visible ASCII')
        return route

    def _refers(self, section: str, name: str, path: KeyPath) -> None:
        known: Any = self._tree.get(section, {})
        if isinstance(known, dict) and name not in known:
            self.into.problem(path, f"unknown {section} {quote(name)} ({suggest(name, known)})")


def _unknown_section(key: str) -> str:
    sections = list(keys(Settings))
    for section, about in keys(Settings).items():
        if isinstance(about.default, msgspec.Struct) and key in keys(type(about.default)):
            return f"unknown section (did you mean {key} in [{section}]?)"
    near = nearest(key, sections)
    written = {"provider": "[provider.NAME]", "processor": "[processor.NAME]"}
    written["route"] = "[[route]]"
    listed = ", ".join(written.get(section, f"[{section}]") for section in sections)
    if near is None:
        return f"unknown section (known: {listed})"
    return f"unknown section (known: {listed}; did you mean {written.get(near, f'[{near}]')}?)"
