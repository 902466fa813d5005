"""What Bedrock's endpoints share: paths, refusals, errors."""

import pytest

from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.dialects.bedrock_count_tokens import BedrockCountTokens
from proxy.errors import BadRequest, ProviderBroke, Unsupported
from proxy.event import Failure

DIALECT = BedrockConverse()


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/model/m/converse", "m", False),
        ("/model/a%2Fb%3A0/converse-stream", "a/b:0", True),
        ("/model/arn%3Aaws%3Ax%2Fy/converse", "arn:aws:x/y", False),
        ("/model/arn:aws:x/y/converse", "arn:aws:x/y", False),
    ],
)
def test_the_path_says_model_and_stream(path: str, model: str, stream: bool) -> None:
    request = DIALECT.parse(b"{}", path)

    assert (request.model, request.stream) == (model, stream)


def test_what_does_not_stream_never_does() -> None:
    assert not BedrockCountTokens().parse(b"{}", "/model/m/count-tokens").stream
    assert not DIALECT.parse(b"{}", "/model/m/").stream


def test_a_refusal_and_an_error_are_one_message() -> None:
    error, fit = DIALECT.refusal(400, DIALECT.error(BadRequest("words")))

    assert (str(error), fit) == ("words", True)


def test_an_error_of_ours_is_an_exception_in_the_stream() -> None:
    [failure] = DIALECT.decoder().feed(DIALECT.error_event(ProviderBroke("words")))

    assert isinstance(failure, Failure)
    assert str(failure.error) == "words"


def test_nobody_speaks_it_to_us() -> None:
    request = DIALECT.parse(b"{}", "/model/m/converse")

    assert not DIALECT.client_facing
    assert not DIALECT.ask_usage(request)
    assert DIALECT.failure(b"x") is None
    assert DIALECT.watch(stream=True, strip=True).feed(b"x") == b"x"
    with pytest.raises(Unsupported):
        DIALECT.add_system(request, "x")


def test_streams_have_their_own_content_type() -> None:
    assert DIALECT.content_type(None, stream=True) == b"application/vnd.amazon.eventstream"
    assert DIALECT.content_type(None, stream=False) == b"application/json"
