"""Digits squeezed through a few numbers and drawn again by a convolutional autoencoder.

Learns from the 1,797 real 8x8 digits that come with rn, or with --data mnist from MNIST. Beside its error stand that of
the mean image, and that of as many principal components as the net has numbers in its middle.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import rn
from rn.layers import Conv2D, Conv2DTranspose, Dense, Flatten, Reshape, UpSampling2D

from pictures import save_picture


def net(side: int, code: int, seed: int) -> rn.Sequencial:
    """Return an encoder that halves the image twice, ``code`` numbers, and a decoder that doubles it twice."""
    small = side // 4
    model = rn.Sequencial(
        [
            Conv2D(16, 3, "relu", strides=2, padding="same"),
            Conv2D(32, 3, "relu", strides=2, padding="same"),
            Flatten(),
            Dense(code, name="code"),
            Dense(32 * small * small, "relu"),
            Reshape((32, small, small)),
            UpSampling2D(2),
            Conv2D(16, 3, "relu", padding="same"),
            Conv2DTranspose(1, 4, "sigmoid", strides=2, padding=1),
        ],
        input_shape=(1, side, side),
        seed=seed,
    )
    model.compile(rn.optimizers.Adam(0.002), "binary_cross_entropy", metrics=["mse"])
    return model


def components_error(x: Any, xt: Any, count: int) -> float:
    """Return the mean squared error of the test images drawn from ``count`` principal components of the others."""
    flat, flat_test = (images.reshape(len(images), -1).astype(np.float64) for images in (x, xt))
    mean = flat.mean(axis=0)
    directions = np.linalg.svd(flat - mean, full_matrices=False)[2][:count]
    drawn = mean + (flat_test - mean) @ directions.T @ directions
    return float(np.mean((flat_test - drawn) ** 2))


def draw(path: Path, images: Any, again: Any) -> None:
    """Draw some images, and below each what the net made of it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise rn.errors.MissingExtraError(
            'pictures need matplotlib: run `pip install ".[plot]"` beside setup.py'
        ) from None
    figure = Figure(figsize=(len(images), 2.2), layout="constrained")
    for row, batch in zip(figure.subplots(2, len(images)), (images, again), strict=True):
        for axis, image in zip(row, batch, strict=True):
            axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    figure.suptitle("images above, drawn again from their code below")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--code", type=int, default=10, help="numbers in the middle")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    if options.data == "mnist":
        try:
            (x, _), (xt, _) = rn.datasets.load_mnist()
        except rn.errors.DownloadError as error:
            print(error)
            return
    else:
        images, labels = rn.datasets.load_digits()
        x, xt, _, _ = rn.data.train_test_split(images, labels, test_size=0.2, stratify=labels, seed=options.seed)
    model = net(x.shape[-1], options.code, options.seed)
    model.fit(x, x, epochs=options.epochs, batch_size=32, validation_data=(xt, xt))
    error = model.evaluate(xt, xt)["mse"]
    print(f"mean squared error of {len(xt):,} test images drawn from {options.code} numbers each: {error:.4f}")
    print(f"from {options.code} principal components: {components_error(x, xt, options.code):.4f}")
    print(f"from the mean image: {float(np.mean((xt - x.mean(axis=0)) ** 2)):.4f}")
    save_picture("autoencoder.png", lambda path: draw(path, xt[:12], model.predict(xt[:12])))


if __name__ == "__main__":
    main()
