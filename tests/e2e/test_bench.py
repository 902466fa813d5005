"""The benchmark, run as users run it: it measures, and a broken proxy cannot look fast."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from bench.report import Report

ROOT = Path(__file__).parents[2]

# Relays bytes, and does one thing wrong.
BROKEN = """
import asyncio, sys

port, upstream, old, new = sys.argv[1:]

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data.replace(old.encode(), new.encode()))
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def serve(reader, writer):
    host, port = upstream.split(":")
    up_reader, up_writer = await asyncio.open_connection(host, int(port))
    await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(port))
    await server.serve_forever()

asyncio.run(main())
"""


async def bench(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> tuple[int | None, str, Report]:
    """Exit status, standard output and the JSON of a run that is as short as can be."""
    document = folder / "bench.json"
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench", "--rounds", "1", "--seconds", "0.2"],
        *["--json", str(document), *arguments],
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert document.exists(), err.decode()
    return process.returncode, out.decode(), msgspec.json.decode(document.read_bytes(), type=Report)


def broken(folder: Path, old: str, new: str) -> list[str]:
    """The arguments that measure a relay which replaces `old` by `new`, both ways."""
    (folder / "broken.py").write_text(BROKEN)
    command = ["{python}", str(folder / "broken.py"), "{port}", "{upstream_address}", old, new]
    quoted = ", ".join(f"'{word}'" for word in command)
    (folder / "broken.toml").write_text(f'name = "broken"\ncommand = [{quoted}]\n')
    return ["--add", str(folder / "broken.toml"), "--only", "broken"]


@pytest.mark.needs("cc")
async def test_it_measures_this_proxy(tmp_path: Path) -> None:
    status, out, report = await bench(tmp_path, "--only", "ours", "--workload", "lockstep")
    assert (status, report.failures) == (0, [])
    (summary,) = report.summaries
    assert summary.cost is not None
    # A Python proxy takes more than a microsecond of CPU for an event, and less than a millisecond.
    assert 1 < summary.cost.median < 1000
    assert 0 < summary.detail["p50_us"] <= summary.detail["p99_us"]
    assert "| lock-step stream, 50 streams: CPU µs/event |" in out


@pytest.mark.needs("cc")
async def test_the_harness_alone_has_throughput_but_no_cost(tmp_path: Path) -> None:
    _, _, report = await bench(tmp_path, "--only", "direct", "--workload", "unary-2k,paced")
    unary, paced = report.summaries
    assert (unary.cost, paced.cost) == (None, None)
    assert unary.detail["per_second"] > 1000
    assert 10_000 < paced.detail["per_second"] < 21_000


@pytest.mark.needs("cc")
@pytest.mark.parametrize(
    ("workload", "old", "new", "reason"),
    [
        ("unary-2k", "measure", "MEASURE", "the provider got another request body"),
        ("unary-2k", "chat.completion", "chat.COMPLETION", "not what the provider sent"),
        ("lockstep", "quick", "QUICK", "not what the provider sent"),
        ("lockstep", "data: [DONE]", "data: [GONE]", "not what the provider sent"),
        # The provider believes to be asked for usage, and nobody keeps its chunk from the client.
        ("lockstep", "measure what it costs", '"include_usage":true ', "not what the provider"),
    ],
)
async def test_a_proxy_that_changes_what_it_passes_has_no_figure(
    tmp_path: Path, workload: str, old: str, new: str, reason: str
) -> None:
    status, out, report = await bench(tmp_path, *broken(tmp_path, old, new), "--workload", workload)
    assert (status, report.summaries) == (1, [])
    (failure,) = report.failures
    assert reason in failure.reason
    assert f"failed: {workload}, broken: " in out


async def test_without_a_compiler_it_says_so_and_measures_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    env = {name: value for name, value in os.environ.items() if name != "CC"}
    env["PATH"] = str(tmp_path / "bin")
    if (openssl := shutil.which("openssl")) is not None:
        (tmp_path / "bin" / "openssl").symlink_to(openssl)
    arguments = ["--only", "naive", "--workload", "unary-2k,lockstep,paced,slow-reader"]
    status, out, report = await bench(tmp_path, *arguments, env=env)
    assert (status, report.failures) == (0, [])
    assert [one.workload for one in report.summaries] == arguments[-1].split(",")
    assert all(one.cost is not None for one in report.summaries)
    assert "note: no C compiler: the load generator is the one in Python" in out


async def test_a_contender_that_does_not_start_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        'name = "x"\ncommand = ["{python}", "-c", "raise SystemExit(\'no such flag\')"]\n'
    )
    arguments = ["--add", str(tmp_path / "x.toml"), "--only", "x", "--workload", "unary-2k,start"]
    status, _, report = await bench(tmp_path, *arguments)
    assert status == 1
    assert [one.reason for one in report.failures] == ["it ended with status 1: no such flag"]


async def test_a_contender_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('name = "x"\ncommand = ["no-such-gateway"]\n')
    arguments = ["--add", str(tmp_path / "x.toml"), "--only", "x", "--workload", "unary-2k"]
    status, out, report = await bench(tmp_path, *arguments)
    assert (status, report.failures, report.summaries) == (0, [], [])
    assert "note: x is left out: no-such-gateway is not installed" in out
