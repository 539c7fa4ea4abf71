"""The mean of each window of an image."""

from __future__ import annotations

from typing import Any

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import Padding, Pair, PoolWindow, Sides, image_shape, pair, pool_padding, sides, window_output

__all__ = ["AvgPool2D"]


@registry.register("layer", "avg_pool2d")
class AvgPool2D(Layer):
    """y[n, c, i, j] = mean_{u,v} x[n, c, i s + u - p, j s + v - p] over the cells inside the image.

    x: (n, channels, h, w); y: (n, channels, h', w') with h' = ⌊(h + pads - size) / s⌋ + 1. Padded cells are not
    counted.

    Arguments: ``pool_size``, a whole number or (height, width); ``strides``, pool_size unless given; ``padding``,
    "valid", "same" or cells on every side, fewer than pool_size; ``name``. Raises ``ShapeError`` in ``build`` for an
    input that is no image or smaller than the window.
    """

    def __init__(
        self,
        pool_size: int | Pair = 2,
        strides: int | Pair | None = None,
        padding: Padding = "valid",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.pool_size = pair("AvgPool2D: pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair("AvgPool2D: strides", strides)
        self.padding = pool_padding("AvgPool2D", padding, self.pool_size)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, height, width = image_shape(self.name, input_shape)
        self._sides: Sides = sides(self.padding, (height, width), self.pool_size, self.strides)
        size = window_output(self.name, (height, width), self._sides, self.pool_size, self.strides, what="window")
        return (channels, *size)

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        window: PoolWindow = {"size": self.pool_size, "stride": self.strides, "padding": self._sides}
        y = self.output_slot(plan)
        _core.avg_pool2d(plan, x, y, **window)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.avg_pool2d_gradient(plan, plan.gradient(y), plan.gradient(x), **window)
        return y

    def config(self) -> dict[str, Any]:
        return {
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": list(self.padding) if isinstance(self.padding, tuple) else self.padding,
        }
