"""Metrics: what people read beside the loss. Each is computed by a kernel of the step, as a mean over the batch."""

from __future__ import annotations

from typing import Any, ClassVar

from rn import _core, registry

__all__ = ["Accuracy", "MeanAbsoluteError", "MeanSquaredError", "Metric", "get"]


class Metric:
    """The contract: ``bind`` records the kernel and returns the float64 scalar's slot, a mean over the batch."""

    name: ClassVar[str]
    takes_classes: ClassVar[bool] = False

    def bind(self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, *, target_classes: bool) -> _core.Slot:
        """Record the metric of a batch; ``target`` as in ``rn.losses.Loss.bind``."""
        raise NotImplementedError

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

    def bind(self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, *, target_classes: bool) -> _core.Slot:
        share = plan.kept((2,))
        _core.count_correct(plan, prediction, target, share, target_classes=target_classes)
        return share


@registry.register("metric", "mse")
class MeanSquaredError(Metric):
    """mean (p - t)² over batch and outputs."""

    name = "mse"

    def bind(self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, *, target_classes: bool) -> _core.Slot:
        mean = plan.kept((2,))
        _core.mse(plan, prediction, target, mean)
        return mean


@registry.register("metric", "mae")
class MeanAbsoluteError(Metric):
    """mean |p - t| over batch and outputs."""

    name = "mae"

    def bind(self, plan: _core.Plan, prediction: _core.Slot, target: _core.Slot, *, target_classes: bool) -> _core.Slot:
        mean = plan.kept((2,))
        _core.mae(plan, prediction, target, mean)
        return mean


def get(value: str | Metric | type[Metric] | dict[str, Any]) -> Metric:
    """Return the metric that a name, class, description or object stands for."""
    return registry.create("metric", value, Metric)
