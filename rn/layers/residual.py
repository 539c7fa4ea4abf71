"""A stack of layers with a way around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rn import activations, initializers, registry
from rn.errors import DtypeError, ShapeError
from rn.layers.base import Layer, Shape, described, no_layers, restored
from rn.layers.conv2d import Conv2D
from rn.layers.dense import Dense

__all__ = ["Residual"]


@registry.register("layer", "residual")
class Residual(Layer):
    """y = activation(F(x) + S(x)), F the stack ``layers`` and S the shortcut: x itself where F keeps the shape.

    x: any shape that F takes; y: F's output shape. Where F changes the shape, S is a projection without bias: a 1x1
    ``Conv2D`` with stride ⌈in / out⌉ for images, a ``Dense`` for vectors (He et al., 2016). The layers inside keep
    their parameters; their names in this layer and in the state dict are "<place>.<name>" for F and
    "shortcut.<place>.<name>" for S.

    Arguments: ``layers``, any stack, ``Residual`` among it; ``shortcut``, layers for S instead of those above, which
    must end in F's shape; ``activation`` (linear); ``name``. ``trainable`` speaks for all layers inside: setting it
    sets theirs, and it is True while one of them trains. Raises ``ShapeError`` in ``build`` where F and S end in
    different shapes, ``DtypeError`` for what is no layer, ``StateError`` for a layer that is part of a model already.
    """

    _forward_may_be_written = False
    layers: tuple[Layer, ...] = ()
    shortcut: tuple[Layer, ...] = ()

    def __init__(
        self,
        layers: Sequence[Layer | dict[str, Any]],
        shortcut: Sequence[Layer | dict[str, Any]] | None = None,
        *,
        activation: str | activations.ActivationFunction | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.layers = _stack("layers", layers)
        self.shortcut = _stack("shortcut", shortcut or ())
        self._projects = shortcut is None
        self.activation = activations.get(activation)

    @property
    def children(self) -> tuple[Layer, ...]:
        return (*self.layers, *self.shortcut)

    @property
    def trainable(self) -> bool:
        """Whether training may change a layer inside; setting it speaks to all of them."""
        return any(layer.trainable for layer in self.children) if self.children else True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.children:
            layer.trainable = value

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        output = self._build_stack("", self.layers, input_shape, rng)
        if self._projects:
            self.shortcut = projection(self.name, input_shape, output)
        shape = self._build_stack("shortcut.", self.shortcut, input_shape, rng)
        if shape != output:
            raise ShapeError(
                f"layer {self.name!r}: its layers give {output} and its shortcut {shape}, but both are added"
            )
        return output

    def _build_stack(
        self, prefix: str, stack: tuple[Layer, ...], shape: Shape, rng: initializers.WeightSource
    ) -> Shape:
        for place, layer in enumerate(stack):
            layer.name = layer.name or f"{self.name}.{prefix}{place}"
            shape = layer.built_for(shape, rng)
            for name, parameter in layer._parameters.items():
                self._parameters[f"{prefix}{place}.{name}"] = parameter
            for name, buffer in layer._buffers.items():
                self._buffers[f"{prefix}{place}.{name}"] = buffer
        return shape

    def config(self) -> dict[str, Any]:
        shortcut = None if self._projects else [described(layer) for layer in self.shortcut]
        return {
            "layers": [described(layer) for layer in self.layers],
            "shortcut": shortcut,
            "activation": registry.describe("activation", self.activation),
        }


def _stack(what: str, layers: Sequence[Layer | dict[str, Any]]) -> tuple[Layer, ...]:
    if isinstance(layers, (str, dict)) or not isinstance(layers, Iterable):
        raise no_layers(f"Residual: {what}", layers)
    made = tuple(restored(layer) if isinstance(layer, dict) else layer for layer in layers)
    for layer in made:
        if not isinstance(layer, Layer):
            raise DtypeError(f"Residual: {what} must hold layers, got {layer!r:.80}")
    return made


def projection(name: str, given: Shape, wanted: Shape) -> tuple[Layer, ...]:
    """Return the layers of a shortcut from samples of shape ``given`` to ``wanted``; none where they are equal."""
    if given == wanted:
        return ()
    if len(given) == len(wanted) == 1:
        return (Dense(wanted[0], use_bias=False),)
    if len(given) == len(wanted) == 3:
        strides = (-(-given[1] // wanted[1]), -(-given[2] // wanted[2]))
        if all(-(-given[1 + axis] // strides[axis]) == wanted[1 + axis] for axis in range(2)):
            return (Conv2D(wanted[0], 1, strides=strides, use_bias=False),)
    raise ShapeError(
        f"layer {name!r}: no 1x1 convolution leads from {given} to {wanted}, where its layers end; "
        'let F keep its multiple of the size (padding="same" does), or say shortcut=[...]'
    )
