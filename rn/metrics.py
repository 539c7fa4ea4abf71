"""Metrics: what people read beside the loss. Each is computed by a kernel of the step, as a mean over the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, registry
from rn.errors import ShapeError

__all__ = ["Accuracy", "MeanAbsoluteError", "MeanSquaredError", "Metric", "get"]


class Metric:
    """The contract.

    ``takes_classes``: whether the metric can be told of integer classes instead of arrays. ``higher_is_better``: which
    way callbacks look for the best. ``name``: what the metric is reported as.
    """

    name: ClassVar[str]
    takes_classes: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = True

    def value(self, prediction: NDArray[np.float32], target: NDArray[Any]) -> ArrayLike:
        """Return the metric of each sample, (n,), whose mean is reported; for metrics written in Python.

        ``prediction`` and ``target`` as in ``rn.losses.Loss.value``.
        """
        raise NotImplementedError(f"{type(self).__name__} writes neither doorway nor value")

    def doorway(self) -> Callable[..., None]:
        """Return the core's doorway that records this metric.

        It takes (plan, prediction, target, mean) and, where ``takes_classes``, by name ``target_classes``.
        """
        raise NotImplementedError

    def bind(self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, *, target_classes: bool) -> _core.Slot:
        """Record the metric of a batch and return the slot of its mean, a float64 scalar.

        ``target`` as in ``rn.losses.Loss.bind``.
        """
        if type(self).doorway is Metric.doorway:
            return self._bind_python(plan, prediction, target, target_classes)
        mean = plan.kept((2,))
        classes = {"target_classes": target_classes} if self.takes_classes else {}
        self.doorway()(plan, prediction, target, mean, **classes)
        return mean

    def _bind_python(
        self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, target_classes: bool
    ) -> _core.Slot:
        """Record ``value`` as a callback; see ``bind``."""
        mean = plan.kept((2,))
        shape = prediction.shape if prediction.shape[2:] != (1, 1) else prediction.shape[:2]

        def run() -> None:
            p = np.asarray(plan.array(prediction)).reshape(shape)
            t = np.asarray(plan.array(target))
            values = np.asarray(
                self.value(p, t.reshape(-1).view(np.int32) if target_classes else t.reshape(shape)), np.float64
            )
            if values.shape != (plan.batch,):
                raise ShapeError(
                    f"{type(self).__name__}.value returned shape {values.shape}, expected one number a sample, "
                    f"({plan.batch},)"
                )
            np.asarray(plan.array(mean)).reshape(-1).view(np.float64)[0] = values.mean()

        plan.callback(type(self).__name__, run, reads=[prediction, target], writes=[mean])
        return mean

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return dict(vars(self))


@registry.register("metric", "accuracy")
class Accuracy(Metric):
    """The share of samples whose largest output (the first of equals) is the label's class, or the row's largest.

    A single output column is a probability instead: above 0.5 means 1, else 0.
    """

    name = "accuracy"
    takes_classes = True

    def doorway(self) -> Callable[..., None]:
        return _core.count_correct


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
