"""Whatever may be wrong with a new configuration leaves the old one at work, and is told.

What stands in test_bad_input.py is not said again here.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from tests.e2e.process import chat, get, post, serving

GOOD = """\
[server]
listen = "unix:${DATA}"
[provider.mock]
type = "mock"
[provider.keyed]
type = "vllm"
url = "http://127.0.0.1:9/v1"
token = "file:key"
[[route]]
name = "all"
targets = ["mock"]
[[route]]
name = "never"
models = ["no-such"]
targets = ["keyed"]
"""

Mutation = Callable[[Path], Any]


def text(old: str, new: str) -> Mutation:
    return lambda file: file.write_text(GOOD.replace(old, new, 1))


def data(new: bytes) -> Mutation:
    return lambda file: file.write_bytes(new)


def added(more: str) -> Mutation:
    return lambda file: file.write_text(GOOD + more)


def above(more: str) -> Mutation:
    return lambda file: file.write_text(more + GOOD)


def instead(make: Callable[[Path], Any]) -> Mutation:
    def mutate(file: Path) -> None:
        file.unlink()
        make(file)

    return mutate


def program(file: Path, script: str) -> None:
    path = file.parent / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    token = '{ type = "exec", command = ["./program"], timeout = "200ms" }'
    file.write_text(GOOD.replace('"file:key"', token))


BAD: dict[str, tuple[Mutation, str]] = {
    "truncated": (lambda file: file.write_text(GOOD[: GOOD.index('"all"') + 3]), "is not TOML"),
    "truncated in a list": (lambda file: file.write_text(GOOD[:-8]), "c.toml:15: is not TOML"),
    "truncated to nothing": (data(b""), "names neither a provider nor a route"),
    "binary": (data(b"\x7fELF\0\0\0"), "c.toml:1: is not TOML"),
    "gone": (instead(lambda file: None), "c.toml: no such file"),
    "a directory": (instead(lambda file: file.mkdir()), "c.toml: is a directory"),
    "unreadable": (
        instead(lambda file: file.symlink_to("/proc/self/mem")),
        "c.toml: cannot be read: Input/output error",
    ),
    "a loop of links": (
        instead(lambda file: file.symlink_to(file)),
        "c.toml: cannot be read: Too many levels of symbolic links",
    ),
    "no end": (instead(lambda file: file.symlink_to("/dev/zero")), "is larger than 16 MiB"),
    "unknown section": (added("[sever]\n"), "c.toml:16: [sever]: unknown section"),
    "unknown key": (added("retrees = 1\n"), "c.toml:16: [route.never.retrees]: unknown key"),
    "wrong type": (text('["no-such"]', "5"), "[route.never.models]: expected a list, found an"),
    "no unit": (above("[global]\nidle_timeout = 5\n"), "c.toml:2: [global.idle_timeout]: 5 has no"),
    "unknown provider": (text('["mock"]', '["mokc"]'), 'unknown provider "mokc"'),
    "unknown type": (text('"vllm"', '"vlm"'), "[provider.keyed.type]: unknown provider type"),
    "no targets": (text('["keyed"]', "[]"), "[route.never.targets]: no target is listed"),
    "bad url": (text("http://127.0.0.1:9/v1", "htp://x"), "[provider.keyed.url]: "),
    "secret in a url": (text("//127", "//me:canary@127"), "[provider.keyed.url]: "),
    "secret written out": (text("file:key", "canary"), "a secret is not written out"),
    "missing secret": (text("file:key", "file:no-key"), "no-key: no such file"),
    "open to everybody": (
        text("unix:${DATA}", "0.0.0.0:0"),
        "c.toml:2: [server.listen]: clients are not authenticated",
    ),
}  # fmt: skip

ONLY_OPENED: dict[str, tuple[Mutation, str]] = {
    "hangs": (lambda f: program(f, "sleep 30"), "./program did not end within 200ms"),
    "prints nothing": (lambda f: program(f, "true"), "what ./program prints is empty"),
    "fails": (lambda f: program(f, "echo canary; exit 3"), "./program failed (exit status 3)"),
}
"""Programs are not run by `check`."""


def environ(folder: Path) -> dict[str, str]:
    return {"DATA": f"{folder}/data"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the proxy and the checks run."""
    (tmp_path / "key").write_text("sk-canary-key\n")
    (tmp_path / "c.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    for name, value in environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


async def test_nothing_that_is_wrong_takes_the_place_of_what_works(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, where = folder / "c.toml", f"unix:{folder}/admin"
    flags = ("-c", "c.toml", "--admin", where)
    async with serving(folder, *flags, environ=environ(folder)) as (served, ready):
        [data_url] = ready["data"]
        for name, (mutate, said) in {**BAD, **ONLY_OPENED}.items():
            mutate(file)
            status, answer = await post(where, "/api/reload")
            assert status == 422, name
            assert len(answer["problems"]) == 1, (name, answer)
            [problem] = answer["problems"]
            assert said in problem, (name, problem)
            line = await served.line("reload_failed")
            assert line["problems"] == [problem]
            assert line["level"] == "error"
            if name in BAD and name != "truncated to nothing":
                assert main(["check", "-c", "c.toml"]) == 2, name
                assert capsys.readouterr().err == f"llm-proxy: {problem}\n"
            if not file.is_dir() or file.is_symlink():
                file.unlink(missing_ok=True)
            else:
                file.rmdir()
            file.write_text(GOOD)
        # All that time it has served, and it still can be changed.
        assert await get(where, "/readyz") == (200, b"ready\n")
        assert (await chat(data_url)).endswith(b"[DONE]\n\n")
        assert await post(where, "/api/reload") == (200, {"changes": []})
        assert (await served.line("reloaded"))["changes"] == []
        file.write_text(GOOD.replace('"all"', '"every"'))
        served.process.send_signal(signal.SIGHUP)
        assert len((await served.line("reloaded"))["changes"]) == 2
        assert "canary" not in str(served.lines)
        assert await served.end() == 0


async def test_a_pipe_that_was_read_is_not_taken_for_an_empty_configuration(folder: Path) -> None:
    read, write = os.pipe()
    os.write(write, b'[provider.m]\ntype = "mock"\n')
    os.close(write)
    flags = ("-c", f"/dev/fd/{read}", "--listen", f"unix:{folder}/data")
    async with serving(folder, *flags, "--admin", f"unix:{folder}/admin", keep=[read]) as (
        served,
        ready,
    ):
        os.close(read)
        assert ready["configuration"] == f"/dev/fd/{read}"
        status, answer = await post(ready["admin"], "/api/reload")
        assert (status, len(answer["problems"])) == (422, 1)
        assert "names neither a provider nor a route" in answer["problems"][0]
        assert (await chat(ready["data"][0])).endswith(b"[DONE]\n\n")
        assert await served.end() == 0
