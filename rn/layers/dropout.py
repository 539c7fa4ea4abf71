"""Dropout of single elements."""

from __future__ import annotations

from numbers import Real
from typing import Any

from rn import _core, initializers, registry
from rn.errors import OptionError
from rn.layers.base import Layer, Shape

__all__ = ["DROPOUT", "Dropout", "dropout_rate"]

DROPOUT = 3 << 24  # the purpose of dropout draws; the low 24 bits number the layer


@registry.register("layer", "dropout")
class Dropout(Layer):
    """In training y = x m / (1 - rate), each m independently 0 with probability ``rate`` and else 1; otherwise y = x.

    x and y: any one shape. The mask follows from the model's seed, the step and the element, so it differs at every
    step and is repeated by the same seed; it is drawn again for the gradient, not stored (Srivastava et al., 2014;
    scaled in training, "inverted").

    Arguments: ``rate``, 0 <= rate < 1, or ``OptionError``; ``name``.
    """

    def __init__(self, rate: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate = dropout_rate("Dropout", rate)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        if not plan.training or self.rate == 0.0:
            return x
        purpose = DROPOUT + plan.next_purpose()
        y = plan.tensor(x.shape)
        _core.dropout(plan, x, y, self.rate, purpose)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.dropout(plan, plan.gradient(y), plan.gradient(x), self.rate, purpose)
        return y

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}


def dropout_rate(layer: str, value: Any) -> float:
    """Return ``value`` as a float, 0 <= value < 1, or raise ``OptionError``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise OptionError(f"{layer}: rate must be at least 0 and below 1, got {value!r}")
    return float(value)
