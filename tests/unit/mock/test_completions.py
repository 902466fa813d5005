from typing import Any

import msgspec
import pytest

from proxy.mock import completions
from proxy.mock.errors import MockError
from proxy.mock.reply import Streamed, Whole
from proxy.mock.settings import MockSettings

SETTINGS = MockSettings(output_tokens=3)


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "prompt": "Once upon a time", **fields})


def whole(**fields: Any) -> Any:
    reply = completions.reply(body(**fields), SETTINGS)
    assert isinstance(reply, Whole)
    return msgspec.json.decode(reply.body)


def chunks(**fields: Any) -> list[Any]:
    reply = completions.reply(body(stream=True, **fields), SETTINGS)
    assert isinstance(reply, Streamed)
    *sent, done = [event.data for event in reply.events]
    assert done == b"data: [DONE]\n\n"
    return [msgspec.json.decode(data.removeprefix(b"data: ")) for data in sent]


def test_a_response_has_the_shape_of_a_completion() -> None:
    response = whole()
    [choice] = response["choices"]
    assert response["object"] == "text_completion"
    assert response["id"].startswith("cmpl-")
    assert len(choice["text"].split()) == 3
    assert choice["finish_reason"] == "stop"
    assert response["usage"]["prompt_tokens"] == len("Once upon a time") // 4
    assert response["usage"]["completion_tokens"] == 3


def test_a_stream_says_what_the_whole_response_says() -> None:
    sent = chunks()
    text = "".join(chunk["choices"][0]["text"] for chunk in sent)
    assert text == whole()["choices"][0]["text"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in sent] == [None] * 3 + ["stop"]
    assert not any("usage" in chunk for chunk in sent)


def test_usage_comes_last_without_choices_if_it_is_wished() -> None:
    *others, last = chunks(stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]) == ([], whole()["usage"])


def test_continuous_usage_counts_along() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks(stream_options=options)]
    assert counts == [1, 2, 3, 3, 3]


def test_every_prompt_has_its_choices() -> None:
    response = whole(prompt=["One", "Two"], n=2)
    assert [choice["index"] for choice in response["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in response["choices"]}) == 4
    assert response["choices"][0]["text"] == whole(prompt="One")["choices"][0]["text"]


def test_a_prompt_may_be_tokens() -> None:
    assert whole(prompt=[1, 2, 3])["usage"]["prompt_tokens"] == 3
    assert len(whole(prompt=[[1, 2], [3]])["choices"]) == 2


def test_limits_are_kept() -> None:
    assert whole(max_tokens=2)["choices"][0]["finish_reason"] == "length"
    assert whole(max_tokens=9, ignore_eos=True)["usage"]["completion_tokens"] == 9


@pytest.mark.parametrize(
    ("fields", "param"), [({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"n": 0}, "n")]
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(MockError) as caught:
        completions.reply(body(**fields), SETTINGS)
    assert (caught.value.status, caught.value.param) == (400, param)
