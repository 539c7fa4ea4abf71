"""Activation functions: each knows the kernel that computes it and, where it has one, the parameter of that kernel.

A layer takes one by name (``activation="relu"``) or as an object (``activation=LeakyReLU(0.2)``). As layers of their
own they live in ``rn.layers``.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, registry
from rn.errors import OptionError, ShapeError

__all__ = ["ActivationFunction", "LeakyReLU", "Linear", "ReLU", "Sigmoid", "Softmax", "Tanh", "get"]


class ActivationFunction:
    """The contract: ``bind`` records y = f(x) and, where gradients are wanted, dx = dy f'(x).

    ``kernel``: which of the core's functions it is; none for one written in Python, by ``value`` and ``gradient``.
    """

    kernel: ClassVar[str] = ""
    alpha: float = 0.0

    def value(self, x: NDArray[np.float32]) -> ArrayLike:
        """Return y = f(x), shaped as ``x``: (n, features), or (n, c, h, w) of images; written in Python."""
        raise NotImplementedError(f"{type(self).__name__} has neither kernel nor value")

    def gradient(self, x: NDArray[np.float32], grad: NDArray[np.float32]) -> ArrayLike:
        """Return d loss / d x, given ``grad`` = d loss / d y; written in Python."""
        raise NotImplementedError(f"{type(self).__name__} writes no gradient, so it cannot be trained through")

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        """Record the activation of every element of ``x``; return the slot of the same shape that holds it."""
        if not self.kernel:
            return self._bind_python(plan, x)
        y = plan.tensor(x.shape)
        _core.activate(plan, x, y, self.kernel, self.alpha)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.activate_gradient(plan, x, y, plan.gradient(y), plan.gradient(x), self.kernel, self.alpha)
        return y

    def _bind_python(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        """Record ``value`` and ``gradient`` as callbacks; see ``bind``."""
        y = plan.tensor(x.shape)
        shape = x.shape if x.shape[2:] != (1, 1) else x.shape[:2]

        def view(slot: _core.Slot) -> NDArray[np.float32]:
            return np.asarray(plan.array(slot)).reshape(shape)

        def checked(method: str, made: ArrayLike) -> NDArray[np.float32]:
            array = np.asarray(made, np.float32)
            if array.shape != shape:
                raise ShapeError(f"{type(self).__name__}.{method} returned shape {array.shape}, expected {shape}")
            return array

        def forward() -> None:
            view(y)[...] = checked("value", self.value(view(x)))

        plan.callback(type(self).__name__, forward, reads=[x], writes=[y])
        if plan.wants_gradient(x):
            dy, dx = plan.gradient(y), plan.gradient(x)

            def backward() -> None:
                view(dx)[...] = checked("gradient", self.gradient(view(x), view(dy)))

            with plan.backward():
                plan.callback(f"{type(self).__name__}.gradient", backward, reads=[x, dy], writes=[dx])
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
