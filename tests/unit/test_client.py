"""Attempts over a route's targets, with a transport that carries nothing anywhere."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.client import FURTHER_ADDRESSES, Client
from proxy.dialects.openai_chat import OpenAIChat
from proxy.errors import (
    BadCredentials,
    BadRequest,
    ConnectFailed,
    ProviderBroke,
    ProviderTimeout,
    ProxyError,
    TooLarge,
)
from proxy.exchange import Exchange, FinalRequest, Origin, Outcome, RawRequest
from proxy.provider import Provider
from proxy.router import Route, Target
from proxy.token import Signing, Token
from proxy.tokens._held import Held
from proxy.url import Address, Url, parse_address
from tests.unit.conftest import (
    NO_TIMEOUTS,
    CountingToken,
    Request,
    Transport,
    Upstream,
    exchange_of,
    key,
    provider,
)

CHAT = OpenAIChat()


class Told(Url):
    """URLs, used one after the other, that remember how their requests fared."""

    hosts: tuple[str, ...] = ("told",)

    def __post_init__(self) -> None:
        self.reports: list[Outcome] = []
        self.told: list[str] = []

    def pick(self, exchange: Exchange) -> Address:
        return self._picked(0)

    def again(self, exchange: Exchange, tried: Sequence[Address]) -> Address | None:
        assert [str(address) for address in tried] == [
            f"http://{host}:1/v1" for host in self.hosts[: len(tried)]
        ]
        return self._picked(len(tried)) if len(tried) < len(self.hosts) else None

    def _picked(self, position: int) -> Address:
        self.told.append(f"pick {self.hosts[position]}")
        return parse_address(f"http://{self.hosts[position]}:1/v1")

    def report(self, address: Address, outcome: Outcome) -> None:
        self.told.append(f"report {address.origin.host}")
        self.reports.append(outcome)

    def release(self, address: Address) -> None:
        self.told.append(f"release {address.origin.host}")


class ToldToken(Token):
    """A token that remembers what it was told."""

    def __post_init__(self) -> None:
        self.told: list[str] = []

    def pick(self, exchange: Exchange) -> Token:
        self.told.append("pick")
        return self

    def credential(self, request: RawRequest) -> str:
        return "sk-told"

    def report(self, token: Token, outcome: Outcome) -> None:
        assert token is self
        self.told.append(f"report {outcome.status}")

    def release(self, token: Token) -> None:
        self.told.append("release")


def over(exchange: Exchange) -> None:
    """End an exchange, as the pipeline does."""
    for hook in exchange.hooks:
        hook(exchange)


def route(*targets: tuple[Provider, str | None], usage: str = "auto") -> Route:
    return Route(
        "it",
        paths=None,
        models=None,
        processors=(),
        targets=tuple(Target(who, model, NO_TIMEOUTS) for who, model in targets),
        usage=usage,
    )


async def send(
    transport: Transport,
    route: Route,
    body: bytes = b'{"model":"m"}',
    *,
    counts_usage: bool = True,
    exchange: Exchange | None = None,
) -> tuple[Target, object, bool]:
    client = Client(transport, counts_usage=counts_usage)
    answered = await client.send(exchange or exchange_of(), route, CHAT, CHAT.parse(body))
    assert answered.translation is None
    return answered.target, answered.upstream, answered.strip


async def test_the_first_target_answers_and_is_known() -> None:
    answer, exchange = Upstream(), exchange_of()
    transport = Transport(answer)
    who = route((provider("a", token=CountingToken()), None), (provider("b"), None))
    target, upstream, strip = await send(transport, who, exchange=exchange)

    assert (target, upstream, strip) == (who.targets[0], answer, False)
    assert (exchange.provider, exchange.model, exchange.attempts) == ("a", "m", 1)
    assert exchange.target_model == ""
    [final] = transport.sent
    assert final.body == b'{"model":"m"}'
    assert b"authorization: Bearer sk-1\r\n" in final.head
    assert final.origin == Origin("http", "a", 8000)


async def test_another_target_is_tried_where_no_connection_could_be_made() -> None:
    first, second, exchange = Told(), Told(), exchange_of()
    refused, answer = ConnectFailed("refused"), Upstream()
    transport = Transport(refused, answer)
    who = route((provider("a", url=first), "x"), (provider("b", url=second), None))
    target, upstream, _ = await send(transport, who, exchange=exchange)

    assert (target, upstream) == (who.targets[1], answer)
    assert (exchange.provider, exchange.model, exchange.attempts) == ("b", "m", 2)
    assert exchange.target_model == ""
    assert [final.body for final in transport.sent] == [b'{"model":"x"}', b'{"model":"m"}']
    assert [outcome.error for outcome in first.reports] == [refused]


async def test_another_address_is_tried_where_no_connection_could_be_made() -> None:
    url, exchange = Told(hosts=("one", "two", "three")), exchange_of()
    transport = Transport(ConnectFailed("x"), ConnectFailed("x"), Upstream())
    target, _, _ = await send(transport, route((provider(url=url), None)), exchange=exchange)

    assert [final.origin.host for final in transport.sent] == ["one", "two", "three"]
    assert (target.provider.url, exchange.attempts) == (url, 3)
    failed = [f"{did} {host}" for host in ("one", "two") for did in ("pick", "report", "release")]
    assert url.told == [*failed, "pick three", "report three"]
    over(exchange)
    assert url.told[-1] == "release three"


async def test_addresses_are_tried_before_the_next_target_is() -> None:
    url, exchange = Told(hosts=("one", "two")), exchange_of()
    transport = Transport(ConnectFailed("x"), ConnectFailed("x"), Upstream())
    who = route((provider("a", url=url), None), (provider("b"), None))
    target, _, _ = await send(transport, who, exchange=exchange)

    assert target is who.targets[1]
    assert [final.origin.host for final in transport.sent] == ["one", "two", "a"]


async def test_not_all_of_many_addresses_are_tried() -> None:
    url = Told(hosts=tuple("abcdefgh"))
    transport = Transport(*[ConnectFailed("x")] * 8)
    with pytest.raises(ConnectFailed):
        await send(transport, route((provider(url=url), None)))

    assert len(transport.sent) == 1 + FURTHER_ADDRESSES


async def test_what_an_address_may_have_heard_is_not_said_to_another() -> None:
    url, transport = Told(hosts=("one", "two")), Transport(ProviderBroke("reset"))
    with pytest.raises(ProviderBroke):
        await send(transport, route((provider(url=url), None)))

    assert url.told == ["pick one", "report one", "release one"]


async def test_who_wants_to_know_is_told_how_a_response_began_and_that_it_is_over() -> None:
    url, token, exchange = Told(), ToldToken(), exchange_of()
    answer = Upstream(status=429, fields={"retry-after": "7"})
    who = route((provider(url=url, token=token), None))
    hooked: list[Exchange] = []
    exchange.hooks = (hooked.append,)
    await send(Transport(answer), who, exchange=exchange)

    assert token.told == ["pick", "report 429"]
    [outcome] = url.reports
    assert (outcome.status, outcome.retry_after, outcome.error) == (429, 7.0, None)
    over(exchange)
    assert token.told[-1] == "release"
    assert url.told == ["pick told", "report told", "release told"]
    assert hooked == [exchange]


async def test_a_client_that_leaves_releases_what_was_picked_and_reports_nothing() -> None:
    url, token = Told(), ToldToken()
    transport = Transport(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await send(transport, route((provider(url=url, token=token), None)))

    assert url.told == ["pick told", "release told"]
    assert token.told == ["pick", "release"]


async def test_a_token_that_has_nothing_to_give_leaves_nothing_picked() -> None:
    url, transport = Told(), Transport()
    with pytest.raises(BadCredentials):
        await send(transport, route((provider(url=url, token=Held()), None)))

    assert transport.sent == []
    assert url.told == ["pick told", "report told", "release told"]


async def test_nobody_is_told_who_does_not_want_to_know() -> None:
    exchange = exchange_of()
    await send(Transport(Upstream()), route((provider(token=key("k")), None)), exchange=exchange)

    assert exchange.hooks == ()


async def test_a_targets_own_model_is_known_apart_from_the_clients() -> None:
    exchange = exchange_of()
    await send(Transport(Upstream()), route((provider("a"), "x")), exchange=exchange)

    assert (exchange.model, exchange.target_model) == ("x", "x")


@pytest.mark.parametrize("error", [ProviderBroke("reset"), ProviderTimeout("slow")])
async def test_what_a_provider_may_have_heard_is_not_said_twice(error: ProxyError) -> None:
    transport, exchange = Transport(error, Upstream()), exchange_of()
    with pytest.raises(type(error)):
        await send(
            transport, route((provider("a"), None), (provider("b"), None)), exchange=exchange
        )

    assert len(transport.sent) == exchange.attempts == 1
    assert exchange.provider == "a"


async def test_the_last_targets_error_is_told() -> None:
    last = ConnectFailed("last")
    transport, exchange = Transport(ConnectFailed("first"), last), exchange_of()
    with pytest.raises(ConnectFailed) as raised:
        await send(
            transport, route((provider("a"), None), (provider("b"), None)), exchange=exchange
        )

    assert raised.value is last
    assert exchange.attempts == 2


async def test_what_is_no_error_of_ours_is_not_tried_again() -> None:
    transport = Transport(LookupError("a bug"), Upstream())
    with pytest.raises(LookupError):
        await send(transport, route((provider("a"), None), (provider("b"), None)))

    assert len(transport.sent) == 1


async def test_each_target_is_asked_for_its_own_model_and_nothing_of_it_is_left() -> None:
    body = b'{"model":"m", "stream":true, "x": 1.0}'
    transport = Transport(ConnectFailed("x"), ConnectFailed("x"), Upstream())
    who = route(
        (provider("a", stream_usage=True), "model-a"),
        (provider("b"), None),
        (provider("c"), "model-c"),
    )
    _, _, strip = await send(transport, who, body)

    asked = b'"stream_options":{"include_usage":true}'
    assert [final.body for final in transport.sent] == [
        b'{"model":"model-a","stream":true,"x":1.0,' + asked + b"}",
        body,
        b'{"model":"model-c","stream":true,"x":1.0}',
    ]
    assert not strip, "the chunk that another target was asked for is not to be taken out"


@pytest.mark.parametrize("targets", [1, 2])
async def test_a_body_that_needs_no_change_keeps_its_bytes(targets: int) -> None:
    body = b'{ "model" : "m" }'
    transport = Transport(Upstream())
    await send(transport, route(*[(provider("a"), "m")] * targets), body)

    assert transport.sent[0].body == body


@pytest.mark.parametrize(
    ("usage", "counts", "takes", "asked"),
    [
        ("auto", True, True, True),
        ("auto", False, True, False),
        ("auto", True, False, False),
        ("always", False, False, True),
        ("never", True, True, False),
    ],
)
async def test_usage_is_asked_for_where_it_is_wanted_and_understood(
    usage: str, counts: bool, takes: bool, asked: bool
) -> None:
    transport = Transport(Upstream())
    who = route((provider("a", stream_usage=takes), None), usage=usage)
    _, _, strip = await send(transport, who, b'{"model":"m","stream":true}', counts_usage=counts)

    assert strip is asked
    assert (b"include_usage" in bytes(transport.sent[0].body)) is asked  # type: ignore[arg-type]


async def test_a_client_that_asked_for_usage_itself_is_not_spared_it() -> None:
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    transport = Transport(Upstream())
    _, _, strip = await send(transport, route((provider("a", stream_usage=True), None)), body)

    assert not strip
    assert transport.sent[0].body == body


async def test_a_model_that_nobody_names_is_nobodys() -> None:
    exchange, transport = exchange_of(), Transport(Upstream())
    parsed = CHAT.parse(b'{"model":"m"}')
    parsed.model = None
    who = route((provider("a"), None))
    await Client(transport, counts_usage=False).send(exchange, who, CHAT, parsed)

    assert exchange.model == ""


async def pass_on(transport: Transport, request: Request) -> Exchange:
    exchange = exchange_of(request)
    who = route((provider("a"), "ignored"), (provider("b"), None))
    target, _ = await Client(transport, counts_usage=True).pass_on(exchange, who)
    assert target is who.targets[0]
    return exchange


async def test_what_passes_on_goes_to_the_first_target_as_it_comes() -> None:
    transport = Transport(Upstream())
    exchange = await pass_on(transport, Request(b"12345", path="/v1/files", query="a=b"))

    [final] = transport.sent
    assert final.head.startswith(b"POST /v1/files?a=b HTTP/1.1\r\n")
    assert not isinstance(final.body, bytes)
    assert [chunk async for chunk in final.body] == [b"12345"]
    assert final.length == 5
    assert (exchange.provider, exchange.model) == ("a", "")


async def test_what_has_no_body_passes_on_without_one() -> None:
    transport = Transport(Upstream())
    await pass_on(transport, Request(b"", method="GET"))

    assert (transport.sent[0].body, transport.sent[0].length) == (b"", 0)


async def test_what_passes_on_goes_to_one_target_alone() -> None:
    transport = Transport(ConnectFailed("refused"), Upstream())
    with pytest.raises(ConnectFailed):
        await pass_on(transport, Request(b"12345"))

    assert len(transport.sent) == 1


async def test_what_passes_on_goes_to_another_address_where_no_connection_could_be_made() -> None:
    url, exchange = Told(hosts=("one", "two")), exchange_of(Request(b"12345"))
    transport = Transport(ConnectFailed("refused"), Upstream())
    who = route((provider(url=url), None))
    await Client(transport, counts_usage=True).pass_on(exchange, who)

    assert [final.origin.host for final in transport.sent] == ["one", "two"]
    body = transport.sent[1].body
    assert not isinstance(body, bytes)
    assert [chunk async for chunk in body] == [b"12345"]


async def test_a_body_that_breaks_while_it_passes_is_the_clients_fault() -> None:
    transport = Transport(Upstream())
    await pass_on(transport, Request(BadRequest("broken framing")))
    [final] = transport.sent

    assert final.length is None
    assert not isinstance(final.body, bytes)
    with pytest.raises(BadRequest):
        await anext(final.body)


class Signs(ToldToken, Signing):
    """A token that signs what passes."""

    def sign(self, final: FinalRequest) -> bytes:
        assert isinstance(final.body, bytes)
        return b"x-signed: %d\r\n" % len(final.body)


async def test_what_is_to_be_signed_is_read_whole_and_may_go_to_another_address() -> None:
    url, exchange = Told(hosts=("one", "two")), exchange_of(Request(b"12345", path="/v1/files"))
    transport = Transport(ConnectFailed("refused"), Upstream())
    who = route((provider(url=url, token=Signs()), None))
    await Client(transport, counts_usage=True).pass_on(exchange, who)

    assert [final.body for final in transport.sent] == [b"12345"] * 2
    assert all(final.head.endswith(b"\r\nx-signed: 5\r\n") for final in transport.sent)


async def test_what_is_to_be_signed_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.client.MAX_SIGNED", 4)
    who = route((provider(token=Signs()), None))
    transport = Transport()
    with pytest.raises(TooLarge, match="a body that is to be signed has at most"):
        await Client(transport, counts_usage=True).pass_on(exchange_of(Request(b"12345")), who)

    assert transport.sent == []
