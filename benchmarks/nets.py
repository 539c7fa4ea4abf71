"""The five nets, described once; each peer builds them from the description with the same initial weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEARNING_RATE",
    "MOMENTUM",
    "NETS",
    "Activation",
    "Array",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "Layer",
    "Net",
    "Pool",
    "initial_weights",
    "samples",
]

Array: TypeAlias = npt.NDArray[np.float32]

LEARNING_RATE = 0.01
MOMENTUM = 0.9


@dataclass(frozen=True)
class Dense:
    """y = x Wᵀ + b."""

    units: int


@dataclass(frozen=True)
class Conv:
    """A 3×3 convolution; ``padding`` 1 keeps the image's size."""

    filters: int
    padding: int = 0
    use_bias: bool = True


@dataclass(frozen=True)
class Pool:
    """The largest of each 2×2 cells."""


@dataclass(frozen=True)
class GlobalPool:
    """The mean over each channel's image."""


@dataclass(frozen=True)
class BatchNorm:
    """Normalisation by the batch's statistics, running ones in inference; momentum 0.1, epsilon 1e-5."""


@dataclass(frozen=True)
class Dropout:
    """Zeroes a ``rate`` of its input in training."""

    rate: float


@dataclass(frozen=True)
class Flatten:
    """An image as a row, channels first."""


@dataclass(frozen=True)
class Activation:
    """relu, tanh, sigmoid or softmax."""

    name: str


Layer: TypeAlias = Dense | Conv | Pool | GlobalPool | BatchNorm | Dropout | Flatten | Activation


@dataclass(frozen=True)
class Net:
    """A net, its loss (mse, or cross_entropy of labels) and the batch of its rows in the table."""

    name: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    loss: str
    batch: int

    @property
    def dense_only(self) -> bool:
        """Whether it is a multilayer perceptron, which ``RedeNeural`` and scikit-learn can be."""
        return all(isinstance(layer, Dense | Activation) for layer in self.layers)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The inputs and the units of every ``Dense``."""
        return (*self.input_shape, *(layer.units for layer in self.layers if isinstance(layer, Dense)))

    @property
    def activations(self) -> tuple[str, ...]:
        """The names of its activations, in order."""
        return tuple(layer.name for layer in self.layers if isinstance(layer, Activation))


def _relu(*layers: Layer) -> tuple[Layer, ...]:
    return (*layers, Activation("relu"))


def _block(first: int, second: int) -> tuple[Layer, ...]:
    """Two convolutions of the VGG-like net, each with BatchNorm and ReLU, and the pool after them."""
    convs = [_relu(Conv(filters, padding=1, use_bias=False), BatchNorm()) for filters in (first, second)]
    return (*convs[0], *convs[1], Pool())


_PROBABILITIES = (Dense(10), Activation("softmax"))

NETS = {
    net.name: net
    for net in (
        Net("xor", (2,), (Dense(8), Activation("tanh"), Dense(2), Activation("sigmoid")), "mse", 4),
        Net("mlp", (784,), (*_relu(Dense(128)), *_relu(Dense(64)), *_PROBABILITIES), "cross_entropy", 32),
        Net(
            "jnn_mnist",
            (1, 28, 28),
            (*_relu(Conv(24)), Pool(), *_relu(Conv(30)), Pool(), Flatten(), *_relu(Dense(100)), *_PROBABILITIES),
            "cross_entropy",
            32,
        ),
        Net(
            "keras_mnist",
            (1, 28, 28),
            (
                *(*_relu(Conv(32)), *_relu(Conv(64)), Pool(), Dropout(0.25), Flatten()),
                *(*_relu(Dense(128)), Dropout(0.5), *_PROBABILITIES),
            ),
            "cross_entropy",
            128,
        ),
        Net(
            "jnn_cifar",
            (3, 32, 32),
            (
                *(*_block(32, 64), *_block(64, 128), *_block(128, 256)),
                *(GlobalPool(), Dropout(0.5), *_relu(Dense(256)), *_PROBABILITIES),
            ),
            "cross_entropy",
            32,
        ),
    )
}


def initial_weights(net: Net) -> list[dict[str, Array]]:
    """Return the parameters of every layer that has any, in order, laid out as in PyTorch."""
    rng = np.random.default_rng(0)
    parameters: list[dict[str, Array]] = []
    features, channels = math.prod(net.input_shape), net.input_shape[0]
    height = net.input_shape[-1]

    def uniform(*shape: int) -> Array:
        bound = math.sqrt(3.0 / math.prod(shape[1:]))
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    for layer in net.layers:
        if isinstance(layer, Dense):
            bias = np.full(layer.units, 0.01, np.float32)
            parameters.append({"weight": uniform(layer.units, features), "bias": bias})
            features = layer.units
        elif isinstance(layer, Conv):
            weights = {"weight": uniform(layer.filters, channels, 3, 3)}
            if layer.use_bias:
                weights["bias"] = np.full(layer.filters, 0.01, np.float32)
            parameters.append(weights)
            channels, height = layer.filters, height + 2 * layer.padding - 2
            features = channels * height**2
        elif isinstance(layer, Pool):
            height //= 2
            features = channels * height**2
        elif isinstance(layer, GlobalPool):
            features = channels
        elif isinstance(layer, BatchNorm):
            ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
            parameters.append({"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones})
    return parameters


def samples(net: Net, batch: int) -> tuple[Array, npt.NDArray[np.generic]]:
    """Return inputs and their targets: rows of numbers for mse, labels for cross_entropy."""
    rng = np.random.default_rng(1)
    x = rng.random((batch, *net.input_shape), np.float32)
    if net.loss == "mse":
        return x, rng.integers(0, 2, (batch, net.sizes[-1])).astype(np.float32)
    return x, np.arange(batch) % net.sizes[-1]
