from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.conversion import SECRET_HINT
from proxy.config.effective import as_tree
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import keys
from proxy.config.sections import (
    GlobalConfig,
    ListenerConfig,
    LogConfig,
    RouteConfig,
    Settings,
    TargetConfig,
)
from proxy.config.source import Source, parse
from proxy.config.validation import validate
from proxy.errors import ConfigError
from proxy.preset import presets
from proxy.processors.system_prompt import SystemPrompt
from proxy.token import Token
from proxy.tokens.aws import AWS
from proxy.tokens.google import Google
from proxy.tokens.pool import Pool as TokenPool
from proxy.tokens.static import Env
from proxy.units import Duration
from proxy.urls.pool import Pool as UrlPool
from proxy.urls.static import Static
from tests.unit.conftest import Request

ENVIRON = {"OPENAI_API_KEY": "canary-env", "TOKEN": "canary-token"}
MOCK = '[provider.mock]\ntype = "mock"\n'
REGION = '{ region = "r" }'
VLLM = '[provider.x]\ntype = "vllm"\nurl = "http://x/v1"\n'


def settings_of(text: str) -> Settings:
    return validate(parse(text, "c.toml"), ENVIRON)[0]


def warnings_of(text: str) -> list[str]:
    return validate(parse(text, "c.toml"), ENVIRON)[1]


def problems_of(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        validate(parse(text, "c.toml"), environ)
    return raised.value.problems


@pytest.mark.parametrize(
    ("spelled", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("env:PROXY", "http://me:canary@proxy"),
        ("literal:https://me:canary@proxy", "https://me:canary@proxy"),
    ],
)
def test_a_proxy_is_a_url_or_where_it_has_a_password_a_secret(spelled: str, url: str) -> None:
    environ = ENVIRON | {"PROXY": "http://me:canary@proxy"}
    settings, _ = validate(parse(VLLM + f'proxy = "{spelled}"', "c.toml"), environ)
    x = settings.provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.proxy is not None
    assert x.proxy.reveal() == url
    shown = as_tree(settings)["provider"]["x"]["proxy"]
    assert shown == ("literal:********" if "literal" in spelled else spelled)


def test_a_proxy_that_a_program_tells_is_not_known_yet() -> None:
    x = settings_of(VLLM + 'proxy = "exec:sh -c x"').provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.proxy is not None


@pytest.mark.parametrize(
    ("kind", "environ", "token"),
    [
        ("bedrock", {}, AWS()),
        ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": "canary"}, Env(name="AWS_BEARER_TOKEN_BEDROCK")),
        ("bedrock_mantle", {}, AWS(service="bedrock-mantle")),
        ("vertex", {}, Google()),
        ("gemini", {"GOOGLE_API_KEY": "canary"}, Env(name="GOOGLE_API_KEY")),
        ("vllm", {}, None),
    ],
)
def test_a_provider_has_its_usual_token_where_none_is_named(
    kind: str, environ: dict[str, str], token: Token | None
) -> None:
    variables = {"vertex": '{ project = "p", region = "r" }', "gemini": "{}"}
    text = f'[provider.x]\ntype = "{kind}"\nvariables = {variables.get(kind, REGION)}\n'
    text += 'url = "http://x"' if kind == "vllm" else ""
    settings, _ = validate(parse(text, "c.toml"), environ)
    x = settings.provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.token == token


def test_a_list_of_urls_or_of_tokens_is_a_pool() -> None:
    x = settings_of(
        """
        [provider.x]
        type = "vllm"
        url = ["http://a:1/v1", "unix:/run/b:/v1"]
        select = "least_busy"
        token = ["env:TOKEN", { type = "env", name = "TOKEN" }]
        """
    ).provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.url == UrlPool(urls=("http://a:1/v1", "unix:/run/b:/v1"), select="least_busy")
    assert [str(address) for address in x.url.addresses()] == ["http://a:1/v1", "unix:/run/b:/v1"]
    assert x.select is None
    assert x.token == TokenPool(tokens=(Env(name="TOKEN"), Env(name="TOKEN")))


@pytest.mark.parametrize("url", ['"http://a"', '["http://a"]'])
def test_one_url_alone_is_no_pool_and_there_is_nothing_to_select(url: str) -> None:
    x = settings_of(f'[provider.x]\ntype = "vllm"\nurl = {url}\nselect = "hash"').provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.url == Static(url="http://a")


def test_one_token_alone_is_no_pool() -> None:
    x = settings_of('[provider.x]\ntype = "openai"\ntoken = ["env:TOKEN"]').provider["x"]

    assert isinstance(x, ProviderConfig)
    assert x.token == Env(name="TOKEN")


def test_a_whole_configuration_becomes_settings() -> None:
    settings = settings_of(
        """
        [server]
        listen = ["127.0.0.1:0", "unix:/run/p.sock"]
        admin_listen = "none"
        [global]
        idle_timeout = "1m"
        [provider.openai]
        type = "openai"
        token = "env:TOKEN"
        [provider.vllm]
        type = "vllm"
        url = "http://10.0.0.1:8000/v1"
        forward_headers = ["x-mine-*"]
        total_timeout = "1h"
        [provider.mock]
        type = "mock"
        ttft = "20ms"
        fail_after_requests = 3
        [processor.house_rules]
        type = "system_prompt"
        text = "Answer in English."
        [[route]]
        name = "chat"
        path = ["/v1/chat/completions", "/v1/*"]
        models = "gpt-*"
        processors = ["house_rules"]
        targets = ["openai/gpt-4o", { provider = "vllm", model = "llama" }]
        usage = "never"
        [[route]]
        targets = "mock"
        [monitoring]
        log = { level = "debug" }
        metrics = false
        """
    )

    openai, vllm = settings.provider["openai"], settings.provider["vllm"]
    assert isinstance(openai, ProviderConfig)
    assert str(openai.url) == "https://api.openai.com/v1"
    assert openai.token is not None
    assert openai.token.credential(Request()) == "canary-token"
    assert vllm == ProviderConfig(
        type="vllm",
        url=Static(url="http://10.0.0.1:8000/v1"),
        forward_headers=("x-mine-*",),
        total_timeout=Duration(3600),
    )
    assert settings.provider["mock"] == MockConfig(type="mock", ttft="20ms", fail_after_requests=3)
    assert settings.processor == {"house_rules": SystemPrompt(text="Answer in English.")}
    assert settings.route == (
        RouteConfig(
            name="chat",
            path=("/v1/chat/completions", "/v1/*"),
            models=("gpt-*",),
            processors=("house_rules",),
            targets=(
                TargetConfig(provider="openai", model="gpt-4o"),
                TargetConfig(provider="vllm", model="llama"),
            ),
            usage="never",
        ),
        RouteConfig(name="route-2", targets=(TargetConfig(provider="mock"),)),
    )
    assert tuple(map(str, settings.server.listen)) == ("127.0.0.1:0", "unix:/run/p.sock")
    assert settings.server.admin_listen is None
    assert settings.global_ == GlobalConfig(idle_timeout=Duration(60))
    assert settings.monitoring.log == LogConfig(level="debug")
    assert not settings.monitoring.metrics


def test_one_provider_without_a_route_answers_everything() -> None:
    assert settings_of(MOCK).route == (
        RouteConfig(name="default", targets=(TargetConfig(provider="mock"),)),
    )


def test_the_token_of_openai_comes_from_its_variable() -> None:
    openai = settings_of('[provider.x]\ntype = "openai"').provider["x"]

    assert isinstance(openai, ProviderConfig)
    assert str(openai.token) == "env:OPENAI_API_KEY"


@pytest.mark.parametrize("kind", ["openai_compatible", "vllm", "ollama"])
def test_a_server_of_ones_own_needs_no_token(kind: str) -> None:
    provider = settings_of(f'[provider.x]\ntype = "{kind}"\nurl = "http://x/v1"').provider["x"]

    assert isinstance(provider, ProviderConfig)
    assert provider.token is None


SECTIONS = "[server], [global], [provider.NAME], [processor.NAME], [[route]], [security], "
SECTIONS += "[monitoring]"
NAMES = "a name is letters, digits, '.', '_', '-'"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # Sections
        (
            "[servre]",
            f"c.toml:1: [servre]: unknown section (known: {SECTIONS}; did you mean [server]?)",
        ),
        (
            "[providers.x]\n",
            f"c.toml:1: [providers]: unknown section (known: {SECTIONS}; "
            "did you mean [provider.NAME]?)",
        ),
        ("zzz = 1", f"c.toml:1: [zzz]: unknown section (known: {SECTIONS})"),
        (
            'listen = "127.0.0.1:1"',
            "c.toml:1: [listen]: unknown section (did you mean listen in [server]?)",
        ),
        ("server = 1", "c.toml:1: [server]: expected a table, found an integer"),
        ("[[server]]", "c.toml:1: [server]: expected a table, found a list"),
        ("provider = 1", "c.toml:1: [provider]: expected tables, each [provider.NAME]"),
        ("[[provider]]", "c.toml:1: [provider]: expected tables, each [provider.NAME]"),
        ("processor = 1", "c.toml:1: [processor]: expected tables, each [processor.NAME]"),
        ("[route]", "c.toml:1: [route]: expected an array of tables, each [[route]]"),
        (
            "[server]\nlisten_ = 1",
            "c.toml:2: [server.listen_]: unknown key (known: listen, admin_listen, workers, "
            "stall_timeout, max_body_size, head_timeout, body_timeout, keepalive_timeout, "
            "drain_delay, drain_timeout, watch; "
            'did you mean "listen"?)',
        ),
        (
            "[server]\nkeepalive_timeout = 75",
            "c.toml:2: [server.keepalive_timeout]: 75 has no unit (expected a duration such as "
            '"250ms", "30s" or "5m"; did you mean "75s"?)',
        ),
        (
            '[monitoring.log]\nlevel = "INFO"',
            '[monitoring.log.level]: unknown value "INFO" '
            '(known: debug, info, warning, error; did you mean "info"?)',
        ),
        (
            '[monitoring]\nlog = { format = "jsn" }',
            'c.toml:2: [monitoring.log.format]: unknown value "jsn" '
            '(known: auto, json, text; did you mean "json"?)',
        ),
        # Listeners
        (
            "[server]\nlisten = [{}]",
            "c.toml:2: [server.listen.1.address]: is missing: its HOST:PORT, [V6]:PORT, ",
        ),
        (
            '[server]\nadmin_listen = { address = "x" }',
            'c.toml:2: [server.admin_listen]: expected "HOST:PORT", "[V6]:PORT", "unix:/path" '
            'or "fd:N", not "x"',
        ),
        ("[server]\nlisten = []", "c.toml:2: [server.listen]: no address is listed"),
        (
            '[server]\nstall_timeout = "500ms"',
            'c.toml:2: [server.stall_timeout]: expected "1s" or more, or "0s" for ever',
        ),
        (
            '[server]\nlisten = [\n"127.0.0.1:1",\n":8080"]',
            'c.toml:4: [server.listen.2]: no host (expected "HOST:PORT", "[V6]:PORT", '
            '"unix:/path" or "fd:N"; did you mean "127.0.0.1:8080"?)',
        ),
        (
            '[server]\nlisten = "8080"',
            'c.toml:2: [server.listen]: expected "HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N", '
            'not "8080"',
        ),
        (
            '[server]\nlisten = { address = "127.0.0.1:1", mode = "0660" }',
            "c.toml:2: [server.listen]: only a unix socket has a mode and an owner, and "
            "127.0.0.1:1 is none",
        ),
        (
            '[server]\nlisten = ["fd:3", { address = "unix:/x", mode = "rw" }]',
            'c.toml:2: [server.listen.2]: a mode is three octal digits such as "0660", not "rw"',
        ),
        (
            '[server]\nadmin_listen = { address = "unix:/x", owner = "a:b:c" }',
            'c.toml:2: [server.admin_listen]: an owner is "USER", "USER:GROUP" or ":GROUP", not '
            '"a:b:c"',
        ),
        (
            '[server]\nlisten = { mode = "0660" }',
            "c.toml:2: [server.listen.address]: is missing: ",
        ),
        (
            '[server]\nlisten = "unix:/x"\nadmin_listen = { address = "unix:/x", mode = "0600" }',
            "c.toml:3: [server.admin_listen]: unix:/x is listed twice",
        ),
        (
            '[server]\nlisten = ["fd:3", "fd:3"]',
            "c.toml:2: [server.listen.2]: fd:3 is listed twice",
        ),
        ('[server]\nlisten = "fd:2"', "c.toml:2: [server.listen]: expected "),
        (
            '[server]\nlisten = ["127.0.0.1:1", "127.0.0.1:1"]',
            "c.toml:2: [server.listen.2]: 127.0.0.1:1 is listed twice",
        ),
        (
            '[server]\nadmin_listen = "127.0.0.1:8080"',
            "c.toml:2: [server.admin_listen]: 127.0.0.1:8080 is listed twice",
        ),
        (
            '[server]\nlisten = "0.0.0.0:8080"',
            "c.toml:2: [server.listen]: clients are not authenticated, and 0.0.0.0:8080 is not "
            "loopback (listen on 127.0.0.1 or a unix socket, or set [security] "
            "allow_unauthenticated = true)",
        ),
        # Providers
        ("[provider]\nx = 1", "c.toml:2: [provider.x]: expected a table, found an integer"),
        (
            '[provider."a/b"]\ntype = "mock"',
            f'c.toml:1: [provider."a/b"]: "a/b" cannot be used ({NAMES})',
        ),
        (
            "[provider.x]",
            "c.toml:1: [provider.x.type]: is missing: the preset that it starts from, such as "
            "openai or vllm",
        ),
        ("[provider.x]\ntype = 1", "c.toml:2: [provider.x.type]: expected a string, found an"),
        (
            '[provider.azure-eu]\ntype = "openai-compatible"',
            'c.toml:2: [provider.azure-eu.type]: unknown provider type "openai-compatible" '
            f'(known: {", ".join(presets())}; did you mean "openai_compatible"?)',
        ),
        (
            '[provider.x]\ntype = "vllm"',
            'c.toml:1: [provider.x.url]: is missing: vllm has none of its own (url = "http…")',
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = "x"',
            "c.toml:3: [provider.x.url]: is not an HTTP URL (expected "
            '"https://HOST/PATH", "http://HOST:PORT/PATH" or "unix:/SOCKET:/PATH")',
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = "http://u:canary@x/"',
            "c.toml:3: [provider.x.url]: a URL with credentials is a secret: leave them out",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = 5',
            "c.toml:3: [provider.x.url]: expected a URL, a list of them or a table, whose `type`",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = []',
            "c.toml:3: [provider.x.url]: expected a list of length >= 1",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = [\n"http://a",\n5]',
            "c.toml:5: [provider.x.url.2]: expected a string, found an integer",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = ["http://a", "http://u:canary@b"]',
            "c.toml:3: [provider.x.url]: a URL with credentials is a secret: leave them out",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = { type = "pol", urls = ["http://a"] }',
            'c.toml:3: [provider.x.url.type]: unknown url type "pol" (known: pool, static; did',
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = { type = "pool", urls = ["http://a", "http://b"], '
            "weights = [1] }",
            "c.toml:3: [provider.x.url]: there are 1 `weights` for 2",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = ["http://a", "http://b"]\nselect = "leastbusy"',
            'c.toml:4: [provider.x.select]: unknown value "leastbusy" (known: ordered, weighted, ',
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = { type = "static", url = "http://a" }\n'
            'select = "hash"',
            "c.toml:4: [provider.x.select]: belongs into the table of `url` (url = { type = …, ",
        ),
        (
            VLLM + 'proxy = "client"',
            "c.toml:4: [provider.x.proxy]: client is not one value, as a secret here must be",
        ),
        (
            VLLM + 'token = ["client", "literal:a"]',
            "c.toml:4: [provider.x.token]: what is in a pool is a credential of the proxy's, and",
        ),
        (
            VLLM + '[[route]]\ntargets = "x"\ntoken = "literal:canary"',
            "c.toml:6: [route.1.token]: a route passes the client's own on, or says nothing of it",
        ),
        (
            VLLM + 'proxy = "http://me:canary@proxy"',
            f"c.toml:4: [provider.x.proxy]: a secret is not written out (expected {SECRET_HINT})",
        ),
        (
            VLLM + 'proxy = "literal:http://me:canary@proxy:x"',
            "c.toml:4: [provider.x.proxy]: its host is missing or not one",
        ),
        (
            VLLM + 'proxy = "socks5://proxy"',
            "c.toml:4: [provider.x.proxy]: is not the URL of an HTTP proxy (expected ",
        ),
        (
            VLLM + 'proxy = ["http://a", "http://b"]',
            f"c.toml:4: [provider.x.proxy]: expected {SECRET_HINT}, found a list",
        ),
        (
            VLLM + 'proxy = { type = "pool", tokens = ["literal:a"] }',
            "c.toml:4: [provider.x.proxy.type]: Pool is not one value",
        ),
        (
            '[provider.x]\ntype = "vllm"\nurl = ["http://a", "unix:/x"]\nproxy = "http://b"',
            "c.toml:4: [provider.x.proxy]: a unix socket is not reached through a proxy",
        ),
        (
            '[provider.x]\ntype = "openai"',
            "c.toml:1: [provider.x.token]: is missing, and the environment variable "
            'OPENAI_API_KEY is not set (token = "env:NAME", or set that)',
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = "canary"',
            "c.toml:3: [provider.x.token]: a secret is not written out (expected a reference such",
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = ["canary"]',
            f"c.toml:3: [provider.x.token.1]: a secret is not written out (expected {SECRET_HINT})",
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = 5',
            f"c.toml:3: [provider.x.token]: expected {SECRET_HINT}, found an integer",
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = ["literal:a", "env:X_TOKEN"]',
            "c.toml:3: [provider.x.token.2]: the environment variable X_TOKEN is not set",
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = ["literal:a", ["literal:b", "literal:c"]]',
            "c.toml:3: [provider.x.token]: what is in a pool is a credential of the proxy's, and",
        ),
        (
            '[provider.x]\ntype = "openai"\ntoken = "env:X_TOKEN"',
            "c.toml:3: [provider.x.token]: the environment variable X_TOKEN is not set",
        ),
        (
            MOCK + 'token = "literal:canary"',
            "c.toml:3: [provider.mock.token]: unknown key (known: type, ttft, itl, output_tokens",
        ),
        (
            MOCK + "output_tokens = -1",
            "c.toml:3: [provider.mock.output_tokens]: expected an integer >= 0",
        ),
        (
            MOCK + 'forward_headers = ["x-a",\n"x a"]',
            'c.toml:4: [provider.mock.forward_headers.2]: "x a" cannot be used '
            "(a header's name or a glob such as x-mine-*)",
        ),
        (
            MOCK + 'forward_headers = "Authorization"',
            'c.toml:3: [provider.mock.forward_headers]: "Authorization" is never forwarded',
        ),
        # Processors
        ("processor.x = 1", "c.toml:1: [processor.x]: expected a table, whose `type` names its"),
        (
            "[processor.x]",
            "c.toml:1: [processor.x.type]: is missing (known: parameters, system_prompt)",
        ),
        (
            "[processor.x]\ntype = 1",
            "c.toml:2: [processor.x.type]: expected a string (known: parameters, system_prompt)",
        ),
        (
            '[processor.x]\ntype = "system-prompt"',
            'c.toml:2: [processor.x.type]: unknown processor type "system-prompt" '
            '(known: parameters, system_prompt; did you mean "system_prompt"?)',
        ),
        (
            '[processor.x]\ntype = "system_prompt"',
            "c.toml:1: [processor.x.text]: is missing: the prompt",
        ),
        (
            '[processor.x]\ntype = "system_prompt"\ntext = "a"\ntxet = "b"',
            'c.toml:4: [processor.x.txet]: unknown key (known: text; did you mean "text"?)',
        ),
        (
            '[processor.x]\ntype = "parameters"\nclamp.max_tokens = { min = 2, max = 1 }',
            "c.toml:3: [processor.x.clamp.max_tokens]: min (2) is greater than max (1)",
        ),
        # Routes
        (
            MOCK + '[provider.x]\ntype = "mock"',
            "c.toml: [route]: is missing: which of mock, x answers? (add [[route]])",
        ),
        ("route = [1]", "c.toml:1: [route.1]: expected a table, found an integer"),
        ("[[route]]", "c.toml:1: [route.1.targets]: is missing: who answers: "),
        ("[[route]]\ntargets = []", "c.toml:2: [route.1.targets]: no target is listed"),
        (
            '[[route]]\nname = "chat"\ntargets = "mock"',
            'c.toml:3: [route.chat.targets]: unknown provider "mock" (none is known)',
        ),
        (
            MOCK + '[[route]]\ntargets = ["mock",\n"mok/x"]',
            'c.toml:5: [route.1.targets.2]: unknown provider "mok" '
            '(known: mock; did you mean "mock"?)',
        ),
        (
            MOCK + '[[route]]\ntargets = [{ model = "x" }]',
            "c.toml:4: [route.1.targets.1.provider]: is missing: the NAME of a [provider.NAME]",
        ),
        (
            MOCK + '[[route]]\ntargets = "mock/"',
            'c.toml:4: [route.1.targets]: "" cannot be used ("provider/model", in visible ASCII)',
        ),
        (
            MOCK + '[[route]]\ntargets = "/x"',
            'c.toml:4: [route.1.targets]: unknown provider "" (known: mock)',
        ),
        (
            MOCK + '[[route]]\ntargets = ["mock/a\\nb"]',
            'c.toml:4: [route.1.targets.1]: "a\\nb" cannot be used',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\nprocessors = ["x"]',
            'c.toml:5: [route.1.processors.1]: unknown processor "x" (none is known)',
        ),
        (
            MOCK + '[[route]]\nname = "a"\ntargets = "mock"\n[[route]]\nname="a"\ntargets = "mock"',
            'c.toml:7: [route.a.name]: another route is called "a", too',
        ),
        (
            MOCK + '[[route]]\nname = "route-2"\ntargets = "mock"\n[[route]]\ntargets = "mock"',
            'c.toml:6: [route.2.name]: another route is called "route-2", too',
        ),
        (
            MOCK + '[[route]]\nname = ""\ntargets = "mock"',
            f'c.toml:4: [route.1.name]: "" cannot be used ({NAMES})',
        ),
        (
            MOCK + '[[route]]\nname = "a b"\ntargets = "mock"',
            f'c.toml:4: [route.1.name]: "a b" cannot be used ({NAMES})',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\npath = []',
            "c.toml:5: [route.1.path]: an empty list matches nothing (leave it out for all)",
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\nmodels = []',
            "c.toml:5: [route.1.models]: an empty list matches nothing (leave it out for all)",
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\nmodels = ["a", ""]',
            'c.toml:5: [route.1.models.2]: "" cannot be used (a model\'s name, or a glob)',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\npath = "v1"',
            'c.toml:5: [route.1.path]: "v1" cannot be used (a path such as "/v1/embeddings" or',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\npath = "/v1/*/x"',
            'c.toml:5: [route.1.path]: "/v1/*/x" cannot be used (only "/*" at the end is open)',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\npath = "/v1/x?y=z"',
            'c.toml:5: [route.1.path]: "/v1/x?y=z" cannot be used (only "/*" at the end is open)',
        ),
        (
            MOCK + '[[route]]\ntargets = "mock"\nusage = "allways"',
            'c.toml:5: [route.1.usage]: unknown value "allways" '
            '(known: auto, always, never; did you mean "always"?)',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_its_key_and_what_is_right(
    text: str, problem: str
) -> None:
    problems = problems_of(text)

    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("c.toml")
    assert "canary" not in problems[0]


def test_every_problem_is_found_at_once_in_the_order_of_the_file() -> None:
    problems = problems_of(
        """[servre]
        [server]
        listen = ["nope", 3]
        head_timeout = 10
        [provider.a]
        type = "openai"
        token = "canary"
        [provider.b]
        type = "opnai"
        [[route]]
        targets = ["a", "c/x", { provider = "b", modle = "y" }, 5, "d"]
        processors = ["p"]
        usage = 1
        """
    )

    assert [problem.partition("]")[0] for problem in problems] == [
        "c.toml:1: [servre",
        "c.toml:3: [server.listen.2",
        "c.toml:3: [server.listen.1",
        "c.toml:4: [server.head_timeout",
        "c.toml:7: [provider.a.token",
        "c.toml:9: [provider.b.type",
        "c.toml:11: [route.1.targets.3.modle",
        "c.toml:11: [route.1.targets.4",
        "c.toml:11: [route.1.targets.2",
        "c.toml:11: [route.1.targets.5",
        "c.toml:12: [route.1.processors.1",
        "c.toml:13: [route.1.usage",
    ]


def test_a_provider_that_is_wrong_is_still_known_to_routes() -> None:
    text = '[provider.a]\ntype = "x"\n[[route]]\ntargets = "a"'

    assert len(problems_of(text)) == 1


def test_whoever_listens_to_everybody_must_say_so_and_is_warned() -> None:
    text = MOCK + '[server]\nlisten = "0.0.0.0:80"\n[security]\nallow_unauthenticated = true'

    assert warnings_of(text) == [
        "c.toml:4: [server.listen]: whoever can reach 0.0.0.0:80 may use this proxy"
    ]


def test_a_listener_may_be_a_table() -> None:
    table = '{ address = "127.0.0.1:0" }'
    text = MOCK + f'[server]\nlisten = ["127.0.0.1:0", {table}]\nadmin_listen = {table}'
    listener = ListenerConfig(address="127.0.0.1:0")

    server = settings_of(text).server

    assert server.listen == (listener, listener)
    assert server.admin_listen == listener


def test_the_admin_listener_may_stand_anywhere() -> None:
    text = MOCK + '[server]\nadmin_listen = "0.0.0.0:9090"'

    assert str(settings_of(text).server.admin_listen) == "0.0.0.0:9090"
    assert warnings_of(text) == [
        "c.toml:4: [server.admin_listen]: whoever can reach 0.0.0.0:9090 may read health and "
        "metrics"
    ]


def test_any_free_port_may_be_taken_twice() -> None:
    text = MOCK + '[server]\nlisten = ["127.0.0.1:0", "127.0.0.1:0"]\nadmin_listen = "127.0.0.1:0"'

    assert tuple(map(str, settings_of(text).server.listen)) == ("127.0.0.1:0", "127.0.0.1:0")


def test_a_literal_token_is_warned_about_without_showing_it() -> None:
    text = '[provider.x]\ntype = "openai"\ntoken = "literal:canary"'

    assert warnings_of(text) == [
        'c.toml:3: [provider.x.token]: a secret stands in the configuration itself (use "env:NAME")'
    ]


def test_no_settings_print_a_secret() -> None:
    settings = settings_of(
        '[provider.x]\ntype = "openai"\ntoken = "literal:canary-literal"\n'
        '[provider.y]\ntype = "openai"\n[[route]]\ntargets = ["x", "y"]'
    )

    assert "canary" not in f"{settings} {settings!r} {settings.provider}"


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["mock", "openai", "vllm", "system_prompt", "parameters", "30s", "1KiB"])
    | st.sampled_from(["env:TOKEN", "literal:x", "127.0.0.1:0", "0.0.0.0:1", "unix:/x", "none"])
    | st.sampled_from(["${TOKEN}", "${NONE}", "${", "$$", "file:/none", "exec:none", "exec:'"])
    | st.sampled_from(["http://x/v1", "x", "x/y", "mock/y", "/v1/*", "*", "auto", "debug"])
)
KEYS = st.sampled_from(
    sorted(
        {"x", "a/b", "mock", "type", "text", "clamp", "set", "log", "level", "format", "name"}
        | set(keys(Settings))
        | {key for kind in (ProviderConfig, RouteConfig, TargetConfig) for key in keys(kind)}
        | {key for about in (GlobalConfig, MockConfig) for key in keys(about)}
        | set(keys(type(Settings().server)))
    )
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def tables(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(KEYS, inner, max_size=4) | TREES


CONFIGURATIONS = st.dictionaries(KEYS, TREES, max_size=4) | st.fixed_dictionaries(
    {},
    optional={
        "server": tables(TREES),
        "global": tables(TREES),
        "provider": tables(tables(TREES)),
        "processor": tables(tables(TREES)),
        "route": st.lists(tables(TREES), max_size=3) | TREES,
        "security": tables(TREES),
        "monitoring": tables(TREES),
    },
)


@given(CONFIGURATIONS)
def test_any_tree_is_settings_or_a_configuration_error(tree: dict[str, Any]) -> None:
    try:
        settings, _ = validate(Source("x.toml", tree), ENVIRON)
    except ConfigError as error:
        problems = error.problems
    else:
        problems = ["x.toml: none"] if isinstance(settings, Settings) else []

    assert problems
    assert all(problem.startswith("x.toml: ") for problem in problems)
