"""A whole model in plain float64 NumPy.

Its output and loss from a state dict, and their gradients by central differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

import rn
from rn import layers
from tests import reference

Array = NDArray[np.float64]
State = dict[str, Array]
DROPOUT = 3 << 24  # the purpose of dropout draws, see rn.layers.dropout


def output(model: rn.models.Model, state: State, x: Array, *, training: bool = False, step: int = 0) -> Array:
    """Return the model's output for ``x`` with the weights of ``state``.

    Dropout by the masks of ``step`` in training.
    """
    masks = Masks(model.seed, step) if training else None
    return stack(model.layers, state, x, masks, "")


class Masks:
    """The masks of dropout, each from the next purpose, as the layers that drop ask for them in turn."""

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step, self.purpose = seed, step, DROPOUT

    def next(self, shape: tuple[int, ...], rate: float) -> Array:
        """Return 0 or 1 / (1 - rate) for each element of ``shape``."""
        self.purpose += 1
        kept = reference.dropout_mask(int(np.prod(shape)), rate, self.seed, self.purpose, self.step)
        return kept.reshape(shape) / (1 - rate)


def stack(chosen: Sequence[layers.Layer], state: State, x: Array, masks: Masks | None, prefix: str) -> Array:
    """Return the output of layers one after the other; ``prefix`` begins their keys in ``state``."""
    for i, layer in enumerate(chosen):
        own = f"{prefix}{i}."
        x = one(layer, {key.removeprefix(own): a for key, a in state.items() if key.startswith(own)}, x, masks)
        activation = layer.__dict__.get("activation")
        if isinstance(activation, rn.activations.Softmax):
            x = softmax(x)
        elif activation is not None:
            x = reference.activate(x, activation.kernel, activation.alpha)
    return x


def one(layer: layers.Layer, state: State, x: Array, masks: Masks | None) -> Array:
    """Return the output of a layer before its activation."""
    weight, bias = state.get("weight"), state.get("bias")
    if isinstance(layer, layers.Dense):
        assert weight is not None
        return x @ weight.T + (0 if bias is None else bias)
    if isinstance(layer, layers.Conv2D):
        window = {"stride": layer.strides, "padding": layer._sides, "dilation": layer.dilation, "groups": layer.groups}
        return reference.conv2d(x, weight, bias=bias, **window)[0]
    if isinstance(layer, layers.Conv2DTranspose):
        window = {"stride": layer.strides, "padding": layer._sides, "dilation": layer.dilation, "groups": layer.groups}
        y = reference.conv2d_input_gradient(x, weight, (len(x), *layer.output_shape), **window)[0]
        return y + (0 if bias is None else bias[:, None, None])
    if isinstance(layer, layers.MaxPool2D):
        return reference.max_pool2d(x, layer.pool_size, layer.strides, layer._sides)
    if isinstance(layer, layers.AvgPool2D):
        return reference.avg_pool2d(x, layer.pool_size, layer.strides, layer._sides)
    if isinstance(layer, layers.GlobalAvgPool2D):
        return x.mean((2, 3))
    if isinstance(layer, layers.GlobalMaxPool2D):
        return x.max((2, 3))
    if isinstance(layer, layers.BatchNorm):
        by_batch = masks is not None and layer.trainable
        moments = reference.batch_moments(x) if by_batch else (state["running_mean"], state["running_var"])
        ones = (1.0 if weight is None else weight), (0.0 if bias is None else bias)
        return reference.batch_norm(x, *moments, *ones, epsilon=layer.epsilon)
    if isinstance(layer, layers.Normalization):
        return reference.batch_norm(x, state["mean"], state["variance"], 1.0, 0.0, epsilon=0.0)
    if isinstance(layer, layers.Flatten | layers.Reshape):
        return x.reshape(len(x), *layer.output_shape)
    if isinstance(layer, layers.ZeroPad2D):
        return np.pad(x, ((0, 0), (0, 0), *layer.padding))
    if isinstance(layer, layers.UpSampling2D):
        return reference.upsample(x, layer.size)
    if isinstance(layer, layers.LayerNorm):
        rows = x.reshape(len(x), -1)
        flat = [None if array is None else array.reshape(-1) for array in (weight, bias)]
        return reference.layer_norm(rows, *flat, epsilon=layer.epsilon).reshape(x.shape)
    if isinstance(layer, layers.Residual):
        around = {key.removeprefix("shortcut."): a for key, a in state.items() if key.startswith("shortcut.")}
        return stack(layer.layers, state, x, masks, "") + stack(layer.shortcut, around, x, masks, "")
    if isinstance(layer, layers.Dropout) and masks is not None:
        return x * masks.next(x.shape, layer.rate)
    if isinstance(layer, layers.SpatialDropout2D) and masks is not None:
        return x * masks.next((*x.shape[:2], 1, 1), layer.rate)
    return x


def softmax(x: Array) -> Array:
    """Return e^x over its sum along axis 1."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(model: rn.models.Model, prediction: Array, target: Array) -> float:
    """Return the model's loss; ``target`` is shaped as the prediction, classes as one-hot rows."""
    chosen = model.loss
    if isinstance(chosen, rn.losses.CrossEntropy):
        p = softmax(prediction) if chosen.from_logits else prediction
        return float(-(target * np.log(p)).sum() / len(p))
    if isinstance(chosen, rn.losses.BinaryCrossEntropy):
        p = 1 / (1 + np.exp(-prediction)) if chosen.from_logits else prediction
        return float(-(target * np.log(p) + (1 - target) * np.log(1 - p)).mean())
    if isinstance(chosen, rn.losses.KLDivergence):
        p = softmax(prediction) if chosen.from_logits else prediction
        return float((target * np.log(target / p)).sum() / len(p))
    if isinstance(chosen, rn.losses.RootMeanSquaredError):
        return float(np.sqrt(((prediction - target) ** 2).mean()))
    name = rn.registry.name_of("loss", type(chosen))
    return reference.element_loss(name, prediction, target, delta=getattr(chosen, "delta", 1.0))[0]


def penalty(model: rn.models.Model, state: State) -> float:
    """Return the sum of the penalties on regularized weights."""
    return sum(
        reference.regularize(state[f"{i}.{name}"], parameter.regularizer.l1, parameter.regularizer.l2)[0]
        for i, layer in enumerate(model.layers)
        for name, parameter in layer._parameters.items()
        if parameter.regularizer is not None
    )


def central_differences(function: Callable[[], float], array: Array, h: float = 1e-6) -> Array:
    """Return d function() / d array, element by element, by (f(a + h) - f(a - h)) / 2h.

    ``array`` is changed meanwhile.
    """
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + h
        above = function()
        array[index] = kept - h
        below = function()
        array[index] = kept
        gradient[index] = (above - below) / (2 * h)
    return gradient
