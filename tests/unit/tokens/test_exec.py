"""What can be said of a command without running it; the running is in tests/e2e."""

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.token import Secret
from proxy.tokens.exec import Exec
from proxy.units import Duration
from tests.unit.conftest import Request

CANARY = "canary-5f3a"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("get-key", ("get-key",)),
        ("vault read  -field=key 'a b'", ("vault", "read", "-field=key", "a b")),
        ("sh -c 'echo $KEY | cut -c1' && x", ("sh", "-c", "echo $KEY | cut -c1", "&&", "x")),
    ],
)
def test_a_command_is_words_that_no_shell_reads(text: str, command: tuple[str, ...]) -> None:
    assert Exec.from_text(text) == Exec(command=command)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "no program is named"), ("''", "no program is named"), ("a 'b", "No closing quotation")],
)
def test_what_is_no_command_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Exec.from_text(text)


def test_a_program_that_could_run_for_ever_or_all_the_time_is_refused() -> None:
    with pytest.raises(ValueError, match="`timeout` cannot be"):
        Exec(command=("a",), timeout=Duration(0))
    with pytest.raises(ValueError, match="`expires` cannot be shorter than a second"):
        Exec(command=("a",), expires=Duration(0.5))
    Exec(command=("a",), expires=Duration(0))  # for ever, as without it


def test_the_program_is_looked_for_on_the_path_or_in_the_configurations_folder(
    tmp_path: Path,
) -> None:
    program = tmp_path / "bin" / "get-key"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "data").write_text("")

    Exec(command=("get-key",)).resolve({"PATH": str(program.parent)}, "/")
    Exec(command=("bin/get-key",)).resolve({}, str(tmp_path))
    Exec(command=(str(program),)).resolve({}, "/")
    for name in ("get-key", "./get-key", "bin", "./data", "./none", "sh -c x"):
        with pytest.raises(ValueError, match=f"^{name} is no program that can be run$"):
            Exec(command=(name,)).resolve({"PATH": "/usr/bin:/bin"}, str(tmp_path))


async def test_what_it_prints_is_good_for_as_long_as_it_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(token: Exec) -> Secret:
        return Secret(CANARY)

    monkeypatch.setattr(Exec, "run", run)
    for expires in (None, Duration(100)):
        token = Exec(command=("get-key",), expires=expires)
        assert await token.renew() == expires
        assert token.credential(Request()) == CANARY


async def test_without_an_expiry_it_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    async def run(token: Exec) -> Secret:
        runs.append(token)
        return Secret(CANARY)

    monkeypatch.setattr(Exec, "run", run)
    token = Exec(command=("get-key",))
    await token.open()
    await token.close()

    assert runs == [token]
    assert CANARY not in f"{token} {token!r} {vars(token)}"


async def test_where_the_first_run_fails_the_configuration_does_not_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(token: Exec) -> Secret:
        raise ValueError("get-key failed (exit status 1)")

    monkeypatch.setattr(Exec, "run", run)
    token = Exec(command=("get-key",), expires=Duration(100))
    vars(token)["_place"] = "c.toml:3: [provider.x.token]"
    with pytest.raises(ConfigError) as raised:
        await token.open()

    assert raised.value.problems == ["c.toml:3: [provider.x.token]: get-key failed (exit status 1)"]
