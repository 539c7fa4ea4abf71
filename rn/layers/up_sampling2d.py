"""Larger images by repeated pixels."""

from __future__ import annotations

from typing import Any

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import Pair, image_shape, pair

__all__ = ["UpSampling2D"]


@registry.register("layer", "up_sampling2d")
class UpSampling2D(Layer):
    """y[n, c, i, j] = x[n, c, ⌊i / sh⌋, ⌊j / sw⌋]: every pixel becomes sh times sw equal ones.

    x: (n, channels, h, w); y: (n, channels, h sh, w sw). The gradient of a pixel is the sum over those it became.

    Arguments: ``size``, a whole number or (sh, sw); ``name``. Raises ``ShapeError`` in ``build`` for what is no image.
    """

    def __init__(self, size: int | Pair = 2, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.size = pair("UpSampling2D: size", size)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, height, width = image_shape(self.name, input_shape)
        return (channels, height * self.size[0], width * self.size[1])

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        y = self.output_slot(plan)
        _core.upsample(plan, x, y, size=self.size)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.upsample_gradient(plan, plan.gradient(y), plan.gradient(x), size=self.size)
        return y

    def config(self) -> dict[str, Any]:
        return {"size": list(self.size)}
