"""Metrics: what people read beside the loss.

Each is recorded as sums over the samples of a batch, which a kernel of the step computes and the core adds up over the
batches; ``finish`` makes the metric of them. So the metric of an epoch is that of all its samples, not a mean of the
batches' metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, registry
from rn.errors import OptionError, read_only, returned

__all__ = [
    "F1",
    "R2",
    "Accuracy",
    "ClassCounts",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "get",
]

Average: TypeAlias = Literal["macro", "micro", "weighted"]
Value: TypeAlias = float | NDArray[np.int64]
Counts: TypeAlias = NDArray[np.float64]


@registry.contract("metric")
class Metric(registry.Settled):
    """The contract.

    ``takes_classes``: whether the metric can be told of integer classes instead of arrays. ``higher_is_better``: which
    way callbacks look for the best. ``name``: what the metric is reported as. ``sums``: whether ``doorway`` leaves sums
    over the batch, which are added up as they are; otherwise one mean.
    """

    name: ClassVar[str]
    takes_classes: ClassVar[bool] = False
    sums: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = True
    _in_python = ("value",)
    _in_core = ("doorway", "bind")

    def value(self, prediction: NDArray[np.float32], target: NDArray[Any]) -> ArrayLike:
        """Return the metric of each sample, (n,), whose mean is reported; for metrics written in Python.

        ``prediction`` and ``target`` as in ``rn.losses.Loss.value``.
        """
        raise NotImplementedError(f"{type(self).__name__} writes neither doorway nor value")

    def doorway(self) -> Callable[..., None]:
        """Return the core's doorway that records this metric.

        It takes (plan, prediction, target, numbers), where ``takes_classes`` by name ``target_classes`` and the loss's
        ``threshold``, if it has one, and ``options()``.
        """
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Return what the doorway takes beside the tensors, by name."""
        return {}

    def width(self, outputs: int) -> int:
        """Return how many numbers are recorded for a model of ``outputs`` outputs a sample."""
        return 1

    def bind(
        self,
        plan: _core.Plan,
        prediction: _core.Slot,
        target: _core.Slot,
        *,
        target_classes: bool,
        threshold: float | None = None,
    ) -> _core.Slot:
        """Record the metric of a batch and return the slot of its float64 numbers.

        ``target`` as in ``rn.losses.Loss.bind``, ``threshold`` the loss's: a metric of classes goes by it.
        """
        if self.in_python:
            return self._bind_python(plan, prediction, target, target_classes)
        numbers = plan.kept((2 * self.width(prediction.size // max(prediction.shape[0], 1)),))
        classes: dict[str, Any] = {"target_classes": target_classes} if self.takes_classes else {}
        if self.takes_classes and threshold is not None:
            classes["threshold"] = threshold
        self.doorway()(plan, prediction, target, numbers, **classes, **self.options())
        return numbers

    def finish(self, totals: NDArray[np.float64], samples: int) -> Value:
        """Return the metric of ``samples`` samples, given the totals of what ``bind`` recorded over them."""
        return float(totals[0]) / samples

    def _bind_python(
        self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, target_classes: bool
    ) -> _core.Slot:
        """Record ``value`` as a callback; see ``bind``."""
        mean = plan.kept((2,))
        shape = prediction.shape if prediction.shape[2:] != (1, 1) else prediction.shape[:2]

        def run() -> None:
            p = read_only(plan.array(prediction), shape)
            t = read_only(plan.array(target), (-1,) if target_classes else shape)
            made = self.value(p, t.view(np.int32) if target_classes else t)
            values = returned(f"{type(self).__name__}.value", made, (plan.batch,), "one number a sample, ")
            np.asarray(plan.array(mean)).reshape(-1).view(np.float64)[0] = values.mean(dtype=np.float64)

        plan.callback(type(self).__name__, run, reads=[prediction, target], writes=[mean])
        return mean

    @property
    def in_python(self) -> bool:
        """Whether ``value`` computes it."""
        return type(self).doorway is Metric.doorway


@registry.register("metric", "accuracy")
class Accuracy(Metric):
    """The share of samples whose largest output (the first of equals) is the label's class, or the row's largest.

    A single output column is a probability instead: above 0.5 means 1, else 0. With a loss that has a ``threshold``
    (binary cross-entropy 0.5, hinge 0) each output is a yes or no of its own, above the threshold or not, and this is
    the share of all outputs that are right.
    """

    name = "accuracy"
    takes_classes = True

    def bind(
        self,
        plan: _core.Plan,
        prediction: _core.Slot,
        target: _core.Slot,
        *,
        target_classes: bool,
        threshold: float | None = None,
    ) -> _core.Slot:
        if threshold is not None:
            column = (prediction.size, 1, 1, 1)
            prediction, target = plan.view(prediction, column), plan.view(target, column)
        return super().bind(plan, prediction, target, target_classes=target_classes, threshold=threshold)

    def doorway(self) -> Callable[..., None]:
        return _core.count_correct


@registry.register("metric", "top_k_accuracy")
class TopKAccuracy(Metric):
    """The share of samples whose class is among the ``k`` largest outputs, 5 unless given.

    Of equal outputs the first comes first, so that k = 1 is ``accuracy``.
    """

    name = "top_k_accuracy"
    takes_classes = True

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise OptionError(f"top_k_accuracy: k must be a whole number of at least 1, got {k!r}")
        self.k = int(k)

    def doorway(self) -> Callable[..., None]:
        return _core.count_in_top

    def options(self) -> dict[str, Any]:
        return {"k": self.k}


class ClassCounts(Metric):
    """What precision, recall and F1 share; the contract of those classes: ``share`` of the counts of each class.

    ``average``: "macro", the mean over the classes; "weighted", the same with each class counted as often as it has
    samples; "micro", of the sums over all classes. A single output column has one class, 1. Classes that no sample has
    and none was taken for do not count, and 0 / 0 is 0, both as in scikit-learn. With a loss that has a ``threshold``
    each output is a class that a sample has or has not, whatever other classes it has.
    """

    takes_classes = True
    sums = True

    def __init__(self, average: Average = "macro") -> None:
        if average not in ("macro", "micro", "weighted"):
            raise OptionError(f'{self.name}: average must be "macro", "micro" or "weighted", got {average!r}')
        self.average = average

    def doorway(self) -> Callable[..., None]:
        return _core.count_classes

    def width(self, outputs: int) -> int:
        return 3 * outputs

    def finish(self, totals: NDArray[np.float64], samples: int) -> Value:
        counts = totals.reshape(3, -1)
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        right, predicted, actual = counts[:, (counts > 0).any(axis=0)]
        if not len(actual):
            return 0.0
        shares = self.share(right, predicted, actual)
        if self.average == "weighted":
            return float(shares @ actual / actual.sum()) if actual.any() else 0.0
        return float(shares.mean())

    def share(self, right: Counts, predicted: Counts, actual: Counts) -> Counts:
        """Return each class's metric, given how many samples are rightly taken for it, are taken for it and have it."""
        raise NotImplementedError


@registry.register("metric", "precision")
class Precision(ClassCounts):
    """Of the samples taken for a class, the share that have it. See ``ClassCounts`` for ``average``."""

    name = "precision"

    def share(self, right: Counts, predicted: Counts, actual: Counts) -> Counts:
        return _ratio(right, predicted)


@registry.register("metric", "recall")
class Recall(ClassCounts):
    """Of the samples that have a class, the share taken for it. See ``ClassCounts`` for ``average``."""

    name = "recall"

    def share(self, right: Counts, predicted: Counts, actual: Counts) -> Counts:
        return _ratio(right, actual)


@registry.register("metric", "f1")
class F1(ClassCounts):
    """The harmonic mean of precision and recall. See ``ClassCounts`` for ``average``."""

    name = "f1"

    def share(self, right: Counts, predicted: Counts, actual: Counts) -> Counts:
        return _ratio(2.0 * right, predicted + actual)


def _ratio(part: Counts, whole: Counts) -> Counts:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


@registry.register("metric", "confusion_matrix")
class ConfusionMatrix(Metric):
    """How many samples of class t (row) were taken for class p (column): an int64 array, 2 x 2 for a single column.

    What ``evaluate`` and ``train_on_batch`` return; ``fit``, which reports numbers, leaves it out.
    """

    name = "confusion_matrix"
    takes_classes = True
    sums = True

    def doorway(self) -> Callable[..., None]:
        return _core.count_confusion

    def width(self, outputs: int) -> int:
        return max(outputs, 2) ** 2

    def finish(self, totals: NDArray[np.float64], samples: int) -> Value:
        classes = math.isqrt(len(totals))
        return totals.reshape(classes, classes).astype(np.int64)


@registry.register("metric", "r2")
class R2(Metric):
    """R² = 1 - Σ (p - t)² / Σ (t - mean t)², the mean over the outputs.

    Of an output whose targets are all equal it is 1 where every prediction is right, else 0, as in scikit-learn.
    """

    name = "r2"
    sums = True

    def doorway(self) -> Callable[..., None]:
        return _core.sum_deviations

    def width(self, outputs: int) -> int:
        return 4 * outputs

    def finish(self, totals: NDArray[np.float64], samples: int) -> Value:
        missed, sums, high, low = totals.reshape(4, -1)
        # Σ t² - m (2 Σ t - n m) for an m of few bits near the mean, in products and differences that do not round:
        # Σ t² alone is larger than the spread by the square of how far the mean is from 0.
        near = _first_half(sums / samples)
        rest = 2.0 * sums - samples * near
        rest_high = _first_half(rest)
        spread = (high - near * rest_high) + (low - near * (rest - rest_high))
        spread -= (sums - samples * near) ** 2 / samples
        constant = spread <= 1e-22 * high  # what rounding leaves of equal targets
        explained = 1.0 - np.divide(missed, spread, out=np.zeros_like(missed), where=~constant)
        return float(np.where(constant & (missed > 0), 0.0, explained).mean())


def _first_half(x: Counts) -> Counts:
    """Return x rounded to 26 bits, so that the product of two such is exact (Veltkamp 1968)."""
    scaled = 134217729.0 * x
    return scaled - (scaled - x)


@registry.register("metric", "mse")
class MeanSquaredError(Metric):
    """mean (p - t)² over batch and outputs."""

    name = "mse"
    higher_is_better = False

    def doorway(self) -> Callable[..., None]:
        return _core.mse


@registry.register("metric", "mae")
class MeanAbsoluteError(Metric):
    """mean |p - t| over batch and outputs."""

    name = "mae"
    higher_is_better = False

    def doorway(self) -> Callable[..., None]:
        return _core.mae


def get(value: str | Metric | type[Metric] | dict[str, Any]) -> Metric:
    """Return the metric that a name, class, description or object stands for."""
    return registry.create("metric", value, Metric)
