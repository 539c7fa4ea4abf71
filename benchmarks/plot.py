"""The run as two pictures: ratios of the nets against their limits, and time a sample over the batch."""

from __future__ import annotations

from pathlib import Path

from benchmarks.limits import NETS
from benchmarks.report import Line, Run, lines
from benchmarks.results import Result
from benchmarks.rows import Row

__all__ = ["draw"]

OURS, PEERS = "#2a6fb0", "#b0682a"


def draw(run: Run, folder: Path) -> list[Path]:
    """Write the pictures that the run has rows for, and return where they are."""
    made = []
    ratios = [line for line in lines(run) if line.result.name.startswith("net/") and line.ratio is not None]
    if ratios:
        made.append(draw_ratios(ratios, folder / "ratios.png"))
    growth = [(row, result) for row, result in run.results if row.group == "growth"]
    if growth:
        made.append(draw_growth(growth, folder / "growth.png"))
    return made


def draw_ratios(measured: list[Line], path: Path) -> Path:
    """Draw a bar for each line, red where its limit is missed, a mark at the limit and a line at 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.17 * len(measured)), layout="constrained")
    axes = figure.subplots()
    for i, line in enumerate(measured):
        assert line.ratio is not None
        axes.barh(i, line.ratio, color=OURS if line.holds else "#c0392b", height=0.75)
        for verdict in line.verdicts:
            axes.plot([verdict.limit.value] * 2, [i - 0.4, i + 0.4], color="black", linewidth=1.5)
    names = [
        f"{line.result.name.removeprefix('net/')}{line.contender.removeprefix('rn')} {line.result.threads}t"
        for line in measured
    ]
    axes.set_yticks(range(len(measured)), names, fontsize=6)
    axes.invert_yaxis()
    axes.axvline(1.0, color="gray", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time of the best peer / time of rn (black: limit; red: missed)")
    figure.savefig(path, dpi=150)
    return path


def draw_growth(measured: list[tuple[Row, Result]], path: Path) -> Path:
    """Draw the time of a sample over the batch, rn and the best peer, a panel for each net and mode."""
    from matplotlib.figure import Figure

    modes = ("train", "predict")
    names = [net for net in NETS if any(row.name.split("/")[1] == net for row, _ in measured)]
    figure = Figure(figsize=(3.2 * len(names), 5.4), layout="constrained")
    panels = figure.subplots(len(modes), len(names), squeeze=False, sharex=True)
    for i, mode in enumerate(modes):
        for j, net in enumerate(names):
            axes = panels[i][j]
            chosen = [result for row, result in measured if row.name.startswith(f"growth/{net}/{mode}/")]
            points = [(int(result.name.rsplit("/", 1)[1]), result) for result in chosen]
            axes.plot(
                [n for n, _ in points], [r.median("rn") / n * 1e6 for n, r in points], "o-", color=OURS, label="rn"
            )
            best = [(n, r.median(peer) / n * 1e6) for n, r in points if (peer := r.opponent()) is not None]
            axes.plot([n for n, _ in best], [time for _, time in best], "s--", color=PEERS, label="best peer")
            axes.set_xscale("log", base=4)
            axes.set_yscale("log")
            axes.set_title(f"{net}, {mode}", fontsize=9)
    panels[0][0].legend()
    figure.supxlabel("batch")
    figure.supylabel("µs a sample")
    figure.savefig(path, dpi=150)
    return path
