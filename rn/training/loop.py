"""The training loop: epochs, and slices of them that run in the core without coming back to Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rn.training.history import History

if TYPE_CHECKING:
    from rn.callbacks import Callback, ProgressBar

__all__ = ["Trainer", "run_epochs"]

SLICE_SECONDS = 0.05  # how long the core may run before the bar is drawn and Ctrl-C is seen


class Trainer(Protocol):
    """What the loop needs of a model that is being fitted."""

    samples: int
    batch_size: int
    width: int  # how many numbers training adds up

    @property
    def stop(self) -> bool:
        """Whether a callback has asked to end."""

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order in which ``epoch`` visits the samples."""

    def train(self, order: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
        """Train on these samples, batch by batch.

        Add the numbers that loss and metrics are made of to ``totals``.
        """

    def values(self, totals: NDArray[np.float64], samples: int) -> dict[str, float]:
        """Return the loss and metrics of the ``samples`` samples that gave ``totals``."""

    def validate(self) -> dict[str, float]:
        """Return the loss and metrics on the validation data, {} where there is none."""

    def epoch_done(self, epoch: int) -> None:
        """Count ``epoch`` as trained."""


def run_epochs(
    trainer: Trainer,
    model: Any,
    *,
    epochs: int,
    first_epoch: int,
    callbacks: Sequence[Callback],
    progress: ProgressBar | None,
    history: History,
) -> None:
    """Train for ``epochs`` epochs, the first numbered ``first_epoch``, and fill ``history`` epoch by epoch."""
    if progress is not None:
        progress.begin(first_epoch + epochs, first_epoch, trainer.samples)
    try:
        for callback in callbacks:
            callback.on_train_begin(model)
        for epoch in range(first_epoch, first_epoch + epochs):
            start = time.perf_counter()
            for callback in callbacks:
                callback.on_epoch_begin(model, epoch)
            if progress is not None:
                progress.epoch_begin(epoch)
            values = _run_epoch(trainer, model, epoch, callbacks, progress)
            values.update({f"val_{name}": value for name, value in trainer.validate().items()})
            trainer.epoch_done(epoch)
            seconds = time.perf_counter() - start
            history.append(epoch, values, seconds)
            if progress is not None:
                progress.epoch_end(epoch, values, seconds)
            for callback in callbacks:
                callback.on_epoch_end(model, epoch, values)
            if trainer.stop:
                break
        for callback in callbacks:
            callback.on_train_end(model)
    finally:
        if progress is not None:
            progress.end()


def _run_epoch(
    trainer: Trainer, model: Any, epoch: int, callbacks: Sequence[Callback], progress: ProgressBar | None
) -> dict[str, float]:
    watchers = [callback for callback in callbacks if callback.wants_batches]
    order = trainer.order(epoch)
    # One running sum through all slices: where the slices end depends on the clock, the sum must not.
    totals = np.zeros(trainer.width)
    done, batch, rate = 0, 0, 0.0
    while done < trainer.samples:
        size = trainer.batch_size if watchers else _slice_size(trainer.batch_size, rate)
        part = order[done : done + size]
        before, start = totals.copy(), time.perf_counter()
        trainer.train(part, totals)
        rate = len(part) / max(time.perf_counter() - start, 1e-9)
        done += len(part)
        if progress is not None:
            progress.update(done, trainer.values(totals, done))
        for callback in watchers:
            callback.on_batch_end(model, batch, trainer.values(totals - before, len(part)))
        batch += 1
        if trainer.stop:
            break
    return trainer.values(totals, done)


def _slice_size(batch_size: int, rate: float) -> int:
    """Return how many samples to train on before coming back.

    Whole batches worth SLICE_SECONDS at ``rate`` samples a second.
    """
    return batch_size * max(1, int(rate * SLICE_SECONDS / batch_size))
