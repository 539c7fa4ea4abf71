"""Normalisation of every sample by itself."""

from __future__ import annotations

import math
from typing import Any

from rn import _core, initializers, registry
from rn.errors import flag
from rn.layers.base import Layer, Shape
from rn.layers.check import at_least_zero

__all__ = ["LayerNorm"]


@registry.register("layer", "layer_norm")
class LayerNorm(Layer):
    """y = w (x - m) / √(v + ε) + b, with m and v the mean and the variance over all elements of the sample.

    x and y: (n, features) or (n, channels, h, w); ``weight`` w (ones at first) and ``bias`` b (zeros) are shaped as one
    sample, as in ``torch.nn.LayerNorm(sample shape)``. Means and variances in two passes: right for means of 1e3 and
    deviations of 1e-1 (Ba, Kiros and Hinton, 2016). About 8 FLOPs an element forward, 16 backward.

    Arguments: ``epsilon`` ε (1e-5), at least 0, or ``OptionError``; ``use_scale``, ``use_bias``: whether there are w
    and b; ``name``.
    """

    def __init__(
        self, epsilon: float = 1e-5, *, use_scale: bool = True, use_bias: bool = True, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.epsilon = at_least_zero("LayerNorm: epsilon", epsilon)
        self.use_scale = flag(f"{type(self).__name__}: use_scale", use_scale)
        self.use_bias = flag(f"{type(self).__name__}: use_bias", use_bias)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        if self.use_scale:
            self.add_parameter("weight", input_shape, "ones", rng)
        if self.use_bias:
            self.add_parameter("bias", input_shape, "zeros", rng)
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        weight, weight_gradient = self.slots(plan, "weight") if self.use_scale else (None, None)
        bias, bias_gradient = self.slots(plan, "bias") if self.use_bias else (None, None)
        learns, wants_dx = self.learns(plan), plan.wants_gradient(x)
        moments = plan.tensor((plan.batch, 3)) if learns or wants_dx else None
        y = self.output_slot(plan)
        _core.layer_norm(plan, x, y, weight=weight, bias=bias, moments=moments, epsilon=self.epsilon)
        if moments is not None:
            dy = plan.gradient(y)
            with plan.backward():
                if learns:
                    spare = plan.tensor((math.prod(self.input_shape or ()),))
                    _core.layer_norm_weight_gradient(
                        plan, x, dy, moments, weight_gradient or spare, dbias=bias_gradient
                    )
                if wants_dx:
                    _core.layer_norm_gradient(plan, x, dy, moments, plan.gradient(x), weight=weight)
        return y

    def config(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "use_scale": self.use_scale, "use_bias": self.use_bias}
