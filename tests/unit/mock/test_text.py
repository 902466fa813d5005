from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from proxy.mock.text import (
    WORDS,
    created,
    date,
    estimate_tokens,
    fingerprint,
    generator,
    identifier,
    words,
)


@given(st.integers(), st.binary(), st.integers(0, 40))
def test_the_same_seed_and_prompt_give_the_same_words(seed: int, prompt: bytes, count: int) -> None:
    key = fingerprint(seed, prompt)
    assert words(generator(key), count) == words(generator(key), count)


def test_seed_prompt_and_choice_each_change_the_words() -> None:
    keys = [(fingerprint(0, b"a"), 0), (fingerprint(1, b"a"), 0), (fingerprint(0, b"b"), 0)]
    keys.append((fingerprint(0, b"a"), 1))
    assert len({"".join(words(generator(key, index), 16)) for key, index in keys}) == len(keys)


def test_where_one_part_ends_and_the_next_begins_matters() -> None:
    assert fingerprint(0, b"ab", b"c") != fingerprint(0, b"a", b"bc")


def test_pieces_are_words_that_joined_make_a_text() -> None:
    pieces = words(generator(b"key"), 50)
    assert len(pieces) == 50
    assert all(word in WORDS for word in "".join(pieces).split(" "))
    assert words(generator(b"key"), 0) == []


def test_some_words_are_longer_in_bytes_than_in_letters() -> None:
    assert any(len(word.encode()) > len(word) for word in WORDS)


def test_an_id_has_its_prefix_and_differs_by_key_index_and_prefix() -> None:
    ids = [
        identifier("call_", b"a"),
        identifier("call_", b"b"),
        identifier("call_", b"a", 1),
        identifier("msg_", b"a"),
    ]
    assert ids[0].startswith("call_")
    assert len({each.partition("_")[2] for each in ids}) == len(ids)


@given(st.integers())
def test_the_date_is_the_time_of_creation(seed: int) -> None:
    assert parsedate_to_datetime(date(seed)).timestamp() == created(seed)


def test_an_estimate_is_a_quarter_of_the_bytes_and_at_least_one() -> None:
    assert [estimate_tokens(b"x" * size) for size in (0, 3, 4, 400)] == [1, 1, 1, 100]
