"""Handwritten digits as well as a small net can: 156,138 parameters, 99.70 % of the MNIST test set.

Six 3 x 3 convolutions with BatchNorm and ReLU, global average pooling, one dense layer; digits turned, sheared, shifted
and scaled a little, anew in each epoch; AdamW under one cycle of the learning rate. What is printed is the last epoch's
accuracy for each seed and their mean, never the best epoch's. MNIST is found in RN_DATA_DIR, in the cache or online.

Seeds 0, 1 and 2 reached 99.69, 99.72 and 99.70 %. A net takes 6 minutes on two cores of an AMD EPYC (Zen 4).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import rn
from rn.data import DataLoader
from rn.data.transforms import RandomAffine
from rn.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAvgPool2D, Layer, MaxPool2D, ReLU

from pictures import save_curves


def net(seed: int) -> rn.Sequencial:
    """Return the net: 156,138 parameters."""
    layers: list[Layer] = []
    for i, filters in enumerate((32, 32, 48, 48, 96, 80)):
        layers += [Conv2D(filters, 3, padding="same", use_bias=False), BatchNorm(), ReLU()]
        layers += [MaxPool2D(2)] if i in (1, 3) else []
    layers += [GlobalAvgPool2D(), Dropout(0.2), Dense(10, "softmax")]
    return rn.Sequencial(layers, input_shape=(1, 28, 28), seed=seed)


def train(seed: int, x: Any, y: Any, xt: Any, yt: Any, options: argparse.Namespace) -> tuple[float, float, Any]:
    """Train a net; return its accuracy on the test set, the seconds that training took, and its history."""
    model = net(seed)
    changes = RandomAffine(degrees=12.0, translate=(0.1, 0.1), scale=(0.88, 1.12), shear=8.0)
    loader = DataLoader(x, y, options.batch_size, shuffle=True, transforms=[changes], seed=seed)
    rate = rn.schedules.OneCycle(options.learning_rate, len(loader) * options.epochs)
    model.compile(rn.optimizers.AdamW(rate, weight_decay=0.02), "cross_entropy", metrics=["accuracy"])
    start = time.perf_counter()
    history = model.fit(loader, epochs=options.epochs, verbose=options.verbose)
    seconds = time.perf_counter() - start
    return model.evaluate(xt, yt)["accuracy"], seconds, history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.006, help="at the top of its cycle")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=60_000, help="how many training images")
    parser.add_argument("--test", type=int, default=10_000, help="how many test images")
    parser.add_argument("--verbose", type=int, default=1)
    options = parser.parse_args()

    try:
        (x, y), (xt, yt) = rn.datasets.load_mnist()
    except rn.errors.DownloadError as error:
        print(error)
        return
    x, y, xt, yt = x[: options.train], y[: options.train], xt[: options.test], yt[: options.test]
    net(0).summary(options.batch_size)
    reached, curves = [], {}
    for seed in options.seeds:
        accuracy, seconds, history = train(seed, x, y, xt, yt, options)
        print(
            f"seed {seed}: {accuracy:.2%} of {len(xt):,} test images right after {seconds:.0f} s of training",
            flush=True,
        )
        reached.append(accuracy)
        curves[f"seed {seed}"] = history.history["loss"]
    print(f"mean of {len(reached)} seeds: {np.mean(reached):.2%}")
    save_curves("mnist_best.png", {"training loss": curves}, "MNIST, six convolutions", "loss")


if __name__ == "__main__":
    main()
