"""Pictures of training and of predictions; needs matplotlib, the extra ``[plot]``."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn.errors import DtypeError, MissingExtraError, OptionError, ShapeError, StateError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rn.profiling import Profile, Roofline

__all__ = ["plot_history", "plot_predictions", "plot_roofline"]

BLUE, ORANGE, RED = "#2563eb", "#ea7317", "#c81e1e"
INK, GREY, PALE = "#1f2430", "#6b7280", "#e5e7eb"

# Laid over the user's own settings while a picture is drawn, and taken off again.
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#9ca3af",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "figure.facecolor": "white",
    "font.size": 10.0,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def plot_history(history: Any, path: str | os.PathLike[str] | None = None, title: str | None = None) -> Figure:
    """Draw the loss and each metric over the epochs, training and validation together.

    history: a ``History``, or a mapping of names to one number per epoch.
    path: where to save the picture; the ending says the format (.png, .svg, .pdf, ...). None: only return it.

    Returns the ``matplotlib.figure.Figure``, which a notebook shows. Raises ``MissingExtraError`` without matplotlib
    and ``StateError`` where no epoch is over yet.
    """
    columns: Mapping[str, Sequence[float]] = getattr(history, "history", history)
    if not isinstance(columns, Mapping):
        raise DtypeError(f"expected a History or a mapping of names to numbers, got {type(history).__name__}")
    names = [name for name in columns if not (name.startswith("val_") and name[4:] in columns)]
    if not names or not any(len(columns[name]) for name in names):
        raise StateError("the history is empty; fit the model for at least one epoch")
    matplotlib = _matplotlib()
    across = 2 if len(names) == 4 else min(len(names), 3)
    down = math.ceil(len(names) / across)
    with matplotlib.rc_context(STYLE):
        figure = _figure(4.9 * across, 3.6 * down + (0.4 if title else 0.0))
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for panel, name in zip(panels, names, strict=False):
            numbers = np.asarray(getattr(history, "epoch", range(len(columns[name])))) + 1
            _draw_curves(panel, name, numbers, columns[name], columns.get(f"val_{name}"))
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        return _finished(figure, path, title)


def plot_predictions(
    images: ArrayLike,
    predicted: ArrayLike,
    true: ArrayLike | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    probabilities: ArrayLike | None = None,
    rows: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a grid of images, each under its predicted class; wrong ones in red, with the true class.

    images: (n, 1, h, w), (n, 3, h, w) or (n, h, w). Floats in [0, 1] or bytes are shown as they are; where there are
    other values, the darkest to the brightest of all the images are spread over the range.
    predicted, true: n class numbers; without ``true`` none is called wrong.
    class_names: the name of class 0, 1, ...; without it the numbers are shown.
    probabilities: (n,) of the predicted class, or (n, classes); shown in percent.
    rows: how many rows the grid has, by default about one for six images.

    Returns and saves as ``plot_history`` does. Raises ``ShapeError``, ``DtypeError`` or ``OptionError`` where the
    arguments do not fit each other, ``MissingExtraError`` without matplotlib.
    """
    pixels = _pixels(images)
    n = len(pixels)
    guesses = _classes("predicted", predicted, n, class_names)
    truths = guesses if true is None else _classes("true", true, n, class_names)
    certainty = None if probabilities is None else _certainty(probabilities, guesses)
    if rows is None:
        rows = math.ceil(n / min(n, 6))
    if not isinstance(rows, int) or not 1 <= rows <= n:
        raise OptionError(f"rows must be between 1 and the number of images, {n}, got {rows!r}")
    matplotlib = _matplotlib()
    across = math.ceil(n / rows)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = _figure(1.6 * across + 0.2, 2.0 * rows + (0.5 if title else 0.1))
        panels = figure.subplots(rows, across, squeeze=False).flat
        for index, panel in enumerate(panels):
            panel.set_axis_off()
            if index < n:
                panel.imshow(pixels[index], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
                share = None if certainty is None else float(certainty[index])
                _label(panel, int(guesses[index]), int(truths[index]), class_names, share)
        return _finished(figure, path, title)


def plot_roofline(profile: Profile, path: str | os.PathLike[str] | None = None, title: str | None = None) -> Figure:
    """Draw what the machine can do and where each kernel of a profile stands below it.

    profile: what ``rn.profile()`` gave. Across: FLOPs a byte moved; up: GFLOP/s; both logarithmic. The roofs are those
    of the profile's threads and of one, rising with the rate of reading from the memory and from the caches. A point is
    a kernel, its area the share of the time; kernels that only move numbers are not drawn.

    Returns and saves as ``plot_history`` does. Raises ``MissingExtraError`` without matplotlib, ``StateError`` before
    the profile's block has ended and where no kernel in it calculates.
    """
    kernels = [row for row in profile.kernels if row.flops and row.bytes and row.seconds]
    if not kernels:
        raise StateError("there is no kernel in this profile that calculates: nothing to draw")
    from rn.profiling import roofline

    matplotlib = _matplotlib()
    with matplotlib.rc_context({**STYLE, "axes.grid.axis": "both", "axes.axisbelow": True}):
        figure = _figure(9.0, 5.6)
        panel = figure.subplots()
        panel.set_xscale("log")
        panel.set_yscale("log")
        across = [row.flops / row.bytes for row in kernels]
        ends = np.geomspace(min(*across, 0.1) / 4.0, max(*across, 100.0) * 1.5, 200)
        roofs = [(roofline(1), GREY), (profile.roofline(), BLUE)] if profile.threads > 1 else [(roofline(1), BLUE)]
        for roof, color in roofs:
            _draw_roof(panel, roof, ends, color, named=color == BLUE)
        total = sum(row.seconds for row in profile.kernels)
        heights = [row.flops_per_second / 1e9 for row in kernels]
        areas = [20.0 + 600.0 * row.seconds / total for row in kernels]
        panel.scatter(across, heights, s=areas, color=ORANGE, alpha=0.75, linewidths=0, zorder=3)
        panel.set_xlim(ends[0], ends[-1])
        panel.set_ylim(min(heights) / 2.0, 2.0 * roofs[-1][0].flops / 1e9)
        panel.set_xlabel("FLOPs a byte")
        panel.set_ylabel("GFLOP/s")
        panel.set_title(title or f"{total:.3g} s in kernels on {profile.threads} threads")
        _name_points(figure, panel, [row.name for row in kernels], across, heights)
        return _finished(figure, path, None)


def _draw_roof(panel: Axes, roof: Roofline, ends: NDArray[Any], color: str, *, named: bool) -> None:
    """Draw the roof of so many threads, its slope once for each memory; the fastest is drawn solid."""
    plural = "thread" if roof.threads == 1 else "threads"
    fastest = max(roof.reading.values())
    for size, rate in sorted(roof.reading.items()):
        heights = np.minimum(roof.flops, ends * rate) / 1e9
        label = None
        if rate == fastest:
            label = f"{roof.threads} {plural}: {roof.flops / 1e9:.0f} GFLOP/s"
        panel.plot(
            ends, heights, color=color, linewidth=1.6 if label else 0.9, linestyle="-" if label else "--", label=label
        )
        if named:
            where = (ends[0], ends[0] * rate / 1e9)
            text = f"{size / 2**20:g} MiB: {rate / 1e9:.0f} GB/s"
            below = -8 if rate != fastest else 10
            panel.annotate(text, where, xytext=(3, below), textcoords="offset points", color=color, fontsize=7)
    panel.legend(loc="lower right")


def _name_points(
    figure: Figure, panel: Axes, names: Sequence[str], across: Sequence[float], up: Sequence[float]
) -> None:
    """Write each name beside its point, where it covers no other name."""
    figure.canvas.draw()
    taken: list[Any] = []
    places = [(6.0, 0.0), (6.0, 8.0), (6.0, -8.0), (-6.0, 0.0), (-6.0, 8.0), (-6.0, -8.0), (0.0, 14.0), (0.0, -16.0)]
    places += [(dx, dy) for dy in (22.0, -24.0, 32.0, -34.0) for dx in (6.0, -6.0)]
    for name, x, y in zip(names, across, up, strict=True):
        text = panel.annotate(name, (x, y), xytext=places[0], textcoords="offset points", fontsize=7, va="center")
        for dx, dy in places:
            text.set_position((dx, dy))
            text.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and panel.bbox.fully_containsx(box.x1):
                break
        taken.append(text.get_window_extent())


def _draw_curves(
    panel: Axes, name: str, epochs: NDArray[Any], training: Sequence[float], validation: Sequence[float] | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    few = len(epochs) <= 30
    curves = [("training", BLUE, training)] + ([] if validation is None else [("validation", ORANGE, validation)])
    for label, color, values in curves:
        panel.plot(
            epochs, values, color=color, label=f"{label}  {values[-1]:.4g}", marker="o" if few else "", markersize=4.5
        )
    panel.set_title(name.replace("_", " "))
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    margin = max(0.03 * (epochs[-1] - epochs[0]), 0.05)
    panel.set_xlim(max(epochs[0] - margin, 0.5), epochs[-1] + margin)
    panel.margins(y=0.08)
    panel.tick_params(length=0)
    panel.legend(loc="best", handlelength=1.4)


def _label(panel: Axes, guess: int, truth: int, class_names: Sequence[str] | None, share: float | None) -> None:
    def name(number: int) -> str:
        return str(number) if class_names is None else str(class_names[number])

    wrong = guess != truth
    certain = "" if share is None else f"  {100.0 * share:.0f}%"
    caption = f"{name(guess)}{certain}"
    size = min(10.0, 170.0 / len(caption))  # long names get smaller letters instead of running into the next image
    color, weight = (RED, "bold") if wrong else (INK, "normal")
    panel.set_title(caption, color=color, fontsize=size, fontweight=weight, loc="center", pad=4)
    if wrong:
        panel.text(0.5, -0.04, f"is {name(truth)}", transform=panel.transAxes, ha="center", va="top", color=RED, size=9)


def _pixels(images: ArrayLike) -> NDArray[Any]:
    """Return images as matplotlib takes them, (n, h, w) or (n, h, w, 3), with values in [0, 1]."""
    pixels = np.asarray(images)
    if pixels.dtype.kind not in "fiub":
        raise DtypeError(f"images must be an array of numbers, got dtype {pixels.dtype}")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape:
        raise ShapeError(f"images must be (n, 1, h, w), (n, 3, h, w) or (n, h, w), got shape {np.shape(images)}")
    pixels = pixels.astype(np.float32) / (255.0 if pixels.dtype == np.uint8 else 1.0)
    low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    if low < 0.0 or high > 1.0:
        pixels = (pixels - low) / max(high - low, 1e-12)
    return pixels[:, 0] if pixels.shape[1] == 1 else np.moveaxis(pixels, 1, -1)


def _classes(what: str, labels: ArrayLike, n: int, class_names: Sequence[str] | None) -> NDArray[np.int64]:
    classes = np.asarray(labels)
    if classes.shape != (n,):
        raise ShapeError(f"{what} must be one class number for each of the {n} images, got shape {classes.shape}")
    if classes.dtype.kind not in "iu":
        raise DtypeError(f"{what} must be whole numbers, got dtype {classes.dtype}")
    if class_names is not None and not (classes.min() >= 0 and classes.max() < len(class_names)):
        raise OptionError(
            f"{what} holds classes {classes.min()} to {classes.max()}, class_names has {len(class_names)}"
        )
    return classes.astype(np.int64)


def _certainty(probabilities: ArrayLike, guesses: NDArray[np.int64]) -> NDArray[Any]:
    """Return the probability of each predicted class, (n,)."""
    values = np.asarray(probabilities)
    if values.dtype.kind != "f":
        raise DtypeError(f"probabilities must be floats, got dtype {values.dtype}")
    n = len(guesses)
    if values.ndim == 2 and len(values) == n and guesses.min() >= 0 and guesses.max() < values.shape[1]:
        return values[np.arange(n), guesses]
    if values.shape != (n,):
        raise ShapeError(f"probabilities must be ({n},) or ({n}, classes), got shape {values.shape}")
    return values


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError('pictures need matplotlib: run `pip install ".[plot]"` beside setup.py') from error
    return matplotlib


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches that draws without a screen and is unknown to pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def _finished(figure: Figure, path: str | os.PathLike[str] | None, title: str | None) -> Figure:
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=14, fontweight="bold", color=INK)
    if path is not None:
        figure.savefig(path)
    return figure
