"""The nets that profiles are tested on, and numbers to train them with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import rn
from rn.layers import Activation, BatchNorm, Conv2D, Dense, Dropout, Flatten, GlobalAvgPool2D, MaxPool2D

Pair = tuple[NDArray[np.float32], NDArray[np.int64]]


def samples(n: int, *shape: int) -> Pair:
    rng = np.random.default_rng(0)
    return rng.random((n, *shape), np.float32), rng.integers(0, 10, n)


def compiled(model: rn.Sequencial) -> rn.Sequencial:
    model.compile("adam", "cross_entropy", ["accuracy"])
    return model


def mnist_net() -> rn.Sequencial:
    return compiled(
        rn.Sequencial(
            [
                *(Conv2D(18, 3, activation="relu"), MaxPool2D(2), Conv2D(20, 3, activation="relu"), MaxPool2D(2)),
                *(Flatten(), Dense(128, activation="relu"), Dropout(0.2), Dense(10, activation="softmax")),
            ],
            input_shape=(1, 28, 28),
            seed=0,
        )
    )


def cifar_net() -> rn.Sequencial:
    """The net of 641,962 parameters."""
    layers: list[Any] = []
    for first, second in ((32, 64), (64, 128), (128, 256)):
        for filters in (first, second):
            layers += [Conv2D(filters, 3, padding="same", use_bias=False), BatchNorm(), Activation("relu")]
        layers.append(MaxPool2D(2))
    layers += [GlobalAvgPool2D(), Dropout(0.5), Dense(256, activation="relu"), Dense(10, activation="softmax")]
    return compiled(rn.Sequencial(layers, input_shape=(3, 32, 32), seed=0))
