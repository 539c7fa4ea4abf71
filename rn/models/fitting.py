"""One model being fitted to one set of samples: the data, the plans lent for it, and the counters that move."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rn import _core
from rn.data import DataLoader
from rn.data.loader import SHUFFLE
from rn.errors import RnError
from rn.models import door
from rn.models.plans import BoundPlan
from rn.models.report import Report, numbers

if TYPE_CHECKING:
    from rn.models.model import Model

__all__ = ["Fitting", "HeldOut", "LoaderFitting"]

FloatArray = NDArray[np.float32]
HeldOut = tuple[FloatArray, NDArray[Any], FloatArray | None, bool]


class Fitting:
    """The trainer that ``training.loop`` drives.

    All data has passed the model's door. A context: on leaving it the plans are given back.
    """

    def __init__(
        self,
        model: Model,
        x: FloatArray,
        y: NDArray[Any],
        factors: FloatArray | None,
        *,
        classes: bool,
        batch_size: int,
        shuffle: bool = False,
        held_out: HeldOut | DataLoader | None = None,
    ) -> None:
        self.model = model
        self.samples = len(x)
        self.batch_size = batch_size
        self.report = Report(model)
        self.width = self.report.width
        self._data = (x, y, factors)
        self._classes = classes
        self._shuffle = shuffle
        self._held_out = held_out
        self._lent = ExitStack()
        self._bound: dict[tuple[int, bool, tuple[bool, ...]], BoundPlan] = {}

    def __enter__(self) -> Fitting:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lent.close()

    @property
    def names(self) -> list[str]:
        """What each epoch reports, and metrics that are no numbers."""
        names = ["loss", *(metric.name for metric in self.model.metrics)]
        return names if self._held_out is None else [*names, *(f"val_{name}" for name in names)]

    @property
    def stop(self) -> bool:
        """Whether a callback has asked to end."""
        return self.model.stop_training

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order in which ``epoch`` visits the samples."""
        order = np.arange(self.samples, dtype=np.int64)
        if self._shuffle:
            _core.shuffle(order, self.model.seed, SHUFFLE, epoch)
        return order

    def train(self, order: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
        """Train on these samples, batch by batch.

        Add what they report to ``totals``; see ``Report``.
        """
        if self.model.gradient_chunks > 1:
            for begin in range(0, len(order), self.batch_size):
                self._train_in_chunks(order[begin : begin + self.batch_size], totals)
            return
        whole = len(order) - len(order) % self.batch_size
        for part, size in ((order[:whole], self.batch_size), (order[whole:], len(order) - whole)):
            if len(part):
                self._train_whole(part, size, totals)

    def _train_whole(self, order: NDArray[np.int64], size: int, totals: NDArray[np.float64]) -> None:
        model, plan = self.model, self._plan(size).plan
        optimizer = model._optimizer()
        rates = optimizer.rates(model._updates, len(order) // size)
        plan.set_step(model.steps, model._updates + 1, optimizer.rate(model._updates))
        try:
            plan.train(order, totals, rates)
        finally:
            # Ctrl-C is heard as the core returns, and a layer in Python may raise: the steps done until then count.
            model.steps, model._updates = plan.counters[0], plan.counters[1] - 1

    def _plan(self, size: int) -> BoundPlan:
        """Return the plan for batches of ``size``; another one once layers are frozen or targets of another kind."""
        key = (size, self._classes, self.model._trainable())
        bound = self._bound.get(key)
        if bound is None:
            x, y, factors = self._data
            bound = self._lent.enter_context(
                self.model._lend("train", size, classes=self._classes, weighted=factors is not None)
            )
            bound.feed(x, y, factors)
            self._bound[key] = bound
        return bound

    def _train_in_chunks(self, order: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
        """Do one step whose gradient is the mean of its chunks' gradients by size, summed in their order."""
        model = self.model
        network, chunks = model._built(), model.gradient_chunks
        gradients = np.asarray(network.gradients)
        total = np.zeros_like(gradients)
        for i, part in enumerate(np.array_split(order, min(chunks, len(order)))):
            plan = self._plan(len(part)).plan
            plan.set_step(model.steps * chunks + i, 0, 0.0)  # each chunk draws dropout masks of its own
            plan.train(part, totals)
            total += gradients * np.float32(len(part) / len(order))
        gradients[...] = total
        with model._lend("update", 0) as bound:
            bound.plan.set_step(model.steps, model._updates + 1, model._optimizer().rate(model._updates))
            try:
                bound.plan.run_update()
            finally:  # as in _train_whole
                model.steps += 1
                model._updates += 1

    def values(self, totals: NDArray[np.float64], samples: int) -> dict[str, float]:
        """Return the loss and the metrics that are numbers, given the ``totals`` of ``samples`` samples."""
        return numbers(self.report.values(totals, samples))

    def validate(self) -> dict[str, float]:
        """Return the loss and metrics on the validation data, {} where there is none."""
        if self._held_out is None:
            return {}
        if isinstance(self._held_out, DataLoader):
            return numbers(self.model._evaluate_loader(self._held_out))
        x, y, factors, classes = self._held_out
        return numbers(self.model._evaluate(x, y, factors, classes, self.model._samples_at_a_time(x, None)))

    def epoch_done(self, epoch: int) -> None:
        """Count ``epoch`` as trained."""
        self.model.epochs = epoch + 1


class LoaderFitting(Fitting):
    """The trainer of a model that is fitted to a loader: each batch passes the model's door as it comes."""

    def __init__(
        self,
        model: Model,
        loader: DataLoader,
        class_weight: Mapping[int, float] | None,
        *,
        held_out: HeldOut | DataLoader | None = None,
    ) -> None:
        batch_size = min(loader.batch_size, loader.samples)
        none = np.empty(0, np.float32)
        super().__init__(model, none, none, None, classes=False, batch_size=batch_size, held_out=held_out)
        self.samples = loader.samples
        self._loader = loader
        self._class_weight = class_weight
        self._batches, self._epoch = loader.batches(0), 0

    def __exit__(self, *exception: object) -> None:
        self._batches.close()
        super().__exit__(*exception)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Begin ``epoch`` of the loader; the order is that in which its batches come."""
        self._batches.close()
        self._batches = self._loader.batches(epoch)
        self._epoch = epoch
        return np.arange(self.samples, dtype=np.int64)

    def train(self, order: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
        """Train on as many of the loader's next batches as hold these samples."""
        done = 0
        while done < len(order):
            x, y = next(self._batches)
            try:
                self._data, self._classes = self.model._enter_batch("fit", x, y, self._class_weight)
            except RnError as error:
                door.note_samples(error, self._loader.order(self._epoch)[order[done] : order[done] + self.batch_size])
                raise
            super().train(np.arange(len(x), dtype=np.int64), totals)
            done += len(x)

    def _plan(self, size: int) -> BoundPlan:
        bound = super()._plan(size)
        bound.feed(*self._data)
        return bound
