"""A net that is too large for 300 digits, a fifth of them wrongly labelled, learns them by heart, errors and all.

Dropout, BatchNorm and weight decay each keep it from that. BatchNorm does so because batches have four
digits: their mean and deviation are noise from step to step, which with batches of twenty it is not. The gap
is how much larger the loss of digits it never saw is than that of those it learned from.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import rn
from rn.layers import BatchNorm, Dense, Dropout, Flatten, Layer, ReLU
from rn.optimizers import AdamW

from pictures import save_curves


def nets() -> dict[str, tuple[list[Layer], float]]:
    """Return the same net, as layers and weight decay: as it is, with one remedy each, and with all of them."""

    def stack(*between: type[Layer]) -> list[Layer]:
        layers: list[Layer] = [Flatten()]
        for units in (64, 64):
            layers.append(Dense(units))
            layers += [BatchNorm()] if BatchNorm in between else []
            layers.append(ReLU())
            layers += [Dropout(0.3)] if Dropout in between else []
        return [*layers, Dense(10, "softmax")]

    return {
        "nothing": (stack(), 0.0),
        "Dropout": (stack(Dropout), 0.0),
        "BatchNorm": (stack(BatchNorm), 0.0),
        "weight decay": (stack(), 0.3),
        "all three": (stack(Dropout, BatchNorm), 0.3),
    }


def with_errors(labels: Any) -> Any:
    """Return the labels with every fifth, by chance, another one."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < 0.2
    return np.where(wrong, (labels + rng.integers(1, 10, len(labels))) % 10, labels)


class BothLosses(rn.callbacks.Callback):
    """Keeps the loss of what was learned from, as the net predicts (without dropout), and that of the test digits."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y
        self.training: list[float] = []
        self.test: list[float] = []

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        self.training.append(model.evaluate(self.x, self.y)["loss"])
        self.test.append(logs["val_loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()

    x, test_x, y, test_y = rn.data.train_test_split(*rn.datasets.load_digits(), test_size=0.4, seed=0)
    x, y = x[: options.samples], with_errors(y[: options.samples])
    panels = {}
    for name, (layers, decay) in nets().items():
        model = rn.Sequencial(layers, input_shape=x.shape[1:], seed=0)
        model.compile(AdamW(0.001, weight_decay=decay), "cross_entropy", metrics=["accuracy"])
        losses = BothLosses(x, y)
        history = model.fit(
            x, y, epochs=options.epochs, batch_size=4, validation_data=(test_x, test_y), callbacks=[losses], verbose=0
        )
        panels[name] = {"training": losses.training, "test": losses.test}
        print(
            f"{name:13} training {losses.training[-1]:.4f}  test {losses.test[-1]:.4f}  "
            f"gap {losses.test[-1] - losses.training[-1]:.4f}  test accuracy {history.final['val_accuracy']:.2%}"
        )
    save_curves(
        "overfitting.png", panels, f"{options.samples} digits to learn from, a fifth mislabelled", "cross-entropy"
    )


if __name__ == "__main__":
    main()
