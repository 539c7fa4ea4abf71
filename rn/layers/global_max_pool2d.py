"""The largest value of each channel of an image."""

from __future__ import annotations

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import PoolWindow, image_shape

__all__ = ["GlobalMaxPool2D"]


@registry.register("layer", "global_max_pool2d")
class GlobalMaxPool2D(Layer):
    """y[n, c] = max_{i,j} x[n, c, i, j].

    x: (n, channels, h, w); y: (n, channels). The gradient goes to the first largest cell, in reading order; NaN counts
    as largest. One comparison an element.

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
        taps = plan.tensor(y.shape) if plan.wants_gradient(x) else None
        _core.max_pool2d(plan, row, y, taps=taps, **window)
        if taps is not None:
            with plan.backward():
                _core.max_pool2d_gradient(plan, taps, plan.gradient(y), plan.gradient(row), **window)
        return y
