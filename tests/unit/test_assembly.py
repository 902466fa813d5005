"""A configuration, assembled: what is built of it, and what is kept of the one before."""

import pytest

from proxy.assembly import Assembly, assemble
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.processors.parameters import Parameters
from proxy.url import parse_address
from tests.unit.conftest import Request, exchange_of

ONE = """
[global]
connect_timeout = "1s"
idle_timeout = "2s"
[provider.a]
type = "openai_compatible"
url = "http://a:8000/v1"
token = "env:KEY"
idle_timeout = "3s"
send_timeout = "4s"
forward_headers = ["x-mine"]
[processor.limits]
type = "parameters"
drop = ["seed"]
"""
ROUTE = """
[[route]]
models = ["gpt-*"]
targets = ["a/big", "a"]
processors = ["limits"]
send_timeout = "5s"
usage = "never"
[[route]]
name = "rest"
targets = ["a"]
"""
ENVIRON = {"KEY": "sk-1"}


def loaded(text: str) -> Loaded:
    return load(None, environ={**ENVIRON, TEXT: text or "# nothing"}, overrides=Overrides())


def test_routes_are_compiled_in_order_with_their_targets_and_processors() -> None:
    assembly = assemble(loaded(ONE + ROUTE))
    first, rest = assembly.router.routes

    assert [repr(target) for target in first.targets] == ["a/big", "a"]
    assert (first.usage, rest.usage, rest.name) == ("never", "auto", "rest")
    assert [type(processor) for processor in first.processors] == [Parameters]
    assert len(first.on_request) == 1
    assert rest.processors == ()
    assert first.takes_model("gpt-5") == "gpt-*"
    assert first.takes_model("other") is None


def test_a_routes_timeouts_win_over_its_providers_and_those_over_the_defaults() -> None:
    first, rest = assemble(loaded(ONE + ROUTE)).router.routes

    for route, send in ((first, 5.0), (rest, 4.0)):
        timeouts = route.targets[0].timeouts
        assert (timeouts.connect, timeouts.idle, timeouts.send) == (1.0, 3.0, send)
        assert (timeouts.first_byte, timeouts.total) == (600.0, 0.0)


def test_a_provider_is_sent_what_its_section_says() -> None:
    [route] = assemble(loaded(ONE)).router.routes
    provider = route.targets[0].provider
    assert provider.token is not None
    request = Request(headers={"X-Mine": "1", "X-Other": "2"})
    address = provider.url.pick(exchange_of())
    final = provider.final(
        request, address, provider.token, provider.timeouts, b"{}", "/chat/completions"
    )

    assert final.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nX-Mine: 1\r\n"
    )


def test_every_endpoint_has_its_dialect_and_any_other_path_words_for_its_errors() -> None:
    assembly = assemble(loaded(ONE))

    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"):
        dialect = assembly.router.dialect(path)
        assert dialect is not None
        assert dialect.path == path
    assert assembly.fallback is assembly.router.dialect("/v1/chat/completions")


def test_everything_that_opens_and_closes_is_listed_once() -> None:
    assembly = assemble(loaded(ONE + ROUTE))
    [route, _] = assembly.router.routes
    provider = route.targets[0].provider

    assert len(assembly.components) == 3
    for component in (*route.processors, provider.token, provider.url):
        assert sum(component is listed for listed in assembly.components) == 1


def test_without_a_provider_the_mock_answers_everything() -> None:
    [route] = assemble(loaded("")).router.routes

    assert [repr(target) for target in route.targets] == ["mock"]
    assert route.takes_model("anything") == route.name
    provider = route.targets[0].provider
    request = Request(headers={"X-Mock-Ttft": "1ms", "X-Mine": "1"})
    final = provider.final(request, parse_address("http://a"), None, provider.timeouts, b"", "/")
    assert b"X-Mock-Ttft: 1ms\r\n" in final.head
    assert b"X-Mine" not in final.head


def anew(before: str, after: str, **environ: str) -> tuple[Assembly, Assembly]:
    """Two assemblies, the second of a configuration that is loaded after the first."""
    first = assemble(loaded(before))
    again = load(None, environ={**ENVIRON, **environ, TEXT: after}, overrides=Overrides())
    return first, assemble(again, first)


def test_what_says_the_same_is_kept_and_spares_the_new_one() -> None:
    first, second = anew(ONE + ROUTE, ONE + ROUTE)

    assert [*map(id, second.components)] == [*map(id, first.components)]
    assert [id(old) for old, _ in second.kept] == [*map(id, first.components)]
    assert second.providers["a"] is first.providers["a"]
    processor = second.loaded.settings.processor["limits"]
    assert processor is first.router.routes[0].processors[0]
    assert second.router.routes[0].processors == (processor,)
    assert second.router.routes[0].targets[0].provider is first.providers["a"]


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("http://a:8000/v1", "http://b/v1", ["token", "processor"]),
        ('token = "env:KEY"', 'token = "literal:sk-2"', ["url", "processor"]),
        ('["seed"]', '["top_k"]', ["token", "url"]),
        ('["x-mine"]', '["x-yours"]', ["token", "url", "processor"]),
        ('connect_timeout = "1s"', 'connect_timeout = "2s"', ["token", "url", "processor"]),
        ("provider.a]", "provider.b]", ["processor"]),
    ],
)
def test_a_change_spares_what_it_does_not_touch(old: str, new: str, kept: list[str]) -> None:
    first, second = anew(ONE, ONE.replace(old, new))
    before, [after] = first.providers["a"], second.providers.values()

    found = []
    if after.token is before.token:
        found.append("token")
    if after.url is before.url:
        found.append("url")
    if second.loaded.settings.processor["limits"] is first.loaded.settings.processor["limits"]:
        found.append("processor")
    assert found == kept
    assert (after is before) == (kept == ["token", "url"])
    assert len(second.components) == len(first.components) == 3
    connect = second.router.routes[0].targets[0].timeouts.connect
    assert connect == (2.0 if "2s" in new else 1.0)


def test_providers_that_say_the_same_keep_what_is_their_own() -> None:
    two = "".join(f'[provider.{name}]\ntype = "mock"\n' for name in "ab")
    route = '[[route]]\ntargets = ["a", "b"]\n'
    first, second = anew(two + route, two + route)

    assert first.providers["a"].url is not first.providers["b"].url
    for name in "ab":
        assert second.providers[name].url is first.providers[name].url
    _, alone = anew(two + route, '[provider.b]\ntype = "mock"\n')
    assert len(alone.components) == 1


POOLS = """
[provider.a]
type = "vllm"
url = ["http://{zone}:1/v1", "http://b:1/v1"]
variables = { zone = "x" }
token = ["env:KEY", "literal:sk-2"]
"""


@pytest.mark.parametrize(
    ("old", "new", "environ", "kept"),
    [
        ("", "", {}, ["token", "url"]),
        ("", "", {"KEY": "sk-3"}, ["token", "url"]),
        ('zone = "x"', 'zone = "y"', {}, ["token"]),
        ("http://b", "http://c", {}, ["token"]),
        ("literal:sk-2", "literal:sk-4", {}, ["url"]),
    ],
)
def test_a_pool_is_kept_if_all_that_is_in_it_is(
    old: str, new: str, environ: dict[str, str], kept: list[str]
) -> None:
    first, second = anew(POOLS, POOLS.replace(old, new), **environ)
    before, after = first.providers["a"], second.providers["a"]

    same = {"token": after.token is before.token, "url": after.url is before.url}
    assert [name for name, kept in same.items() if kept] == kept
    for component, fresh in second.kept:
        component.adopt(fresh)
    assert after.token is not None
    sent = {after.token.pick(exchange_of()).credential(Request()) for _ in range(2)}
    assert sent == {environ.get("KEY", "sk-1"), new[-4:] if "sk" in new else "sk-2"}


def test_a_proxy_that_stays_keeps_the_connections_through_it() -> None:
    text = ONE.replace("[provider.a]", '[provider.a]\nproxy = "http://proxy"')
    assert text != ONE
    first, second = anew(text, text.replace('["x-mine"]', '["x-yours"]'))
    _, other = anew(text, text.replace("http://proxy", "http://another"))
    before, after = first.providers["a"], second.providers["a"]

    assert before.via is not None
    assert before.via.url().host == "proxy"
    assert (after is before, after.via == before.via) == (False, True)
    assert other.providers["a"].via != before.via
    assert len(first.components) == 4


@pytest.mark.parametrize(("said", "seconds"), [("", 600.0), ('max_connection_age = "0s"', 0.0)])
def test_how_long_connections_are_kept_is_said_for_all(said: str, seconds: float) -> None:
    text = ONE.replace("[global]", f"[global]\n{said}")
    [route] = assemble(loaded(text)).router.routes

    assert route.targets[0].timeouts.connection_age == seconds
