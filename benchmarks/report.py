"""The run as a table and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.limits import NETS, limits
from benchmarks.results import Result, Verdict
from benchmarks.rows import Row, every

__all__ = ["Line", "Run", "dumps", "from_json", "lines", "net_table", "quantity", "table", "to_json"]


@dataclass
class Run:
    """Everything that a run found."""

    machine: dict[str, str | int]
    rounds: int
    threads: Sequence[int]
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    noise: list[dict[str, float]] = field(default_factory=list)
    fma_peak: float | None = None
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    results: list[tuple[Row, Result]] = field(default_factory=list)

    @property
    def peak(self) -> tuple[float | None, str]:
        """One core's peak in GFLOP/s and how it is known: by a loop of FMA, else the best product of any library."""
        if self.fma_peak is not None:
            return self.fma_peak, "a loop of FMA on one core"
        single = (result for row, result in self.results if row.group == "gemm" and result.threads == 1)
        rates = [rate for result in single for contender in result.values if (rate := result.gflops(contender))]
        return max(rates, default=None), "the fastest matrix product of any library on one thread"


@dataclass(frozen=True)
class Line:
    """A line of the table: one of rn's contenders on a row, its opponent and its verdicts."""

    result: Result
    contender: str
    verdicts: tuple[Verdict, ...]

    @property
    def ratio(self) -> float | None:
        """The best peer's time over ours."""
        return self.result.ratio(self.contender)

    @property
    def holds(self) -> bool:
        """Whether every limit holds."""
        return all(verdict.holds for verdict in self.verdicts)

    @property
    def margin(self) -> float:
        """The worst reading over its limit, below 1 where it misses; the ratio where nothing is limited."""
        margins = [
            verdict.limit.value / verdict.reading
            if verdict.limit.kind == "microseconds"
            else verdict.reading / verdict.limit.value
            for verdict in self.verdicts
        ]
        return min(margins, default=self.ratio or float("inf"))


def lines(run: Run) -> Iterator[Line]:
    """Yield the lines of the table."""
    peak, _ = run.peak
    for row, result in run.results:
        for contender in result.own:
            verdicts = result.verdicts(contender, limits(row, result.threads), peak)
            yield Line(result, contender, tuple(verdicts))


def quantity(value: float, unit: str) -> str:
    """Return a time or a size with three digits or so."""
    scales = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if unit == "s" else (("MB", 1e6),)
    name, scale = next((pair for pair in scales if value >= pair[1]), scales[-1])
    number = value / scale
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {name}"


def cells(line: Line) -> list[str]:
    """Return the cells of a line: row, threads, rn, its least, the best peer, ratio, rate, limits."""
    result, contender = line.result, line.contender
    opponent, ratio, rate = result.opponent(), line.ratio, result.gflops(contender)
    name = result.name + contender.removeprefix("rn")
    judged = ", ".join(
        f"{verdict.limit}: {'holds' if verdict.holds else f'MISSES ({verdict.reading:.2f})'}"
        for verdict in line.verdicts
    )
    return [
        name,
        str(result.threads),
        quantity(result.median(contender), result.unit),
        quantity(result.minimum(contender), result.unit),
        f"{quantity(result.median(opponent), result.unit)} {opponent}" if opponent else "",
        f"{ratio:.2f}" if ratio is not None else "",
        f"{rate:.0f}" if rate is not None else "",
        judged,
    ]


HEADER = ["row", "thr", "rn", "least", "best peer", "ratio", "GFLOP/s", "limit"]


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def net_table(run: Run) -> str:
    """Return the ratios of the nets, one net a line, ``!`` where a limit is missed; empty where none was measured.

    Training is the worse of its optimizers, a net the worse of its models.
    """
    work = ("train", "predict-batch", "predict-one")
    threads = sorted({result.threads for row, result in run.results if row.group == "net"})
    rows = [["ratio (limit)", *(f"{what} {count}t" for what in work for count in threads)]]
    measured = list(lines(run))
    for net in NETS:
        row = [net]
        for what in work:
            for count in threads:
                prefix = f"net/{net}/{what}"
                fitting = [
                    line
                    for line in measured
                    if line.result.name.startswith(prefix) and line.result.threads == count and line.ratio is not None
                ]
                worst = min(fitting, key=lambda line: line.ratio or 0.0, default=None)
                row.append("" if worst is None else ratio_cell(worst))
        if any(row[1:]):
            rows.append(row)
    return columns(rows) if len(rows) > 1 else ""


def ratio_cell(line: Line) -> str:
    """Return a line's ratio with its limit."""
    limit = f" ({line.verdicts[0].limit})" if line.verdicts else ""
    return f"{line.ratio:.2f}{limit}{'' if line.holds else ' !'}"


def table(run: Run) -> str:
    """Return the whole report."""
    machine = run.machine
    peak, how = run.peak
    text = [
        f"{machine['processor']}, {machine['usable']} of {machine['processors']} processors",
        f"{machine['system']}, Python {machine['python']}",
        *run.versions.values(),
        f"median of up to {run.rounds} rounds in turns; one thread is pinned to one processor",
        *(f"left out: {name} ({why})" for name, why in run.missing.items()),
        *(f"noise: rn against rn {found['ratio']:.2f} on {found['threads']:g} threads" for found in run.noise),
        f"the run took {run.seconds / 60:.1f} minutes",
    ]
    if peak is not None:
        text.append(f"peak: {peak:.0f} GFLOP/s ({how})")
    measured = list(lines(run))
    text += ["", columns([HEADER, *map(cells, measured)])]
    failures = {(name, why) for _, result in run.results for name, why in result.failures.items()}
    text += (
        [f"failed: {result.name}: {why}" for _, result in run.results for why in result.failures.values()]
        if failures
        else []
    )
    if run.skipped:
        text.append(f"not measured: {', '.join(run.skipped)}")
    if ratios := net_table(run):
        text += ["", ratios]
    judged = [line for line in measured if line.verdicts]
    if judged:
        worst = min(judged, key=lambda line: line.margin)
        held = sum(line.holds for line in judged)
        text += [
            "",
            f"{held} of {len(judged)} lines hold; worst, at {worst.margin:.2f} of its limit: {'  '.join(cells(worst))}",
        ]
    return "\n".join(text)


def to_json(run: Run) -> dict[str, Any]:
    """Return the run as plain data: every round's value, and what follows."""
    peak, how = run.peak
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for _, result in run.results:
        rows[result.name, result.threads] = {
            "name": result.name,
            "threads": result.threads,
            "unit": result.unit,
            "flops": result.flops,
            "contenders": {
                name: {"median": result.median(name), "minimum": result.minimum(name), "rounds": values}
                for name, values in result.values.items()
            },
            "failures": result.failures,
            "lines": [],
        }
    for line in lines(run):
        rows[line.result.name, line.result.threads]["lines"].append(
            {
                "contender": line.contender,
                "opponent": line.result.opponent(),
                "ratio": line.ratio,
                "limits": [{**asdict(v.limit), "reading": v.reading, "holds": v.holds} for v in line.verdicts],
            }
        )
    return {
        "machine": run.machine,
        "versions": run.versions,
        "missing": run.missing,
        "skipped": run.skipped,
        "threads": list(run.threads),
        "rounds": run.rounds,
        "noise": run.noise,
        "seconds": run.seconds,
        "fma_peak": run.fma_peak,
        "peak": {"gflops": peak, "from": how},
        "rows": list(rows.values()),
    }


def dumps(run: Run) -> str:
    """Return the run as JSON text, a row a line."""
    data = to_json(run)
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in data.pop("rows"))
    head = json.dumps(data, ensure_ascii=False, indent=1).removesuffix("\n}")
    return f'{head},\n "rows": [\n{rows}\n ]\n}}\n'


def from_json(data: dict[str, Any]) -> Run:
    """Return the run that ``to_json`` described; rows that are no more are left out."""
    known = {row.name: row for row in every()}
    run = Run(data["machine"], data["rounds"], data["threads"])
    run.versions, run.missing, run.skipped = data["versions"], data["missing"], data["skipped"]
    run.noise, run.fma_peak, run.seconds = data["noise"], data["fma_peak"], data["seconds"]
    for row in data["rows"]:
        values = {name: contender["rounds"] for name, contender in row["contenders"].items()}
        result = Result(row["name"], row["threads"], row["unit"], row["flops"], values, row["failures"])
        if row["name"] in known:
            run.results.append((known[row["name"]], result))
    return run
