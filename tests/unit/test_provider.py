import re

from proxy.provider import presets


def test_the_presets_are_read_once() -> None:
    assert presets() is presets()


def test_there_is_a_preset_for_each_provider_of_this_version() -> None:
    assert set(presets()) == {"openai", "openai_compatible", "vllm", "ollama", "mock"}


def test_openai_needs_nothing_but_its_variable() -> None:
    openai = presets()["openai"]

    assert openai.url == "https://api.openai.com/v1"
    assert openai.token_env == "OPENAI_API_KEY"
    assert openai.stream_usage


def test_a_server_of_ones_own_needs_a_url_and_no_token() -> None:
    for name in ("openai_compatible", "vllm"):
        assert presets()[name].url is None
        assert presets()[name].token_env is None
    assert presets()["ollama"].url == "http://127.0.0.1:11434/v1"


def test_only_servers_that_may_not_take_stream_options_are_spared_them() -> None:
    assert [name for name, preset in presets().items() if not preset.stream_usage] == [
        "openai_compatible"
    ]


def test_every_auth_header_has_a_place_for_the_token() -> None:
    for preset in presets().values():
        if preset.auth is not None:
            assert re.fullmatch(r"[a-z-]+: [A-Za-z ]*\{token\}", preset.auth)
    assert presets()["mock"].auth is None
