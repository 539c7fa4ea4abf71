"""Activation functions: each knows the kernel that computes it and, where it has one, the parameter of that kernel.

A layer takes one by name (``activation="relu"``) or as an object (``activation=LeakyReLU(0.2)``). As layers of their
own they live in ``rn.layers``.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

from rn import _core, registry
from rn.errors import OptionError

__all__ = ["ActivationFunction", "LeakyReLU", "Linear", "ReLU", "Sigmoid", "Softmax", "Tanh", "get"]


class ActivationFunction:
    """The contract: ``bind`` records y = f(x) and, where gradients are wanted, dx = dy f'(x)."""

    kernel: ClassVar[str]
    alpha: float = 0.0

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        """Record the activation of every element of ``x``; return the slot of the same shape that holds it."""
        y = plan.tensor(x.shape)
        _core.activate(plan, x, y, self.kernel, self.alpha)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.activate_gradient(plan, x, y, plan.gradient(y), plan.gradient(x), self.kernel, self.alpha)
        return y

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return dict(vars(self))


@registry.register("activation", "linear")
class Linear(ActivationFunction):
    """f(x) = x."""

    kernel = "linear"

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        return x


@registry.register("activation", "relu")
class ReLU(ActivationFunction):
    """f(x) = max(x, 0); the derivative at 0 is 0."""

    kernel = "relu"


@registry.register("activation", "leaky_relu")
class LeakyReLU(ActivationFunction):
    """f(x) = x for x > 0, else ``alpha`` x; alpha is at least 0, 0.01 unless given (Maas et al., 2013)."""

    kernel = "leaky_relu"

    def __init__(self, alpha: float = 0.01) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= alpha < math.inf:
            raise OptionError(f"leaky_relu: alpha must be a number of at least 0, got {alpha!r}")
        self.alpha = float(alpha)


@registry.register("activation", "sigmoid")
class Sigmoid(ActivationFunction):
    """f(x) = 1 / (1 + e^-x)."""

    kernel = "sigmoid"


@registry.register("activation", "tanh")
class Tanh(ActivationFunction):
    """f(x) = (e^x - e^-x) / (e^x + e^-x)."""

    kernel = "tanh"


@registry.register("activation", "softmax")
class Softmax(ActivationFunction):
    """f(x)_j = e^{x_j} / Σ_k e^{x_k} over the features, or over the channels of each pixel."""

    kernel = "softmax"

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        y = plan.tensor(x.shape)
        _core.softmax(plan, x, y)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.softmax_gradient(plan, y, plan.gradient(y), plan.gradient(x))
        return y


def get(value: str | ActivationFunction | type[ActivationFunction] | dict[str, Any] | None) -> ActivationFunction:
    """Return the activation that a name, class, description or object stands for; None is linear."""
    return registry.create("activation", "linear" if value is None else value, ActivationFunction)
