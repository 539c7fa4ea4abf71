"""Activations as layers of their own: one layer for any of them by name, and one class for each."""

from __future__ import annotations

from typing import Any

from rn import _core, activations, initializers, registry
from rn.layers.base import Layer, Shape

__all__ = ["Activation", "LeakyReLU", "Linear", "ReLU", "Sigmoid", "Softmax", "Tanh"]


@registry.register("layer", "activation")
class Activation(Layer):
    """y = f(x) of every element; softmax over the features or channels.

    x and y: any one shape. ``activation``: a name such as "relu", or an object of ``rn.activations``. The contract of
    the classes below, each of which is ``Activation`` of one function.
    """

    def __init__(
        self, activation: str | activations.ActivationFunction | dict[str, Any], *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.activation = activations.get(activation)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        return self.activation.bind(plan, x)

    def config(self) -> dict[str, Any]:
        if type(self) is Activation:
            return {"activation": registry.describe("activation", self.activation)}
        return self.activation.config()


@registry.register("layer", "linear")
class Linear(Activation):
    """y = x. See ``rn.activations.Linear``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Linear(), name=name)


@registry.register("layer", "relu")
class ReLU(Activation):
    """y = max(x, 0). See ``rn.activations.ReLU``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.ReLU(), name=name)


@registry.register("layer", "leaky_relu")
class LeakyReLU(Activation):
    """y = x for x > 0, else ``alpha`` x. See ``rn.activations.LeakyReLU``."""

    def __init__(self, alpha: float = 0.01, *, name: str | None = None) -> None:
        super().__init__(activations.LeakyReLU(alpha), name=name)


@registry.register("layer", "sigmoid")
class Sigmoid(Activation):
    """y = 1 / (1 + e^-x). See ``rn.activations.Sigmoid``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Sigmoid(), name=name)


@registry.register("layer", "tanh")
class Tanh(Activation):
    """y = (e^x - e^-x) / (e^x + e^-x). See ``rn.activations.Tanh``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Tanh(), name=name)


@registry.register("layer", "softmax")
class Softmax(Activation):
    """y_j = e^{x_j} / Σ_k e^{x_k} over the features, or over the channels of each pixel.

    See ``rn.activations.Softmax``.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Softmax(), name=name)
