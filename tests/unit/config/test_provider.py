"""What a provider's section makes of its preset."""

import pytest

from proxy.config.provider import MockConfig, ProviderConfig
from proxy.preset import presets


def test_a_section_that_says_nothing_leaves_its_preset_as_it_is() -> None:
    assert ProviderConfig(type="openai").preset() == presets()["openai"]
    assert MockConfig(type="mock").preset() == presets()["mock"]


def test_a_section_wins_over_its_preset() -> None:
    made = ProviderConfig(
        type="openai",
        dialects=("openai_chat",),
        headers={"x-title": "t"},
        auth="x-api-key: {token}",
        paths={"openai_chat": "/chat"},
        stream_usage=False,
        max_tokens=7,
    ).preset()

    assert made.dialects == ("openai_chat",)
    assert made.headers == {"x-title": "t"}
    assert made.auth == "x-api-key: {token}"
    assert made.auth_said
    assert made.endpoints["openai_chat"].path == "/chat"
    assert not made.stream_usage
    assert made.quirks.default_max_tokens == 7
    assert made.quirks.refuses == presets()["openai"].quirks.refuses


def test_a_variable_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"^variables: resource is missing"):
        ProviderConfig(type="azure_openai").preset()
