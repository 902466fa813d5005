"""Usage: what an object says replaces what was known, and what it leaves out stays."""

import json

import pytest

from proxy.dialects._anthropic.wire import STOP_WORDS, STOPS, Raw, add_usage, spell_usage
from proxy.event import Usage

KNOWN = Usage(
    input_tokens=60,
    output_tokens=4,
    cached_tokens=20,
    reasoning_tokens=2,
    cache_write_tokens=30,
)


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 4}, Usage(10, 4)),
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 20,
                "output_tokens": 4,
                "output_tokens_details": {"thinking_tokens": 2},
                "service_tier": "standard",
            },
            KNOWN,
        ),
        ({"input_tokens": None, "output_tokens": 4, "output_tokens_details": None}, Usage(0, 4)),
        ({"output_tokens": 0}, Usage()),
        ({"type": "object"}, None),
        ({"input_tokens": "ten"}, None),
        ({"input_tokens": -1}, None),
        ({"input_tokens": 10**400}, None),
        ([], None),
    ],
)
def test_the_input_is_all_of_it(said: object, usage: Usage | None) -> None:
    assert add_usage(None, json.dumps(said).encode()) == usage


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"output_tokens": 9}, Usage(60, 9, 20, 2, 30)),
        ({"input_tokens": 11, "output_tokens": 9}, Usage(61, 9, 20, 2, 30)),
        ({"cache_read_input_tokens": 0, "output_tokens": 4}, Usage(40, 4, 0, 2, 30)),
        ({"cache_read_input_tokens": 5}, KNOWN),
        ({}, KNOWN),
    ],
)
def test_what_is_said_replaces_and_what_is_not_stays(said: object, usage: Usage) -> None:
    assert add_usage(KNOWN, json.dumps(said).encode()) == usage


def test_bytes_that_are_no_json_change_nothing() -> None:
    assert add_usage(KNOWN, b"{") is KNOWN


def test_usage_is_spelled_with_its_parts_apart() -> None:
    assert spell_usage(KNOWN, {}) == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 20,
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert spell_usage(Usage(), {}) == {"input_tokens": 0, "output_tokens": 0}


def test_more_cached_tokens_than_tokens_make_no_negative_count() -> None:
    assert spell_usage(Usage(input_tokens=5, cached_tokens=9), {})["input_tokens"] == 0


def test_what_else_an_object_had_stays() -> None:
    before = {"cache_read_input_tokens": Raw(b"0"), "inference_geo": Raw(b'"us"')}

    assert spell_usage(Usage(1, 2), before) == {
        "cache_read_input_tokens": 0,
        "inference_geo": before["inference_geo"],
        "input_tokens": 1,
        "output_tokens": 2,
    }


def test_each_stop_reason_has_its_word_and_back() -> None:
    assert {STOPS[STOP_WORDS[reason]] for reason in STOPS.values()} == set(STOPS.values())
    assert STOP_WORDS["filter"] == "refusal"
