"""The closed list of errors: codes, statuses, faults, and which of them may be tried again."""

import pytest

from proxy import errors
from proxy.errors import ConfigError, ConnectFailed, ProxyError, Unsupported

CODES = {
    "BadJSON": ("client.bad_json", 400),
    "BadRequest": ("client.bad_request", 400),
    "Unsupported": ("client.unsupported", 400),
    "TooLong": ("client.too_long", 400),
    "TooLarge": ("client.too_large", 413),
    "ClientTimeout": ("client.timeout", 408),
    "ClientLeft": ("client.left", 499),
    "Unauthenticated": ("policy.unauthenticated", 401),
    "Forbidden": ("policy.forbidden", 403),
    "Blocked": ("policy.blocked", 400),
    "Overloaded": ("policy.overloaded", 503),
    "ConnectFailed": ("provider.connect", 502),
    "ProviderBroke": ("provider.broke", 502),
    "BadResponse": ("provider.bad_response", 502),
    "ProviderTimeout": ("provider.timeout", 504),
    "ProviderRefused": ("provider.refused", 400),
    "ProviderRateLimited": ("provider.rate_limited", 429),
    "ProviderOverloaded": ("provider.overloaded", 503),
    "BadCredentials": ("provider.credentials", 502),
    "NoRoute": ("proxy.no_route", 404),
    "Draining": ("proxy.draining", 503),
    "ProcessorFailed": ("proxy.processor", 500),
    "InternalError": ("proxy.internal", 500),
}
"""The public list, as it is documented."""

# The heads of the tree, which are raised only where a leaf says nothing more.
HEADS = {"ProxyError", "ClientError", "PolicyError", "ProviderError"}
CLASSES = {
    name: thing
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, ProxyError)
}


def test_every_error_has_the_code_and_the_status_of_the_public_list() -> None:
    leaves = {name: thing for name, thing in CLASSES.items() if name not in HEADS}

    assert {name: (thing.code, thing.status) for name, thing in leaves.items()} == CODES


def test_a_code_stands_for_one_class_and_a_head_borrows_one_of_the_list() -> None:
    codes = [code for code, _ in CODES.values()]

    assert len(set(codes)) == len(codes)
    assert {CLASSES[name].code for name in HEADS} <= set(codes)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_branch_of_the_tree_says_whose_fault_it_is(name: str) -> None:
    branches = {
        "client": errors.ClientError,
        "policy": errors.PolicyError,
        "provider": errors.ProviderError,
        "proxy": errors.InternalError,
    }
    error = CLASSES[name]("x")

    assert [fault for fault, branch in branches.items() if isinstance(error, branch)] == [
        error.fault
    ]


def test_only_what_no_provider_has_seen_is_tried_again() -> None:
    assert [thing for thing in CLASSES.values() if thing.retry] == [ConnectFailed]


def test_an_error_carries_what_its_answer_needs() -> None:
    error = Unsupported("only POST", param="model", status=405, headers={"allow": "POST"})

    assert (str(error), error.param, error.status) == ("only POST", "model", 405)
    assert error.headers == {"allow": "POST"}
    assert Unsupported("x").status == 400


def test_the_docstring_shows_the_whole_tree() -> None:
    missing = [name for name in (*CLASSES, "ConfigError") if name not in (errors.__doc__ or "")]

    assert missing == []


def test_a_configuration_error_tells_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigError(["a: b", "c: d"])

    assert str(error) == "a: b\nc: d"
    assert error.problems == ["a: b", "c: d"]
