"""Smaller steps once training no longer helps."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from rn.callbacks.base import Callback
from rn.callbacks.monitor import Monitor
from rn.errors import OptionError, is_real

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` after more than ``patience`` epochs without a better ``monitor``.

    As torch.optim.lr_scheduler.ReduceLROnPlateau with threshold_mode="abs": ``min_delta`` is its threshold. After a
    reduction ``cooldown`` epochs are not counted; the rate does not fall below ``minimum``. ``mode`` as in
    ``EarlyStopping``. The optimizer's learning rate must be a number: a schedule decides for itself.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        mode: str = "auto",
        cooldown: int = 0,
        minimum: float = 0.0,
    ) -> None:
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
                raise OptionError(f"ReduceLROnPlateau: {name} must be a whole number of at least 0, got {count!r}")
        if not is_real(factor) or not 0.0 <= factor < 1.0:
            raise OptionError(f"ReduceLROnPlateau: factor must be at least 0 and below 1, got {factor!r}")
        if not is_real(minimum) or not 0.0 <= minimum < math.inf:
            raise OptionError(f"ReduceLROnPlateau: minimum must be a finite number of at least 0, got {minimum!r}")
        self.factor, self.minimum = float(factor), float(minimum)
        self.patience, self.cooldown = int(patience), int(cooldown)
        self._monitor = Monitor("ReduceLROnPlateau", monitor, mode, min_delta)
        self._begin()

    def _begin(self) -> None:
        self._monitor.best = None
        self._waited = self._cooling = 0

    def _refuse(self, names: Collection[str]) -> None:
        self._monitor.refuse_unreported(names)

    def on_train_begin(self, model: Any) -> None:
        """Forget an earlier fit; refuse a schedule."""
        if not isinstance(model.optimizer.learning_rate, float):
            raise OptionError(
                "ReduceLROnPlateau changes a learning rate that is a number; the optimizer has the schedule "
                f"{model.optimizer.learning_rate!r}"
            )
        self._begin()

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Count one more epoch without gain, and reduce the rate where there were too many."""
        if self._monitor.improved(model, logs):
            self._waited = 0
        else:
            self._waited += 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._waited > self.patience:
            rate = model.optimizer.learning_rate
            model.optimizer.learning_rate = min(rate, max(rate * self.factor, self.minimum))
            self._waited, self._cooling = 0, self.cooldown

    def state(self) -> dict[str, Any]:
        return {"best": self._monitor.best, "waited": self._waited, "cooling": self._cooling}

    def restore(self, state: dict[str, Any]) -> None:
        self._monitor.best, self._waited, self._cooling = state["best"], int(state["waited"]), int(state["cooling"])
