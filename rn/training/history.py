"""What training reached, epoch by epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History"]


class History:
    """The values of every epoch, as ``fit`` returns them.

    Attributes: ``history``, a list of one number per epoch under each name: ``"loss"``, the metrics, and the same with
    ``val_`` before it where there was validation data; ``epoch``, the epochs' numbers, counted from 0; ``seconds``, how
    long each took. Where an epoch has no value for a name, it holds NaN.

    Example::

        history = model.fit(x, y, epochs=3)
        history.history["loss"]  # [0.229, 0.061, 0.043]
        history.final["loss"]  # 0.043
        history.plot("history.png")
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []

    def append(self, epoch: int, values: Mapping[str, float], seconds: float = math.nan) -> None:
        """Add the values of an epoch."""
        for name in values:
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        for name, column in self.history.items():
            column.append(float(values.get(name, math.nan)))
        self.epoch.append(int(epoch))
        self.seconds.append(float(seconds))

    @property
    def final(self) -> dict[str, float]:
        """The values of the last epoch, {} before the first."""
        return {name: column[-1] for name, column in self.history.items()}

    def plot(self, path: str | os.PathLike[str] | None = None, title: str | None = None) -> Figure:
        """Draw loss and metrics over the epochs; see ``rn.plotting.plot_history``.

        Raises ``MissingExtraError`` without matplotlib, ``StateError`` before the first epoch.
        """
        from rn.plotting import plot_history

        return plot_history(self, path, title)

    def __len__(self) -> int:
        return len(self.epoch)

    def __repr__(self) -> str:
        reached = "".join(f", {name}={value:.4g}" for name, value in self.final.items())
        return f"History({len(self)} {'epoch' if len(self) == 1 else 'epochs'}{reached})"
