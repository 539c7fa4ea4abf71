"""Fisher's iris flowers with a 4-10-10-3 net.

A stratified quarter is held out by the seed, and the accuracy on it averaged over seeds.
"""

from __future__ import annotations

import argparse

import numpy as np

import rn

from pictures import save_picture


def train(seed: int, epochs: int) -> tuple[float, rn.training.History]:
    """Train one net; return its accuracy on the held-out quarter and the history."""
    x, y = rn.datasets.load_iris()
    x, xt, y, yt = rn.data.train_test_split(x, y, test_size=0.25, stratify=y, seed=seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, xt = (x - mean) / deviation, (xt - mean) / deviation
    model = rn.RedeNeural([4, 10, 10, 3], activation="tanh", output_activation="softmax", seed=seed)
    model.compile(rn.optimizers.SGD(0.01, momentum=0.9), loss="cross_entropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=epochs, batch_size=16, validation_data=(xt, yt), verbose=0)
    return model.evaluate(xt, yt)["accuracy"], history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 0")
    options = parser.parse_args()

    results = [train(seed, options.epochs) for seed in range(options.seeds)]
    accuracies = np.array([accuracy for accuracy, _ in results])
    print("accuracy by seed: " + " ".join(f"{accuracy:.3f}" for accuracy in accuracies))
    print(f"mean accuracy of {options.seeds} seeds: {accuracies.mean():.4f}")
    save_picture("iris_history.png", lambda path: results[0][1].plot(path, title="Iris, seed 0"))


if __name__ == "__main__":
    main()
