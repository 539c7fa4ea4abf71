"""Work for native profilers to look at: ``native_work.py train SECONDS``, or ``native_work.py product TURNS``."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import rn
from rn.layers import Conv2D, Dense, Flatten, MaxPool2D


def train(seconds: float) -> None:
    """Train a small convolutional net for so long, five steps at least."""
    convolutions = [Conv2D(8, 3, activation="relu"), Conv2D(8, 3, activation="relu"), MaxPool2D(2)]
    layers = [*convolutions, Flatten(), Dense(64, activation="relu"), Dense(10)]
    model = rn.Sequencial(layers, input_shape=(1, 28, 28), seed=0)
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    step(model, rng.random((32, 1, 28, 28), np.float32), rng.random((32, 10), np.float32), seconds)


def step(model: rn.Sequencial, x: Any, y: Any, seconds: float) -> None:
    """Train on one batch again and again: the Python frame that profilers must show above the kernels."""
    end, done = time.perf_counter() + seconds, 0
    while done < 5 or time.perf_counter() < end:
        model.train_on_batch(x, y)
        done += 1


def product(turns: int) -> None:
    """Multiply matrices of 256 x 256, and convolve, and print the FLOPs of both by the kernels' formulas."""
    a, image = rn.Tensor4D.uniform((256, 256), seed=0), rn.Tensor4D.uniform((8, 16, 32, 32), seed=1)
    weight = rn.Tensor4D.uniform((32, 16, 5, 5), seed=2)
    with rn.profile() as p:
        for _ in range(turns):
            a @ a
            image.conv2d(weight)
    print(sum(row.flops for row in p.kernels))


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(float(sys.argv[2]))
    else:
        product(int(sys.argv[2]))
