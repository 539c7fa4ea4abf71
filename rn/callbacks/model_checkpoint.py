"""The model is saved while it learns."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from rn.callbacks.base import Callback
from rn.callbacks.monitor import Monitor
from rn.callbacks.paths import refuse_unwritable
from rn.errors import OptionError, flag

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Saves the model to ``path`` at the end of each ``every``-th epoch, or of those that are the best so far.

    ``path``: may hold names in braces, as in ``"run-{epoch:03d}-{val_loss:.3f}.rn"``: ``epoch`` counts from 1, the
    others are in the epoch's logs. Without any, each file takes the place of the one before, whole or not at all.
    ``save_best_only``: only where ``monitor`` is better than at any epoch before, ``mode`` as in ``EarlyStopping``.

    A fit whose model could not be saved, as the folder is missing or ``save`` would refuse it, is refused with
    ``OptionError`` before it trains.

    The file holds the state of all callbacks of the fit as well: ``rn.load(path).fit(…)`` with new callbacks of the
    same classes, in the same order, goes on as the fit would have gone on. For this it is called after all others.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        *,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        every: int = 1,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
            raise OptionError(f"ModelCheckpoint: every must be a whole number of at least 1, got {every!r}")
        self.path = os.fsdecode(path)
        self.save_best_only = flag("ModelCheckpoint: save_best_only", save_best_only)
        self.every = int(every)
        self._monitor = Monitor("ModelCheckpoint", monitor, mode)

    def _refuse(self, names: Collection[str]) -> None:
        if self.save_best_only:
            self._monitor.refuse_unreported(names)
        self._filled_in(0, dict.fromkeys(names, 0.0))

    def on_train_begin(self, model: Any) -> None:
        """Forget an earlier fit; refuse a path where nothing can be written."""
        refuse_unwritable("ModelCheckpoint", self.path, replaces=True)
        self._monitor.best = None

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Save the model where this epoch asks for it."""
        best = not self.save_best_only or self._monitor.improved(model, logs)  # whether asked for or not
        if best and (epoch + 1) % self.every == 0:
            model.save(self._filled_in(epoch, logs))

    def _filled_in(self, epoch: int, logs: Mapping[str, float]) -> str:
        try:
            return self.path.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise OptionError(
                f"ModelCheckpoint: {self.path!r} cannot be filled in ({error}); there are: epoch, {', '.join(logs)}"
            ) from None

    def state(self) -> dict[str, Any]:
        return {"best": self._monitor.best}

    def restore(self, state: dict[str, Any]) -> None:
        self._monitor.best = state["best"]
