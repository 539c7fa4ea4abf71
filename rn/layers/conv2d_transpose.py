"""The transposed 2-D convolution, which makes images larger."""

from __future__ import annotations

from typing import Any

from rn import _core, activations, initializers, registry, regularizers
from rn.errors import OptionError, ShapeError, flag
from rn.layers.base import Layer, Shape
from rn.layers.check import ConvWindow, Padding, Pair, Sides, cells, image_shape, padding_option, pair, positive

__all__ = ["Conv2DTranspose"]


@registry.register("layer", "conv2d_transpose")
class Conv2DTranspose(Layer):
    """y[n, f, i, j] = activation(b[f] + Σ W[c, f, u, v] x[n, c, k, l]), over all k s + u d - p = i, l s + v d - p = j.

    The gradient by input of a ``Conv2D`` with these options, used as a layer (Dumoulin and Visin, 2016).

    x: (n, channels, h, w); y: (n, filters, h', w') with h' = (h - 1) s - pads + d (kh - 1) + 1 + output_padding, or h s
    with padding "same"; ``weight`` W: (channels, filters / groups, kh, kw), as in PyTorch; ``bias`` b: (filters,). 2 n
    channels h w (filters / groups) kh kw FLOPs forward, twice that backward. Winograd's form is taken as by ``Conv2D``.

    Arguments: ``filters``; ``kernel_size``, a whole number or (height, width); ``activation``; ``strides``;
    ``padding``, "valid" (none), "same" (h' = h s) or cells cut from every side; ``output_padding``, rows and columns
    added at the bottom and right, below ``strides``, and 0 with "same"; ``dilation``; ``groups``, which divides
    channels and filters; ``use_bias``; ``kernel_initializer`` (glorot_uniform) and ``bias_initializer`` (zeros);
    ``kernel_regularizer``, none unless given; ``name``. Raises ``OptionError`` for options out of range, ``ShapeError``
    in ``build`` for an input that is no image, channels that groups do not divide, and padding that leaves nothing.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        activation: str | activations.ActivationFunction | None = None,
        *,
        strides: int | Pair = 1,
        padding: Padding = "valid",
        output_padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        kernel_regularizer: str | regularizers.Regularizer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.filters = positive("Conv2DTranspose: filters", filters)
        self.kernel_size = pair("Conv2DTranspose: kernel_size", kernel_size)
        self.activation = activations.get(activation)
        self.strides = pair("Conv2DTranspose: strides", strides)
        self.padding = padding_option("Conv2DTranspose", padding)
        self.output_padding = cells("Conv2DTranspose: output_padding", output_padding)
        self.dilation = pair("Conv2DTranspose: dilation", dilation)
        self.groups = positive("Conv2DTranspose: groups", groups)
        if self.filters % self.groups:
            raise OptionError(f"Conv2DTranspose: groups={groups} must divide filters={filters}")
        if any(extra >= stride for extra, stride in zip(self.output_padding, self.strides, strict=True)):
            raise OptionError(
                f"Conv2DTranspose: output_padding={output_padding!r} must be below strides={strides!r}, "
                "or rows would be added that no pixel reaches"
            )
        if self.padding == "same" and any(self.output_padding):
            raise OptionError('Conv2DTranspose: padding="same" settles the size; leave out output_padding')
        self.use_bias = flag(f"{type(self).__name__}: use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        channels, *size = image_shape(self.name, input_shape)
        if channels % self.groups:
            raise ShapeError(f"layer {self.name!r}: groups={self.groups} must divide the input's {channels} channels")
        self._sides: Sides = (self._cut(0), self._cut(1))
        output = tuple(self._length(axis, size[axis]) for axis in range(2))
        if min(output) < 1:
            raise ShapeError(
                f"layer {self.name!r}: padding={self.padding!r} leaves {output[0]}x{output[1]} of an image, "
                "at least 1x1 is needed"
            )
        weight = (channels, self.filters // self.groups, *self.kernel_size)
        self.add_parameter("weight", weight, self.kernel_initializer, rng, self.kernel_regularizer)
        if self.use_bias:
            self.add_parameter("bias", (self.filters,), self.bias_initializer, rng)
        return (self.filters, *output)

    def _cut(self, axis: int) -> Pair:
        """Return the rows cut off at the top and bottom, or the columns at the left and right."""
        if self.padding == "valid":
            return (0, 0)
        if self.padding == "same":
            spare = max(self._span(axis) - self.strides[axis], 0)
            return (spare // 2, spare - spare // 2)
        both = self.padding if isinstance(self.padding, int) else int(self.padding[axis])
        return (both, both)

    def _span(self, axis: int) -> int:
        """Return how many rows (columns) the kernel spans."""
        return self.dilation[axis] * (self.kernel_size[axis] - 1) + 1

    def _length(self, axis: int, length: int) -> int:
        """Return how many rows (columns) ``length`` of them become."""
        if self.padding == "same":
            return length * self.strides[axis]
        whole = (length - 1) * self.strides[axis] + self._span(axis)
        return whole - sum(self._sides[axis]) + self.output_padding[axis]

    def bind(self, plan: _core.Plan, x: _core.Slot, finish: activations.ActivationFunction | None = None) -> _core.Slot:
        """Record the convolution, or finish(convolution) for an activation whose derivative follows from y."""
        act = finish or activations.Linear()
        weight, weight_gradient = self.slots(plan, "weight")
        bias, bias_gradient = self.slots(plan, "bias") if self.use_bias else (None, None)
        window: ConvWindow = {
            "stride": self.strides,
            "padding": self._sides,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        y = self.output_slot(plan)
        _core.conv2d_transpose(plan, x, weight, y, bias=bias, activation=act.kernel, alpha=act.alpha, **window)
        learns, wants_dx = self.learns(plan), plan.wants_gradient(x)
        if learns or wants_dx:
            dy = plan.gradient(y)
            with plan.backward():
                if finish is not None:
                    _core.activate_gradient(plan, None, y, dy, dy, act.kernel, act.alpha)
                if learns:
                    _core.conv2d_weight_gradient(plan, dy, x, weight_gradient, **window)
                    if bias_gradient is not None:
                        _core.sum_planes(plan, dy, bias_gradient)
                if wants_dx:
                    _core.conv2d(plan, dy, weight, plan.gradient(x), **window)
        return y

    def config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "activation": registry.describe("activation", self.activation),
            "strides": list(self.strides),
            "padding": list(self.padding) if isinstance(self.padding, tuple) else self.padding,
            "output_padding": list(self.output_padding),
            "dilation": list(self.dilation),
            "groups": self.groups,
            "use_bias": self.use_bias,
            "kernel_initializer": registry.describe("initializer", self.kernel_initializer),
            "bias_initializer": registry.describe("initializer", self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer and registry.describe("regularizer", self.kernel_regularizer),
        }
