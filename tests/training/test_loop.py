"""The training loop: what is called when, where slices end, and what an early end leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn.callbacks import BatchEnd, Callback, ProgressBar
from rn.training.history import History
from rn.training.loop import SLICE_SECONDS, _slice_size, run_epochs


class Trainer:
    """Ten samples in batches of four; the loss of a sample is its number, plus 100 for each epoch."""

    samples = 10
    batch_size = 4
    width = 2

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.stop = False
        self.epoch = -1

    def order(self, epoch: int) -> np.ndarray:
        self.epoch = epoch
        return np.arange(10)[::-1].copy()

    def train(self, order: np.ndarray, totals: np.ndarray) -> None:
        self.events.append(("train", order.tolist()))
        totals += (order.sum() + 100.0 * self.epoch * len(order), len(order))

    def values(self, totals: np.ndarray, samples: int) -> dict[str, float]:
        return {"loss": float(totals[0]) / samples, "count": float(totals[1]) / samples}

    def validate(self) -> dict[str, float]:
        self.events.append("validate")
        return {"loss": 0.5}

    def epoch_done(self, epoch: int) -> None:
        self.events.append(("done", epoch))


class Recorder(Callback):
    def __init__(self, trainer: Trainer, wants_batches: bool = False) -> None:
        self.trainer, self.wants_batches = trainer, wants_batches

    def on_train_begin(self, model: Any) -> None:
        self.trainer.events.append("begin")

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        self.trainer.events.append(("epoch", epoch))

    def on_batch_end(self, model: Any, batch: int, logs: dict[str, float]) -> None:
        self.trainer.events.append(("batch", batch, logs))

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        self.trainer.events.append(("epoch end", epoch, dict(logs)))

    def on_train_end(self, model: Any) -> None:
        self.trainer.events.append("end")


class Bar(ProgressBar):
    ended = 0

    def begin(self, epochs: int, first_epoch: int, samples: int) -> None:
        self.span = (epochs, first_epoch, samples)

    def update(self, samples_done: int, values: dict[str, float]) -> None:
        pass

    def epoch_begin(self, epoch: int) -> None:
        pass

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        pass

    def end(self) -> None:
        self.ended += 1


def run(trainer: Trainer, *callbacks: Callback, epochs: int = 1, bar: Bar | None = None) -> History:
    history = History()
    run_epochs(trainer, None, epochs=epochs, first_epoch=3, callbacks=callbacks, progress=bar or Bar(), history=history)
    return history


def test_the_order_of_events_with_batches() -> None:
    trainer, bar = Trainer(), Bar()
    history = run(trainer, Recorder(trainer, wants_batches=True), bar=bar)
    values = {"loss": 304.5, "count": 1.0, "val_loss": 0.5}
    assert trainer.events == [
        "begin",
        ("epoch", 3),
        *(("train", [9, 8, 7, 6]), ("batch", 0, {"loss": 307.5, "count": 1.0})),
        *(("train", [5, 4, 3, 2]), ("batch", 1, {"loss": 303.5, "count": 1.0})),
        *(("train", [1, 0]), ("batch", 2, {"loss": 300.5, "count": 1.0})),
        "validate",
        ("done", 3),
        ("epoch end", 3, values),
        "end",
    ]
    assert history.final == values
    assert history.epoch == [3]
    assert (bar.span, bar.ended) == ((4, 3, 10), 1)


def test_without_batch_callbacks_the_samples_are_the_same_in_longer_slices() -> None:
    trainer = Trainer()
    history = run(trainer, Recorder(trainer), epochs=2)
    slices = [event[1] for event in trainer.events if event[0] == "train"]
    assert [sample for part in slices for sample in part] == [*range(9, -1, -1)] * 2
    assert slices[0] == [9, 8, 7, 6]  # one batch, to learn how fast they are
    assert not [event for event in trainer.events if event[0] == "batch"]
    assert history.history["loss"] == [304.5, 404.5]


@pytest.mark.parametrize("rate", [0.0, 1.0, 1e3, 1e9])
def test_a_slice_is_whole_batches_worth_its_time(rate: float) -> None:
    size = _slice_size(32, rate)
    assert size >= 32
    assert size % 32 == 0
    assert size == 32 or abs(size - rate * SLICE_SECONDS) < 32


def test_stopping_after_a_batch_ends_the_epoch_and_the_training() -> None:
    trainer = Trainer()

    def stop(batch: int, logs: dict[str, float]) -> None:
        trainer.stop = batch == 1

    history = run(trainer, BatchEnd(stop), Recorder(trainer), epochs=5)
    assert [event for event in trainer.events if event[0] == "train"] == [
        ("train", [9, 8, 7, 6]),
        ("train", [5, 4, 3, 2]),
    ]
    assert trainer.events[-3:] == [("done", 3), ("epoch end", 3, history.final), "end"]
    assert history.final["loss"] == 300 + np.mean(range(2, 10))


def test_an_exception_ends_the_bar_and_nothing_else_is_called() -> None:
    trainer, bar = Trainer(), Bar()

    class Broken(Recorder):
        def on_epoch_begin(self, model: Any, epoch: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trainer, Broken(trainer), bar=bar)
    assert trainer.events == ["begin"]
    assert bar.ended == 1
