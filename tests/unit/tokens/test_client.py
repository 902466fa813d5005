"""The client's own credential: from where it stands, or not at all."""

import pytest

from proxy.errors import Unauthenticated
from proxy.tokens.client import Client
from tests.unit.conftest import Request


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"authorization": "Bearer sk-1"}, "", "sk-1"),
        ({"x-api-key": "sk-1", "api-key": "sk-2"}, "", "sk-1"),
        ({"x-llm-proxy-key": "ours", "x-api-key": "sk-1"}, "", "sk-1"),
        ({}, "alt=sse&key=sk%2F1", "sk/1"),
    ],
)
def test_it_is_the_first_that_is_not_meant_for_this_proxy(
    headers: dict[str, str], query: str, found: str
) -> None:
    assert Client().credential(Request(headers=headers, query=query)) == found


@pytest.mark.parametrize("headers", [{}, {"x-llm-proxy-key": "ours"}, {"authorization": "Basic x"}])
def test_a_client_that_has_none_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="has no credential to pass on") as raised:
        Client().credential(Request(headers=headers))

    assert (raised.value.status, raised.value.code) == (401, "policy.unauthenticated")


@pytest.mark.parametrize("value", ["sk%0d%0ax-evil:%201", "sk%201", "%C3%A9", "%ff", "%00"])
def test_what_no_header_can_carry_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(Unauthenticated, match="characters that none can have") as raised:
        Client().credential(Request(query=f"key={value}"))

    assert "sk" not in str(raised.value)


def test_what_a_provider_says_of_it_is_the_clients_business() -> None:
    assert not Client().ours
