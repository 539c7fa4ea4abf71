"""The run as pictures: the nets' ratios against their limits, time a sample over the batch, all at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import nets
from benchmarks.limits import NETS
from benchmarks.report import Line, Run, lines
from benchmarks.results import Result
from benchmarks.rows import Row

__all__ = ["BATCHES", "WORK", "draw", "draw_overview"]

OURS, PEERS = "#2a6fb0", "#b0682a"
BATCHES = {name: net.batch for name, net in nets.NETS.items()}
WORK = {"train": "training step", "predict-batch": "inference, batch", "predict-one": "inference, one"}
SHADES = ("#8db8de", "#2a6fb0", "#173f66")  # by number of threads
GROUPS = {
    "gemm": ("matrix products", "#b0682a"),
    "conv": ("convolutions", "#2a6fb0"),
    "elementwise": ("Tensor4D operations", "#5a9e6f"),
}


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


def draw_overview(measured: list[Line], path: Path) -> Path:
    """Draw the nets' ratios, a panel for each kind of work, and below them every kernel's, from worst to best."""
    from matplotlib.figure import Figure

    measured = [line for line in measured if line.ratio is not None]
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, len(WORK), height_ratios=(1.25, 1))
    panels = [figure.add_subplot(grid[0, i]) for i in range(len(WORK))]
    for axes, (work, title) in zip(panels, WORK.items(), strict=True):
        _draw_nets(axes, [line for line in measured if f"/{work}" in line.result.name], title)
    panels[0].legend(loc="lower right", fontsize=8, frameon=False)
    panels[0].set_yticks(range(len(NETS)), [f"{net}\nbatch {BATCHES[net]}" for net in NETS])
    _draw_kernels(figure.add_subplot(grid[1, :]), measured)
    figure.suptitle(
        "Time of the fastest peer / time of rn (right of or above the line at 1, rn is faster)", fontsize=11
    )
    figure.savefig(path, dpi=130)
    return path


def _draw_nets(axes: Any, measured: list[Line], title: str) -> None:
    """Draw a bar for each net and number of threads: the worst ratio of rn's ways to do it."""
    threads = sorted({line.result.threads for line in measured})
    height = 0.8 / max(len(threads), 1)
    for j, count in enumerate(threads):
        label = f"{count} thread{'s' * (count > 1)}"
        for i, net in enumerate(NETS):
            ratios = [
                line.ratio or 0.0
                for line in measured
                if line.result.name.startswith(f"net/{net}/") and line.result.threads == count
            ]
            if ratios:
                place, ratio = i + (j - (len(threads) - 1) / 2) * height, min(ratios)
                color = SHADES[j % len(SHADES)]
                axes.barh(place, ratio, height * 0.92, color=color, label=label)
                axes.annotate(
                    f"{ratio:.1f}", (ratio, place), (3, 0), textcoords="offset points", va="center", fontsize=7
                )
                label = "_nolegend_"
    axes.axvline(1.0, color="#c0392b", linewidth=1)
    axes.set_title(title, fontsize=10)
    axes.set_yticks(range(len(NETS)), [""] * len(NETS))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_kernels(axes: Any, measured: list[Line]) -> None:
    """Draw a dot for each kernel row, the worst on the left, and name the worst three."""
    lines = [line for line in measured if line.result.name.split("/")[0] in GROUPS]
    lines.sort(key=lambda line: line.ratio or 0.0)
    for group, (title, color) in GROUPS.items():
        chosen = [(i, line.ratio) for i, line in enumerate(lines) if line.result.name.startswith(f"{group}/")]
        axes.scatter([i for i, _ in chosen], [ratio for _, ratio in chosen], s=14, color=color, label=title)
    for i, line in enumerate(lines[:3]):
        name = f"{line.result.name}, {line.result.threads}t: {line.ratio:.2f}"
        place = ((len(lines) - 1) * 0.12, 0.06 + 0.09 * i)
        axes.annotate(
            name,
            (i, line.ratio),
            place,
            textcoords=("data", "axes fraction"),
            fontsize=7,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "gray", "linewidth": 0.6},
        )
    axes.axhline(1.0, color="#c0392b", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=6)
    axes.set_xticks([])
    axes.set_xlabel(f"all {len(lines)} rows of kernels, from the worst to the best", fontsize=9)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
