"""Two nets learn a picture, the grey of each pixel from its coordinates, and redraw it larger.

The picture is a handwritten digit of 8 x 8 pixels. A net of the shape 2-12-12-1 comes close, a wider one closer.
Between the pixels, where there is nothing to learn from, both draw what they made of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import rn

from pictures import save_picture

NETS = {"2-12-12-1": [2, 12, 12, 1], "2-64-64-1": [2, 64, 64, 1]}
BATCH = 16


def coordinates(height: int, width: int) -> Any:
    """Return the centre (row, column) of each pixel, float32 (height width, 2), the picture reaching from -1 to 1."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([(2 * rows.ravel() + 1) / height - 1, (2 * columns.ravel() + 1) / width - 1], 1).astype(np.float32)


def learn(units: list[int], picture: Any, epochs: int) -> rn.RedeNeural:
    """Train a net to give the grey of each pixel."""
    model = rn.RedeNeural(units, activation="tanh", output_activation="sigmoid", seed=0)
    steps = epochs * -(-picture.size // BATCH)
    model.compile(rn.optimizers.Adam(rn.schedules.OneCycle(0.01, steps)), loss="mse")
    model.fit(coordinates(*picture.shape), picture.ravel(), epochs=epochs, batch_size=BATCH, verbose=0)
    return model


def redraw(model: rn.RedeNeural, height: int, width: int) -> Any:
    """Return the picture that the net draws, (height, width)."""
    return model.predict(coordinates(height, width)).reshape(height, width)


def draw(path: Path, pictures: dict[str, Any]) -> None:
    """Draw the pictures side by side."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise rn.errors.MissingExtraError(
            'pictures need matplotlib: run `pip install ".[plot]"` beside setup.py'
        ) from None
    figure = Figure(figsize=(3.5 * len(pictures), 3.8), layout="constrained")
    for axis, (title, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3000)
    parser.add_argument("--digit", type=int, default=0, help="which of the 1,797 bundled digits")
    parser.add_argument("--scale", type=int, default=32, help="how many times larger the picture becomes")
    options = parser.parse_args()

    picture = rn.datasets.load_digits()[0][options.digit, 0]
    height, width = (options.scale * length for length in picture.shape)
    drawn = {f"{picture.shape[0]} x {picture.shape[1]} pixels": picture}
    for name, units in NETS.items():
        model = learn(units, picture, options.epochs)
        error = np.sqrt(np.mean((redraw(model, *picture.shape) - picture) ** 2))
        print(f"{name}: mean error of the known pixels {error:.4f}, redrawn at {height} x {width}")
        drawn[f"{name}, {height} x {width}"] = redraw(model, height, width)
    save_picture("image_upscale.png", lambda path: draw(path, drawn))


if __name__ == "__main__":
    main()
