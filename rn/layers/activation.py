"""Activations as layers of their own: one layer for any of them by name, and one class for each."""

from __future__ import annotations

from typing import Any

from rn import _core, activations, initializers, registry
from rn.layers.base import Layer, Shape

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
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
]


@registry.register("layer", "activation")
class Activation(Layer):
    """y = f(x) of every element; softmax over the features or channels.

    x and y: any one shape. ``activation``: a name such as "relu", or an object of ``rn.activations``. The contract of
    the classes below, each of which is ``Activation`` of one function.
    """

    _forward_may_be_written = False

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


@registry.register("layer", "elu")
class ELU(Activation):
    """y = x for x > 0, else ``alpha`` (e^x - 1). See ``rn.activations.ELU``."""

    def __init__(self, alpha: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(activations.ELU(alpha), name=name)


@registry.register("layer", "selu")
class SELU(Activation):
    """y = 1.0507 x for x > 0, else 1.7581 (e^x - 1). See ``rn.activations.SELU``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.SELU(), name=name)


@registry.register("layer", "gelu")
class GELU(Activation):
    """y = x (1 + erf(x / √2)) / 2. See ``rn.activations.GELU``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.GELU(), name=name)


@registry.register("layer", "sigmoid")
class Sigmoid(Activation):
    """y = 1 / (1 + e^-x). See ``rn.activations.Sigmoid``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Sigmoid(), name=name)


@registry.register("layer", "hard_sigmoid")
class HardSigmoid(Activation):
    """y = x / 6 + 1/2, held inside [0, 1]. See ``rn.activations.HardSigmoid``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.HardSigmoid(), name=name)


@registry.register("layer", "tanh")
class Tanh(Activation):
    """y = (e^x - e^-x) / (e^x + e^-x). See ``rn.activations.Tanh``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Tanh(), name=name)


@registry.register("layer", "softplus")
class Softplus(Activation):
    """y = log(1 + e^x). See ``rn.activations.Softplus``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Softplus(), name=name)


@registry.register("layer", "softsign")
class Softsign(Activation):
    """y = x / (1 + |x|). See ``rn.activations.Softsign``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Softsign(), name=name)


@registry.register("layer", "swish")
class Swish(Activation):
    """y = x / (1 + e^-x). See ``rn.activations.Swish``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Swish(), name=name)


@registry.register("layer", "mish")
class Mish(Activation):
    """y = x tanh(log(1 + e^x)). See ``rn.activations.Mish``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Mish(), name=name)


@registry.register("layer", "sin")
class Sin(Activation):
    """y = sin x. See ``rn.activations.Sin``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Sin(), name=name)


@registry.register("layer", "atan")
class Atan(Activation):
    """y = arctan x. See ``rn.activations.Atan``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Atan(), name=name)


@registry.register("layer", "softmax")
class Softmax(Activation):
    """y_j = e^{x_j} / Σ_k e^{x_k} over the features, or over the channels of each pixel.

    See ``rn.activations.Softmax``.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Softmax(), name=name)


@registry.register("layer", "argmax")
class Argmax(Activation):
    """y_j = 1 at the first largest of the features or channels, else 0; no gradient. See ``rn.activations.Argmax``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(activations.Argmax(), name=name)
