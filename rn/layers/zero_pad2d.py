"""Zeros around an image."""

from __future__ import annotations

from typing import Any

from rn import _core, initializers, registry
from rn.errors import OptionError
from rn.layers.base import Layer, Shape
from rn.layers.check import Pair, Sides, cells, image_shape

__all__ = ["ZeroPad2D"]


@registry.register("layer", "zero_pad2d")
class ZeroPad2D(Layer):
    """y[n, c, i, j] = x[n, c, i - top, j - left] inside the image, 0 around it.

    x: (n, channels, h, w); y: (n, channels, top + h + bottom, left + w + right).

    Arguments: ``padding``, the cells on every side, or (vertical, horizontal), or ((top, bottom), (left, right)), each
    at least 0; ``name``. Raises ``OptionError`` for other paddings, ``ShapeError`` in ``build`` for what is no image.
    """

    def __init__(self, padding: int | Pair | Sides = 1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        pairs = tuple(padding) if isinstance(padding, (tuple, list)) else (padding, padding)
        if len(pairs) != 2:
            raise OptionError(
                "ZeroPad2D: padding must be a whole number, (vertical, horizontal) or ((top, bottom), (left, right)), "
                f"got {padding!r}"
            )
        vertical, horizontal = (cells("ZeroPad2D: each side of padding", pair) for pair in pairs)
        self.padding: Sides = (vertical, horizontal)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, height, width = image_shape(self.name, input_shape)
        return (channels, height + sum(self.padding[0]), width + sum(self.padding[1]))

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        (top, _), (left, _) = self.padding
        y = self.output_slot(plan)
        _core.shift_planes(plan, x, y, top=top, left=left)
        if plan.wants_gradient(x):
            with plan.backward():
                _core.shift_planes(plan, plan.gradient(y), plan.gradient(x), top=-top, left=-left)
        return y

    def config(self) -> dict[str, Any]:
        return {"padding": [list(side) for side in self.padding]}
