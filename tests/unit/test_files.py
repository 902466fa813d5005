import os
from pathlib import Path

import pytest

from proxy.files import read_file


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00data\n")
    (tmp_path / "link").symlink_to("x")

    assert read_file(str(tmp_path / "x"), 6) == b"\x00data\n"
    assert read_file(str(tmp_path / "link"), 6) == b"\x00data\n"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    big, pipe, deep = tmp_path / "big", tmp_path / "pipe", tmp_path / "big" / "x"
    big.write_bytes(b"canary" * 1024)
    os.mkfifo(pipe)
    for path, problem in (
        (tmp_path / "none", ": no such file"),
        (tmp_path, " cannot be read: Is a directory"),
        (pipe, " is not a file"),
        (deep, " cannot be read: Not a directory"),
        (big, " is larger than 2 KiB"),
    ):
        with pytest.raises(ValueError, match=f"^{path}{problem}$"):
            read_file(str(path), 2048)
