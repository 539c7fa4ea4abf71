"""From images to vectors."""

from __future__ import annotations

import math

from rn import _core, initializers, registry
from rn.layers.base import Layer, Shape

__all__ = ["Flatten"]


@registry.register("layer", "flatten")
class Flatten(Layer):
    """y[n, (c h + i) w + j] = x[n, c, i, j]: the same numbers, read as one vector a sample.

    x: (n, ...); y: (n, features). Nothing is computed or copied.
    """

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        return (math.prod(input_shape),)

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        return plan.view(x, (plan.batch, x.size // max(plan.batch, 1)))
