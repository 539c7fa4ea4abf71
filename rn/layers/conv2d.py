"""The 2-D convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rn import _core, activations, initializers, registry, regularizers
from rn.errors import OptionError, ShapeError, flag
from rn.layers.base import Layer, Shape
from rn.layers.check import (
    ConvWindow,
    Padding,
    Pair,
    Sides,
    image_shape,
    padding_option,
    pair,
    positive,
    sides,
    window_output,
)

if TYPE_CHECKING:
    from rn.layers.max_pool2d import MaxPool2D

__all__ = ["Conv2D"]


@registry.register("layer", "conv2d")
class Conv2D(Layer):
    """y[n, f, i, j] = activation(b[f] + Σ_{c,u,v} W[f, c, u, v] x[n, c, i s + u d - p, j s + v d - p]).

    Outside the image x is 0.

    x: (n, channels, h, w); y: (n, filters, h', w') with h' = ⌊(h + pads - d (kh - 1) - 1) / s⌋ + 1; ``weight`` W:
    (filters, channels / groups, kh, kw); ``bias`` b: (filters,). With groups, filter f sees the channels of its own
    group only. 2 n filters h' w' (channels / groups) kh kw FLOPs forward, twice that backward.

    In Winograd's form, taken where it pays, tiles of outputs are computed together: a NaN or an infinity in x spreads
    to all outputs of its tiles, not only to those that see it, and what is exactly 0 in the direct form, such as a
    black border without bias, may be a rounding error of either sign, so that the gradient of a ReLU passes or not, and
    what is equal there may differ here, so that a pool gives its gradient to another of the equal cells.
    ``rn.set_winograd(False)`` or ``RN_WINOGRAD=0`` turns the form off.

    Arguments: ``filters``; ``kernel_size``, a whole number or (height, width); ``activation``; ``strides``;
    ``padding``, "valid" (none), "same" (h' = ⌈h / s⌉) or cells on every side; ``dilation``; ``groups``, which divides
    channels and filters; ``use_bias``; ``kernel_initializer`` (glorot_uniform) and ``bias_initializer`` (zeros);
    ``kernel_regularizer``, none unless given; ``name``. Raises ``ShapeError`` in ``build`` for an input that is no
    image, channels that groups do not divide, and a kernel larger than its padded input.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        activation: str | activations.ActivationFunction | None = None,
        *,
        strides: int | Pair = 1,
        padding: Padding = "valid",
        dilation: int | Pair = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        kernel_regularizer: str | regularizers.Regularizer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.filters = positive("Conv2D: filters", filters)
        self.kernel_size = pair("Conv2D: kernel_size", kernel_size)
        self.activation = activations.get(activation)
        self.strides = pair("Conv2D: strides", strides)
        self.padding = padding_option("Conv2D", padding)
        self.dilation = pair("Conv2D: dilation", dilation)
        self.groups = positive("Conv2D: groups", groups)
        if self.filters % self.groups:
            raise OptionError(f"Conv2D: groups={groups} must divide filters={filters}")
        self.use_bias = flag(f"{type(self).__name__}: use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, height, width = image_shape(self.name, input_shape)
        if channels % self.groups:
            raise ShapeError(f"layer {self.name!r}: groups={self.groups} must divide the input's {channels} channels")
        self._sides: Sides = sides(self.padding, (height, width), self.kernel_size, self.strides, self.dilation)
        output = window_output(self.name, (height, width), self._sides, self.kernel_size, self.strides, self.dilation)
        weight = (self.filters, channels // self.groups, *self.kernel_size)
        self.add_parameter("weight", weight, self.kernel_initializer, rng, self.kernel_regularizer)
        if self.use_bias:
            self.add_parameter("bias", (self.filters,), self.bias_initializer, rng)
        return (self.filters, *output)

    def bind(
        self,
        plan: _core.Plan,
        x: _core.Slot,
        finish: activations.ActivationFunction | None = None,
        instead: tuple[_core.Slot, _core.Slot] | None = None,
        *,
        pool: MaxPool2D | None = None,
    ) -> _core.Slot:
        """Record the convolution, or finish(convolution) for an activation whose derivative follows from y.

        ``instead``: a weight and a bias to use for the layer's own, in a plan without gradients. ``pool``: the layer
        that reads y and nobody else does, recorded here too; finish is then ReLU, and the pool's output is returned.
        """
        act = finish or activations.Linear()
        weight, bias = instead or (
            self.slots(plan, "weight")[0],
            self.slots(plan, "bias")[0] if self.use_bias else None,
        )
        if pool is not None:
            if not isinstance(finish, activations.ReLU):
                raise OptionError(f"layer {self.name!r}: a pool is recorded with the convolution after ReLU only")
            return self._bind_pooled(plan, x, weight, bias, pool)
        y = self.output_slot(plan)
        _core.conv2d(plan, x, weight, y, bias=bias, activation=act.kernel, alpha=act.alpha, **self._window())
        if self.learns(plan) or plan.wants_gradient(x):
            dy = plan.gradient(y)
            with plan.backward():
                if finish is not None:
                    _core.activate_gradient(plan, None, y, dy, dy, act.kernel, act.alpha)
                self._record_gradients(plan, x, dy)
        return y

    def _bind_pooled(
        self, plan: _core.Plan, x: _core.Slot, weight: _core.Slot, bias: _core.Slot | None, pool: MaxPool2D
    ) -> _core.Slot:
        """Record max(convolution, 0), pooled; where one kernel does both, the former is never whole in memory."""
        window, after = self._window(), pool.after()
        learns, wants_dx = self.learns(plan), plan.wants_gradient(x)
        if _core.pools_at_once(x, weight, **window, **after):
            z, taps = pool.outputs(plan, keep=learns or wants_dx)
            _core.conv2d_max_pool(plan, x, weight, z, bias=bias, taps=taps, relu=True, **window, **after)
        else:
            y = self.output_slot(plan)
            _core.conv2d(plan, x, weight, y, bias=bias, activation="relu", **window)
            z, taps = pool.pool(plan, y, keep=learns or wants_dx, relu=True)
        if taps is None:
            return z
        dz = plan.gradient(z)
        with plan.backward():
            if not wants_dx and _core.takes_taps(x, weight, **window):
                dweight, dbias = self._gradient_slots(plan)
                _core.conv2d_weight_gradient_pooled(plan, x, taps, dz, dweight, dbias=dbias, **window, **after)
            else:
                dy = self.output_slot(plan)
                pool.spread(plan, taps, dz, dy)
                self._record_gradients(plan, x, dy)
        return z

    def _record_gradients(self, plan: _core.Plan, x: _core.Slot, dy: _core.Slot) -> None:
        """Record what is wanted of the gradients by weights and x, from that by the convolution."""
        if self.learns(plan):
            dweight, dbias = self._gradient_slots(plan)
            _core.conv2d_weight_gradient(plan, x, dy, dweight, dbias=dbias, **self._window())
        if plan.wants_gradient(x):
            weight = self.slots(plan, "weight")[0]
            _core.conv2d_input_gradient(plan, dy, weight, plan.gradient(x), **self._window())

    def _gradient_slots(self, plan: _core.Plan) -> tuple[_core.Slot, _core.Slot | None]:
        return self.slots(plan, "weight")[1], self.slots(plan, "bias")[1] if self.use_bias else None

    def _window(self) -> ConvWindow:
        return {
            "stride": self.strides,
            "padding": self._sides,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "activation": registry.describe("activation", self.activation),
            "strides": list(self.strides),
            "padding": list(self.padding) if isinstance(self.padding, tuple) else self.padding,
            "dilation": list(self.dilation),
            "groups": self.groups,
            "use_bias": self.use_bias,
            "kernel_initializer": registry.describe("initializer", self.kernel_initializer),
            "bias_initializer": registry.describe("initializer", self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer and registry.describe("regularizer", self.kernel_regularizer),
        }
