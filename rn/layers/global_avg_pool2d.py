"""The mean of each channel of an image."""

from __future__ import annotations

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import PoolWindow, image_shape

__all__ = ["GlobalAvgPool2D"]


@registry.register("layer", "global_avg_pool2d")
class GlobalAvgPool2D(Layer):
    """y[n, c] = mean_{i,j} x[n, c, i, j].

    x: (n, channels, h, w); y: (n, channels). One addition an element.

    Argument: ``name``. Raises ``ShapeError`` in ``build`` for an input that is no image.
    """

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        return (image_shape(self.name, input_shape)[0],)

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        n, channels, height, width = x.shape
        cells = height * width
        # One window over a row of all cells: the whole plane lies in one piece.
        row = plan.view(x, (n, channels, 1, cells))
        window: PoolWindow = {"size": (1, cells), "stride": (1, cells), "padding": ((0, 0), (0, 0))}
        y = self.output_slot(plan)
        _core.avg_pool2d(plan, row, y, **window)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.avg_pool2d_gradient(plan, plan.gradient(y), plan.gradient(row), **window)
        return y
