import asyncio
import logging
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import files
from proxy.tokens import file as module
from proxy.tokens.file import File
from tests.unit.conftest import Request

CANARY = "canary-5f3a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("one\n")
    return path


def resolved(path: Path) -> File:
    token = File(path=str(path))
    token.resolve({}, "/")
    return token


def test_the_credential_is_what_the_file_holds_without_its_last_line_break(path: Path) -> None:
    for data, value in [(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"\xc3\xa4 b", "ä b")]:
        path.write_bytes(data)
        assert resolved(path).credential(Request()) == value


def test_a_relative_path_starts_from_the_folder_that_it_is_told(path: Path) -> None:
    token = File.from_text("key")
    token.resolve({}, str(path.parent))

    assert token.credential(Request()) == "one"
    assert str(token) == f"file:{path}"
    assert token == File(path="key")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"canary-5f3a\n\n", "ends in a line break"),
        (b"canary-5f3a\nx", "holds a control character"),
        (b"canary-5f3a\xff", "is not UTF-8"),
        (b"canary-5f3a" * 9999, "is larger than 64 KiB"),
    ],
)
def test_what_is_no_credential_is_refused_without_a_trace_of_it(
    path: Path, data: bytes, problem: str
) -> None:
    path.write_bytes(data)

    with pytest.raises(ValueError, match=r".") as raised:
        resolved(path)

    assert str(raised.value) == f"{path} {problem}"
    assert CANARY not in "".join(traceback.format_exception(raised.value))


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, problem in [
        ("none", f"{tmp_path}/none: no such file"),
        ("pipe", f"{tmp_path}/pipe is not a file"),
        ("", f"{tmp_path}/ cannot be read: Is a directory"),
        ("x" * 300, f"{tmp_path}/{'x' * 300} cannot be read: File name too long"),
    ]:
        with pytest.raises(ValueError, match=r".") as raised:
            File(path=name).resolve({}, str(tmp_path))
        assert str(raised.value) == problem
    with pytest.raises(ValueError, match="not followed by a path"):
        File.from_text("")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("two")
    other.replace(path)


def rewrite(path: Path) -> None:
    """In place, with the size and the time stamp that it had."""
    before = path.stat()
    path.write_text("two\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, rewrite])
def test_a_change_is_seen_however_it_was_made(path: Path, change: Callable[[Path], None]) -> None:
    token = resolved(path)
    change(path)
    assert token.credential(Request()) == "one"

    token.refresh()
    assert token.credential(Request()) == "two"


def test_a_change_is_seen_through_the_symlinks_that_kubernetes_swaps(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"..{name}").mkdir()
        (tmp_path / f"..{name}" / "key").write_text(name)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "key").symlink_to("..data/key")
    token = resolved(tmp_path / "key")

    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    token.refresh()

    assert token.credential(Request()) == "two"


def test_a_file_that_is_gone_or_empty_leaves_the_old_credential_and_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = resolved(path)
    vars(token)["_place"] = "c.toml:3: [provider.x.token]"
    said = "c.toml:3: [provider.x.token]: {}; the old credential stays in use"

    path.unlink()
    token.refresh()
    token.refresh()
    path.write_text("")
    token.refresh()
    assert token.credential(Request()) == "one"

    path.write_text(CANARY)
    token.refresh()
    token.refresh()
    assert token.credential(Request()) == CANARY
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", said.format(f"{path}: no such file")),
        ("WARNING", said.format(f"{path} is empty")),
        ("INFO", f"c.toml:3: [provider.x.token]: read again from {path}"),
    ]
    assert CANARY not in caplog.text + repr(vars(token)) + repr(token)


async def test_an_open_token_reads_its_file_again_and_again_off_the_loop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = resolved(path)
    slept: list[float] = []
    threads: set[int] = set()
    turn = asyncio.Event()
    read = files.read_file

    async def sleep(delay: float) -> None:
        slept.append(delay)
        turn.set()
        if len(slept) == 3:
            await asyncio.Event().wait()

    def reading(file: str, limit: int) -> bytes:
        threads.add(threading.get_ident())
        return read(file, limit)

    rewrite(path)
    monkeypatch.setattr(module, "read_file", reading)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await token.open()
    while len(slept) < 3:
        turn.clear()
        await turn.wait()
    await token.close()

    assert token.credential(Request()) == "two"
    assert slept == [module.INTERVAL] * 3
    assert threads - {threading.get_ident()}
