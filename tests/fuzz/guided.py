"""Coverage-guided fuzzing: ``python -m tests.fuzz.guided [NAME | --each | --keep] [--seconds N]``.

libFuzzer, through atheris, follows the branches that an input takes in the decoders of
test_decoders.py. Without a name it tries all of them in one process, the first byte saying which;
with `--each` one after the other, so many seconds each. It ends with an error, and the input in a
file, at an exception that is not a decoder's own, at more than 512 MiB of memory (1 GiB for all
together), or where one input takes ten seconds.

`--keep` makes tests/fuzz/corpus anew, which test_corpus.py replays: for each decoder a few inputs
that lead to the branches which so many seconds find without recorded traffic.
"""

import argparse
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["proxy"], enable_loader_override=False):
    from proxy.errors import ConfigError, ProxyError
    from proxy.framing import FramingError
    from tests.fuzz.test_decoders import DECODERS

MAX_INPUT = 16 * 1024
MAX_RECORDED = 400
"""Recorded bodies that the corpus begins with."""

CORPUS = Path(__file__).parent / "corpus"
MAX_KEPT = 40
"""Inputs of each decoder that are kept, and how long one of them may be."""
MAX_KEPT_BYTES = 1024

_NAMES = sorted(DECODERS)


def main() -> None:
    """Fuzz; does not return (libFuzzer ends the process)."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.guided", description=__doc__)
    parser.add_argument("name", nargs="?", choices=_NAMES)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="kept between runs; default: made anew")
    parser.add_argument("--each", action="store_true", help="every decoder, in turn")
    parser.add_argument("--keep", action="store_true", help="write tests/fuzz/corpus")
    given = parser.parse_args()
    if given.each:
        sys.exit(_each(given.seconds))
    if given.keep:
        sys.exit(_keep([given.name] if given.name else _NAMES, given.seconds))
    with contextlib.ExitStack() as stack:
        corpus = given.corpus
        if corpus is None:
            corpus = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        corpus.mkdir(parents=True, exist_ok=True)
        _seed(corpus, given.name)
        options = [
            f"-max_total_time={given.seconds}",
            f"-max_len={MAX_INPUT}",
            # All decoders together leave more behind, counters of their branches above all.
            f"-rss_limit_mb={512 if given.name else 1024}",
            "-timeout=10",
            "-print_final_stats=1",
            f"-artifact_prefix={tempfile.gettempdir()}/fuzz-",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], _target(given.name))
        atheris.Fuzz()


def _each(seconds: int) -> int:
    """Fuzz every decoder in a process of its own; the number of those that failed."""
    failed = 0
    for name in _NAMES:
        command = [sys.executable, "-m", "tests.fuzz.guided", name, "--seconds", str(seconds)]
        ended = subprocess.run(command, capture_output=True, text=True)
        stats = [line for line in ended.stderr.splitlines() if line.startswith("stat::")]
        told = ", ".join(" ".join(line.removeprefix("stat::").split()) for line in stats)
        print(f"{name}: {told if ended.returncode == 0 else ended.stderr[-4000:]}", flush=True)
        failed += ended.returncode != 0
    return failed


def _keep(names: list[str], seconds: int) -> int:
    """Make the corpus that is kept; the number of decoders that failed."""
    failed = 0
    CORPUS.mkdir(exist_ok=True)
    environ = {key: value for key, value in os.environ.items() if key != "LLM_PROXY_CASSETTES"}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            fuzz = [sys.executable, "-m", "tests.fuzz.guided", name]
            fuzz += ["--seconds", str(seconds), "--corpus", folder]
            ended = subprocess.run(fuzz, capture_output=True, text=True, env=environ)
            if ended.returncode != 0:
                print(f"{name}: {ended.stderr[-4000:]}", flush=True)
                failed += 1
                continue
            # All but the samples led to something new when they were found.
            kept = {file.read_bytes() for file in Path(folder).iterdir()}
        short = sorted((each for each in kept if 0 < len(each) <= MAX_KEPT_BYTES), key=len)
        number = min(MAX_KEPT, len(short))
        spread = [short[index * len(short) // number] for index in range(number)]
        lines = sorted(base64.b64encode(each).decode() for each in spread)
        (CORPUS / f"{name.replace(' ', '_')}.txt").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} of {len(kept)} kept", flush=True)
    return failed


def _target(name: str | None) -> Callable[[bytes], None]:
    def one(data: bytes) -> None:
        chosen = name
        if chosen is None:
            chosen, data = _NAMES[data[0] % len(_NAMES)] if data else _NAMES[0], data[1:]
        with contextlib.suppress(FramingError, ProxyError, ConfigError):
            DECODERS[chosen][0](data)

    return one


def _seed(corpus: Path, name: str | None) -> None:
    """Begin with the samples of the decoders, and with recorded traffic where there is some."""
    for number, each in enumerate(_NAMES):
        if name in (None, each):
            first = bytes([number]) if name is None else b""
            recorded = _recorded()[: MAX_RECORDED if name else MAX_RECORDED // len(_NAMES)]
            for index, sample in enumerate([*DECODERS[each][1], *recorded]):
                (corpus / f"seed-{number}-{index}").write_bytes(first + sample)


def _recorded() -> list[bytes]:
    folder = os.environ.get("LLM_PROXY_CASSETTES")
    if not folder:
        return []
    found = []
    for line in (Path(folder) / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        for which in ("resp", "req"):
            if row.get(f"{which}_body") and row[f"{which}_len"] <= 4096:
                found.append((Path(folder) / "bodies" / row[f"{which}_body"]).read_bytes())
    return found[:MAX_RECORDED]


if __name__ == "__main__":
    main()
