"""How far diabetes comes in a year, foretold from ten measurements by a small net with a linear output.

Beside it stands the linear model of scikit-learn, where that is installed. The R2 on held-out fifths is averaged over
seeds: 442 patients are few, and a single split says little.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import rn

from pictures import save_picture


def split(seed: int) -> tuple[Any, ...]:
    """Return measurements and progression, a fifth held out, all scaled by the mean and deviation of the others."""
    x, xt, y, yt = rn.data.train_test_split(*rn.datasets.load_diabetes(), test_size=0.2, seed=seed)
    xt = (xt - x.mean(axis=0)) / x.std(axis=0)
    yt = (yt - y.mean()) / y.std()
    return (x - x.mean(axis=0)) / x.std(axis=0), xt, (y - y.mean()) / y.std(), yt


def net(seed: int, epochs: int) -> tuple[float, Any, Any]:
    """Train a net; return its R2 on the held-out fifth, the true values there and its predictions."""
    x, xt, y, yt = split(seed)
    model = rn.RedeNeural([10, 16, 1], activation="tanh", output_activation="linear", seed=seed)
    model.compile(rn.optimizers.AdamW(0.003, weight_decay=0.3), loss="mse", metrics=["r2"])
    model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)
    return model.evaluate(xt, yt)["r2"], yt, model.predict(xt)[:, 0]


def linear_model(seed: int) -> float | None:
    """Return the R2 of scikit-learn's linear model on the same fifth; None where it is not installed."""
    try:
        from sklearn.linear_model import LinearRegression
    except ImportError:
        return None
    x, xt, y, yt = split(seed)
    return float(LinearRegression().fit(x, y).score(xt, yt))


def draw(path: Path, true: Any, predicted: Any, title: str) -> None:
    """Draw each held-out patient as a point, predicted against true."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise rn.errors.MissingExtraError(
            'pictures need matplotlib: run `pip install ".[plot]"` beside setup.py'
        ) from None
    figure = Figure(figsize=(5, 5), layout="constrained")
    axis = figure.subplots()
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axis.plot(ends, ends, color="grey", linewidth=1)
    axis.scatter(true, predicted, s=14)
    axis.set(xlabel="true progression, in deviations from the mean", ylabel="predicted", title=title, aspect="equal")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 0")
    options = parser.parse_args()

    results = [net(seed, options.epochs) for seed in range(options.seeds)]
    print(f"net:          mean R2 of {options.seeds} seeds: {np.mean([r2 for r2, _, _ in results]):.4f}")
    peers = [linear_model(seed) for seed in range(options.seeds)]
    scores = [r2 for r2 in peers if r2 is not None]
    if scores:
        print(f"linear model: mean R2 of {options.seeds} seeds: {np.mean(scores):.4f}")
    else:
        print("linear model: scikit-learn is not installed")
    r2, true, predicted = results[0]
    save_picture("regression.png", lambda path: draw(path, true, predicted, f"Diabetes, seed 0: R2 {r2:.3f}"))


if __name__ == "__main__":
    main()
