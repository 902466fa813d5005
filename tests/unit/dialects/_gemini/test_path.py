"""The model and the method of a path."""

import pytest

from proxy.dialects._gemini.path import model_name, read_path, resource


@pytest.mark.parametrize(
    ("path", "model", "method"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", "generateContent"),
        ("/v1/models/gemini-2.5-pro:countTokens", "gemini-2.5-pro", "countTokens"),
        ("/v1alpha/models/m:streamGenerateContent", "m", "streamGenerateContent"),
        ("/v1beta/tunedModels/mine-1:generateContent", "tunedModels/mine-1", "generateContent"),
        ("/v1beta/models/openai/gpt-4o:generateContent", "openai/gpt-4o", "generateContent"),
        ("/v1beta/models/openai%2Fgpt-4o:generateContent", "openai/gpt-4o", "generateContent"),
        ("/v1beta/models/gemini%3AgenerateContent", "gemini", "generateContent"),
        ("/v1beta/models/llama3:8b:generateContent", "llama3:8b", "generateContent"),
        ("/v1beta/models/m%C3%A9:generateContent", "mé", "generateContent"),
        ("/v1beta1/publishers/google/models/g:generateContent", "g", "generateContent"),
        ("/v1beta1/publishers/meta/models/llama:generateContent", "meta/llama", "generateContent"),
        ("/v1beta/models/publishers/google/models/g:generateContent", "g", "generateContent"),
        (
            "/v1/projects/p/locations/us-central1/publishers/google/models/g:generateContent",
            "g",
            "generateContent",
        ),
        (
            "/v1/projects/p/locations/l/endpoints/7:generateContent",
            "projects/p/locations/l/endpoints/7",
            "generateContent",
        ),
    ],
)
def test_a_path_names_a_model_and_a_method(path: str, model: str, method: str) -> None:
    assert read_path(path) == (model, method)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1/chat/completions",
        "/v1beta/models",
        "/v1beta/models/gemini",
        "/v1beta/:generateContent",
        "/v1beta/models/m:",
        "/v1beta/models/m:generate/Content",
        "models/m:generateContent",
        "/beta/models/m:generateContent",
    ],
)
def test_any_other_path_names_none(path: str) -> None:
    assert read_path(path) is None


def test_a_resource_is_called_by_the_name_of_its_model() -> None:
    assert model_name("models/m") == model_name("m") == "m"
    assert model_name("models/") == "models/"
    assert resource("m") == resource("models/m") == "models/m"
    assert resource("tunedModels/t") == "tunedModels/t"
