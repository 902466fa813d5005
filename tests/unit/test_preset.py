"""Rows of providers.toml, and how a section changes one."""

from typing import Any

import pytest

from proxy.preset import Endpoint, Preset, customised

ROW = Preset(
    title="x",
    dialects=("openai_chat", "openai_embeddings"),
    url="https://{region}.a/{project}/v1",
    headers={"x-version": "{version}"},
    variables={"region": "eu", "project": "", "version": "1"},
    endpoints={"openai_chat": Endpoint(path="/{region}/models/{model}:chat")},
)
NOTHING: dict[str, Any] = {
    "dialects": None,
    "variables": {},
    "headers": {},
    "paths": {},
    "auth": None,
    "stream_usage": None,
    "max_tokens": None,
}


def made(**changes: Any) -> Preset:
    return customised(ROW, **(NOTHING | changes))


def test_variables_are_filled_in_everywhere_and_the_model_stays() -> None:
    preset = made(variables={"project": "p", "region": "us"})

    assert preset.url is not None
    assert preset.filled("url", preset.url) == "https://us.a/p/v1"
    assert preset.headers == {"x-version": "1"}
    assert preset.endpoints["openai_chat"].path == "/us/models/{model}:chat"


def test_a_variable_without_a_value_must_be_given() -> None:
    with pytest.raises(ValueError, match=r"^variables: project is missing"):
        made()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"headers": {"a": "{b}"}}, r"^headers: nothing is known of \{b\}"),
        ({"paths": {"openai_chat": "/{b}"}}, r"^paths: nothing is known of \{b\}"),
        ({"paths": {"gemini": "/x"}}, r"^paths: gemini is none of its dialects"),
    ],
)
def test_what_a_section_gets_wrong_is_told_by_its_key(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        made(**({"variables": {"project": "p"}} | changes))


def test_a_name_that_stands_for_nothing_is_told_with_those_that_are_known() -> None:
    preset = made(variables={"project": "p"})
    with pytest.raises(
        ValueError, match=r"^url: nothing is known of \{host\} \(variables: region, "
    ):
        preset.filled("url", "http://{host}/v1")


def test_a_path_of_the_section_is_that_of_streams_too() -> None:
    preset = made(variables={"project": "p"}, paths={"openai_embeddings": "/e"})

    assert preset.endpoints["openai_embeddings"] == Endpoint(path="/e", stream_path="/e")
