"""Saving an example's pictures where matplotlib is installed, and saying how to get it where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rn

FOLDER = Path("pictures")


def save_picture(name: str, draw: Callable[[Path], Any]) -> None:
    """Call ``draw(path)`` for ``pictures/<name>`` and say where the picture is."""
    path = FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    try:
        draw(path)
    except rn.errors.MissingExtraError as error:
        print(f"no {path.name}: {error}")
    else:
        print(f"picture: {path}")


def save_curves(name: str, panels: dict[str, dict[str, list[float]]], title: str, values: str) -> None:
    """Draw, side by side, panels of curves {panel: {curve: one number an epoch}} and say where the picture is."""

    def draw(path: Path) -> None:
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise rn.errors.MissingExtraError(
                'pictures need matplotlib: run `pip install ".[plot]"` beside setup.py'
            ) from None
        figure = Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (panel, curves) in zip(axes, panels.items(), strict=True):
            for curve, numbers in curves.items():
                axis.plot(range(1, len(numbers) + 1), numbers, label=curve)
            axis.set(title=panel, xlabel="epoch", yscale="log")
            axis.grid(alpha=0.3)
            axis.legend(fontsize="small")
        axes[0].set_ylabel(values)
        figure.suptitle(title)
        figure.savefig(path, dpi=120)

    save_picture(name, draw)
