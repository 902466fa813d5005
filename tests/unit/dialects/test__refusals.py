"""What statuses say in every dialect; what OpenAI's say in its own words is in test__openai."""

import pytest

from proxy.dialects._refusals import WORDS, plain, refused
from proxy.errors import BadCredentials, BadResponse, ProviderBroke, ProviderRefused, TooLong


@pytest.mark.parametrize(
    ("status", "fit", "too_long", "kind"),
    [
        (401, True, True, BadCredentials),
        (400, True, True, TooLong),
        (413, False, True, TooLong),
        (400, False, False, ProviderRefused),
        (500, True, True, ProviderBroke),
        (500, False, False, BadResponse),
    ],
)
def test_the_status_goes_before_what_the_body_says(
    status: int, fit: bool, too_long: bool, kind: type
) -> None:
    error = refused(status, "because", fit=fit, too_long=too_long)

    assert type(error) is kind
    assert error.status == (502 if kind is BadCredentials else status)
    assert refused(status, "", fit=fit, too_long=too_long).args[0]


def test_no_more_of_the_words_is_repeated_than_anybody_reads() -> None:
    assert str(refused(400, "x" * (WORDS + 1), fit=True)) == "x" * WORDS
    assert plain(b"y" * (WORDS + 1)) == "y" * WORDS
    assert plain(b"<html>") == plain(b"two\nlines") == plain(b"\xff\x00") == ""
