import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from proxy.cli import main
from proxy.config.load import Loaded
from proxy.errors import ConfigError

WARNED = '[provider.x]\ntype = "openai"\ntoken = "literal:canary"\n'
FINE = '[provider.mine]\ntype = "mock"\n'


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An application that assembles anything, and keeps what it was given."""
    module = ModuleType("proxy.assembly")
    given: list[Loaded] = []
    vars(module).update(assemble=given.append, given=given)
    monkeypatch.setitem(sys.modules, "proxy.assembly", module)
    return module


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


def test_the_effective_configuration_is_printed(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FINE)

    assert main(["check", "-c", str(file)]) == 0

    out, err = capsys.readouterr()
    tree = tomllib.loads(out)
    assert err == ""
    assert tree["provider"]["mine"]["type"] == "mock"
    assert tree["server"]["keepalive_timeout"] == "75s"
    assert [loaded.origin for loaded in vars(app)["given"]] == [str(file)]


def test_the_same_is_printed_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FINE)

    main(["check", "-c", str(file)])
    toml = tomllib.loads(capsys.readouterr().out)
    assert main(["check", "-c", str(file), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {**toml, "processor": {}}


@pytest.mark.parametrize(("flags", "status"), [([], 0), (["--strict"], 2)])
def test_only_strict_fails_on_warnings(
    file: Path, flags: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(WARNED)

    assert main(["check", "-c", str(file), *flags]) == status

    out, err = capsys.readouterr()
    assert err.startswith(f"llm-proxy: warning: {file}:3: [provider.x.token]: a secret stands")
    assert 'token = "literal:********"' in out
    assert "canary" not in out + err


def test_strict_is_content_without_warnings(file: Path) -> None:
    file.write_text(FINE)

    assert main(["check", "-c", str(file), "--strict"]) == 0


def test_every_problem_is_listed_and_nothing_else_printed(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[servre]\n[global]\nidle_timeout = 5\n")

    assert main(["check", "-c", str(file)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split("]")[0] for line in err.splitlines()] == [
        f"llm-proxy: {file}:1: [servre",
        f"llm-proxy: {file}:3: [global.idle_timeout",
    ]
    assert vars(app)["given"] == []


def test_what_cannot_be_assembled_is_a_problem(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def assemble(loaded: Loaded) -> None:
        raise ConfigError([f"{loaded.at('provider', 'mine')}: cannot be built"])

    vars(app).update(assemble=assemble)
    file.write_text(FINE)

    assert main(["check", "-c", str(file)]) == 2
    assert capsys.readouterr() == (
        "",
        f"llm-proxy: {file}:1: [provider.mine]: cannot be built\n",
    )


BAD: dict[str, tuple[bytes, str]] = {
    "truncated": (b"[server]\nlisten = [", ":2: is not TOML: "),
    "a second time the same key": (b"[server]\n[server]\n", ":2: [server] stands twice"),
    "a byte order mark": (b"\xef\xbb\xbf[server]", ":1: starts with a byte order mark"),
    "utf-16": ("[server]".encode("utf-16"), ":1: is not UTF-8"),
    "latin-1": ("# ä".encode("latin-1"), ":1: is not UTF-8"),
    "a null byte": (b"[server]\0", ":1: is not TOML: "),
    "an unknown section": (b"[servre]", ":1: [servre]: unknown section"),
    "an unknown key": (b"[server]\nlisen = 1", ":2: [server.lisen]: unknown key"),
    "a wrong type": (b"[server]\nlisten = 1", ":2: [server.listen]: expected a list"),
    "a missing variable": (b'[server]\nlisten = "${NONE}"', ":2: [server.listen]: the environment"),
    "an empty variable": (
        b'[provider.x]\ntype = "vllm"\nurl = "http://x"\ntoken = "env:EMPTY"',
        ":4: [provider.x.token]: the environment variable EMPTY is empty",
    ),
    "a missing secret": (
        b'[provider.x]\ntype = "vllm"\nurl = "http://x"\ntoken = "file:none"',
        ":4: [provider.x.token]: ",
    ),
    "a missing program": (
        b'[provider.x]\ntype = "vllm"\nurl = "http://x"\ntoken = "exec:./none"',
        ":4: [provider.x.token]: ./none is no program that can be run",
    ),
    "a bad URL": (
        b'[provider.x]\ntype = "vllm"\nurl = "x"',
        ":3: [provider.x.url]: is not an HTTP URL",
    ),
    "a file that includes itself": (b'include = "c.toml"', ":1: [include]: "),
    "a file to include that is not there": (b'include = "none.toml"', "none.toml: no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_a_clear_line(
    kind: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, problem = BAD[kind]
    file.write_bytes(data)
    monkeypatch.setenv("EMPTY", "")

    assert main(["check", "-c", str(file)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    place = str(file) if problem.startswith(":") else f"{file.parent}/"
    assert err.startswith(f"llm-proxy: {place}{problem}")


def test_a_secret_is_read_and_a_program_is_not_run(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "key").write_text("canary")
    trace = file.parent / "trace"
    file.write_text(
        '[provider.x]\ntype = "openai"\ntoken = "file:key"\n'
        f'[provider.y]\ntype = "openai"\ntoken = "exec:touch {trace}"\n'
        '[[route]]\ntargets = ["x", "y"]'
    )

    assert main(["check", "-c", str(file)]) == 0

    out, err = capsys.readouterr()
    assert f'token = "file:{file.parent}/key"' in out
    assert f'command = ["touch", "{trace}"]' in out
    assert not trace.exists()
    assert "canary" not in out + err


def test_warnings_about_other_sections_are_told_apart_from_errors(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FINE + '[processor.unused]\ntype = "parameters"')

    assert main(["check", "-c", str(file)]) == 0
    assert capsys.readouterr().err == (
        f"llm-proxy: warning: {file}:3: [processor.unused]: no route uses it\n"
    )
    assert main(["check", "-c", str(file), "--strict"]) == 2
