"""What an operator gets wrong: each is a clear line and exit status 2 at a start.

What is wrong with files is found by `check` as by `serve`, so that asks; what only a start finds
is asked of processes.
"""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from proxy.cli import main
from proxy.config.load import Overrides
from proxy.errors import ConfigError
from proxy.testing import serve
from tests.authority import Authority, Pair
from tests.e2e.process import ROOT, run

MOCK = '[provider.mock]\ntype = "mock"\n'
OPENAI = '[provider.x]\ntype = "openai"\ntoken = "%s"\n'
TLS = '[server]\nlisten = { address = "127.0.0.1:0", tls = { certificate = "%s", key = "%s" } }\n'

FILES: dict[str, tuple[dict[str, bytes | str], str]] = {
    "a table that is cut off": (
        {"c.toml": "[server"},
        "c.toml:1: is not TOML: expected ']' at the end of a table declaration",
    ),
    "a string that is cut off": (
        {"c.toml": f'{MOCK}[server]\nlisten = "127.0.0'},
        "c.toml:4: is not TOML: unterminated string",
    ),
    "Latin-1": ({"c.toml": b'a = 1\nb = "\xe4"\n'}, "c.toml:2: is not UTF-8 (save it as UTF-8)"),
    "UTF-16": ({"c.toml": MOCK.encode("utf-16")}, "c.toml:1: is not UTF-8 (save it as UTF-8)"),
    "a byte order mark": (
        {"c.toml": b"\xef\xbb\xbf" + MOCK.encode()},
        "c.toml:1: starts with a byte order mark, which TOML forbids (save it as UTF-8 without "
        "BOM)",
    ),
    "a key twice": (
        {"c.toml": '[server]\nlisten = "127.0.0.1:1"\nadmin_listen = "none"\nlisten = "x"\n'},
        "c.toml:4: listen is set already, at line 2",
    ),
    "a table twice": (
        {"c.toml": "[server]\n[global]\n[server]\n"},
        "c.toml:3: [server] stands twice",
    ),
    "a key in two files": (
        {
            "c.toml": f'include = "more.toml"\n{MOCK}[server]\nadmin_listen = "none"\n',
            "more.toml": '[server]\nadmin_listen = "127.0.0.1:1"\n',
        },
        "more.toml:2: [server.admin_listen]: is set already, at {folder}/c.toml:5",
    ),
    "a cycle of files": (
        {"c.toml": 'include = "more.toml"\n', "more.toml": 'include = "c.toml"\n'},
        "more.toml:1: [include]: {folder}/c.toml includes itself (c.toml -> more.toml -> c.toml)",
    ),
    "an included file that is not there": (
        {"c.toml": 'include = "more.toml"\n'},
        "more.toml: no such file (included at {folder}/c.toml:1)",
    ),
    "an included file that is wrong": (
        {"c.toml": 'include = "*.conf"\n', "more.conf": "a = 1\n\xff".encode("latin-1")},
        "more.conf:2: is not UTF-8 (save it as UTF-8) (included at {folder}/c.toml:1)",
    ),
    "a variable that is empty": (
        {"c.toml": OPENAI % "env:EMPTY"},
        "c.toml:3: [provider.x.token]: the environment variable EMPTY is empty",
    ),
    "a variable that is not there": (
        {"c.toml": OPENAI % "env:NONE"},
        "c.toml:3: [provider.x.token]: the environment variable NONE is not set",
    ),
    "an empty variable in a string": (
        {"c.toml": '[provider.x]\ntype = "vllm"\nurl = "http://${EMPTY}/v1"\n'},
        "c.toml:3: [provider.x.url]: the environment variable EMPTY is empty",
    ),
    "a secret's file that is a folder": (
        {"c.toml": OPENAI % "file:."},
        "c.toml:3: [provider.x.token]: {folder}/. cannot be read: Is a directory",
    ),
    "a secret's file that is empty": (
        {"c.toml": OPENAI % "file:empty", "empty": "\n"},
        "c.toml:3: [provider.x.token]: {folder}/empty is empty",
    ),
    "a program that is not there": (
        {"c.toml": OPENAI % "exec:no-such-program"},
        "c.toml:3: [provider.x.token]: no-such-program is no program that can be run",
    ),
    "a socket's path that is too long": (
        {"c.toml": f'[server]\nlisten = "unix:/{"x" * 107}"\n'},
        "c.toml:2: [server.listen]: the path of a unix socket has at most 107 bytes",
    ),
    "a key of another certificate": (
        {"c.toml": TLS % ("one.crt", "two.key")},
        "c.toml:2: [server.listen.tls.key]: does not belong to the certificate",
    ),
    "an old certificate": (
        {"c.toml": TLS % ("old.crt", "old.key")},
        "c.toml:2: [server.listen.tls.certificate]: old.crt holds a certificate that expired at ",
    ),
    "a certificate that is none": (
        {"c.toml": TLS % ("one.key", "one.key")},
        "c.toml:2: [server.listen.tls.certificate]: one.key holds no certificate in PEM",
    ),
    "a certificate that is a folder": (
        {"c.toml": TLS % (".", "one.key")},
        "c.toml:2: [server.listen.tls.certificate]: {folder}/. cannot be read: Is a directory",
    ),
    "a key that is not there": (
        {"c.toml": TLS % ("one.crt", "three.key")},
        "c.toml:2: [server.listen.tls.key]: {folder}/three.key: no such file",
    ),
}

each = pytest.mark.parametrize(("files", "problem"), FILES.values(), ids=FILES)


@pytest.fixture
def folder(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with certificates in it, and an environment with an empty variable."""
    pairs: dict[str, Pair] = {
        "one": authority.issue(),
        "two": authority.issue(),
        "old": authority.issue(days=-1),
    }
    for name, pair in pairs.items():
        (tmp_path / f"{name}.crt").symlink_to(pair.certificate)
        (tmp_path / f"{name}.key").symlink_to(pair.key)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)
    return tmp_path


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder / "c.toml"


@each
def test_what_is_wrong_with_a_file(
    folder: Path,
    files: dict[str, bytes | str],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(folder, files)
    for verb in ("check", "serve"):
        assert main([verb, "-c", str(file)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        [line] = err.splitlines()
        assert line.startswith(f"llm-proxy: {folder}/{problem.format(folder=folder)}")


@each
async def test_a_reload_leaves_what_is_at_work(
    folder: Path, files: dict[str, bytes | str], problem: str
) -> None:
    (folder / "c.toml").write_text(f'{MOCK}[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "none"')
    config = f'include = "{folder}/c.toml"'
    async with serve(config, environ={"EMPTY": ""}, overrides=Overrides()) as url:
        write(folder, files)
        with pytest.raises(ConfigError) as raised:
            await url.reload(config)
        [said] = raised.value.problems
        assert said.startswith(f"{folder}/{problem.format(folder=folder).partition(' (')[0]}")
        assert [line["event"] for line in url.lines] == ["ready", "reload_failed"]
        assert url.app.ready
        assert list(url.app.loaded.settings.provider) == ["mock"]


def test_a_folder_for_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "-c", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"llm-proxy: {tmp_path}: is a directory (a TOML file is expected)\n"
    )


def test_a_file_that_may_not_be_read() -> None:
    code = (
        "import contextlib, io, os, sys; from proxy.cli import main\n"
        # What it imports may not be for whom it becomes.
        "with contextlib.redirect_stdout(io.StringIO()): main(['check', '-c', '/dev/null'])\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "sys.exit(main(['check', '-c', sys.argv[1]]))"
    )
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        if os.geteuid() != 0:
            os.fchmod(file.fileno(), 0)
        done = subprocess.run(
            [sys.executable, "-c", code, file.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        said = f"llm-proxy: {file.name}: cannot be read: Permission denied\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each look at it finds another time of its last change."""
    file = tmp_path / "c.toml"
    file.write_text(MOCK)
    stats, ticks = os.fstat, iter(range(1000))

    def fstat(descriptor: int) -> os.stat_result:
        found = stats(descriptor)
        os.utime(descriptor, ns=(next(ticks), next(ticks)))
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    assert main(["check", "-c", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"llm-proxy: {file}: cannot be read: it changes while it is read\n"
    )


# What only a start finds.

STARTS = {
    "a program that hangs": (
        '[provider.x]\ntype = "openai"\n'
        'token = { type = "exec", command = ["sleep", "60"], timeout = "200ms" }\n',
        "c.toml:3: [provider.x.token]: sleep did not end within 200ms, and was killed",
    ),
    "a program that prints nothing": (
        OPENAI % "exec:true",
        "c.toml:3: [provider.x.token]: what true prints is empty",
    ),
    "a program that fails": (
        OPENAI % "exec:false",
        "c.toml:3: [provider.x.token]: false failed (exit status 1)",
    ),
    "a key of another certificate, from a program": (
        TLS % ("one.crt", "exec:cat two.key"),
        "c.toml:2: [server.listen.tls.key]: does not belong to the certificate",
    ),
    "a port in use": (
        '[server]\nlisten = "127.0.0.1:{port}"\nadmin_listen = "none"\n',
        f"c.toml:2: [server.listen]: cannot listen on 127.0.0.1:{{port}}: "
        f"{os.strerror(errno.EADDRINUSE)}",
    ),
    "an admin port in use": (
        '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:{port}"\n',
        f"c.toml:3: [server.admin_listen]: cannot listen on 127.0.0.1:{{port}}: "
        f"{os.strerror(errno.EADDRINUSE)}",
    ),
    "a file where the socket should be": (
        '[server]\nlisten = "unix:{folder}/one.crt"\nadmin_listen = "none"\n',
        "c.toml:2: [server.listen]: cannot listen on unix:{folder}/one.crt: there is something "
        "that is no socket",
    ),
}


async def test_what_is_wrong_with_a_start(folder: Path) -> None:
    """All at once: a process takes a while to start, and most of them wait."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def start(number: int, text: str, problem: str) -> None:
            own = folder / str(number)
            own.mkdir()
            for name in ("one.crt", "two.key"):
                (own / name).symlink_to(folder / name)

            def filled(template: str) -> str:
                return template.replace("{port}", str(port)).replace("{folder}", str(own))

            (own / "c.toml").write_text(filled(text))
            status, out, err = await run(own, "serve", "-c", "c.toml")
            assert (status, out, err) == (2, "", f"llm-proxy: {filled(problem)}\n")

        await asyncio.gather(*(start(number, *case) for number, case in enumerate(STARTS.values())))
    assert (folder / "one.crt").exists()
