"""What can be configured: a struct for each section, its fields documented where they stand.

The description in a field's ``Annotated`` type is the documentation of that key, for editors, for
generated pages and for errors, and its example stands where a default would show less:
:func:`keys` reads both.
"""

import re
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, field

from proxy.config.address import ListenAddress, parse_listen
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import Patterns, Section, TimeoutOverrides
from proxy.processor import Processor
from proxy.tls import ListenerTls
from proxy.token import Token
from proxy.units import Duration, Size, parse_duration, parse_size

_MODE = re.compile(r"0?[0-7]{3}")
_OWNER = re.compile(r"[A-Za-z0-9_.-]*(?::[A-Za-z0-9_.-]+)?")


class ListenerConfig(Section, frozen=True, kw_only=True):
    """Where the proxy listens; its address alone stands for one that says no more."""

    address: Annotated[
        str,
        Meta(
            description="Its HOST:PORT, [V6]:PORT, unix:/path, or fd:N for a socket that whoever "
            "started the proxy opened as descriptor N. Port 0 is any that is free.",
            examples=["127.0.0.1:8080"],
        ),
    ]
    mode: Annotated[
        str | None,
        Meta(
            description="Permissions of a unix socket: who may write to it may connect. Absent: "
            "what the umask leaves.",
            examples=["0660"],
        ),
    ] = None
    owner: Annotated[
        str | None,
        Meta(
            description="Owner of a unix socket: USER, USER:GROUP or :GROUP, by name or number.",
            examples=["www-data:www-data"],
        ),
    ] = None
    tls: Annotated[
        ListenerTls | None,
        Meta(
            description="Its certificate and key, which make it speak HTTPS; absent: plain HTTP.",
            examples=[{"certificate": "tls.crt", "key": "tls.key"}],
        ),
    ] = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The listener that its address alone spells."""
        return cls(address=text)

    @property
    def identifies(self) -> bool:
        """Whether nobody gets in without a certificate."""
        return self.tls is not None and self.tls.identifies

    def __str__(self) -> str:
        return self.address

    def parsed(self) -> ListenAddress:
        """Where it is, and who may connect; raises ValueError that says what was expected."""
        address = parse_listen(self.address)
        if address.path is None and (self.mode is not None or self.owner is not None):
            raise ValueError(f"only a unix socket has a mode and an owner, and {address} is none")
        if self.mode is not None and _MODE.fullmatch(self.mode) is None:
            raise ValueError(f'a mode is three octal digits such as "0660", not "{self.mode}"')
        if self.owner is not None and not (self.owner and _OWNER.fullmatch(self.owner)):
            raise ValueError(f'an owner is "USER", "USER:GROUP" or ":GROUP", not "{self.owner}"')
        mode = None if self.mode is None else int(self.mode, 8)
        return msgspec.structs.replace(address, mode=mode, owner=self.owner)


class ServerConfig(Section, frozen=True, kw_only=True):
    """``[server]``: where the proxy listens, and how patient it is with its clients."""

    listen: Annotated[
        tuple[ListenerConfig, ...],
        Meta(
            description="Where clients connect: HOST:PORT, [V6]:PORT, unix:/path or fd:N, or a "
            'table such as { address = "unix:/path", mode = "0660" }; one or a list. Addresses '
            "that other machines can reach need [security] allow_unauthenticated = true."
        ),
    ] = (ListenerConfig(address="127.0.0.1:8080"),)
    admin_listen: Annotated[
        ListenerConfig | None,
        Meta(
            description="Where operators find health (/livez, /readyz) and /metrics; "
            '"none" for nowhere.'
        ),
    ] = ListenerConfig(address="127.0.0.1:9090")
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=512,
            description="Processes that answer requests, 1 without a supervisor; 0 is one per "
            "core that the control group allows. A change begins to work at the next start.",
        ),
    ] = 1
    stall_timeout: Annotated[
        Duration,
        Meta(
            description="How long the event loop of one of several workers may stand still "
            'before another takes its place: "1s" or more; "0s" is for ever.'
        ),
    ] = parse_duration("10s")
    max_body_size: Annotated[
        Size, Meta(description="The largest request body that is read into memory.")
    ] = parse_size("32MiB")
    head_timeout: Annotated[
        Duration, Meta(description="How long a client may take to send a whole request head.")
    ] = parse_duration("10s")
    body_timeout: Annotated[
        Duration, Meta(description="How long a client may be silent inside a request body.")
    ] = parse_duration("30s")
    keepalive_timeout: Annotated[
        Duration, Meta(description="How long a client's connection may wait for its next request.")
    ] = parse_duration("75s")
    drain_delay: Annotated[
        Duration,
        Meta(
            description="How long load balancers have, at a shutdown, to see that /readyz fails: "
            "until then requests are taken, and each response says that its connection closes."
        ),
    ] = parse_duration("0s")
    drain_timeout: Annotated[
        Duration,
        Meta(description="How long running requests may take to end at a shutdown, after that."),
    ] = parse_duration("30s")
    watch: Annotated[
        Duration,
        Meta(
            description="How often to look whether a file of the configuration holds something "
            'else, and reload it then; "0s" is never.'
        ),
    ] = parse_duration("0s")


class GlobalConfig(Section, frozen=True, kw_only=True):
    """``[global]``: defaults; a provider overrides them, and a route overrides that."""

    connect_timeout: Annotated[
        Duration, Meta(description="To connect to a provider, TLS included.")
    ] = parse_duration("5s")
    first_byte_timeout: Annotated[
        Duration,
        Meta(
            description="From a request that is sent to the first byte of its response: models "
            "think for minutes."
        ),
    ] = parse_duration("10m")
    idle_timeout: Annotated[Duration, Meta(description="Of silence inside a response.")] = (
        parse_duration("5m")
    )
    send_timeout: Annotated[
        Duration, Meta(description="For a client that takes nothing of its response.")
    ] = parse_duration("60s")
    total_timeout: Annotated[
        Duration, Meta(description='For a whole exchange, however lively; "0s" is none.')
    ] = parse_duration("0s")

    max_connection_age: Annotated[
        Duration,
        Meta(
            description="How long a connection to a provider is kept for further requests, so that "
            'an address that its name no longer stands for is not used for ever; "0s" is for ever.'
        ),
    ] = parse_duration("10m")

    def overridden(self, by: TimeoutOverrides) -> Self:
        """These defaults with what `by`, a provider or a route, says instead."""
        changes = {name: getattr(by, name) for name in TimeoutOverrides.__struct_fields__}
        said = {name: value for name, value in changes.items() if value is not None}
        return msgspec.structs.replace(self, **said)


class TargetConfig(Section, frozen=True, kw_only=True):
    """A provider, and what the model is called there; written ``"provider/model"`` for short."""

    provider: Annotated[str, Meta(description="The NAME of a [provider.NAME].")]
    model: Annotated[
        str | None, Meta(description="The model to ask for; absent: the one the client asked for.")
    ] = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The target that ``"provider/model"`` or ``"provider"`` spells, split at the first /."""
        provider, slash, model = text.partition("/")
        return cls(provider=provider, model=model if slash else None)

    def __str__(self) -> str:
        return self.provider if self.model is None else f"{self.provider}/{self.model}"


class RouteConfig(TimeoutOverrides, frozen=True, kw_only=True):
    """``[[route]]``: what a path and a model select; the first route that matches wins."""

    name: Annotated[
        str,
        Meta(
            description="What logs and metrics call it; absent: route-1, by its position.",
            examples=["chat"],
        ),
    ] = ""
    path: Annotated[
        tuple[str, ...] | None,
        Meta(
            description='A path such as "/v1/chat/completions" or "/v1/*", or a list; '
            "absent: every endpoint of a dialect.",
            examples=["/v1/chat/completions"],
        ),
    ] = None
    models: Annotated[
        Patterns | None,
        Meta(
            description="Names and globs of the models that clients ask for; absent: all.",
            examples=[["gpt-*", "fast"]],
        ),
    ] = None
    processors: Annotated[
        tuple[str, ...],
        Meta(
            description="The NAMEs of [processor.NAME] sections, in the order of their work.",
            examples=[["house_rules", "limits"]],
        ),
    ] = ()
    targets: Annotated[
        tuple[TargetConfig, ...],
        Meta(
            description='Who answers: "provider/model", "provider" (with the model that the '
            "client asked for) or { provider = …, model = … }.",
            examples=[["openai/gpt-4o-mini", {"provider": "vllm", "model": "llama-3"}]],
        ),
    ]
    token: Annotated[
        Token | None,
        Meta(
            description="client: providers get the client's own credential instead of theirs.",
            examples=["client"],
        ),
    ] = None
    usage: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="Ask providers for the token usage of streams: auto (where something "
            "needs it), always, or never (streams stay byte-exact)."
        ),
    ] = "auto"
    unsupported: Annotated[
        Literal["drop", "reject"],
        Meta(
            description="What becomes of hints (seed, penalties, top_k ...) that a target's "
            "dialect cannot say: drop (the response's x-llm-proxy-dropped names them) or reject. "
            "Content, tools and formats are always refused."
        ),
    ] = "drop"


class SecurityConfig(Section, frozen=True, kw_only=True):
    """``[security]``: who may use the proxy."""

    allow_unauthenticated: Annotated[
        bool,
        Meta(description="Let clients in without a key on other addresses than loopback, too."),
    ] = False


class LogConfig(Section, frozen=True, kw_only=True):
    """``[monitoring] log``: what is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least severe that is logged."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "text"],
        Meta(description="json, text, or auto: text on a terminal, else json."),
    ] = "auto"


class MonitoringConfig(Section, frozen=True, kw_only=True):
    """``[monitoring]``: what operators see."""

    log: Annotated[LogConfig, Meta(description="What is logged, and how.")] = LogConfig()
    metrics: Annotated[
        bool, Meta(description="Count and measure, for /metrics on the admin address.")
    ] = True


class Settings(Section, frozen=True, kw_only=True, rename={"global_": "global"}):
    """A whole configuration, checked, every default filled in, its components built."""

    server: Annotated[ServerConfig, Meta(description="Server Config.")] = ServerConfig()
    global_: Annotated[GlobalConfig, Meta(description="Global Config.")] = GlobalConfig()
    provider: Annotated[
        dict[str, ProviderConfig | MockConfig], Meta(description="Provider Configs, by name.")
    ] = field(default_factory=dict)
    processor: Annotated[dict[str, Processor], Meta(description="Processor Configs, by name.")] = (
        field(default_factory=dict)
    )
    route: Annotated[tuple[RouteConfig, ...], Meta(description="Route Configs, in order.")] = ()
    security: Annotated[SecurityConfig, Meta(description="Security Config.")] = SecurityConfig()
    monitoring: Annotated[MonitoringConfig, Meta(description="What operators see.")] = (
        MonitoringConfig()
    )


class Document(Settings, frozen=True, kw_only=True):
    """What a file holds: the sections, and what stands above them."""

    include: Annotated[
        Patterns,
        Meta(
            description="Further files, or globs of them, relative to this one. Tables are put "
            "together key by key, and what stands in an array (each [[route]]) comes in the order "
            "of the files, this one first. A key that two files set is an error.",
            examples=[["conf.d/*.toml"]],
        ),
    ] = ()
