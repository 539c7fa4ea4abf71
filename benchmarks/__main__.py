"""Options, and the run itself."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks import machine, peers, plot, report, rows
from benchmarks.results import Result
from benchmarks.turns import Effort, Process, WorkerError, measure, measure_memory

NOISE_TRIES = 20
NOISE_PAUSE = 3.0  # seconds between tries, in which what disturbs may end
NOISE_RANGE = (0.9, 1.1)
NOISE = Effort(rounds=15, turn=0.04)
QUICK = Effort(rounds=3, turn=0.005, budget=0.5)
MEMORY_STEPS = 3


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure rn and its peers side by side: each library in a process of its own, taking turns.",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="rows with NAME in their name; * is anything"
    )
    parser.add_argument("--list", action="store_true", help="print the rows' names and stop")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help=f"default: {Effort.rounds}")
    parser.add_argument(
        "--peers", nargs="+", choices=list(peers.PACKAGES), default=peers.DEFAULT, help="default: all but torch-compile"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("build/benchmarks"), help="folder of results.json and the plots"
    )
    parser.add_argument("--quick", action="store_true", help="few short rounds: whether all runs, not how fast")
    parser.add_argument("--force", action="store_true", help="go on where the noise is too large")
    options = parser.parse_args(arguments)
    if min(*options.threads, options.rounds, 1) < 1:
        parser.error("threads and rounds are at least 1")
    return options


def say(text: str) -> None:
    """Print progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def noise(threads: int, effort: Effort, tries: int) -> list[float]:
    """Return the ratios of rn in one process to rn in another, until one is within bounds or there were enough."""
    found: list[float] = []
    with ExitStack() as stack:
        workers = {name: Process("rn", threads) for name in ("rn", "rn again")}
        for worker in workers.values():
            stack.callback(worker.close)
        while len(found) < tries and not (found and quiet(found[-1])):
            if found:
                time.sleep(NOISE_PAUSE)
            result = measure(rows.NOISE, threads, workers, effort)
            found.append(result.median("rn again") / result.median("rn"))
            say(f"noise: rn against rn {found[-1]:.2f} on {threads} thread{'s' * (threads > 1)}")
    return found


def quiet(ratio: float) -> bool:
    """Return whether the ratio of rn to rn is near enough to 1."""
    return NOISE_RANGE[0] <= ratio <= NOISE_RANGE[1]


def check_noise(run: report.Run, options: argparse.Namespace) -> None:
    """Stop unless rn against itself reads about 1 on every number of threads; nothing has been measured by then."""
    for threads in run.threads:
        ratios = noise(threads, QUICK if options.quick else NOISE, 1 if options.force else NOISE_TRIES)
        run.noise.append({"threads": threads, "ratio": ratios[-1], "tries": len(ratios)})
        if not quiet(ratios[-1]) and not options.force:
            sys.exit(too_noisy(threads, ratios))


def too_noisy(threads: int, ratios: Sequence[float]) -> str:
    """Return why the run stops."""
    low, high = NOISE_RANGE
    return (
        f"the machine is too busy to measure: rn against rn read {', '.join(f'{ratio:.2f}' for ratio in ratios)} on "
        f"{threads} thread{'s' * (threads > 1)}, outside {low} to {high}; try again when it is quiet, or --force it"
    )


def measure_rows(
    run: report.Run, chosen: Sequence[rows.Row], names: Sequence[str], threads: int, effort: Effort, folder: Path
) -> None:
    """Measure the rows that are for this number of threads and add them to the run, saved after each."""
    with ExitStack() as stack:
        workers: dict[str, Process] = {}
        for name in ("rn", *names):
            worker = Process(name, threads)
            stack.callback(worker.close)
            try:
                run.versions[name] = worker.ask("versions")
            except WorkerError as error:
                if name == "rn":
                    raise
                run.missing[name] = str(error)
                continue
            workers[name] = worker
        for number, row in enumerate(chosen, 1):
            say(f"[{number}/{len(chosen)}] {row.name}, {threads} thread{'s' * (threads > 1)}")
            if row.measure == "memory":
                result = measure_memory(row, threads, workers, MEMORY_STEPS)
            else:
                result = measure(row, threads, workers, effort)
            keep(run, row, result)
            save(run, folder)


def keep(run: report.Run, row: rows.Row, result: Result) -> None:
    """Add a result to the run; a row that rn cannot do is named instead, with the reason."""
    skipped = f"{row.name} ({result.failures.get('rn', 'rn lacks a layer')})"
    if result.own:
        run.results.append((row, result))
    elif skipped not in run.skipped:
        run.skipped.append(skipped)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the options ask for."""
    options = parse(arguments)
    chosen = rows.chosen(options.only)
    if options.list:
        print("\n".join(row.name for row in chosen))
        return
    if not chosen:
        sys.exit(f"no row has {' or '.join(options.only)} in its name: see --list")
    effort = QUICK if options.quick else Effort(rounds=options.rounds)

    threads_used = [threads for threads in options.threads if any(row.fits(threads) for row in chosen)]
    run = report.Run(machine.describe(), effort.rounds, threads_used)
    absent = {name: peers.missing(name) for name in options.peers}
    run.missing = {name: f"not installed: {', '.join(packages)}" for name, packages in absent.items() if packages}
    names = [name for name in options.peers if not absent[name]]
    run.fma_peak = machine.fma_peak()
    check_noise(run, options)
    try:
        for threads in run.threads:
            measure_rows(run, [row for row in chosen if row.fits(threads)], names, threads, effort, options.output)
    except KeyboardInterrupt:
        say("stopped; what was measured so far follows")
    finally:  # whatever ends the run, what was measured is kept
        write(run, options.output)


def save(run: report.Run, folder: Path) -> Path:
    """Write the JSON and return where it is."""
    run.seconds = time.monotonic() - run.began
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    path.write_text(report.dumps(run), encoding="utf-8")
    return path


def write(run: report.Run, folder: Path) -> None:
    """Print the table, write the JSON and draw the plots."""
    path = save(run, folder)
    print(report.table(run))
    pictures = plot.draw(run, folder) if find_spec("matplotlib") else []
    say(f"written: {', '.join(map(str, [path, *pictures]))}")


if __name__ == "__main__":
    main()
