"""A request that is edited keeps what nobody edited; an exchange knows its own time."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange import ParsedRequest
from tests.unit.conftest import exchange_of

BODY = (
    b'{ "z": 1.50,\n "messages" : [ {"content": "\\u00e9\xc3\xa9",  "n": 1E2} ], '
    b'"unknown": {"a" : [ ]}, "seed": null }'
)


def parsed(body: bytes = BODY) -> ParsedRequest:
    return ParsedRequest(raw=body, model="m", stream=False)


def test_a_body_that_nobody_changed_is_the_clients_own_bytes() -> None:
    request = parsed()
    assert request.fields["z"] == msgspec.Raw(b"1.50")
    request.drop("absent")

    assert request.body() is request.raw
    assert not request.changed


def test_an_edit_keeps_order_spelling_unknown_fields_and_every_nested_byte() -> None:
    request = parsed()
    request.set("seed", 7)
    request.set("user", "u")

    assert request.changed
    assert request.fields["seed"] == msgspec.Raw(b"7")
    assert request.body() == (
        b'{"z":1.50,"messages":[ {"content": "\\u00e9\xc3\xa9",  "n": 1E2} ],'
        b'"unknown":{"a" : [ ]},"seed":7,"user":"u"}'
    )


def test_a_field_is_set_in_its_old_place_and_taken_out_of_it() -> None:
    request = parsed(b'{"a":1,"b":2,"c":3}')
    request.set("b", msgspec.Raw(b"[ 1 ]"))
    request.drop("a")

    assert request.body() == b'{"b":[ 1 ],"c":3}'


def test_taking_out_a_field_that_is_null_is_a_change() -> None:
    request = parsed(b'{"a":null}')
    request.drop("a")

    assert request.body() == b"{}"


def test_a_branch_does_not_change_what_it_branched_from() -> None:
    request = parsed(b'{"model":"m","a":1}')
    for source in (request, request.branch()):
        source.set("a", 2)
        branch = source.branch()
        branch.set("model", "other")
        branch.drop("a")

        assert branch.body() == b'{"model":"other"}'
        assert source.body() == b'{"model":"m","a":2}'


def test_a_branch_of_what_nobody_read_is_its_own_as_well() -> None:
    request = parsed(b'{"a":1}')
    request.branch().set("a", 2)

    assert request.body() is request.raw


def test_a_request_that_was_sent_can_let_go_of_its_bytes() -> None:
    request = ParsedRequest(raw=b'{"a":1}', model="m", stream=True)
    request.set("a", 2)
    request.forget()

    assert request.raw == b""
    assert request.fields == {}
    assert (request.model, request.stream) == ("m", True)


leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
plain = leaf | st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=4), leaf, max_size=3)


@given(st.dictionaries(st.text(max_size=4), plain, max_size=6), plain)
def test_an_edit_means_what_the_same_edit_of_the_decoded_object_means(
    tree: dict[str, Any], value: Any
) -> None:
    """Invariant: whatever stands in a body, setting one field changes that field alone."""
    request = parsed(json.dumps(tree, ensure_ascii=False, indent=1).encode())
    request.set("x", value)

    edited = json.loads(request.body())
    assert edited == tree | {"x": value}
    assert list(edited) == list(tree | {"x": value})


@pytest.mark.parametrize(
    ("read_at", "connecting", "sent_at", "head_at", "started_at", "overhead"),
    [
        (1.0, 0.0, 0.0, 0.0, 1.5, 0.0),  # nobody was asked
        (1.0, 0.0, 1.25, 0.0, 0.0, 0.25),  # no answer came
        (1.0, 0.5, 2.0, 9.0, 9.125, 0.625),
    ],
)
def test_waiting_for_either_side_is_not_overhead(
    read_at: float,
    connecting: float,
    sent_at: float,
    head_at: float,
    started_at: float,
    overhead: float,
) -> None:
    exchange = exchange_of()
    exchange.read_at, exchange.connecting = read_at, connecting
    exchange.sent_at, exchange.head_at, exchange.started_at = sent_at, head_at, started_at

    exchange.end(9.5)

    assert exchange.overhead == overhead
    assert exchange.ended_at == 9.5


def test_an_exchange_is_a_stream_if_its_client_asked_for_one() -> None:
    exchange = exchange_of()
    assert not exchange.stream
    exchange.parsed = ParsedRequest(raw=b"", model=None, stream=True)
    assert exchange.stream


def test_two_exchanges_are_never_the_same_and_share_no_notes() -> None:
    one, two = exchange_of(), exchange_of()
    one.notes["mine"] = 1

    assert len({one, two}) == 2
    assert two.notes == {}
