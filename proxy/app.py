"""The application: a configuration, built into a running proxy and taken down again."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from proxy import __version__
from proxy.admin import Admin
from proxy.client import Client
from proxy.component import Component
from proxy.config.address import ListenAddress, parse_listen
from proxy.config.load import Loaded
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.sections import GlobalConfig, RouteConfig
from proxy.dialect import Dialect
from proxy.downstream import Limits
from proxy.errors import ConfigError, ProxyError
from proxy.exchange import Exchange, Timeouts
from proxy.explain import Explainer
from proxy.listener import bind, unlink, url
from proxy.observe.log import Log, open_log
from proxy.observe.metrics import Metrics
from proxy.pipeline import Observer, Pipeline
from proxy.provider import Provider
from proxy.registry import find, names
from proxy.relay import GAP_BOUNDS
from proxy.router import Route, Router, Target
from proxy.server import Server
from proxy.timers import Sweep
from proxy.transport import Transport
from proxy.url import Address, Url, parse_address
from proxy.urls.static import Static as StaticUrl

if TYPE_CHECKING:
    from proxy.mock import Mock, MockSettings

_log = logging.getLogger("proxy")


class MockUrl(Url):
    """Where the mock provider inside this process is, once it listens."""

    settings: "MockSettings"

    async def open(self) -> None:
        from proxy.mock import start_mock

        self._mock: Mock = await start_mock(self.settings)
        self._address = parse_address(self._mock.url)

    async def close(self) -> None:
        await self._mock.close()

    def pick(self) -> Address:
        return self._address

    def report(self, address: Address, error: ProxyError | None) -> None:
        pass


class Assembly(msgspec.Struct):
    """What a configuration comes to, before anything runs."""

    router: Router
    components: list[Component]
    fallback: Dialect
    """Words the errors on paths that are no dialect's endpoint."""


def assemble(loaded: Loaded) -> Assembly:
    """Build everything that a configuration names. Opens, binds and asks nothing.

    Raises ConfigError.
    """
    settings = loaded.settings
    components: list[Component] = list(settings.processor.values())
    providers: dict[str, Provider] = {}
    problems: list[str] = []
    dialects = {name: find("dialects", name)() for name in names("dialects")}
    for name, section in settings.provider.items():
        try:
            providers[name] = _provider(name, section, settings.global_, components, dialects)
        except ValueError as error:
            key, _, problem = str(error).partition(": ")
            problems.append(f"{loaded.at('provider', name, key)}: {problem}")
    if problems:
        raise ConfigError(problems)
    routes = tuple(
        Route(
            section.name,
            paths=section.path,
            models=section.models,
            processors=tuple(settings.processor[name] for name in section.processors),
            targets=tuple(
                Target(
                    providers[target.provider],
                    target.model,
                    _timeouts(settings.global_, settings.provider[target.provider], section),
                )
                for target in section.targets
            ),
            usage=section.usage,
            reject_hints=section.unsupported == "reject",
        )
        for section in settings.route
    )
    router = Router(dialects.values(), routes)
    return Assembly(router=router, components=components, fallback=dialects["openai_chat"])


class App:
    """A proxy: listeners in front, one configuration at work behind them."""

    def __init__(
        self, loaded: Loaded, *, environ: Mapping[str, str], log: Log | None = None
    ) -> None:
        """Build it; raises ConfigError. Nothing listens before `start`."""
        settings = loaded.settings
        self._loaded = loaded
        self._assembly = assemble(loaded)
        self._sweep = Sweep()
        monitoring = settings.monitoring
        self.log = log or open_log(monitoring.log.level, monitoring.log.format, environ)
        self._metrics: Metrics | None = None
        observers: tuple[Observer, ...] = (self.log.exchange,)
        if monitoring.metrics:
            self._metrics = Metrics(
                version=__version__,
                gap_bounds=GAP_BOUNDS,
                running=self._running,
                lost_lines=lambda: self.log.lost_lines,
            )
            observers = (self._metrics.exchange, *observers)
        connect = None if self._metrics is None else self._metrics.connect_seconds
        self._transport = Transport(self._sweep, connect)
        self.pipeline = Pipeline(
            self._assembly.router,
            Client(self._transport, counts_usage=monitoring.metrics),
            observers,
            dialect=self._assembly.fallback,
            sweep=self._sweep,
        )
        self._bound: list[ListenAddress] = []
        self._opened: list[Component] = []
        self._server: Server | None = None
        self._admin: Admin | None = None
        self.ready = False
        self.data_urls: list[str] = []
        self.admin_url: str | None = None

    async def start(self) -> None:
        """Open every component, then listen. Raises ConfigError; what was opened is closed."""
        try:
            await self._start()
        except BaseException:
            await self.stop(0.0)
            raise
        for warning in self._loaded.warnings:
            self.log.say("warning", "configuration", warning)
        where = f"data on {', '.join(self.data_urls)}, admin on {self.admin_url or 'no address'}"
        if self._loaded.default is not None:
            where += f"; provider {self._loaded.default} by default"
        self.log.say(
            "info",
            "ready",
            where,
            data=self.data_urls,
            admin=self.admin_url,
            configuration=self._loaded.origin,
            default_provider=self._loaded.default,
            version=__version__,
        )

    async def stop(self, drain: float | None = None) -> None:
        """Take no more requests, let those that run end within `drain` seconds, close everything.

        Without `drain` it is the configuration's `drain_timeout`.
        """
        self.ready = False
        if self._server is not None:
            self._server.stop_listening()
            limit = self._loaded.settings.server.drain_timeout if drain is None else drain
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self.pipeline.idle()
            self.pipeline.end()
            await self._server.close()
        if self._admin is not None:
            await self._admin.close()
        await self._transport.close()
        self._sweep.close()
        while self._opened:
            component = self._opened.pop()
            try:
                await component.close()
            except Exception:
                _log.exception("closing %s failed", type(component).__name__)
        while self._bound:
            unlink(self._bound.pop())
        self.log.flush()

    async def _start(self) -> None:
        settings = self._loaded.settings.server
        for component in self._assembly.components:
            await component.open()
            self._opened.append(component)
        self._server = Server(
            lambda: self.pipeline,
            Limits(
                max_body_size=settings.max_body_size,
                head_timeout=settings.head_timeout,
                body_timeout=settings.body_timeout,
                keepalive_timeout=settings.keepalive_timeout,
            ),
        )
        for text in settings.listen:
            address = parse_listen(text)
            sock = bind(address, self._loaded.at("server", "listen"))
            self._bound.append(address)
            self.data_urls.append(url(sock))
            await self._server.listen(sock)
        if settings.admin_listen not in (None, "none"):
            address = parse_listen(settings.admin_listen)
            sock = bind(address, self._loaded.at("server", "admin_listen"))
            self._bound.append(address)
            self.admin_url = url(sock)
            render = None if self._metrics is None else self._metrics.render
            explainer = None
            if address.loopback:
                explainer = Explainer(self._assembly.router, self._loaded.settings)
            self._admin = Admin(ready=lambda: self.ready, render=render, explainer=explainer)
            await self._admin.listen(sock)
        self.ready = True

    def _running(self) -> list[Exchange]:
        return list(self.pipeline.running)


def _provider(
    name: str,
    section: ProviderConfig | MockConfig,
    defaults: GlobalConfig,
    components: list[Component],
    dialects: Mapping[str, Dialect],
) -> Provider:
    preset = section.preset()
    place: Url
    token = None
    if isinstance(section, MockConfig):
        # Only a configuration that uses the mock pays for importing it.
        from proxy.mock import MockSettings

        forward = (*section.forward_headers, "x-mock-*")
        place = MockUrl(
            settings=MockSettings(
                ttft=section.ttft,
                itl=section.itl,
                output_tokens=section.output_tokens,
                seed=section.seed,
                fail_after_requests=section.fail_after_requests,
            )
        )
    else:
        forward = section.forward_headers
        assert section.url is not None
        place = StaticUrl(url=section.url)
        token = section.token
        if token is not None:
            components.append(token)
    components.append(place)
    return Provider(
        name,
        preset,
        [dialects[spoken] for spoken in preset.dialects],
        url=place,
        token=token,
        forward_headers=forward,
        timeouts=_timeouts(defaults, section),
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
    )
