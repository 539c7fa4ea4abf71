"""Pieces of one's own, in plain NumPy: a layer, an activation, a loss, a metric and an optimizer in one network.

Each is a small class with the formula and its derivative. Registered under a name, it is used, saved and loaded as the
built-in ones are. The network learns the distance of points to a curve; the picture shows where it was unsure.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import rn
from rn.layers import Dense

from pictures import save_picture


@rn.register("layer", "sum_and_product")
class SumAndProduct(rn.layers.Layer):
    """y = (a x_1 x_2, x): the product of the first two features, times a trained factor, before all features."""

    def build(self, input_shape: tuple[int, ...], rng: Any) -> tuple[int, ...]:
        self.add_parameter("factor", (1,), "ones", rng)
        return (input_shape[0] + 1,)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.x = x
        return np.column_stack([self.factor * x[:, 0] * x[:, 1], x])

    def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        x, of_product = self.x, grad[:, :1]
        self.gradients["factor"][...] += (of_product[:, 0] * x[:, 0] * x[:, 1]).sum()
        dx = grad[:, 1:].copy()
        dx[:, :2] += of_product * self.factor * x[:, 1::-1]
        return dx


@rn.register("activation", "bump")
class Bump(rn.activations.ActivationFunction):
    """y = e^(-x²)."""

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.exp(-x * x)

    def gradient(self, x: np.ndarray, grad: np.ndarray) -> np.ndarray:
        return grad * -2 * x * np.exp(-x * x)


@rn.register("loss", "log_cosh")
class LogCosh(rn.losses.Loss):
    """log cosh(p - t) of each sample: squares for small errors, absolute values for large ones."""

    def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        error = np.abs(prediction - target)
        return (error + np.log1p(np.exp(-2 * error)) - np.log(2)).mean(axis=1)

    def gradient(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.tanh(prediction - target) / prediction.shape[1]


@rn.register("metric", "near")
class Near(rn.metrics.Metric):
    """The share of samples that are off by less than ``distance``."""

    name = "near"

    def __init__(self, distance: float = 0.05) -> None:
        self.distance = distance

    def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return (np.abs(prediction - target) < self.distance).all(axis=1)


@rn.register("optimizer", "normed")
class Normed(rn.optimizers.Optimizer):
    """Momentum, and steps of one length: θ ← θ - η v / |v|, v ← keep v + g."""

    def __init__(self, learning_rate: Any = 0.1, *, keep: float = 0.9, **common: Any) -> None:
        super().__init__(learning_rate, **common)
        self.keep = keep

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("velocity",)

    def update(
        self,
        parameters: np.ndarray,
        gradients: np.ndarray,
        state: dict[str, np.ndarray],
        learning_rate: float,
        t: int,
    ) -> None:
        velocity = state["velocity"]
        velocity *= self.keep
        velocity += gradients
        parameters -= learning_rate * velocity / (np.linalg.norm(velocity) + 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=150)
    epochs = parser.parse_args().epochs

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 2)).astype(np.float32)
    y = np.sin(3 * x[:, :1] * x[:, 1:]) * x[:, :1]

    model = rn.Sequencial([SumAndProduct(), Dense(24, "bump"), Dense(1)], input_shape=2, seed=0)
    optimizer = Normed(rn.schedules.Cosine(0.05, steps=epochs * 15))
    model.compile(optimizer, "log_cosh", metrics=[Near(0.05)])
    model.summary()
    history = model.fit(x[:480], y[:480], epochs=epochs, validation_data=(x[480:], y[480:]), verbose=0)
    print(f"validation: loss {history.final['val_loss']:.5f}, {history.final['val_near']:.1%} off by less than 0.05")

    model.save("custom_layer.rn")
    again = rn.load("custom_layer.rn")
    same = np.array_equal(model.predict(x), again.predict(x))
    print(f"saved and loaded, it predicts the same bits: {'yes' if same else 'no'}")
    save_picture("custom_layer_history.png", lambda path: history.plot(path, title="Pieces of one's own"))


if __name__ == "__main__":
    main()
