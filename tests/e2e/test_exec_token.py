"""Tokens that programs print: the programs are real, and some of them misbehave."""

import asyncio
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.testing import serve
from proxy.tokens.exec import Exec
from proxy.units import Duration

CANARY = "canary-5f3a"


def command(*words: str, timeout: float = 10.0, **environ: str) -> Exec:
    token = Exec(command=words, timeout=Duration(timeout))
    token.resolve({"PATH": os.defpath, **environ}, "/")
    return token


def shell(script: str, *, timeout: float = 10.0, **environ: str) -> Exec:
    return command("sh", "-c", script, timeout=timeout, **environ)


async def refusal(token: Exec) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        await token.run()
    assert CANARY not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


async def test_the_credential_is_what_the_program_prints() -> None:
    for token in (
        command("echo", CANARY),
        command("printf", "%s", CANARY),
        shell('echo "$KEY"', KEY=CANARY),
        shell(f"echo noise >&2; echo {CANARY}; cat"),
    ):
        assert (await token.run()).reveal() == CANARY


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("true", "what sh prints is empty"),
        ("echo", "what sh prints is empty"),
        (f"echo {CANARY}; echo more", "what sh prints holds a control character"),
        (f"echo {CANARY}; echo {CANARY} >&2; exit 3", "sh failed (exit status 3)"),
        (f"echo {CANARY}; kill -9 $$", "sh failed (signal 9)"),
        (f"while :; do echo {CANARY}; done", "what sh prints is larger than 64 KiB"),
        (f"printf '{CANARY}\\377'", "what sh prints is not UTF-8"),
    ],
)
async def test_a_program_that_fails_is_told_without_what_it_printed(
    script: str, problem: str
) -> None:
    assert await refusal(shell(script)) == problem


async def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("#!/none/at/all\n")
    file.chmod(0o755)

    assert await refusal(command(str(file))) == f"{file} cannot be run: No such file or directory"


def runs(file: Path) -> bool:
    """Whether the process whose number is in `file` is there, and no zombie."""
    try:
        status = Path(f"/proc/{int(file.read_text())}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def soon(happened: Callable[[], bool]) -> bool:
    """Whether something happens within two seconds."""
    for _ in range(200):
        if happened():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60 & echo $! > {}; echo canary-5f3a; wait",
        "sleep 60 & echo $! > {}; echo canary-5f3a; trap '' TERM; wait",
        # The program itself ends; what it started keeps its output open.
        "sleep 60 & echo $! > {}; echo canary-5f3a",
    ],
)
async def test_a_program_that_hangs_is_killed_with_all_that_it_started(
    tmp_path: Path, script: str
) -> None:
    number = tmp_path / "pid"

    problem = await refusal(shell(script.format(number), timeout=0.3))

    assert problem == "sh did not end within 300ms, and was killed"
    assert await soon(lambda: not runs(number))


async def test_a_program_is_killed_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    number = tmp_path / "pid"
    task = asyncio.create_task(shell(f"echo $$ > {number}; exec sleep 60").run())
    assert await soon(lambda: runs(number))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await soon(lambda: not runs(number))


async def test_a_proxy_whose_program_fails_does_not_start() -> None:
    config = """
    [provider.x]
    type = "vllm"
    url = "http://127.0.0.1:9/v1"
    token = "exec:sh -c 'echo canary-5f3a; exit 7'"
    """
    with pytest.raises(ConfigError) as raised:
        async with serve(config, environ={"PATH": os.defpath}):
            pass

    assert raised.value.problems == [
        "LLM_PROXY_CONFIG_TOML:5: [provider.x.token]: sh failed (exit status 7)"
    ]
