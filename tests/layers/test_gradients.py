"""Every gradient of every layer and loss against central differences of the float64 reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rn
from rn.layers import Dense, Flatten, Layer, Softmax
from tests import reference_network
from tests.layers.cases import LAYERS

# The last layer that the loss is computed with, the loss and the kind of target.
LOSSES: dict[str, tuple[list[Callable[[], Layer]], str | rn.losses.Loss, str]] = {
    "mse": ([], "mse", "values"),
    "mae": ([], "mae", "values"),
    "rmse": ([], "rmse", "values"),
    "huber": ([], rn.losses.Huber(0.7), "values"),
    "msle": ([lambda: Dense(4, "softplus")], "msle", "between"),
    "hinge": ([lambda: Dense(4)], "hinge", "signs"),
    "kl_divergence joined": ([lambda: Dense(4, "softmax")], "kl_divergence", "rows"),
    "kl_divergence of probabilities": ([lambda: Dense(4, "softmax"), Flatten], "kl_divergence", "rows"),
    "kl_divergence from logits": ([lambda: Dense(4)], rn.losses.KLDivergence(from_logits=True), "rows"),
    "cross_entropy joined": ([lambda: Dense(4, "softmax")], "cross_entropy", "classes"),
    "cross_entropy joined with a layer": ([lambda: Dense(4), Softmax], "cross_entropy", "classes"),
    "cross_entropy of rows": ([lambda: Dense(4, "softmax")], "cross_entropy", "rows"),
    "cross_entropy of probabilities": ([lambda: Dense(4, "softmax"), Flatten], "cross_entropy", "classes"),
    "cross_entropy of probabilities by rows": ([lambda: Dense(4, "softmax"), Flatten], "cross_entropy", "rows"),
    "cross_entropy from logits": ([lambda: Dense(4)], rn.losses.CrossEntropy(from_logits=True), "classes"),
    "binary_cross_entropy joined": ([lambda: Dense(4, "sigmoid")], "binary_cross_entropy", "between"),
    "binary_cross_entropy of probabilities": (
        [lambda: Dense(4, "sigmoid"), Flatten],
        "binary_cross_entropy",
        "between",
    ),
    "binary_cross_entropy from logits": ([lambda: Dense(4)], rn.losses.BinaryCrossEntropy(from_logits=True), "between"),
}
SAMPLES = 3


def check(layers: list[Layer], shape: tuple[int, ...], loss: str | rn.losses.Loss, kind: str, seed: int = 3) -> None:
    """Compare rn's gradients of a model of ``layers`` with central differences of the reference."""
    rng = np.random.default_rng(seed)
    model = rn.Sequencial(layers, input_shape=shape, seed=seed)
    model.compile(rn.optimizers.SGD(0.0), loss)
    assert model.network is not None
    for layer in model.layers:  # biases that are not all 0
        if "bias" in layer.parameters:
            layer.set(bias=rng.normal(size=layer.bias.shape) * 0.3)
    x = rng.normal(size=(SAMPLES, *shape)).astype(np.float32)
    given, target = targets(kind, (SAMPLES, *model.network.output_shape), rng)

    model.train_on_batch(x, given)
    found = {f"{i}.{name}": g for i, layer in enumerate(model.layers) for name, g in layer.gradients.items()}
    state = {key: value.astype(np.float64) for key, value in model.state_dict().items()}
    x64 = x.astype(np.float64)

    def value(training: bool) -> float:
        output = reference_network.output(model, state, x64, training=training)
        return reference_network.loss(model, output, target) + reference_network.penalty(model, state)

    assert found
    for key, gradient in found.items():
        close(gradient, reference_network.central_differences(lambda: value(True), state[key]), key)
    close(model.input_gradient(x, given), reference_network.central_differences(lambda: value(False), x64), "input")
    assert model.evaluate(x, given)["loss"] == pytest.approx(value(False), rel=1e-5)


def targets(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return targets as they are given to rn, and as the reference takes them."""
    if kind == "values":
        y = rng.normal(size=shape).astype(np.float32)
        return y, y.astype(np.float64)
    if kind == "signs":
        y = rng.choice([-1.0, 1.0], shape).astype(np.float32)
        return y, y.astype(np.float64)
    if kind == "between":
        y = rng.uniform(size=shape).astype(np.float32)
        return y, y.astype(np.float64)
    classes = rng.integers(0, shape[1], shape[0])
    if kind == "classes":
        return classes, np.eye(shape[1])[classes]
    rows = rng.uniform(0.1, 1, size=shape)
    rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    return rows, rows.astype(np.float64)


def close(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Assert agreement within 2e-5 of the largest element, which is not 0."""
    scale = np.abs(expected).max()
    assert scale > 1e-6, what
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale, err_msg=what)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    shape, layers = LAYERS[name]
    check(layers(), shape, "mse", "values")


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    last, loss, kind = LOSSES[name]
    check([Dense(4, "tanh"), *(make() for make in last)], (5,), loss, kind)


def test_every_layer_activation_and_loss_is_here() -> None:
    """A class that joins the library must join this test."""
    built = {type(layer) for _, layers in LAYERS.values() for layer in layers()}
    built |= {rn.layers.Input, rn.layers.Argmax}  # argmax has no gradient
    for name in rn.registry.names("layer"):
        assert rn.registry.lookup("layer", name) in built, name
    losses = {type(rn.losses.get(loss)) for _, loss, _ in LOSSES.values()}
    for name in rn.registry.names("loss"):
        assert rn.registry.lookup("loss", name) in losses, name
    for name in rn.registry.names("activation"):
        assert f"dense {name}" in LAYERS or name == "argmax", name
