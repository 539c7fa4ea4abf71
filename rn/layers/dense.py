"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from rn import _core, activations, initializers, registry, regularizers
from rn.errors import ShapeError, flag
from rn.layers.base import Layer, Shape
from rn.layers.check import positive

__all__ = ["Dense"]


@registry.register("layer", "dense")
class Dense(Layer):
    """y = activation(x Wᵀ + b).

    x: (n, in); y: (n, units); ``weight`` W: (units, in); ``bias`` b: (units,). 2 n in units FLOPs forward, twice that
    backward.

    Arguments: ``units``, at least 1; ``activation``, a name or object, linear unless given; ``use_bias``;
    ``kernel_initializer`` (glorot_uniform) and ``bias_initializer`` (zeros); ``kernel_regularizer``, none unless given;
    ``name``. Raises ``ShapeError`` in ``build`` for an input that is no vector.
    """

    def __init__(
        self,
        units: int,
        activation: str | activations.ActivationFunction | None = None,
        *,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        kernel_regularizer: str | regularizers.Regularizer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.units = positive("Dense: units", units)
        self.activation = activations.get(activation)
        self.use_bias = flag(f"{type(self).__name__}: use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(
                f"layer {self.name!r} takes vectors (features,), but its input has shape {input_shape}; "
                "put Flatten() before it"
            )
        shape = (self.units, input_shape[0])
        self.add_parameter("weight", shape, self.kernel_initializer, rng, self.kernel_regularizer)
        if self.use_bias:
            self.add_parameter("bias", (self.units,), self.bias_initializer, rng)
        return (self.units,)

    def bind(
        self,
        plan: _core.Plan,
        x: _core.Slot,
        finish: activations.ActivationFunction | None = None,
        instead: tuple[_core.Slot, _core.Slot] | None = None,
    ) -> _core.Slot:
        """Record y = x Wᵀ + b, or finish(x Wᵀ + b) for an activation whose derivative follows from y.

        ``instead``: a weight and a bias to use for the layer's own, in a plan without gradients.
        """
        act = finish or activations.Linear()
        weight, weight_gradient = self.slots(plan, "weight")
        bias, bias_gradient = self.slots(plan, "bias") if self.use_bias else (None, None)
        if instead is not None:
            weight, bias = instead
        y = self.output_slot(plan)
        _core.gemm(plan, x, weight, y, transpose_b=True, bias=bias, activation=act.kernel, alpha=act.alpha)
        if self.learns(plan) or plan.wants_gradient(x):
            dy = plan.gradient(y)
            with plan.backward():
                if finish is not None:
                    _core.activate_gradient(plan, None, y, dy, dy, act.kernel, act.alpha)
                if self.learns(plan):
                    _core.gemm(plan, dy, x, weight_gradient, transpose_a=True)
                    if bias_gradient is not None:
                        _core.sum_rows(plan, dy, bias_gradient)
                if plan.wants_gradient(x):
                    _core.gemm(plan, dy, weight, plan.gradient(x))
        return y

    def config(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": registry.describe("activation", self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": registry.describe("initializer", self.kernel_initializer),
            "bias_initializer": registry.describe("initializer", self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer and registry.describe("regularizer", self.kernel_regularizer),
        }
