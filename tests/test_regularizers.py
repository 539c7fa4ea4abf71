"""Penalties on weights: in the reported loss, in the gradients, in files, and beside PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rn
from rn.errors import OptionError
from rn.layers import Conv2D, Dense, Flatten, Residual
from rn.regularizers import L1, L1L2, L2
from tests import reference


def net(regularizer: object) -> rn.Sequencial:
    layers = [
        Conv2D(3, 2, kernel_regularizer=regularizer),
        Residual([Conv2D(3, 1, kernel_regularizer=regularizer)]),
        *(Flatten(), Dense(4, "tanh", kernel_regularizer=regularizer), Dense(2)),
    ]
    return rn.Sequencial(layers, input_shape=(1, 4, 4), seed=3)


def data(n: int = 11) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 1, 4, 4)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


REGULARIZED = ("0.weight", "1.0.weight", "3.weight")


@pytest.mark.parametrize("regularizer", [L1(0.03), L2(0.2), L1L2(0.01, 0.02)])
@pytest.mark.parametrize(("loss", "chunks"), [("mse", 1), ("mse", 3), ("rmse", 1)])
def test_loss_and_gradient_hold_the_penalty(regularizer: rn.regularizers.Regularizer, loss: str, chunks: int) -> None:
    x, y = data()
    found = []
    for chosen in (None, regularizer):
        model = net(chosen)
        model.compile(rn.optimizers.SGD(0.0), loss, gradient_chunks=chunks)
        evaluated, trained = model.evaluate(x, y, batch_size=4)["loss"], model.train_on_batch(x, y)["loss"]
        assert evaluated == pytest.approx(trained, rel=1e-6)
        gradients = {f"{i}.{k}": v.copy() for i, layer in enumerate(model.layers) for k, v in layer.gradients.items()}
        found.append((trained, gradients))
    state = net(None).state_dict()
    parts = {key: reference.regularize(state[key], regularizer.l1, regularizer.l2) for key in REGULARIZED}
    assert found[1][0] - found[0][0] == pytest.approx(sum(part[0] for part in parts.values()), rel=1e-5)
    for key, plain in found[0][1].items():
        slope = parts[key][1] if key in parts else 0.0
        np.testing.assert_allclose(found[1][1][key] - plain, slope + 0.0 * plain, atol=1e-6, rtol=1e-5)


def test_fit_reports_it_and_a_frozen_layer_still_pays() -> None:
    x, y = data(40)
    model = net("l2")
    model.compile(rn.optimizers.SGD(0.0), "mse")
    plain = net(None)
    plain.compile(rn.optimizers.SGD(0.0), "mse")
    penalty = model.evaluate(x, y)["loss"] - plain.evaluate(x, y)["loss"]
    assert penalty > 0.01
    history = model.fit(x, y, batch_size=16, validation_data=(x, y), verbose=0)
    assert history.final["loss"] == pytest.approx(history.final["val_loss"], rel=1e-6)
    model.layers[0].trainable = False
    assert model.fit(x, y, batch_size=16, verbose=0).final["loss"] == pytest.approx(history.final["loss"], rel=1e-6)


def test_weights_shrink() -> None:
    x, y = data()
    model = net("l2")
    model.compile(rn.optimizers.SGD(0.1), "mse")
    before = np.abs(model.layers[3].weight).sum()
    model.fit(x, 0 * y, epochs=200, verbose=0)
    assert np.abs(model.layers[3].weight).sum() < 0.8 * before


def test_it_is_saved(tmp_path: Path) -> None:
    x, y = data()
    model = net(L1L2(0.5, 0.25))
    model.compile("adam", "mse")
    model.save(tmp_path / "model.rn")
    loaded = rn.load(tmp_path / "model.rn")
    assert loaded.evaluate(x, y) == model.evaluate(x, y)
    assert loaded.layers[3].kernel_regularizer.config() == {"l1": 0.5, "l2": 0.25}


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "1", True])
def test_refusals(value: object) -> None:
    for make in (L1, L2, lambda v: L1L2(0.1, v)):
        with pytest.raises(OptionError, match="regularizer: l"):
            make(value)
    with pytest.raises(OptionError, match="did you mean"):
        Dense(3, kernel_regularizer="l1l2")


@pytest.mark.peers
def test_three_steps_beside_torch() -> None:
    torch = pytest.importorskip("torch")
    from tests.torch_twin import Twin

    x, y = data()
    model = net(L1L2(0.01, 0.02))
    model.compile(rn.optimizers.SGD(0.1), "mse")
    twin = Twin(model, torch.float64)
    optimizer = torch.optim.SGD(twin.parameters.values(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(twin.tensor(x), training=True), twin.tensor(y))
        for key in REGULARIZED:
            loss = loss + 0.01 * twin.parameters[key].abs().sum() + 0.02 * twin.parameters[key].square().sum()
        loss.backward()
        optimizer.step()
        assert model.train_on_batch(x, y)["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for key, weight in model.state_dict().items():
        np.testing.assert_allclose(weight, twin.parameters[key].detach().numpy(), atol=2e-6)
