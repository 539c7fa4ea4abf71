"""The shape of what comes in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rn import _core, initializers, registry
from rn.errors import ShapeError
from rn.layers.base import Layer, Shape
from rn.layers.check import positive

__all__ = ["Input"]


@registry.register("layer", "input")
class Input(Layer):
    """y = x, and says the shape of one sample, so that the model can be built before it sees data.

    Arguments: ``shape``, (features,) or (channels, height, width), without the batch axis; ``name``. Only the first
    layer of a model can be one.
    """

    def __init__(self, shape: Shape | int, *, name: str | None = None) -> None:
        super().__init__(name=name)
        axes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        self.shape: Shape = tuple(positive("Input: each axis of shape", length) for length in axes)
        if len(self.shape) not in (1, 3):
            raise ShapeError(f"Input: shape must be (features,) or (channels, height, width), got {shape!r}")

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        if input_shape != self.shape:
            raise ShapeError(
                f"layer {self.name!r} says samples have shape {self.shape}, but they have shape {input_shape}"
            )
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        return x

    def config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}
