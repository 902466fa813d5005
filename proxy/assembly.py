"""The assembly: what a configuration comes to, before anything runs.

A configuration that is loaded anew is assembled beside the one at work. A component whose
section says what it said before is kept, the same object, so its connections, counters and
refreshed credentials survive; all others are new.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import msgspec

from proxy.component import Component
from proxy.config.load import Loaded
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.sections import (
    GlobalConfig,
    ListenerConfig,
    RouteConfig,
    ServerConfig,
    Settings,
)
from proxy.dialect import Dialect
from proxy.errors import ConfigError
from proxy.exchange import Exchange, Timeouts
from proxy.provider import Provider
from proxy.registry import find, names
from proxy.router import Route, Router, Target
from proxy.url import Address, Url, parse_address
from proxy.via import Via

if TYPE_CHECKING:
    from proxy.mock import Mock, MockSettings

C = TypeVar("C", bound=Component)


class MockUrl(Url):
    """Where the mock provider inside this process is, once it listens."""

    settings: "MockSettings"

    async def open(self) -> None:
        from proxy.mock import start_mock

        self._mock: Mock = await start_mock(self.settings)
        self._address = parse_address(f"http://{self._mock.address}")

    async def close(self) -> None:
        await self._mock.close()

    def pick(self, exchange: Exchange) -> Address:
        return self._address


class Assembly(msgspec.Struct, kw_only=True):
    """What a configuration comes to, before anything runs."""

    loaded: Loaded
    """The configuration; the components in it are those that work."""
    dialects: dict[str, Dialect]
    router: Router
    providers: dict[str, Provider]
    parts: dict[str, list[Component]]
    """Everything that opens and closes, by the section that it belongs to."""
    kept: list[tuple[Component, Component]]
    """Components of the assembly before, each with the new one that it spares."""
    fallback: Dialect
    """Words the errors on paths that are no dialect's endpoint."""

    @property
    def components(self) -> list[Component]:
        """Everything that opens and closes."""
        return [component for parts in self.parts.values() for component in parts]


def assemble(loaded: Loaded, before: Assembly | None = None) -> Assembly:
    """Build everything that a configuration names. Opens, binds and asks nothing.

    What of `before` can be kept is kept. Raises ConfigError.
    """
    return _Assembling(loaded, before).assembly()


class _Assembling:
    def __init__(self, loaded: Loaded, before: Assembly | None) -> None:
        self._loaded = loaded
        self._before = before
        self._dialects: dict[str, Dialect] = (
            {name: find("dialects", name)() for name in names("dialects")}
            if before is None
            else before.dialects
        )
        self._parts: dict[str, list[Component]] = {}
        self._kept: list[tuple[Component, Component]] = []

    def assembly(self) -> Assembly:
        settings = self._loaded.settings
        processors = {
            name: self._part(f"processor.{name}", fresh)
            for name, fresh in settings.processor.items()
        }
        settings = msgspec.structs.replace(settings, processor=processors)
        providers: dict[str, Provider] = {}
        sections: dict[str, ProviderConfig | MockConfig] = {}
        problems: list[str] = []
        for name, section in settings.provider.items():
            try:
                providers[name], sections[name] = self._provider(name, section)
            except ValueError as error:
                key, _, problem = str(error).partition(": ")
                problems.append(f"{self._loaded.at('provider', name, key)}: {problem}")
        if problems:
            raise ConfigError(problems)
        routes = tuple(map(self._route, settings.route))
        server = self._listeners(settings.server)
        settings = msgspec.structs.replace(settings, provider=sections, route=routes, server=server)
        return Assembly(
            loaded=msgspec.structs.replace(self._loaded, settings=settings),
            dialects=self._dialects,
            router=Router(self._dialects.values(), tuple(_routes(settings, providers))),
            providers=providers,
            parts=self._parts,
            kept=self._kept,
            fallback=self._dialects["openai_chat"],
        )

    def _route(self, section: RouteConfig) -> RouteConfig:
        if section.token is None:
            return section
        token = self._part(f"route.{section.name}", section.token)
        return msgspec.structs.replace(section, token=token)

    def _part(self, section: str, fresh: C) -> C:
        """`fresh`, or the component of this section that does what it would do."""
        parts = self._parts.setdefault(section, [])
        there = [] if self._before is None else self._before.parts.get(section, [])
        for old in there:
            if fresh.like(old) and not any(old is part for part in parts):
                self._kept.append((old, fresh))
                parts.append(old)
                return old  # type: ignore[return-value]  # like() compares the types
        parts.append(fresh)
        return fresh

    def _listeners(self, server: ServerConfig) -> ServerConfig:
        admin = server.admin_listen
        return msgspec.structs.replace(
            server,
            listen=tuple(map(self._listener, server.listen)),
            admin_listen=None if admin is None else self._listener(admin),
        )

    def _listener(self, listener: ListenerConfig) -> ListenerConfig:
        if listener.tls is None:
            return listener
        return msgspec.structs.replace(listener, tls=self._part("server", listener.tls))

    def _provider(
        self, name: str, section: ProviderConfig | MockConfig
    ) -> tuple[Provider, ProviderConfig | MockConfig]:
        owner = f"provider.{name}"
        preset = section.preset()
        timeouts = _timeouts(self._loaded.settings.global_, section)
        url: Url
        token = via = security = None
        forward = section.forward_headers
        if isinstance(section, MockConfig):
            # Only a configuration that uses the mock pays for importing it.
            from proxy.mock import MockSettings

            forward = (*forward, "x-mock-*")
            url = MockUrl(
                settings=MockSettings(
                    ttft=section.ttft,
                    itl=section.itl,
                    output_tokens=section.output_tokens,
                    seed=section.seed,
                    fail_after_requests=section.fail_after_requests,
                )
            )
        else:
            assert section.url is not None
            url = section.url
            if section.token is not None:
                token = self._part(owner, section.token)
                section = msgspec.structs.replace(section, token=token)
            if section.proxy is not None:
                proxy = self._part(owner, section.proxy)
                section = msgspec.structs.replace(section, proxy=proxy)
                via = Via(proxy.reveal)
            if section.tls is not None:
                tls = self._part(owner, section.tls)
                section = msgspec.structs.replace(section, tls=tls)
                security = tls.security
        url = self._part(owner, url)
        if isinstance(section, ProviderConfig):
            section = msgspec.structs.replace(section, url=url)
        provider = Provider(
            name,
            preset,
            [self._dialects[spoken] for spoken in preset.dialects],
            url=url,
            token=token,
            forward_headers=forward,
            timeouts=timeouts,
            via=via,
            security=security,
        )
        return self._unchanged(provider, section) or provider, section

    def _unchanged(
        self, provider: Provider, section: ProviderConfig | MockConfig
    ) -> Provider | None:
        """The provider at work that is all that `provider` would be; it has made its heads."""
        old = None if self._before is None else self._before.providers.get(provider.name)
        if self._before is None or old is None:
            return None
        if self._before.loaded.settings.provider[provider.name] != section:
            return None
        same = old.url is provider.url and old.token is provider.token and old.via == provider.via
        same = same and old.security is provider.security
        return old if same and old.timeouts == provider.timeouts else None


def _routes(settings: Settings, providers: dict[str, Provider]) -> Iterator[Route]:
    for section in settings.route:
        yield Route(
            section.name,
            paths=section.path,
            models=section.models,
            processors=tuple(settings.processor[name] for name in section.processors),
            targets=tuple(
                Target(
                    providers[target.provider],
                    target.model,
                    _timeouts(settings.global_, settings.provider[target.provider], section),
                    section.token,
                )
                for target in section.targets
            ),
            usage=section.usage,
            reject_hints=section.unsupported == "reject",
        )


def _timeouts(
    defaults: GlobalConfig, section: ProviderConfig | MockConfig, route: RouteConfig | None = None
) -> Timeouts:
    """A route's timeouts win over its provider's, and those over the defaults."""
    resolved = defaults.overridden(section)
    if route is not None:
        resolved = resolved.overridden(route)
    return Timeouts(
        connect=resolved.connect_timeout,
        first_byte=resolved.first_byte_timeout,
        idle=resolved.idle_timeout,
        send=resolved.send_timeout,
        total=resolved.total_timeout,
        connection_age=resolved.max_connection_age,
    )
