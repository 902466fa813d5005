import msgspec
import pytest

from proxy.config import sections
from proxy.config.address import ListenAddress
from proxy.config.effective import plain_value
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import Section, TimeoutOverrides, keys
from proxy.config.sections import (
    Document,
    GlobalConfig,
    ListenerConfig,
    LogConfig,
    MonitoringConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
    Settings,
    TargetConfig,
)
from proxy.units import Duration, Size

ALL = [
    value
    for value in vars(sections).values()
    if isinstance(value, type) and issubclass(value, Section) and value is not Section
]


def test_all_sections_are_looked_at() -> None:
    assert set(ALL) == {
        Document,
        GlobalConfig,
        ListenerConfig,
        LogConfig,
        MockConfig,
        MonitoringConfig,
        ProviderConfig,
        RouteConfig,
        SecurityConfig,
        ServerConfig,
        Settings,
        TargetConfig,
        TimeoutOverrides,
    }


@pytest.mark.parametrize("section", ALL)
def test_every_section_is_strict_and_frozen_and_every_key_documented(
    section: type[Section],
) -> None:
    assert section.__doc__
    assert section.__struct_config__.forbid_unknown_fields
    assert section.__struct_config__.frozen
    for key in keys(section).values():
        assert key.description.endswith("."), f"{section.__name__}.{key.name} is not documented"


def test_the_keys_of_a_section_are_its_own_before_those_it_inherits() -> None:
    names = list(keys(ProviderConfig))

    assert names[:2] == ["type", "url"]
    assert set(names[-5:]) == set(keys(TimeoutOverrides))


def test_a_key_is_known_by_its_spelling_in_the_file() -> None:
    assert list(keys(Settings)) == [
        "server",
        "global",
        "provider",
        "processor",
        "route",
        "security",
        "monitoring",
    ]
    assert list(keys(Document)) == ["include", *keys(Settings)]
    assert keys(RouteConfig)["path"].example == "/v1/chat/completions"
    assert keys(RouteConfig)["usage"].example is None
    assert keys(Settings)["provider"].default == {}
    assert keys(RouteConfig)["targets"].required
    assert not keys(RouteConfig)["name"].required


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()

    assert tuple(map(str, settings.server.listen)) == ("127.0.0.1:8080",)
    assert str(settings.server.admin_listen) == "127.0.0.1:9090"
    assert settings.server.max_body_size == Size(32 << 20)
    assert settings.global_.first_byte_timeout == Duration(600)
    assert settings.global_.total_timeout == Duration(0)
    assert not settings.security.allow_unauthenticated


def test_a_provider_overrides_the_defaults_and_a_route_overrides_that() -> None:
    provider = MockConfig(type="mock", idle_timeout=Duration(1), send_timeout=Duration(2))
    route = RouteConfig(targets=(), send_timeout=Duration(3), total_timeout=Duration(0))

    timeouts = GlobalConfig(total_timeout=Duration(9)).overridden(provider).overridden(route)

    assert timeouts == GlobalConfig(
        idle_timeout=Duration(1), send_timeout=Duration(3), total_timeout=Duration(0)
    )
    assert set(keys(TimeoutOverrides)) <= set(keys(GlobalConfig))


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("openai", "openai", None),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("vllm/meta-llama/Llama-3", "vllm", "meta-llama/Llama-3"),
        ("vllm/", "vllm", ""),
    ],
)
def test_a_target_is_split_at_the_first_slash(text: str, provider: str, model: str | None) -> None:
    target = TargetConfig.from_text(text)

    assert target == TargetConfig(provider=provider, model=model)
    assert str(target) == text


def test_a_section_refuses_what_it_does_not_know() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"lisen": "x"}, ServerConfig)


@pytest.mark.parametrize(
    ("config", "address", "plain"),
    [
        (
            ListenerConfig.from_text("127.0.0.1:80"),
            ListenAddress("127.0.0.1", 80),
            "127.0.0.1:80",
        ),
        (ListenerConfig.from_text("fd:3"), ListenAddress(fd=3), "fd:3"),
        (
            ListenerConfig(address="unix:/x", mode="0660", owner="www-data:adm"),
            ListenAddress(path="/x", mode=0o660, owner="www-data:adm"),
            {"address": "unix:/x", "mode": "0660", "owner": "www-data:adm"},
        ),
        (
            ListenerConfig(address="unix:/x", mode="600"),
            ListenAddress(path="/x", mode=0o600),
            {"address": "unix:/x", "mode": "600"},
        ),
        (
            ListenerConfig(address="unix:/x", owner=":1000"),
            ListenAddress(path="/x", owner=":1000"),
            {"address": "unix:/x", "owner": ":1000"},
        ),
    ],
)
def test_a_listener_is_an_address_and_who_may_connect(
    config: ListenerConfig, address: ListenAddress, plain: object
) -> None:
    assert config.parsed() == address
    assert plain_value(config) == plain
    assert address.place == ListenerConfig.from_text(config.address).parsed()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ListenerConfig(address="unix:/x", mode="0999"), "a mode is three octal digits"),
        (ListenerConfig(address="unix:/x", mode="4755"), "a mode is three octal digits"),
        (ListenerConfig(address="unix:/x", owner=""), "an owner is"),
        (ListenerConfig(address="unix:/x", owner="a b"), "an owner is"),
        (ListenerConfig(address="unix:/x", owner="a:"), "an owner is"),
        (ListenerConfig(address="fd:3", owner="a"), "only a unix socket has a mode and an owner"),
        (ListenerConfig(address="127.0.0.1:1", mode="0600"), "127.0.0.1:1 is none"),
    ],
)
def test_what_cannot_be_is_told(config: ListenerConfig, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config.parsed()
