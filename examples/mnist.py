"""Handwritten digits with a convolutional net and dropout.

Trains on MNIST, found in RN_DATA_DIR, in the cache or by download. Where it cannot be had, the same net learns the
1,797 real digits of 8x8 pixels that come with rn.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Literal

import numpy as np

import rn
from rn.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D

from pictures import save_picture


def net(input_shape: tuple[int, ...], padding: Literal["valid", "same"], seed: int) -> rn.Sequencial:
    """Return the net: two convolutions with pooling, then two dense layers with dropout between them."""
    model = rn.Sequencial(
        [
            Conv2D(18, 3, activation="relu", padding=padding),
            MaxPool2D(2),
            Conv2D(20, 3, activation="relu", padding=padding),
            MaxPool2D(2),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.2),
            Dense(10, activation="softmax"),
        ],
        input_shape=input_shape,
        seed=seed,
    )
    model.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
    return model


def mnist(options: argparse.Namespace, seed: int) -> tuple[Any, ...]:
    """Return training and test samples of MNIST, the first of each where fewer are asked for."""
    (x, y), (xt, yt) = rn.datasets.load_mnist()
    return x[: options.train], y[: options.train], xt[: options.test], yt[: options.test]


def digits(options: argparse.Namespace, seed: int) -> tuple[Any, ...]:
    """Return the bundled digits, a stratified fifth held out by the seed."""
    x, y = rn.datasets.load_digits()
    x, xt, y, yt = rn.data.train_test_split(x, y, test_size=0.2, stratify=y, seed=seed)
    return x, y, xt, yt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--epochs", type=int, help="3 for MNIST, 30 for the 8x8 digits unless given")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--train", type=int, help="how many training images of MNIST; all unless given")
    parser.add_argument("--test", type=int, help="how many test images of MNIST; all unless given")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="train once for each; the accuracies are averaged"
    )
    options = parser.parse_args()

    load = mnist
    padding: Literal["valid", "same"] = "valid"
    epochs = 3 if options.epochs is None else options.epochs
    if options.data == "mnist":
        try:
            load(options, 0)
        except rn.errors.DownloadError as error:
            print(f"{error}\nTraining on the 8x8 digits that come with rn instead.")
            options.data = "digits"
    if options.data == "digits":
        load, padding, epochs = digits, "same", 30 if options.epochs is None else options.epochs

    accuracies = []
    for seed in options.seeds:
        x, y, xt, yt = load(options, seed)
        model = net(x.shape[1:], padding, seed)
        if seed == options.seeds[0]:
            model.summary()
        start = time.perf_counter()
        history = model.fit(x, y, epochs=epochs, batch_size=options.batch_size, validation_data=(xt, yt))
        seconds = time.perf_counter() - start
        accuracies.append(model.evaluate(xt, yt)["accuracy"])
        print(f"seed {seed}: {accuracies[-1]:.2%} of {len(xt):,} test images right after {seconds:.1f} s of training")
    if len(accuracies) > 1:
        print(f"mean accuracy of {len(accuracies)} seeds: {np.mean(accuracies):.2%}")

    save_picture(f"{options.data}_history.png", lambda path: history.plot(path, title=options.data))
    probabilities = model.predict(xt[:24])
    save_picture(
        f"{options.data}_predictions.png",
        lambda path: rn.plotting.plot_predictions(
            xt[:24], probabilities.argmax(axis=1), yt[:24], path=path, probabilities=probabilities
        ),
    )


if __name__ == "__main__":
    main()
