"""Dropout of whole channels."""

from __future__ import annotations

from typing import Any

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import image_shape
from rn.layers.dropout import DROPOUT, dropout_rate

__all__ = ["SpatialDropout2D"]


@registry.register("layer", "spatial_dropout2d")
class SpatialDropout2D(Layer):
    """In training y[n, c] = x[n, c] m[n, c] / (1 - rate), one m for a channel of a sample; otherwise y = x.

    Each m is independently 0 with probability ``rate`` and else 1.

    x and y: (n, channels, h, w). Neighbouring pixels are alike, so dropping single ones takes little away (Tompson et
    al., 2015). Masks are drawn as ``Dropout`` draws them: they differ at every step and are repeated by the same seed.

    Arguments: ``rate``, 0 <= rate < 1, or ``OptionError``; ``name``. Raises ``ShapeError`` in ``build`` for what is no
    image.
    """

    def __init__(self, rate: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate = dropout_rate("SpatialDropout2D", rate)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        return image_shape(self.name, input_shape)

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        if not plan.training or self.rate == 0.0:
            return x
        purpose = DROPOUT + plan.next_purpose()
        y = plan.tensor(x.shape)
        _core.dropout_planes(plan, x, y, self.rate, purpose)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.dropout_planes(plan, plan.gradient(y), plan.gradient(x), self.rate, purpose)
        return y

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}
