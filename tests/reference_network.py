"""A whole model in plain float64 NumPy.

Its output and loss from a state dict, and their gradients by central differences.
"""

from __future__ import annotations

from collections.abc import Callable

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
    purpose = DROPOUT
    for i, layer in enumerate(model.layers):
        weight, bias = state.get(f"{i}.weight"), state.get(f"{i}.bias")
        if isinstance(layer, layers.Dense):
            assert weight is not None
            x = x @ weight.T + (0 if bias is None else bias)
        elif isinstance(layer, layers.Conv2D):
            x, _ = reference.conv2d(
                x,
                weight,
                bias=bias,
                stride=layer.strides,
                padding=layer._sides,
                dilation=layer.dilation,
                groups=layer.groups,
            )
        elif isinstance(layer, layers.MaxPool2D):
            x = reference.max_pool2d(x, layer.pool_size, layer.strides, layer._sides)
        elif isinstance(layer, layers.AvgPool2D):
            x = reference.avg_pool2d(x, layer.pool_size, layer.strides, layer._sides)
        elif isinstance(layer, layers.Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, layers.Dropout) and training:
            purpose += 1
            kept = reference.dropout_mask(x.size, layer.rate, model.seed, purpose, step).reshape(x.shape)
            x = x * kept / (1 - layer.rate)
        activation = layer.__dict__.get("activation")
        if isinstance(activation, rn.activations.Softmax):
            x = softmax(x)
        elif activation is not None:
            x = reference.activate(x, activation.kernel, activation.alpha)
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
    if isinstance(chosen, rn.losses.MeanAbsoluteError):
        return float(np.abs(prediction - target).mean())
    assert isinstance(chosen, rn.losses.MeanSquaredError)
    return float(((prediction - target) ** 2).mean())


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
