"""Regularizers: penalties on weights that are added to the loss, and their gradients to the weights' gradients.

A layer takes one by name (``kernel_regularizer="l2"``) or as an object (``kernel_regularizer=L2(1e-4)``). The loss that
training and ``evaluate`` report holds the penalty.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from rn import _core, registry
from rn.errors import OptionError

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]


@registry.contract("regularizer")
class Regularizer(registry.Settled):
    """The contract: ``bind`` records l1 Σ|w| + l2 Σw² of a weight and adds its derivative to the weight's gradient."""

    l1: float = 0.0
    l2: float = 0.0

    def bind(self, plan: _core.Plan, weight: _core.Slot, gradient: _core.Slot | None) -> _core.Slot:
        """Record the penalty on ``weight`` and return the slot of it, a float64 scalar.

        Where ``gradient`` is given, l1 sign(w) + 2 l2 w is added to it in the same pass; the sign of 0 is 0.
        """
        penalty = plan.kept((2,))
        _core.regularize(plan, weight, gradient, penalty, l1=self.l1, l2=self.l2)
        return penalty


@registry.register("regularizer", "l1")
class L1(Regularizer):
    """The penalty l1 Σ|w|, which draws weights to 0; ``l1`` is 0.01 unless given (Tibshirani, 1996)."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("l1", l1)


@registry.register("regularizer", "l2")
class L2(Regularizer):
    """The penalty l2 Σw², without a half; ``l2`` is 0.01 unless given.

    Under plain SGD it does what ``weight_decay=2 * l2`` does.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("l2", l2)


@registry.register("regularizer", "l1_l2")
class L1L2(Regularizer):
    """The penalty l1 Σ|w| + l2 Σw², each factor 0.01 unless given (Zou and Hastie, 2005)."""

    def __init__(self, l1: float = 0.01, l2: float = 0.01) -> None:
        self.l1, self.l2 = _factor("l1", l1), _factor("l2", l2)


def _factor(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise OptionError(f"regularizer: {name} must be a finite number of at least 0, got {value!r}")
    return float(value)


def get(value: str | Regularizer | type[Regularizer] | dict[str, Any] | None) -> Regularizer | None:
    """Return the regularizer that a name, class, description or object stands for; None is none."""
    return None if value is None else registry.create("regularizer", value, Regularizer)
