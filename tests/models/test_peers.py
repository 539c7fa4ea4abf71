"""Beside PyTorch: weights go over as they are, outputs, gradients and training steps agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rn
from rn.layers import AvgPool2D, Conv2D, Dense, Flatten, LeakyReLU, MaxPool2D, ReLU, Sigmoid, Softmax, Tanh

pytestmark = pytest.mark.peers


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def twins(torch: Any) -> tuple[rn.Sequencial, Any]:
    """Return the same net twice, with PyTorch's weights in both."""
    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 6, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(12, 10), nn.LeakyReLU(0.01), nn.Linear(10, 7), nn.Sigmoid(), nn.Linear(7, 4)),
    )
    layers = [
        *(Conv2D(8, 3, strides=2, padding=1), ReLU(), MaxPool2D(2)),
        *(Conv2D(6, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2), Tanh(), AvgPool2D(2)),
        *(Flatten(), Dense(10), LeakyReLU(), Dense(7), Sigmoid(), Dense(4)),
    ]
    ours = rn.Sequencial(layers, input_shape=(3, 20, 20), seed=0)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_weights_go_over_and_back(torch: Any) -> None:
    ours, theirs = twins(torch)
    x = np.random.default_rng(0).normal(size=(5, 3, 20, 20)).astype(np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-5, atol=1e-6)
    state = {key: torch.from_numpy(value * 2) for key, value in ours.state_dict().items()}
    theirs.load_state_dict(state)
    ours.load_state_dict(theirs.state_dict())
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "decay"])
def test_training_steps_agree(torch: Any, optimizer: str) -> None:
    """After 20 steps the weights are as near to PyTorch's float64 as PyTorch's own float32, within a factor."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 16, 3, 20, 20)).astype(np.float32), rng.integers(0, 4, (20, 16))
    options: dict[str, tuple[rn.optimizers.Optimizer, Any]] = {
        "sgd": (rn.optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        "nesterov": (
            rn.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
        ),
        "adam": (rn.optimizers.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
        "decay": (
            rn.optimizers.SGD(0.1, momentum=0.5, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.5, weight_decay=0.01),
        ),
    }
    ours, single = twins(torch)
    _, double = twins(torch)
    double = double.double()
    ours.compile(options[optimizer][0], rn.losses.CrossEntropy(from_logits=True))
    for model, dtype in ((single, torch.float32), (double, torch.float64)):
        rule, loss = options[optimizer][1](model.parameters()), torch.nn.CrossEntropyLoss()
        for images, labels in zip(x, y, strict=True):
            rule.zero_grad()
            loss(model(torch.from_numpy(images).to(dtype)), torch.from_numpy(labels)).backward()
            rule.step()
    start = ours.state_dict()
    for images, labels in zip(x, y, strict=True):
        ours.train_on_batch(images, labels)
    for key, exact in double.state_dict().items():
        exact = exact.numpy()
        distance = np.abs(ours.state_dict()[key] - exact).max()
        theirs = np.abs(single.state_dict()[key].numpy() - exact).max()
        assert distance <= max(1e-4, 3 * theirs), key
        assert np.abs(start[key] - exact).max() > 50 * distance, key


def test_losses_agree(torch: Any) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 5)).astype(np.float32)
    classes, between = rng.integers(0, 4, 9), rng.uniform(size=(9, 4)).astype(np.float32)
    functional = torch.nn.functional
    cases = [
        ([Dense(4), Softmax()], "cross_entropy", classes, lambda z: functional.cross_entropy(z, torch.tensor(classes))),
        (
            [Dense(4), Sigmoid()],
            "binary_cross_entropy",
            between,
            lambda z: functional.binary_cross_entropy_with_logits(z, torch.tensor(between)),
        ),
        ([Dense(4)], "mse", between, lambda z: functional.mse_loss(z, torch.tensor(between))),
        ([Dense(4)], "mae", between, lambda z: functional.l1_loss(z, torch.tensor(between))),
    ]
    for layers, loss, target, theirs in cases:
        model = rn.Sequencial(layers, input_shape=5, seed=3)
        model.compile("sgd", loss)
        weight, bias = (torch.tensor(array) for array in (layers[0].weight, layers[0].bias))
        inputs = torch.tensor(x, requires_grad=True)
        expected = theirs(inputs @ weight.T + bias)
        expected.backward()
        assert model.evaluate(x, target)["loss"] == pytest.approx(expected.item(), rel=1e-5)
        np.testing.assert_allclose(model.input_gradient(x, target), inputs.grad.numpy(), rtol=1e-4, atol=1e-7)
