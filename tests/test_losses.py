"""Losses as models use them: targets refused, large logits, whole epochs, and values and gradients beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rn
from rn.errors import LabelError, OptionError
from rn.layers import Activation
from rn.losses import BinaryCrossEntropy, CrossEntropy, Huber, KLDivergence

RNG = np.random.default_rng(0)
P, T = (RNG.normal(size=(6, 4)).astype(np.float32) for _ in range(2))
SHARES = RNG.dirichlet(np.ones(4), 6).astype(np.float32)
# name: (loss, activation of the last layer, prediction or logits, targets)
LOSSES: dict[str, tuple[Any, str, np.ndarray, np.ndarray]] = {
    "mse": ("mse", "linear", P, T),
    "mae": ("mae", "linear", P, T),
    "rmse": ("rmse", "linear", P, T),
    "msle": ("msle", "linear", 3 * np.abs(P), 3 * np.abs(T)),
    "huber": ("huber", "linear", 2 * P, T),
    "huber(0.3)": (Huber(0.3), "linear", P, T),
    "hinge": ("hinge", "linear", P, np.sign(T)),
    "cross_entropy": ("cross_entropy", "softmax", P, SHARES),
    "cross_entropy of logits": (CrossEntropy(from_logits=True), "linear", P, np.arange(6) % 4),
    "kl_divergence": ("kl_divergence", "softmax", P, SHARES),
    "kl_divergence of logits": (KLDivergence(from_logits=True), "linear", P, SHARES),
    "binary_cross_entropy": ("binary_cross_entropy", "sigmoid", P, SHARES),
    "binary_cross_entropy of logits": (BinaryCrossEntropy(from_logits=True), "linear", P, SHARES),
}


def model(loss: Any, activation: str, outputs: int = 4) -> rn.Sequencial:
    made = rn.Sequencial([Activation(activation)], input_shape=(outputs,), seed=0)
    made.compile("sgd", loss)
    return made


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_all_samples_whatever_the_batches(name: str) -> None:
    loss, activation, x, y = LOSSES[name]
    whole, parts = (model(loss, activation).evaluate(x, y, batch_size=size)["loss"] for size in (6, 4))
    assert whole == pytest.approx(parts, rel=1e-6)
    assert whole > 0.01


@pytest.mark.parametrize("name", LOSSES)
def test_huge_outputs_give_finite_gradients(name: str) -> None:
    loss, activation, _, y = LOSSES[name]
    x = 1e4 * np.sign(P)
    made = model(loss, activation)
    assert np.isfinite(made.evaluate(x, y)["loss"])
    assert np.isfinite(made.input_gradient(x, y)).all()


@pytest.mark.parametrize("name", ["rmse", "msle", "kl_divergence of logits"])
def test_zeros_give_no_nan(name: str) -> None:
    zeros, y = np.zeros((2, 2), np.float32), np.float32([[1, 0], [0, 1]])
    made = model(LOSSES[name][0], "linear", 2)
    for target in (y, zeros) if name in ("rmse", "msle") else (y,):
        assert np.isfinite(made.evaluate(zeros, target)["loss"])
        assert np.isfinite(made.input_gradient(zeros, target)).all()
    assert made.evaluate(y, y)["loss"] == 0.0 or name == "kl_divergence of logits"
    assert np.isfinite(made.input_gradient(y, y)).all()


def test_refusals() -> None:
    x = np.zeros((2, 2), np.float32)
    with pytest.raises(LabelError, match="at least 0 for MeanSquaredLog"):
        model("msle", "linear", 2).evaluate(x, x - 1)
    with pytest.raises(LabelError, match="-1 and 1 alone for Hinge; of 0 and 1"):
        model("hinge", "linear", 2).evaluate(x, x)
    with pytest.raises(LabelError, match="probabilities that sum to 1, but sample 0"):
        model("kl_divergence", "softmax", 2).evaluate(x, x)
    for activation in ("tanh", "gelu", "sigmoid"):
        with pytest.raises(OptionError, match="KLDivergence takes the probabilities that softmax gives"):
            model("kl_divergence", activation)
    for delta in (0, -1.0, float("inf"), "1", True):
        with pytest.raises(OptionError, match="delta must be"):
            Huber(delta)
    with pytest.raises(OptionError, match="argmax has no gradient"):
        model("mse", "argmax", 2).input_gradient(x, x)


@pytest.mark.peers
@pytest.mark.parametrize("name", LOSSES)
def test_beside_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    loss, activation, x, y = LOSSES[name]
    z = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    t = torch.tensor(y) if y.dtype.kind == "i" else torch.tensor(y, dtype=torch.float64)
    kind = name.split(" ")[0]
    expected = {
        "mse": lambda: functional.mse_loss(z, t),
        "mae": lambda: functional.l1_loss(z, t),
        "rmse": lambda: functional.mse_loss(z, t).sqrt(),
        "msle": lambda: functional.mse_loss(z.log1p(), t.log1p()),
        "huber": lambda: functional.huber_loss(z, t),
        "huber(0.3)": lambda: functional.huber_loss(z, t, delta=0.3),
        "hinge": lambda: (1 - t * z).clamp(min=0).mean(),
        "cross_entropy": lambda: functional.cross_entropy(z, t),
        "kl_divergence": lambda: functional.kl_div(torch.log_softmax(z, 1), t, reduction="batchmean"),
        "binary_cross_entropy": lambda: functional.binary_cross_entropy_with_logits(z, t),
    }[kind]()
    expected.backward()
    made = model(loss, activation)
    assert made.evaluate(x, y)["loss"] == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(made.input_gradient(x, y), z.grad.numpy(), atol=1e-6, rtol=1e-5)
