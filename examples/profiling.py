"""A slow net, and what its profile says of the reason: two nets on the bundled digits, the second without it.

Tables, rooflines and traces of both as they train; ``docs/profiling.md`` reads them.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import rn
from rn.layers import Conv2D, Dense, Flatten, MaxPool2D

from pictures import FOLDER, save_picture


def digits(factor: int = 4) -> Any:
    """Return x, xt, y, yt of the bundled digits, each pixel made a square of ``factor`` rows and columns."""
    x, y = rn.datasets.load_digits()
    larger = np.kron(x, np.ones((1, 1, factor, factor), np.float32))
    return rn.data.train_test_split(larger, y, test_size=0.2, seed=0)


def net(*, pools: bool) -> rn.Sequencial:
    """Return two convolutions and two dense layers, with or without a pool after each convolution."""
    layers = [
        *(Conv2D(16, 3, padding="same", activation="relu"), *([MaxPool2D(2)] if pools else [])),
        *(Conv2D(32, 3, padding="same", activation="relu"), *([MaxPool2D(2)] if pools else [])),
        *(Flatten(), Dense(128, activation="relu"), Dense(10, activation="softmax")),
    ]
    model = rn.Sequencial(layers, input_shape=(1, 32, 32), seed=0)
    model.compile("adam", "cross_entropy", ["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()

    x, xt, y, yt = digits()
    seconds = []
    for name, model in (("slow", net(pools=False)), ("quick", net(pools=True))):
        model.fit(x[:32], y[:32], batch_size=16, verbose=0)  # what a first step costs once is left out
        with rn.profile() as p:
            model.fit(x, y, epochs=options.epochs, batch_size=16, verbose=0)
        seconds.append(p.wall_seconds / options.epochs)
        print(
            f"the {name} net: {model.evaluate(xt, yt)['accuracy']:.2%} of the test set right\n\n{p}\n\n{p.memory()}\n"
        )
        FOLDER.mkdir(exist_ok=True)
        p.save_trace(FOLDER / f"profiling_{name}.json")
        save_picture(f"profiling_{name}.png", p.plot)
    print(f"an epoch: {seconds[0]:.2f} s and {seconds[1]:.3f} s, {seconds[0] / seconds[1]:.0f} times as fast")


if __name__ == "__main__":
    main()
