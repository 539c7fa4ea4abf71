"""From a run's JSON to the README's tables and picture: ``python -m benchmarks.publish build/benchmarks/results.json``.

It copies the run to docs/benchmarks_<instruction set>.json, draws docs/benchmarks.png and writes what stands between
the markers of README.md anew, from the last run of each instruction set: the widest with the picture, then the others.
Without a run it works from those files. ``--check`` changes nothing and fails where README.md does not agree with them.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plot, report
from benchmarks.limits import NETS
from benchmarks.report import Line, Run

__all__ = ["main", "renewed", "section"]

ROOT = Path(__file__).resolve().parents[1]
README, PICTURE = Path("README.md"), Path("docs/benchmarks.png")
DATA = "docs/benchmarks_{isa}.json"
WIDEST_FIRST = ("avx512", "avx2", "generic")
BEGIN, END = "<!-- benchmarks: written by python -m benchmarks.publish -->", "<!-- end of benchmarks -->"

INTRO = """\
Time of one call through the public API, NumPy arrays in and out. In bold: how many times as long the fastest peer
takes. Where rn has several ways (`Sequencial` or `RedeNeural`, SGD or Adam), the cell shows the one with the smallest
ratio. Medians of rounds in turns, each library in a process of its own. One section for each instruction set, on
different machines: compare their ratios, not their times."""
ABOUT = """\
{processor}, {usable} of its {processors} processors, {peak:.0f} GFLOP/s a core; {isa} of commit {commit},
{date}; Python {python}; up to {rounds} rounds. Peers: {peers}."""
WORST = """\
The worst of all {count} timed rows, those of the growth with the batch included:
{row}, {own} against {peer} by {opponent}, **{ratio}**."""
COMMAND = """\
`python -m benchmarks && python -m benchmarks.publish build/benchmarks/results.json`, from the root of the sources with
the extra `[bench]` and `pip install torch==2.13.0`, measures ({minutes}) and
writes the section of the machine's instruction set, the picture and the data, which has every row:
{data}."""
GROUPS = {
    "gemm": "matrix products",
    "conv": "convolutions and their gradients",
    "elementwise": "`Tensor4D` operations",
    "images": "transforms of images",
}


def section(runs: Sequence[Run]) -> str:
    """Return what stands between the markers, from runs of one instruction set each, the widest first."""
    picture = f"![The nets and all kernels against the fastest peer, {instruction_set(runs[0])}]({PICTURE.as_posix()})"
    parts = [INTRO, *tables(runs[0], picture), *(part for run in runs[1:] for part in tables(run))]
    minutes = ", ".join(f"{instruction_set(run)}: {run.seconds / 60:.0f} minutes" for run in runs)
    data = ", ".join(f"[{instruction_set(run)}]({data_file(run)})" for run in runs)
    parts.append(COMMAND.format(minutes=minutes, data=data))
    return "\n\n".join(part for part in parts if part)


def tables(run: Run, picture: str = "") -> list[str]:
    """Return the heading, what the run was, the nets, the picture, the kernels and the worst row."""
    measured = [line for line in report.lines(run) if line.ratio is not None]
    versions = dict(run.versions)
    isa = versions.pop("rn")
    about = ABOUT.format(
        isa=isa, peers=", ".join(versions.values()), rounds=run.rounds, peak=run.peak[0] or 0.0, **run.machine
    )
    return [
        f"### {instruction_set(run)}",
        about,
        net_table(measured),
        picture,
        kernel_table(measured),
        worst_of([line for line in measured if line.result.unit == "s"]),
    ]


def instruction_set(run: Run) -> str:
    """Return the instruction set that rn took in a run; exit with an error where it is none of ours."""
    found = re.search(r"\((\w+)\)$", run.versions.get("rn", ""))
    if not found or found[1] not in WIDEST_FIRST:
        sys.exit(f"this run was with {run.versions.get('rn')!r}, not with one of {', '.join(WIDEST_FIRST)}")
    return found[1]


def data_file(run: Run) -> str:
    """Return where a run is kept, from the root."""
    return DATA.format(isa=instruction_set(run))


def read(path: Path) -> Run:
    """Return the run that a file holds."""
    return report.from_json(json.loads(path.read_text(encoding="utf-8")))


def net_table(measured: Sequence[Line]) -> str:
    """Return a line for each net and a column for each kind of work and number of threads."""
    threads = sorted({line.result.threads for line in measured if line.result.name.startswith("net/")})
    columns = [(work, count) for work in plot.WORK for count in threads]
    table = [["net (batch)", *(f"{plot.WORK[work]}, {on_threads(count)}" for work, count in columns)]]
    for net in NETS:
        cells = [f"{net} ({plot.BATCHES[net]})"]
        for work, count in columns:
            prefix = f"net/{net}/{work}"
            lines = [line for line in measured if line.result.name.startswith(prefix) and line.result.threads == count]
            cells.append(time_and_ratio(worst(lines)) if lines else "")
        table.append(cells)
    return markdown(table) if columns else ""


def kernel_table(measured: Sequence[Line]) -> str:
    """Return a line for each group of kernels, its worst row included."""
    table = [["kernels", "rows", "as fast or faster", "median ratio", "worst row"]]
    for group, name in GROUPS.items():
        lines = [line for line in measured if line.result.name.startswith(f"{group}/")]
        if not lines:
            continue
        faster = sum(ratio(line) >= 1 for line in lines)
        median = statistics.median(map(ratio, lines))
        slowest = worst(lines)
        table.append(
            [name, str(len(lines)), str(faster), f"{median:.2f}", f"{row_name(slowest)}: {ratio(slowest):.2f}×"]
        )
    return markdown(table) if len(table) > 1 else ""


def worst_of(timed: Sequence[Line]) -> str:
    """Return a sentence on the row on which rn does worst."""
    if not timed:
        return ""
    line = worst(timed)
    opponent = line.result.opponent()
    assert opponent is not None
    return WORST.format(
        count=len(timed),
        row=row_name(line),
        own=report.quantity(line.result.median(line.contender), "s"),
        peer=report.quantity(line.result.median(opponent), "s"),
        opponent=opponent,
        ratio=f"{ratio(line):.2f}×",
    )


def time_and_ratio(line: Line) -> str:
    """Return a cell of the nets' table."""
    return f"{report.quantity(line.result.median(line.contender), line.result.unit)}, **{ratio(line):.2f}×**"


def row_name(line: Line) -> str:
    """Return the row, the way rn does it, and the threads."""
    return f"{line.result.name}{line.contender.removeprefix('rn')}, {on_threads(line.result.threads)}"


def on_threads(count: int) -> str:
    """Return the number of threads in words."""
    return f"{count} thread{'s' * (count > 1)}"


def worst(lines: Sequence[Line]) -> Line:
    """Return the line of the smallest ratio."""
    return min(lines, key=ratio)


def ratio(line: Line) -> float:
    """Return the ratio of a line that has an opponent."""
    assert line.ratio is not None
    return line.ratio


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its heading."""
    heading, *rows = table
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows))


def renewed(text: str, runs: Sequence[Run]) -> str:
    """Return a README's text with what stands between its markers written anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{section(runs)}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish a run, or check what was published."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.publish", description=f"Write the runs' tables and picture into {README}."
    )
    parser.add_argument("results", type=Path, nargs="?", help="of a run; default: those that are kept in docs")
    parser.add_argument("--check", action="store_true", help=f"fail where {README} does not agree with what is kept")
    options = parser.parse_args(arguments)
    kept = [ROOT / DATA.format(isa=isa) for isa in WIDEST_FIRST]
    by_set = {instruction_set(run): run for run in map(read, filter(Path.exists, kept))}
    given = read(options.results) if options.results else None
    if given is not None:
        by_set[instruction_set(given)] = given
    if not by_set:
        sys.exit("no run was published yet, and none was given")
    runs = [by_set[isa] for isa in WIDEST_FIRST if isa in by_set]
    text = (ROOT / README).read_text(encoding="utf-8")
    new = renewed(text, runs)
    if options.check:
        if new != text:
            sys.exit(f"{README} and docs do not agree: python -m benchmarks.publish")
        return
    if given is not None:
        (ROOT / data_file(given)).write_text(report.dumps(given), encoding="utf-8")
        print(f"written: {data_file(given)}")
    plot.draw_overview(list(report.lines(runs[0])), ROOT / PICTURE)
    (ROOT / README).write_text(new, encoding="utf-8")
    print(f"written: {README}, {PICTURE}")


if __name__ == "__main__":
    main()
