"""The command line as processes: what they say, what they serve, how they end."""

import json
import os
import re
import signal
import socket
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import proxy
from proxy.testing import RawClient, request
from tests.e2e.process import ANYWHERE, CHAT, SLOW, chat, get, run, serving, start

SECRET = "sk-canary-0123456789"


async def test_it_serves_the_mock_where_nothing_is_configured(tmp_path: Path) -> None:
    # Kubernetes sets the first of these in every pod beside a Service of our name.
    environ = {
        "LLM_PROXY_PORT": "tcp://10.0.0.1:8080",
        "LLM_PROXY_SERVICE_HOST": "10.0.0.1",
        "POD_NAME": "pod-7",
    }
    async with serving(tmp_path, *ANYWHERE, environ=environ) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        for url in (data, admin):
            assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", url)
        assert ready["default_provider"] == "mock"
        assert data in ready["message"]
        assert admin in ready["message"]
        assert (await chat(data)).endswith(b"data: [DONE]\n\n")
        line = await served.line("exchange")
        assert (line["status"], line["provider"], line["output_tokens"]) == (200, "mock", 16)
        assert await get(admin, "/readyz") == (200, b"ready\n")
        address = admin.removeprefix("http://")
        assert await run(tmp_path, "healthcheck", address) == (0, "", "")
        assert await served.end() == 0
        assert {line["pod"] for line in served.lines} == {"pod-7"}
        assert [line["event"] for line in served.lines] == [
            "ready",
            "exchange",
            "stopping",
            "stopped",
        ]
        status, out, err = await run(tmp_path, "healthcheck", address)
        assert (status, out) == (1, "")
        assert err.startswith(f"llm-proxy: not ready: {address}: ")


async def test_a_key_in_the_environment_chooses_its_provider(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": SECRET}
    async with serving(tmp_path, *ANYWHERE, environ=environ) as (served, ready):
        assert ready["default_provider"] == "openai"
        assert "openai" in ready["message"]
        assert await served.end(signal.SIGINT) == 0
        assert SECRET not in str(served.lines)


async def test_a_proxy_before_a_mock_in_a_process_of_its_own(tmp_path: Path) -> None:
    mock = await start(tmp_path, "mock", "--listen", "127.0.0.1:0", "--output-tokens", "3")
    try:
        assert mock.stderr is not None
        said = (await mock.stderr.readline()).decode()
        url = said.removeprefix("ready: mock provider on ").strip()
        (tmp_path / "config.toml").write_text(f'[provider.mine]\ntype = "vllm"\nurl = "{url}"\n')
        # ./config.toml is found without a flag.
        async with serving(tmp_path, *ANYWHERE) as (served, ready):
            assert ready["configuration"] == "config.toml"
            assert ready["default_provider"] is None
            assert (await chat(ready["data"][0])).endswith(b"data: [DONE]\n\n")
            line = await served.line("exchange")
            assert (line["provider"], line["output_tokens"]) == ("mine", 3)
            assert await served.end() == 0
    finally:
        mock.terminate()
        await mock.communicate()
    assert mock.returncode == 0


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            '[server]\nlissten = "127.0.0.1:0"\n',
            [r'c\.toml:2: \[server\.lissten\]: .*did you mean "listen"\?\)'],
        ),
        (
            '[provider.x]\ntype = "mock"\n\n[global]\nidle_timeout = 5\nretrees = 1\n',
            [r"c\.toml:5: \[global\.idle_timeout\]: .*", r"c\.toml:6: \[global\.retrees\]: .*"],
        ),
        (
            '[provider.x]\ntype = "mock"\n[[route]]\ntargets = ["y"]\n',
            [r"c\.toml:4: \[route\..*targets.*\]: .*y.*"],
        ),
        (
            '[server]\nlisten = "0.0.0.0:0"\n',
            [r"c\.toml:2: \[server\.listen.*\]: .*allow_unauthenticated.*"],
        ),
        ("[server\n", [r"c\.toml:1: is not TOML: .*"]),
    ],
)
async def test_a_bad_configuration_is_told_line_by_line(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    (tmp_path / "c.toml").write_text(text)
    status, out, err = await run(tmp_path, "serve", "-c", "c.toml")
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == len(problems), err
    for line, problem in zip(lines, problems, strict=True):
        assert re.fullmatch(f"llm-proxy: {problem}", line), line


async def test_bad_usage_is_told(tmp_path: Path) -> None:
    for arguments, said in (
        (("serve", "-c", "nowhere.toml"), "nowhere.toml: no such file"),
        (("serve", "--lisen", "127.0.0.1:0"), "unrecognized arguments: --lisen"),
        (("sevre",), 'unknown command "sevre"'),
    ):
        status, out, err = await run(tmp_path, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("llm-proxy: ")
        assert said in err
        assert "Traceback" not in err


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag, other, key in (
            ("--listen", ("--admin", "127.0.0.1:0"), "listen"),
            ("--admin", ("--listen", "127.0.0.1:0"), "admin_listen"),
        ):
            status, out, err = await run(tmp_path, "serve", flag, address, *other)
            assert (status, out) == (2, "")
            assert err == (
                f"llm-proxy: {flag}: [server.{key}]: "
                f"cannot listen on {address}: Address already in use\n"
            )


async def test_an_open_stream_is_drained(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SLOW % "200ms")
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        async with RawClient(data) as client, RawClient(data) as idle:
            await idle.send(request("/v1/chat/completions", CHAT | {"model": "mock-status-400"}))
            assert (await idle.read_head()).status == 400
            await idle.read_body()
            await client.send(request("/v1/chat/completions", CHAT | {"stream": True}))
            await client.read_head()
            assert b"assistant" in await client.read_until(b"\n\n")
            served.process.terminate()
            assert (await served.line("stopping"))["running"] == 1
            # Nobody new is let in, and whoever balances the load is told.
            assert await idle.read_rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await get(data, "/v1/models")
            assert await get(admin, "/readyz") == (503, b"draining\n")
            assert (await get(admin, "/livez"))[0] == 200
            rest = await client.read_rest()
            assert rest.count(b'"content":') == 8
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await served.end(None) == 0
        assert [line.get("error") for line in served.lines if line["event"] == "exchange"] == [
            "provider.refused",
            None,
        ]


@pytest.mark.parametrize("deadline", [False, True])
async def test_a_drain_ends_at_its_deadline_or_a_second_signal(
    tmp_path: Path, deadline: bool
) -> None:
    limit = '[server]\ndrain_timeout = "100ms"\n' if deadline else ""
    (tmp_path / "c.toml").write_text(limit + SLOW % "30s")
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        async with RawClient(ready["data"][0]) as client:
            await client.send(request("/v1/chat/completions", CHAT | {"stream": True}))
            await client.read_head()
            await client.read_until(b"assistant")
            served.process.terminate()
            await served.line("stopping")
            if not deadline:
                served.process.terminate()
            # What cannot be finished is seen not to be: an error event, and no clean end.
            rest = await client.read_body()
            assert b'"code":"proxy.draining"' in rest
            assert not client.clean_end
        assert await served.end(None) == 0
        [line] = [line for line in served.lines if line["event"] == "exchange"]
        assert line["error"] == "proxy.draining"


async def test_it_listens_on_unix_sockets_and_takes_their_files_away(tmp_path: Path) -> None:
    data, admin = (f"unix:{tmp_path}/{name}.sock" for name in ("data", "admin"))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/data.sock")  # what a process leaves behind that was killed
    async with serving(tmp_path, "--listen", data, "--admin", admin) as (served, ready):
        assert (ready["data"], ready["admin"]) == ([data], admin)
        assert (await chat(data)).endswith(b"data: [DONE]\n\n")
        assert (await served.line("exchange"))["status"] == 200
        assert await run(tmp_path, "healthcheck", admin) == (0, "", "")
        status, _, err = await run(tmp_path, "serve", "--listen", data, "--admin", "none")
        assert (status, err) == (
            2,
            f"llm-proxy: --listen: [server.listen]: cannot listen on {data}: "
            "Address already in use\n",
        )
        assert (tmp_path / "data.sock").exists()
        assert await served.end() == 0
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".sock")]


async def test_check_prints_what_it_comes_to_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[provider.openai]\ntype = "openai"\ntoken = "env:MY_KEY"\n'
        '[provider.two]\ntype = "openai"\ntoken = "literal:sk-literal-canary"\n'
        '[[route]]\nname = "all"\npath = "/v1/*"\ntargets = ["openai/gpt-4o", "two"]\n'
    )
    environ = {"MY_KEY": SECRET}
    for flags, expected in (((), 0), (("--json", "--strict"), 2)):
        status, out, err = await run(tmp_path, "check", "-c", "c.toml", *flags, environ=environ)
        assert status == expected
        assert err.startswith("llm-proxy: warning: c.toml:6: [provider.two.token]: ")
        assert SECRET not in out + err
        assert "canary" not in out + err
        tree = json.loads(out) if flags else tomllib.loads(out)
        assert tree["server"]["listen"] == ["127.0.0.1:8080"]
        assert tree["route"][0]["name"] == "all"
    # A variable that is missing is a problem, like any other, and nothing is printed.
    status, out, err = await run(tmp_path, "check", "-c", "c.toml")
    assert (status, out) == (2, "")
    assert err.startswith("llm-proxy: c.toml:3: [provider.openai.token]: ")


async def test_the_version_and_the_installed_command(tmp_path: Path) -> None:
    short = f"llm-proxy {proxy.__version__}\n"
    assert await run(tmp_path, "version") == (0, short, "")
    assert await run(tmp_path, "--version") == (0, short, "")
    status, out, _ = await run(tmp_path, "version", "--verbose")
    assert status == 0
    for name in ("python", "uvloop", "aiohttp", "msgspec"):
        assert re.search(rf"^{name} \d+\.\d+", out, re.MULTILINE)
    [command] = entry_points(group="console_scripts", name="llm-proxy")
    assert command.value == "proxy.cli:main"
