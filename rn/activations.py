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
from rn.errors import OptionError, read_only, returned

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "ActivationFunction",
    "Argmax",
    "Atan",
    "HardSigmoid",
    "LeakyReLU",
    "Linear",
    "Mish",
    "ReLU",
    "Sigmoid",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Swish",
    "Tanh",
    "get",
]


@registry.contract("activation")
class ActivationFunction(registry.Settled):
    """The contract: ``bind`` records y = f(x) and, where gradients are wanted, dx = dy f'(x).

    ``kernel``: which of the core's functions it is; none for one written in Python, by ``value`` and ``gradient``.
    """

    kernel: ClassVar[str] = ""
    alpha: float = 0.0
    _in_python = ("value", "gradient")
    _in_core = ("kernel", "bind")

    def value(self, x: NDArray[np.float32]) -> ArrayLike:
        """Return y = f(x), shaped as ``x``: (n, features), or (n, c, h, w) of images; written in Python.

        ``x`` is read-only, here and in ``gradient``. What either returns beyond float32's range becomes an infinity.
        """
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

        title = type(self).__name__

        def forward() -> None:
            write(view(y), returned(f"{title}.value", self.value(read_only(plan.array(x), shape)), shape))

        plan.callback(title, forward, reads=[x], writes=[y])
        if plan.wants_gradient(x):
            dy, dx = plan.gradient(y), plan.gradient(x)

            def backward() -> None:
                made = self.gradient(read_only(plan.array(x), shape), view(dy))
                write(view(dx), returned(f"{title}.gradient", made, shape))

            with plan.backward():
                plan.callback(f"{title}.gradient", backward, reads=[x, dy], writes=[dx])
        return y

    @property
    def in_python(self) -> bool:
        """Whether ``value`` computes it."""
        return not self.kernel


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
        self.alpha = _not_negative("leaky_relu", alpha)


@registry.register("activation", "elu")
class ELU(ActivationFunction):
    """f(x) = x for x > 0, else ``alpha`` (e^x - 1); alpha is at least 0, 1 unless given (Clevert et al., 2016)."""

    kernel = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _not_negative("elu", alpha)


@registry.register("activation", "selu")
class SELU(ActivationFunction):
    """f(x) = 1.0507 x for x > 0, else 1.7581 (e^x - 1) (Klambauer et al., 2017)."""

    kernel = "selu"


@registry.register("activation", "gelu")
class GELU(ActivationFunction):
    """f(x) = x (1 + erf(x / √2)) / 2, the exact form (Hendrycks and Gimpel, 2016)."""

    kernel = "gelu"


@registry.register("activation", "sigmoid")
class Sigmoid(ActivationFunction):
    """f(x) = 1 / (1 + e^-x)."""

    kernel = "sigmoid"


@registry.register("activation", "hard_sigmoid")
class HardSigmoid(ActivationFunction):
    """f(x) = x / 6 + 1/2, held inside [0, 1], as PyTorch and ONNX's HardSwish have it; the derivative at ±3 is 0."""

    kernel = "hard_sigmoid"


@registry.register("activation", "tanh")
class Tanh(ActivationFunction):
    """f(x) = (e^x - e^-x) / (e^x + e^-x)."""

    kernel = "tanh"


@registry.register("activation", "softplus")
class Softplus(ActivationFunction):
    """f(x) = log(1 + e^x)."""

    kernel = "softplus"


@registry.register("activation", "softsign")
class Softsign(ActivationFunction):
    """f(x) = x / (1 + |x|)."""

    kernel = "softsign"


@registry.register("activation", "swish")
class Swish(ActivationFunction):
    """f(x) = x / (1 + e^-x), also called SiLU (Ramachandran et al., 2017)."""

    kernel = "swish"


@registry.register("activation", "mish")
class Mish(ActivationFunction):
    """f(x) = x tanh(log(1 + e^x)) (Misra, 2020)."""

    kernel = "mish"


@registry.register("activation", "sin")
class Sin(ActivationFunction):
    """f(x) = sin x, x in radians; accurate for |x| up to 10,000."""

    kernel = "sin"


@registry.register("activation", "atan")
class Atan(ActivationFunction):
    """f(x) = arctan x, in radians."""

    kernel = "atan"


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


@registry.register("activation", "argmax")
class Argmax(ActivationFunction):
    """f(x)_j = 1 at the first largest of the features, or of the channels of each pixel, and 0 elsewhere.

    For ``predict`` and ``evaluate``: it has no gradient, and training through it raises ``OptionError``.
    """

    kernel = "argmax"

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        if plan.gradients:
            raise OptionError("argmax has no gradient: train without it, and put it behind the trained layers")
        y = plan.tensor(x.shape)
        _core.one_hot_largest(plan, x, y)
        return y


def write(target: NDArray[np.float32], values: NDArray[Any]) -> None:
    """Write ``values`` into ``target``; those beyond float32's range become infinities, as where training diverges."""
    with np.errstate(over="ignore"):
        target[...] = values


def _not_negative(name: str, alpha: float) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= alpha < math.inf:
        raise OptionError(f"{name}: alpha must be a number of at least 0, got {alpha!r}")
    return float(alpha)


def get(value: str | ActivationFunction | type[ActivationFunction] | dict[str, Any] | None) -> ActivationFunction:
    """Return the activation that a name, class, description or object stands for; None is linear."""
    return registry.create("activation", "linear" if value is None else value, ActivationFunction)
