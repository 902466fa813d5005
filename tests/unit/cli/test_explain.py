import io
import json
import sys
from pathlib import Path

import pytest

from proxy.cli import main

CONFIG = """
[provider.openai]
type = "openai"
token = "literal:canary"
[provider.mock]
type = "mock"
[processor.limits]
type = "parameters"
clamp = { max_tokens = { max = 10 } }
[[route]]
name = "files"
path = "/v1/files"
targets = "openai"
[[route]]
name = "chat"
models = "gpt-*"
processors = "limits"
targets = ["openai/gpt-4o", "mock"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def explain(body: str, *arguments: str, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body.encode())))
    assert main(["explain", *arguments]) == status


def test_it_is_told_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = '{"model":"gpt-5","stream":true,"max_tokens":100,"messages":[]}'
    explain(body, monkeypatch=monkeypatch)

    assert capsys.readouterr() == (
        """\
POST /v1/chat/completions, openai_chat, model gpt-5, stream
routes, in order
  - files: it takes /v1/files only
  + chat: it takes "gpt-*"
processors, in order
  limits
     max_tokens
       -100
       +10
targets, in order
  1. openai/gpt-4o: https://api.openai.com/v1/chat/completions
     model
       -"gpt-5"
       +"gpt-4o"
     stream_options
       +{
       +  "include_usage": true
       +}
     usage is asked for, and taken out of the stream again
     timeouts: connect 5s, first_byte 10m, idle 5m, send 1m, total none
  2. mock: inside the proxy
     stream_options
       +{
       +  "include_usage": true
       +}
     usage is asked for, and taken out of the stream again
     timeouts: connect 5s, first_byte 10m, idle 5m, send 1m, total none
limits: max_body_size 32MiB, body_timeout 30s
""",
        "",
    )


def test_it_is_told_as_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "body.json").write_text('{"model":"gpt-5"}')
    explain("", "--json", "body.json", monkeypatch=monkeypatch)

    told = json.loads(capsys.readouterr().out)
    assert [route["route"] for route in told["routes"]] == ["files", "chat"]
    assert told["processors"] == [{"processor": "limits", "changes": [], "error": None}]
    assert told["targets"][1]["url"] is None


def test_a_refusal_is_an_explanation_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explain('{"model":"x"}', "-", monkeypatch=monkeypatch)

    assert capsys.readouterr().out.splitlines()[-1] == (
        "refused with 404 proxy.no_route: no route takes model 'x' on /v1/chat/completions"
    )


def test_what_passes_through_needs_no_body(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["explain", "--path", "/v1/files"]) == 0
    assert main(["explain", "--path", "/v1/models"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "POST /v1/files, no endpoint of a dialect: what a route takes passes through unread"
    )
    assert "  1. openai: https://api.openai.com/v1/files" in lines
    assert "answered by the proxy itself, with the models that its routes name" in lines


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["none.json"], "none.json: cannot be read: No such file or directory"),
        (["."], ".: cannot be read: Is a directory"),
        (["a\0b"], "a\0b: cannot be read: embedded null byte"),
        (["--path", "v1"], "--path: expected a path such as /v1/chat/completions, not 'v1'"),
        (["--path", "/v1?x"], "--path: expected a path such as /v1/chat/completions, not '/v1?x'"),
        (["-c", "none.toml"], "none.toml: no such file"),
    ],
)
def test_bad_usage_is_told(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments]) == 2
    assert capsys.readouterr() == ("", f"llm-proxy: {problem}\n")
