"""What of a request decides who serves it."""

import pytest

from proxy.affinity import affinity, check_affinity
from proxy.dialects.openai_chat import OpenAIChat
from tests.unit.conftest import Request, exchange_of

BODY = b'{"model":"m","user":"u-1"}'


def key(by: str, body: bytes = BODY, parsed: bool = True, **headers: str) -> bytes:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    exchange = exchange_of(Request(body, headers=names))
    exchange.parsed = OpenAIChat().parse(body) if parsed else None
    return affinity(exchange, by)


@pytest.mark.parametrize("by", ["client", "header:x-session-id", "field:user"])
def test_affinity_can_hang_on_a_client_a_header_or_a_field(by: str) -> None:
    check_affinity(by)


@pytest.mark.parametrize("by", ["", "clients", "header", "header:", "field:", "model", "cookie:x"])
def test_it_hangs_on_nothing_else(by: str) -> None:
    with pytest.raises(ValueError, match='expected "client", "header:NAME" or "field:NAME"'):
        check_affinity(by)


def test_a_client_is_known_by_its_credential_else_by_its_address() -> None:
    assert key("client", authorization="Bearer sk-1") == b"sk-1"
    assert key("client") == b"127.0.0.1"


def test_a_header_and_a_field_are_taken_as_they_stand() -> None:
    assert key("header:X-Session-Id", x_session_id="s-1") == b"s-1"
    assert key("field:user") == b'"u-1"'


def test_a_request_without_them_belongs_to_its_client() -> None:
    assert key("header:x-session-id", api_key="sk-2") == b"sk-2"
    assert key("field:other") == b"127.0.0.1"
    assert key("field:user", parsed=False) == b"127.0.0.1"
