"""The largest value of each window of an image."""

from __future__ import annotations

from typing import Any

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape
from rn.layers.check import (
    Padding,
    Pair,
    PoolAfter,
    PoolWindow,
    Sides,
    image_shape,
    pair,
    pool_padding,
    sides,
    window_output,
)

__all__ = ["MaxPool2D"]


@registry.register("layer", "max_pool2d")
class MaxPool2D(Layer):
    """y[n, c, i, j] = max_{u,v} x[n, c, i s + u - p, j s + v - p]; padded cells never win.

    x: (n, channels, h, w); y: (n, channels, h', w') with h' = ⌊(h + pads - size) / s⌋ + 1. The gradient goes to the
    first largest cell of a window, in reading order; NaN counts as largest.

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
        self.pool_size = pair("MaxPool2D: pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair("MaxPool2D: strides", strides)
        self.padding = pool_padding("MaxPool2D", padding, self.pool_size)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, height, width = image_shape(self.name, input_shape)
        self._sides: Sides = sides(self.padding, (height, width), self.pool_size, self.strides)
        size = window_output(self.name, (height, width), self._sides, self.pool_size, self.strides, what="window")
        return (channels, *size)

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        y, taps = self.pool(plan, x, keep=plan.wants_gradient(x))
        if taps is not None:
            with plan.backward():
                self.spread(plan, taps, plan.gradient(y), plan.gradient(x))
        return y

    def pool(
        self, plan: _core.Plan, x: _core.Slot, *, keep: bool, relu: bool = False
    ) -> tuple[_core.Slot, _core.Slot | None]:
        """Record the maxima alone; return them and, to ``keep`` for ``spread``, which cells they are.

        ``relu``: x is what ReLU gave, and what ``spread`` leaves is to be the gradient by ReLU's input.
        """
        y, taps = self.outputs(plan, keep=keep)
        with plan.scope(self.name):
            _core.max_pool2d(plan, x, y, taps=taps, relu=relu, **self._window())
        return y, taps

    def outputs(self, plan: _core.Plan, *, keep: bool) -> tuple[_core.Slot, _core.Slot | None]:
        """Return what ``pool`` returns, for whoever records the maxima in its place."""
        y = self.output_slot(plan)
        return y, plan.tensor(y.shape) if keep else None

    def spread(self, plan: _core.Plan, taps: _core.Slot, dy: _core.Slot, dx: _core.Slot) -> None:
        """Record the gradient by x from that by y."""
        with plan.scope(self.name):
            _core.max_pool2d_gradient(plan, taps, dy, dx, **self._window())

    def _window(self) -> PoolWindow:
        return {"size": self.pool_size, "stride": self.strides, "padding": self._sides}

    def after(self) -> PoolAfter:
        """Return the window of a built layer for kernels that compute the layer before it too."""
        return {"pool_size": self.pool_size, "pool_stride": self.strides, "pool_padding": self._sides}

    def config(self) -> dict[str, Any]:
        return {
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": list(self.padding) if isinstance(self.padding, tuple) else self.padding,
        }
