"""Which value of an epoch a callback looks at, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from rn.errors import OptionError, is_real

__all__ = ["Monitor"]


class Monitor:
    """The best value so far of one name in the logs of epochs.

    ``mode``: "min", "max", or "auto", which asks the model's metric of that name which way is better and takes a loss
    for better the smaller it is. A value must be better by more than ``min_delta``; NaN and infinities never are.
    """

    def __init__(self, owner: str, name: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise OptionError(f'{owner}: mode must be "auto", "min" or "max", got {mode!r}')
        if not isinstance(name, str) or not name:
            raise OptionError(f'{owner}: monitor must be a name such as "val_loss", got {name!r}')
        if not is_real(min_delta) or not 0 <= min_delta < math.inf:
            raise OptionError(f"{owner}: min_delta must be a finite number of at least 0, got {min_delta!r}")
        self.owner, self.name, self.mode, self.min_delta = owner, name, mode, float(min_delta)
        self.best: float | None = None

    def refuse_unreported(self, names: Collection[str]) -> None:
        """Raise ``OptionError`` where what it looks at is none of the ``names`` that a fit reports."""
        if self.name not in names:
            hint = "; give fit validation data, or monitor another" if self.name.startswith("val_") else ""
            raise OptionError(
                f"{self.owner} looks at {self.name!r}, which this fit does not report; it reports: "
                f"{', '.join(names)}{hint}"
            )

    def improved(self, model: Any, logs: dict[str, float]) -> bool:
        """Whether the value is the best so far, which it then becomes; ``OptionError`` where there is no such value."""
        self.refuse_unreported(logs)
        value = float(logs[self.name])
        if not math.isfinite(value):
            return False
        if self.best is not None:
            gain = value - self.best if self._higher_is_better(model) else self.best - value
            if not gain > self.min_delta:
                return False
        self.best = value
        return True

    def _higher_is_better(self, model: Any) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.name.removeprefix("val_")
        return any(metric.name == name and metric.higher_is_better for metric in getattr(model, "metrics", ()))
