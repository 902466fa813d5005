"""``python -m bench``: measures, and prints what came of it."""

import contextlib
import resource
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from bench import certificates, report
from bench.certificates import Certificates
from bench.contenders import Contender, Place, missing
from bench.figures import summarize
from bench.generator import Built, Generator, build
from bench.options import BUILD, Options, parse
from bench.process import choose_cores, on_core, version
from bench.rounds import Results, Rounds
from bench.workloads import WORKLOADS, Workload

BASELINES = ("nginx", "naive")


def main() -> int:
    """Run; 0 if nobody failed, 1 if somebody did, 2 where it cannot run, 130 if interrupted."""
    options = parse()
    if options.only_list:
        _list(options)
        return 0
    if not sys.platform.startswith("linux"):
        print("bench: needs Linux, whose accounting it reads", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    BUILD.mkdir(exist_ok=True)
    cores = choose_cores()
    notes: list[str] = []
    if not cores.pinned:
        notes.append("one core only: proxy and load share it")
    options = _installed(options, notes)
    built = build(BUILD)
    notes += built.notes
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as folder,
        contextlib.ExitStack() as stack,
    ):
        made = _certificates(built, Path(folder), notes)
        stack.enter_context(on_core(cores.load))
        generator = stack.enter_context(Generator(built, Path(folder), made))
        rounds = Rounds(options, generator, cores, Path(folder), made, _say)
        try:
            rounds.run()
            interrupted = False
        except KeyboardInterrupt:
            notes.append("interrupted: what was measured until then")
            interrupted = True
        versions = {
            contender.name: version(contender, rounds.place(contender, tls=False))
            for contender in options.contenders
            if contender.command
        }
    _print(options, rounds.results, versions, notes, pinned=bool(cores.pinned))
    if interrupted:
        return 130
    return 1 if rounds.results.failures else 0


def _installed(options: Options, notes: list[str]) -> Options:
    """Without the contenders that are not installed."""
    here: list[Contender] = []
    for contender in options.contenders:
        place = Place(0, 0, False, Path(), BUILD)
        program = missing(contender, place)
        if program is None:
            here.append(contender)
        else:
            notes.append(f"{contender.name} is left out: {program} is not installed")
    return msgspec.structs.replace(options, contenders=here)


def _certificates(built: Built, folder: Path, notes: list[str]) -> Certificates | None:
    if not built.tls:
        return None
    try:
        return certificates.make(folder)
    except RuntimeError as error:
        notes.append(f"TLS workloads are left out: {error}")
        return None


def _print(
    options: Options,
    results: Results,
    versions: dict[str, str],
    notes: list[str],
    *,
    pinned: bool,
) -> None:
    measured = {sample.contender for sample in results.samples}
    baseline = next((name for name in BASELINES if name in measured), None)
    if baseline != BASELINES[0]:
        notes.append(f"no {BASELINES[0]}: ratios are to {baseline or 'nobody'}")
    for name, share in report.disturbed(results.samples).items():
        notes.append(f"{name}: others took {share:.0%} of the cores meanwhile; run it again")
    notes += results.left_out
    names = [contender.name for contender in options.contenders]
    order = {name: place for place, name in enumerate(names)}
    summaries = summarize(results.samples, baseline)
    summaries.sort(key=lambda summary: order[summary.contender])
    tables = []
    for workload in options.workloads:
        if mine := [summary for summary in summaries if summary.workload == workload.name]:
            tables.append(report.workload_table(workload, mine, baseline))
    document = report.Report(
        date=report.today(),
        commit=report.commit(),
        full=options.full,
        machine=report.machine(pinned=pinned),
        versions=versions,
        baseline=baseline,
        notes=notes,
        definitions={one.name: f"{one.title}: {one.definition}" for one in options.workloads},
        summaries=summaries,
        failures=results.failures,
        samples=results.samples,
    )
    print(f"\n{document.date}, commit {document.commit or 'unknown'}")
    print(f"  {report.machine_line(document.machine)}")
    for name, text in versions.items():
        if text:
            print(f"  {name}: {text}")
    print("\n" + "\n\n".join(tables))
    print("\n" + report.overview(options.workloads, summaries, names))
    if baseline:
        print(f"\nIn brackets: median of the ratios to {baseline} in the same round.")
    for told in report.comparisons(results.samples):
        print(told)
    for note in notes:
        print(f"note: {note}")
    for line in report.failure_lines(results.failures):
        print(f"failed: {line}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    print(f"as JSON: {options.json}")


def _list(options: Options) -> None:
    print("contenders:")
    for contender in options.contenders:
        print(f"  {contender.name}")
    print("workloads:")
    for workload in WORKLOADS:
        print(f"  {workload.name:16}{_when(workload)}{workload.title}")


def _when(workload: Workload) -> str:
    return "        " if workload.quick else "(--full) "


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
