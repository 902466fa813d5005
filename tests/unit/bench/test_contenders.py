"""Contenders: placeholders, and files that describe further ones."""

import shutil
import sys
from pathlib import Path

import pytest

from bench import contenders
from bench.contenders import BUILT_IN, Contender, Place

PLAIN = Place(8000, 9000, False, Path("/x/ca.pem"), Path("/x/run"))
TLS = Place(8000, 9001, True, Path("/x/ca.pem"), Path("/x/run"))


def test_placeholders_come_to_what_is_known_at_the_start() -> None:
    one = Contender("one", ["{python}"], tls="verify {ca}")
    text = "{port} {upstream} {upstream_address} {scheme} {folder} {tls}|{other} {$host}"
    assert PLAIN.fill(one, text) == (
        "8000 http://127.0.0.1:9000 127.0.0.1:9000 http /x/run |{other} {$host}"
    )
    assert TLS.fill(one, text) == (
        "8000 https://127.0.0.1:9001 127.0.0.1:9001 https /x/run verify /x/ca.pem|{other} {$host}"
    )
    assert PLAIN.fill(one, "{python}") == sys.executable


@pytest.mark.parametrize("contender", BUILT_IN, ids=lambda one: str(one.name))
def test_nothing_of_a_built_in_contender_stays_unfilled(contender: Contender) -> None:
    texts = [*contender.command, *contender.version, *contender.files.values()]
    for place in (PLAIN, TLS):
        for text in [*texts, *contender.env.values()]:
            filled = place.fill(contender, text)
            for name in ("port", "upstream", "upstream_address", "ca", "folder", "tls", "python"):
                assert f"{{{name}}}" not in filled


def test_a_file_describes_a_contender(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('name = "other"\ncommand = ["other", "{port}"]\nheaders = { a = "b" }\n')
    assert contenders.load(file) == Contender("other", ["other", "{port}"], headers={"a": "b"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('name = "x"', "command"),
        ('name = "x"\ncommand = []\nprot = 1', "prot"),
        ('name = "x"\ncommand = "nginx"', "array"),
        ("name = ", "Invalid value"),
    ],
)
def test_a_file_that_does_not_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "other.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason) as caught:
        contenders.load(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        contenders.load(tmp_path / "none.toml")


def test_a_program_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", {"here": "/bin/here"}.get)
    assert contenders.missing(Contender("a", ["here"]), PLAIN) is None
    assert contenders.missing(Contender("b", ["gone"]), PLAIN) == "gone"
    assert contenders.missing(contenders.DIRECT, PLAIN) is None
