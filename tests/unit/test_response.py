"""What of a provider's answer a client gets, and under which head."""

import json

import pytest

from proxy import client
from proxy.dialects.openai_chat import OpenAIChat
from proxy.errors import BadCredentials, BadResponse, ProviderBroke
from proxy.event import Usage
from proxy.response import MAX_REFUSAL, Responder
from proxy.router import Target
from proxy.timers import Sweep
from tests.unit.conftest import (
    NO_TIMEOUTS,
    CountingToken,
    Downstream,
    Request,
    Upstream,
    exchange_of,
    provider,
)

CHAT = OpenAIChat()
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DELTA = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'


class Answered:
    """What came of one answer."""

    def __init__(self, upstream: Upstream, request: Request | None = None) -> None:
        self.exchange = exchange_of(request)
        self.exchange.route, self.exchange.provider, self.exchange.model = "chat", "mine", "m"
        self.exchange.attempts = 1
        self.upstream = upstream
        self.downstream = Downstream()
        self.responder = Responder(Sweep())

    async def answer(self, *, strip: bool = False, trusted: bool = True) -> "Answered":
        who = provider(token=CountingToken() if trusted else None)
        answered = client.Answered(Target(who, None, NO_TIMEOUTS), self.upstream, strip, None)
        await self.responder.answer(self.exchange, CHAT, answered, self.downstream)
        return self

    async def pass_on(self) -> "Answered":
        await self.responder.pass_on(
            self.exchange, CHAT, self.upstream, self.downstream, NO_TIMEOUTS
        )
        return self


BODY = b'{"choices":[{}], "usage": {"prompt_tokens":3,"completion_tokens":4}}'


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("status", [200, 201, 203])
async def test_an_answer_passes_as_it_is(status: int, whole: bool) -> None:
    upstream = (
        Upstream(status=status, fields=JSON, length=len(BODY), whole=BODY)
        if whole
        else Upstream(BODY[:9], BODY[9:], None, status=status, fields=JSON, length=len(BODY))
    )
    it = await Answered(upstream).answer(strip=True)

    assert (it.downstream.status, it.downstream.length) == (status, len(BODY))
    assert (it.downstream.body, it.downstream.ends) == (BODY, ["finished"])
    assert it.exchange.usage == Usage(input_tokens=3, output_tokens=4)
    assert (it.exchange.status, it.exchange.bytes_out) == (status, len(BODY))
    assert (it.exchange.events, it.exchange.phase) == (False, "streaming")
    assert it.exchange.chunks == (1 if whole else 2)
    assert it.exchange.first_at >= it.exchange.started_at > 0


async def test_a_head_says_whose_it_is_and_keeps_what_the_provider_said() -> None:
    fields = {
        **JSON,
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "7",
        "connection": "close, x-secret",
        "x-secret": "1",
        "cache-control": "private",
        "set-cookie": "a",
        "x-llm-proxy-route": "forged",
    }
    it = Answered(Upstream(b"{}", None, fields=fields, length=2))
    it.exchange.sent_at, it.exchange.head_at = 2.0, 3.0
    await it.answer()

    timing = it.downstream.fields.pop("server-timing")
    assert list(it.downstream.fields.items()) == [
        ("content-type", "application/json"),
        ("x-request-id", "req_1"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("cache-control", "private"),
        ("x-llm-proxy-route", "chat"),
        ("x-llm-proxy-provider", "mine"),
        ("x-llm-proxy-model", "m"),
        ("x-llm-proxy-request-id", "id-1"),
        ("x-llm-proxy-attempts", "1"),
    ]
    proxy, upstream = timing.split(", ")
    assert upstream == "upstream;dur=1000.000"
    assert float(proxy.removeprefix("proxy;dur=")) >= 0


async def test_an_id_of_ours_stands_in_for_one_that_the_provider_did_not_send() -> None:
    it = await Answered(Upstream(b"{}", None, fields=JSON, length=2)).answer()

    assert it.downstream.fields.getall("x-request-id") == ["id-1"]


async def test_what_is_not_known_of_an_exchange_is_not_in_its_head() -> None:
    exchange = exchange_of()
    names = [
        line.partition(b":")[0] for line in Responder(Sweep()).own_fields(exchange).splitlines()
    ]

    assert names == [b"x-llm-proxy-request-id", b"x-llm-proxy-attempts", b"server-timing"]


@pytest.mark.parametrize("name", ["é", "€", "日本"])
async def test_names_beyond_latin_1_break_no_head(name: str) -> None:
    it = Answered(Upstream(b"{}", None, fields=JSON, length=2))
    it.exchange.model = it.exchange.route = name
    await it.answer()

    assert it.downstream.fields["x-llm-proxy-model"] in (name, "?" * len(name))


@pytest.mark.parametrize(
    ("strip", "body", "length"),
    [(False, DELTA + USAGE, 7), (True, DELTA, None)],
)
@pytest.mark.parametrize("whole", [False, True])
async def test_a_stream_keeps_or_loses_its_usage_chunk_and_is_not_to_be_buffered(
    strip: bool, body: bytes, length: int | None, whole: bool
) -> None:
    stream = DELTA + USAGE
    fields = EVENTS | {"cache-control": "public", "x-accel-buffering": "yes"}
    upstream = (
        Upstream(fields=fields, whole=stream)
        if whole
        else Upstream(stream, None, fields=fields, length=7)
    )
    it = await Answered(upstream).answer(strip=strip)

    assert (it.downstream.body, it.downstream.ends) == (body, ["finished"])
    assert it.downstream.length == (len(body) if whole else length)
    assert it.downstream.fields.getall("cache-control") == ["no-cache, no-transform"]
    assert it.downstream.fields.getall("x-accel-buffering") == ["no"]
    assert it.exchange.events
    assert it.exchange.usage == Usage(input_tokens=3, output_tokens=4)
    assert it.exchange.error is None


async def test_a_usage_chunk_in_an_answer_that_is_no_stream_stays() -> None:
    it = await Answered(Upstream(USAGE, None, fields=JSON, length=len(USAGE))).answer(strip=True)

    assert (it.downstream.body, it.downstream.length) == (USAGE, len(USAGE))


@pytest.mark.parametrize("whole", [False, True])
async def test_a_stream_that_ends_in_an_error_of_the_providers_is_told_of(whole: bool) -> None:
    stream = DELTA + b'data: {"error":{"message":"out of memory"}}\n\n'
    upstream = (
        Upstream(fields=EVENTS, whole=stream) if whole else Upstream(stream, None, fields=EVENTS)
    )
    it = await Answered(upstream).answer()

    assert it.downstream.body == stream
    assert it.exchange.told
    assert type(it.exchange.error) is ProviderBroke
    assert str(it.exchange.error) == "out of memory"


async def test_a_stream_that_breaks_after_its_error_was_told_by_the_provider() -> None:
    it = Answered(
        Upstream(b'data: {"error":{"message":"no"}}\n\n', ProviderBroke("reset"), fields=EVENTS)
    )
    with pytest.raises(ProviderBroke, match="reset"):
        await it.answer()

    assert it.exchange.told
    assert str(it.exchange.error) == "no"


async def test_what_breaks_is_raised_with_everything_counted() -> None:
    it = Answered(Upstream(DELTA, b"data: {", ProviderBroke("reset"), fields=EVENTS))
    with pytest.raises(ProviderBroke):
        await it.answer()

    assert it.downstream.ends == []
    assert it.exchange.torn
    assert (it.exchange.chunks, it.exchange.bytes_out) == (2, len(DELTA) + 7)
    assert it.exchange.gaps is not None


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        (Upstream(status=204), "the provider answered 204, which is neither yes nor no"),
        (Upstream(status=302, fields=JSON), "answered 302"),
        (Upstream(status=206, fields=JSON), "answered 206"),
        (Upstream(fields=JSON, length=0), "the provider answered 200 without a body"),
        (
            Upstream(fields={"content-type": "Text/HTML"}, length=9),
            "the provider answered 200 with a page of HTML: is its url right?",
        ),
        (
            Upstream(fields=JSON | {"content-encoding": "br"}, length=9),
            "the provider answered in br, which nobody asked for",
        ),
    ],
)
async def test_what_no_endpoint_answers_is_a_bad_response(upstream: Upstream, message: str) -> None:
    it = Answered(upstream, Request(headers={"Accept-Encoding": "gzip"}))
    with pytest.raises(BadResponse, match=message):
        await it.answer()

    assert not it.downstream.started


GZIP = {"content-encoding": "gzip"}


@pytest.mark.parametrize("fields", [JSON, EVENTS])
async def test_a_coding_that_the_client_takes_passes_unread(fields: dict[str, str]) -> None:
    upstream = Upstream(b'\x1f\x8b"usage":{"prompt_tokens":3}', None, fields=fields | GZIP)
    it = await Answered(upstream, Request(headers={"Accept-Encoding": "br, gzip"})).answer()

    assert it.downstream.fields["content-encoding"] == "gzip"
    assert it.downstream.body.startswith(b"\x1f\x8b")
    assert it.exchange.usage is None


async def test_a_coding_that_hides_what_is_to_be_taken_out_is_refused() -> None:
    it = Answered(Upstream(fields=EVENTS | GZIP), Request(headers={"Accept-Encoding": "gzip"}))
    with pytest.raises(BadResponse, match="in gzip, which nobody asked for"):
        await it.answer(strip=True)


REFUSAL = json.dumps({"error": {"message": "too hot", "type": "x", "code": "y"}}).encode()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "provider.refused"),
        (429, "provider.rate_limited"),
        (500, "provider.broke"),
        (529, "provider.overloaded"),
    ],
)
async def test_a_refusal_passes_in_the_providers_words(status: int, code: str) -> None:
    fields = JSON | {"retry-after": "7", "x-request-id": "req_1"}
    it = await Answered(Upstream(REFUSAL, None, status=status, fields=fields)).answer()

    assert (it.downstream.status, it.downstream.body) == (status, REFUSAL)
    assert (it.downstream.length, it.downstream.ends) == (len(REFUSAL), ["finished"])
    assert it.downstream.fields["retry-after"] == "7"
    assert it.downstream.fields["x-llm-proxy-error"] == code
    assert it.exchange.error is not None
    assert (it.exchange.error.code, it.exchange.status) == (code, status)
    assert it.exchange.bytes_out == len(REFUSAL)


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (404, b"<html>nginx</html>", "provider.refused", "the provider answered 404"),
        (404, b"no such model", "provider.refused", "no such model"),
        (502, b"<html>nginx</html>", "provider.bad_response", "the provider failed with 502"),
        (500, b" " * (MAX_REFUSAL + 1), "provider.bad_response", "the provider failed with 500"),
        (
            400,
            b'{"error":{"message":"x"}}' + b" " * MAX_REFUSAL,
            "provider.refused",
            "x",
        ),
    ],
)
async def test_a_refusal_that_does_not_fit_is_told_in_words_of_ours(
    status: int, body: bytes, code: str, message: str
) -> None:
    fields = {"content-type": "text/html", "content-encoding": "x", "x-request-id": "req_1"}
    it = await Answered(Upstream(body, None, status=status, fields=fields)).answer()

    error = json.loads(it.downstream.body)["error"]
    assert (error["code"], error["message"]) == (code, message)
    assert it.downstream.status == status
    assert it.downstream.fields.getall("content-type") == ["application/json"]
    assert "content-encoding" not in it.downstream.fields
    assert it.downstream.fields["x-request-id"] == "req_1"
    assert it.downstream.fields["x-llm-proxy-error"] == code
    assert it.downstream.length == len(it.downstream.body)


async def test_credentials_of_ours_that_are_refused_are_no_business_of_the_clients() -> None:
    it = Answered(Upstream(REFUSAL, None, status=401, fields=JSON))
    with pytest.raises(BadCredentials, match="the provider refused the proxy's credentials"):
        await it.answer(trusted=True)

    assert not it.downstream.started


async def test_where_the_proxy_has_none_a_401_is_the_clients_own() -> None:
    it = await Answered(Upstream(REFUSAL, None, status=401, fields=JSON)).answer(trusted=False)

    assert (it.downstream.status, it.downstream.body) == (401, REFUSAL)
    assert it.downstream.fields["x-llm-proxy-error"] == "provider.refused"


async def test_a_refusal_that_breaks_is_not_passed_on_in_part() -> None:
    it = Answered(Upstream(REFUSAL[:9], ProviderBroke("reset"), status=400, fields=JSON))
    with pytest.raises(ProviderBroke):
        await it.answer()

    assert not it.downstream.started


@pytest.mark.parametrize(("status", "code"), [(200, None), (302, None), (404, "provider.refused")])
async def test_what_passes_on_passes_unread_whatever_it_is(status: int, code: str | None) -> None:
    fields = {"content-type": "text/html", "cache-control": "public", "content-encoding": "br"}
    it = await Answered(Upstream(b"<p>", None, status=status, fields=fields, length=3)).pass_on()

    assert (it.downstream.status, it.downstream.body) == (status, b"<p>")
    assert (it.downstream.length, it.downstream.ends) == (3, ["finished"])
    assert it.downstream.fields["content-encoding"] == "br"
    assert it.downstream.fields["cache-control"] == "public"
    assert it.downstream.fields.get("x-llm-proxy-error") == code
    assert it.exchange.usage is None


@pytest.mark.parametrize(
    ("method", "status", "said", "length"),
    [
        ("HEAD", 200, "7", 7),
        ("HEAD", 200, None, None),
        ("HEAD", 200, "x", None),
        ("GET", 304, "7", 7),
        ("GET", 304, None, None),
        ("GET", 204, "7", None),
        ("GET", 200, "7", 0),
    ],
)
async def test_a_head_without_a_body_tells_the_length_of_the_one_it_stands_for(
    method: str, status: int, said: str | None, length: int | None
) -> None:
    fields = {} if said is None else {"content-length": said}
    upstream = Upstream(None, status=status, fields=fields, length=0)
    it = await Answered(upstream, Request(method=method)).pass_on()

    assert (it.downstream.length, it.downstream.ends) == (length, ["finished"])
    assert "content-length" not in it.downstream.fields


async def test_what_passes_on_and_breaks_is_raised() -> None:
    it = Answered(Upstream(b"one", ProviderBroke("reset")))
    with pytest.raises(ProviderBroke):
        await it.pass_on()

    assert (it.downstream.body, it.downstream.ends) == (b"one", [])
