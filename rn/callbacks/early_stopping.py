"""Training ends once it no longer helps."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn.callbacks.base import Callback
from rn.callbacks.monitor import Monitor
from rn.errors import OptionError, flag

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Ends training after ``patience`` epochs in a row without a better ``monitor``; the best weights are restored.

    ``monitor``: a name in the logs of epochs. ``min_delta``: how much better a value must be to count. ``mode``: "min",
    "max", or "auto" by what is monitored. ``restore_best_weights``: whether the model ends with the weights and buffers
    of its best epoch, however training ended short of an exception.

    Attributes: ``best`` and ``best_epoch``, None before the first epoch; ``stopped_epoch``, None unless it ended
    training.

    Example: ``model.fit(x, y, epochs=1000, validation_split=0.2, callbacks=[EarlyStopping(patience=20)])``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, (int, np.integer)) or patience < 0:
            raise OptionError(f"EarlyStopping: patience must be a whole number of at least 0, got {patience!r}")
        self.patience = int(patience)
        self.restore_best_weights = flag("EarlyStopping: restore_best_weights", restore_best_weights)
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._begin()

    def _begin(self) -> None:
        self._monitor.best = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: dict[str, NDArray[np.float32]] = {}

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._monitor.best

    def _refuse(self, names: Collection[str]) -> None:
        self._monitor.refuse_unreported(names)

    def on_train_begin(self, model: Any) -> None:
        """Forget an earlier fit."""
        self._begin()

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Keep the weights of the best epoch, or count one more without gain."""
        if self._monitor.improved(model, logs):
            self.best_epoch, self._waited = epoch, 0
            if self.restore_best_weights:
                self._weights = model.state_dict()
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            self.stopped_epoch = epoch
            model.stop_training = True

    def on_train_end(self, model: Any) -> None:
        """Restore the best weights."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state(self) -> dict[str, Any]:
        best = {"best": self.best, "best_epoch": self.best_epoch, "waited": self._waited}
        return {**best, **{f"weight {key}": array for key, array in self._weights.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        self._monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self._waited = int(state["waited"])
        self._weights = {
            key.removeprefix("weight "): array for key, array in state.items() if key.startswith("weight ")
        }
