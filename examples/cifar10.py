"""Photographs of CIFAR-10 with a VGG-like net of 641,962 parameters, flipped and shifted anew in each epoch.

Trains on CIFAR-10, found in RN_DATA_DIR, in the cache or by download (170 MB). With --data synthetic the same net
learns pictures drawn by chance, ten kinds of stripes, which shows it at work in seconds and offline.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import rn
from rn.data import DataLoader
from rn.data.transforms import HorizontalFlip, Normalize, RandomCrop
from rn.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAvgPool2D, Layer, MaxPool2D, ReLU

from pictures import save_picture

# The mean and deviation of red, green and blue over the training images.
NORMALIZE = Normalize([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])


def net(seed: int) -> rn.Sequencial:
    """Return six convolutions without bias, each with BatchNorm and ReLU, a pooling after each two, and the head."""
    layers: list[Layer] = []
    for i, filters in enumerate((32, 64, 64, 128, 128, 256)):
        layers += [Conv2D(filters, 3, padding="same", use_bias=False), BatchNorm(), ReLU()]
        layers += [MaxPool2D(2)] if i % 2 == 1 else []
    layers += [GlobalAvgPool2D(), Dropout(0.5), Dense(256, "relu"), Dense(10, "softmax")]
    return rn.Sequencial(layers, input_shape=(3, 32, 32), seed=seed)


def stripes(n: int, seed: int) -> tuple[Any, Any]:
    """Return n noisy pictures, uint8 (n, 3, 32, 32), and which of ten kinds of stripes each one has."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n)
    rows, columns = np.mgrid[:32, :32]
    # Two directions that a mirror leaves alone, in five widths.
    along = np.where((y % 2 == 0)[:, None, None], rows, columns)
    waves = np.sin(along * (0.3 + 0.3 * (y // 2))[:, None, None] + rng.uniform(0, 6, n)[:, None, None])
    pixels = 128 + 60 * waves[:, None] + rng.normal(0, 30, (n, 3, 32, 32))
    return np.clip(pixels, 0, 255).astype(np.uint8), y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cifar10", "synthetic"], default="cifar10")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--train", type=int, default=50_000, help="how many training images")
    parser.add_argument("--test", type=int, default=10_000, help="how many test images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    names = rn.datasets.cifar10.CLASS_NAMES
    if options.data == "synthetic":
        (x, y), (xt, yt) = stripes(options.train, 0), stripes(options.test, 1)
        names = tuple(f"stripes {kind}" for kind in range(10))
    else:
        try:
            (x, y), (xt, yt) = rn.datasets.load_cifar10(raw=True)
        except rn.errors.DownloadError as error:
            print(f"{error}\nWithout the data, --data synthetic shows the net at work.")
            return
    x, y, xt, yt = x[: options.train], y[: options.train], xt[: options.test], yt[: options.test]

    model = net(options.seed)
    training = DataLoader(
        x,
        y,
        options.batch_size,
        shuffle=True,
        transforms=[HorizontalFlip(), RandomCrop(32, padding=4), NORMALIZE],
        seed=options.seed,
    )
    test = DataLoader(xt, yt, 256, transforms=NORMALIZE)
    steps = len(training) * options.epochs
    model.compile(
        rn.optimizers.AdamW(rn.schedules.OneCycle(0.003, steps), weight_decay=0.02),
        "cross_entropy",
        metrics=["accuracy"],
    )
    model.summary(options.batch_size)
    start = time.perf_counter()
    history = model.fit(training, epochs=options.epochs, validation_data=test)
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(test)["accuracy"]
    print(f"{accuracy:.2%} of {len(xt):,} test images right after {seconds:.1f} s of training")

    save_picture("cifar10_history.png", lambda path: history.plot(path, title="CIFAR-10"))
    probabilities = model.predict(DataLoader(xt[:24], transforms=NORMALIZE))
    save_picture(
        "cifar10_predictions.png",
        lambda path: rn.plotting.plot_predictions(
            xt[:24], probabilities.argmax(axis=1), yt[:24], path=path, class_names=names, probabilities=probabilities
        ),
    )


if __name__ == "__main__":
    main()
