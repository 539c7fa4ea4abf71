"""Another shape for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rn import _core, initializers, registry
from rn.errors import OptionError, ShapeError
from rn.layers.base import Layer, Shape
from rn.layers.check import positive

__all__ = ["Reshape"]


@registry.register("layer", "reshape")
class Reshape(Layer):
    """y = the numbers of each sample of x in reading order, under another shape.

    x: (n, ...); y: (n, *shape). Nothing is computed or copied.

    Arguments: ``shape``, (features,) or (channels, height, width), without the batch axis; one axis may be -1, which
    stands for what is left; ``name``. Raises ``ShapeError`` in ``build`` where the numbers of elements differ.
    """

    def __init__(self, shape: Shape | int, *, name: str | None = None) -> None:
        super().__init__(name=name)
        axes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        self.shape: Shape = tuple(-1 if axis == -1 else positive("Reshape: each axis of shape", axis) for axis in axes)
        if len(self.shape) not in (1, 3):
            raise ShapeError(f"Reshape: shape must be (features,) or (channels, height, width), got {shape!r}")
        if self.shape.count(-1) > 1:
            raise OptionError(f"Reshape: only one axis of shape can be -1, got {shape!r}")

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        have, named = math.prod(input_shape), math.prod(axis for axis in self.shape if axis != -1)
        shape = tuple(have // named if axis == -1 else axis for axis in self.shape)
        if math.prod(shape) != have:
            raise ShapeError(
                f"layer {self.name!r}: the {have} elements of a sample of shape {input_shape} do not fill {self.shape}"
            )
        return shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        assert self.output_shape is not None
        return plan.view(x, (plan.batch, *self.output_shape))

    def config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}
