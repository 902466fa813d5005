import os
import pickle
from pathlib import Path

import msgspec
import pytest

from proxy.config.load import Loaded, Overrides, check_successor, load
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.sections import RouteConfig, TargetConfig
from proxy.errors import ConfigError

MOCK = '[provider.mine]\ntype = "mock"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to start in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(path: str | None = None, *, overrides: Overrides | None = None, **env: str) -> Loaded:
    return load(path, environ=env, overrides=overrides or Overrides())


def test_nothing_at_all_is_the_mock_provider() -> None:
    configuration = loaded()

    assert configuration.origin == "built-in defaults"
    assert configuration.default == "mock"
    assert configuration.warnings == []
    assert list(configuration.settings.provider) == ["mock"]
    assert configuration.settings.route == (
        RouteConfig(name="default", targets=(TargetConfig(provider="mock"),)),
    )


def test_the_key_of_openai_is_openai() -> None:
    configuration = loaded(OPENAI_API_KEY="canary")

    assert configuration.default == "openai"
    provider = configuration.settings.provider["openai"]
    assert isinstance(provider, ProviderConfig)
    assert str(provider.token) == "env:OPENAI_API_KEY"


def test_an_empty_key_is_none() -> None:
    assert loaded(OPENAI_API_KEY="").default == "mock"


def test_a_key_that_no_header_can_carry_is_a_problem_and_does_not_show() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(OPENAI_API_KEY="canary\n")

    assert "OPENAI_API_KEY ends in a line break" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_configuration_that_says_nothing_of_providers_gets_one(folder: Path) -> None:
    (folder / "config.toml").write_text('[server]\nhead_timeout = "1s"\n[provider]\n')

    configuration = loaded()

    assert configuration.origin == "config.toml"
    assert configuration.default == "mock"
    assert configuration.settings.server.head_timeout == 1.0


@pytest.mark.parametrize("text", ["provider = 0", "route = ''", "route = {}", "provider = []"])
def test_a_section_that_is_wrong_is_not_taken_for_none(folder: Path, text: str) -> None:
    (folder / "config.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"config.toml:1: \[(provider|route)\]: expected"):
        loaded()


def test_routes_without_providers_get_none(folder: Path) -> None:
    (folder / "config.toml").write_text('[[route]]\ntargets = "mock"')

    with pytest.raises(ConfigError, match='unknown provider "mock"'):
        loaded()


def test_the_flag_wins_over_the_environment_and_that_over_the_folder(folder: Path) -> None:
    for name in ("flag", "env", "config"):
        (folder / f"{name}.toml").write_text(MOCK.replace("mine", name))
    text = MOCK.replace("mine", "text")
    both = {"LLM_PROXY_CONFIG": "env.toml", "LLM_PROXY_CONFIG_TOML": text}

    def source(path: str | None = None, **environ: str) -> tuple[str, list[str]]:
        configuration = load(path, environ=environ, overrides=Overrides())
        assert configuration.default is None
        return configuration.origin, list(configuration.settings.provider)

    assert source("flag.toml", **both) == ("flag.toml", ["flag"])
    assert source(**both) == ("env.toml", ["env"])
    assert source(LLM_PROXY_CONFIG_TOML=text) == ("LLM_PROXY_CONFIG_TOML", ["text"])
    assert source(LLM_PROXY_CONFIG="", LLM_PROXY_CONFIG_TOML="") == ("config.toml", ["config"])


def test_what_the_environment_names_must_be_there() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(LLM_PROXY_CONFIG="none.toml")

    assert raised.value.problems == ["none.toml: no such file (from LLM_PROXY_CONFIG)"]


def test_a_whole_configuration_in_a_variable_is_named_by_it() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(LLM_PROXY_CONFIG_TOML="[server]\nx = 1")

    assert raised.value.problems[0].startswith("LLM_PROXY_CONFIG_TOML:2: [server.x]: unknown key")


def test_a_folder_called_like_the_default_is_not_passed_over(folder: Path) -> None:
    (folder / "config.toml").mkdir()

    with pytest.raises(ConfigError, match=r"config.toml: is a directory"):
        loaded()


def test_kubernetes_variables_for_a_service_of_our_name_mean_nothing() -> None:
    assert loaded(LLM_PROXY_PORT="tcp://10.0.0.1:80").origin == "built-in defaults"


def test_flags_win_over_the_environment_the_environment_over_files_and_files_over_defaults(
    folder: Path,
) -> None:
    (folder / "config.toml").write_text(
        'include = "more.toml"\n'
        + MOCK
        + '[global]\nidle_timeout = "1s"\nsend_timeout = "1s"\n[monitoring.log]\nlevel = "info"'
    )
    (folder / "more.toml").write_text('[server]\nadmin_listen = "127.0.0.1:1"')
    configuration = loaded(
        overrides=Overrides(log_level="error"),
        LLM_PROXY__GLOBAL__IDLE_TIMEOUT="2s",
        LLM_PROXY__MONITORING__LOG__LEVEL="debug",
        LLM_PROXY__PROVIDER__MINE__TTFT="${TTFT}",
        TTFT="7ms",
    )
    settings = configuration.settings

    provider = settings.provider["mine"]
    assert isinstance(provider, MockConfig)
    assert provider.ttft == "7ms"
    assert settings.monitoring.log.level == "error"
    assert settings.global_.idle_timeout == 2.0
    assert settings.global_.send_timeout == 1.0
    assert settings.global_.connect_timeout == 5.0
    assert str(settings.server.admin_listen) == "127.0.0.1:1"
    assert configuration.source.names == ["config.toml", "more.toml"]
    assert configuration.at("global", "idle_timeout").startswith("LLM_PROXY__GLOBAL__IDLE_TIMEOUT")


def test_a_provider_may_stand_in_an_included_file(folder: Path) -> None:
    (folder / "config.toml").write_text('include = "more.toml"')
    (folder / "more.toml").write_text(MOCK)

    assert loaded().default is None


def test_the_provider_of_the_environment_can_be_overridden() -> None:
    configuration = loaded(OPENAI_API_KEY="canary", LLM_PROXY__PROVIDER__OPENAI__TOTAL_TIMEOUT="1m")

    assert configuration.default == "openai"
    assert configuration.settings.provider["openai"].total_timeout == 60.0


def test_problems_of_variables_and_of_files_are_told_together(folder: Path) -> None:
    (folder / "config.toml").write_text(
        'include = ["b.toml", "a.toml"]\n[provider.mine]\ntype = "mock"\nttft = "${NONE}"\nx = 1'
    )
    (folder / "a.toml").write_text("[global]\nidle_timeout = 1")
    (folder / "b.toml").write_text("\n\n[servre]")

    with pytest.raises(ConfigError) as raised:
        loaded(LLM_PROXY__NONE="x", LLM_PROXY__MONITORING__METRICS="maybe")
    problems = [problem.partition(" (")[0] for problem in raised.value.problems]

    assert problems == [
        "LLM_PROXY__NONE: unknown section",
        "LLM_PROXY__MONITORING__METRICS: [monitoring.metrics]: expected true or false, found a "
        "string",
        "config.toml:4: [provider.mine.ttft]: the environment variable NONE is not set",
        "config.toml:5: [provider.mine.x]: unknown key",
        "b.toml:3: [servre]: unknown section",
        "a.toml:2: [global.idle_timeout]: 1 has no unit",
    ]


def test_a_variable_alone_that_is_wrong_is_a_problem() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(LLM_PROXY__SERVER__LISTEN="")

    assert raised.value.problems == [
        "LLM_PROXY__SERVER__LISTEN: is empty (unset it, or give it a value)"
    ]


def test_a_glob_without_files_is_a_warning(folder: Path) -> None:
    (folder / "config.toml").write_text('include = "conf.d/*.toml"')

    assert loaded().warnings == ['config.toml:1: [include]: "conf.d/*.toml" matches no file']


def test_flags_win_over_the_file(folder: Path) -> None:
    (folder / "config.toml").write_text(
        MOCK + '[server]\nlisten = ["127.0.0.1:1",\n"127.0.0.1:2"]\n[monitoring]\nmetrics = false'
    )

    settings = loaded(
        overrides=Overrides(
            listen=("127.0.0.1:3", "unix:/x"), admin="127.0.0.1:4", log_level="error"
        )
    ).settings

    assert tuple(map(str, settings.server.listen)) == ("127.0.0.1:3", "unix:/x")
    assert str(settings.server.admin_listen) == "127.0.0.1:4"
    assert settings.monitoring.log.level == "error"
    assert not settings.monitoring.metrics


HANDED = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:admin:b"}


@pytest.mark.parametrize(
    ("text", "environ", "listen", "admin"),
    [
        ("", HANDED, ["fd:3", "fd:5"], "fd:4"),
        ('[server]\nlisten = "127.0.0.1:1"\n', HANDED, ["fd:3", "fd:5"], "fd:4"),
        ('[server]\nadmin_listen = "fd:3"\n', HANDED, ["127.0.0.1:8080"], "fd:3"),
        (
            '[server]\nlisten = { address = "fd:5" }\n',
            HANDED,
            ["fd:5"],
            "127.0.0.1:9090",
        ),
        ("", {**HANDED, "LISTEN_FDNAMES": ""}, ["fd:3", "fd:4", "fd:5"], "127.0.0.1:9090"),
        (
            "",
            {**HANDED, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"},
            ["127.0.0.1:8080"],
            "fd:3",
        ),
        ("", {**HANDED, "LLM_PROXY__SERVER__LISTEN": "unix:/x"}, ["unix:/x"], "fd:4"),
        ("", {**HANDED, "LISTEN_PID": "1"}, ["127.0.0.1:8080"], "127.0.0.1:9090"),
    ],
)
def test_sockets_that_a_service_manager_opened_are_listened_on(
    folder: Path, text: str, environ: dict[str, str], listen: list[str], admin: str
) -> None:
    (folder / "config.toml").write_text(MOCK + text)
    server = load(None, environ=environ, overrides=Overrides()).settings.server

    assert [str(one) for one in server.listen] == listen
    assert str(server.admin_listen) == admin


def test_a_flag_that_is_wrong_is_named() -> None:
    flags = Overrides(listen=("127.0.0.1:1", "0.0.0.0:80"), admin="nope", log_level="loud")

    with pytest.raises(ConfigError) as raised:
        loaded(overrides=flags)

    places = [problem.partition(": ")[::2] for problem in raised.value.problems]
    assert [(place, rest.partition("]")[0]) for place, rest in places] == [
        ("--log-level", "[monitoring.log.level"),
        ("--listen", "[server.listen.2"),
        ("--admin", "[server.admin_listen"),
    ]


def test_the_admin_listener_can_be_switched_off() -> None:
    assert loaded(overrides=Overrides(admin="none")).settings.server.admin_listen is None


def test_later_errors_can_name_the_place_of_a_key(folder: Path) -> None:
    (folder / "config.toml").write_text(MOCK + 'ttft = "soon"')

    assert loaded().at("provider", "mine", "ttft") == "config.toml:3: [provider.mine.ttft]"


def test_a_loaded_configuration_neither_prints_nor_encodes_a_secret(folder: Path) -> None:
    (folder / "config.toml").write_text('[provider.x]\ntype = "openai"\ntoken = "literal:canary-1"')
    configuration = loaded()

    assert len(configuration.warnings) == 1
    assert "canary" not in f"{configuration} {configuration!r} {configuration.source}"
    for encode in (pickle.dumps, msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError) as raised:
            encode(configuration)
        assert "canary" not in str(raised.value)


def test_an_empty_configuration_takes_the_place_of_none_but_another_empty_one(
    folder: Path,
) -> None:
    empty = loaded()
    (folder / "config.toml").write_text(MOCK)
    full = loaded()
    (folder / "config.toml").write_text("# half written")
    half = loaded()

    check_successor(empty, full)
    check_successor(full, full)
    check_successor(empty, half)
    with pytest.raises(ConfigError) as raised:
        check_successor(full, half)
    assert raised.value.problems == [
        "config.toml: names neither a provider nor a route, and the one at work does "
        "(to mean that, start anew)"
    ]
