"""BatchNorm in a model: which statistics count when, who moves the running ones, and the same net in PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rn
from rn.layers import BatchNorm, Conv2D, Dense, GlobalAvgPool2D, GlobalMaxPool2D, LeakyReLU, MaxPool2D, ReLU
from tests import reference


def images(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return (3 + 2 * rng.normal(size=(n, 3, 8, 8))).astype(np.float32), rng.integers(0, 4, n)


def model() -> rn.Sequencial:
    layers = [Conv2D(6, 3, use_bias=False), BatchNorm(), ReLU(), GlobalAvgPool2D(), Dense(4, "softmax")]
    made = rn.Sequencial(layers, input_shape=(3, 8, 8), seed=1)
    made.compile(rn.optimizers.SGD(0.1), "cross_entropy")
    return made


def running(layer: Any) -> tuple[bytes, bytes]:
    return layer.running_mean.tobytes(), layer.running_var.tobytes()


def test_only_training_steps_move_the_running_statistics() -> None:
    net = model()
    norm, (x, y) = net.layers[1], images()
    np.testing.assert_array_equal(norm.running_mean, np.zeros(6))
    np.testing.assert_array_equal(norm.running_var, np.ones(6))
    before = running(norm)
    convolved = net.outputs(x, "conv2d_1")["conv2d_1"]
    net.predict(x)
    net.evaluate(x, y)
    net.input_gradient(x, y)
    net(x, training=True)
    assert running(norm) == before
    mean, variance = reference.batch_moments(convolved)
    net.train_on_batch(x, y)
    count = convolved.size / 6
    np.testing.assert_allclose(norm.running_mean, 0.1 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * variance * count / (count - 1), rtol=1e-5)


def test_training_normalises_by_the_batch_and_predict_by_the_running_ones() -> None:
    x, _ = images()
    net = rn.Sequencial([BatchNorm()], input_shape=(3, 8, 8), seed=0)
    by_batch = reference.batch_norm(x, *reference.batch_moments(x))
    np.testing.assert_allclose(net(x, training=True), by_batch, rtol=1e-5, atol=1e-6)
    net.layers[0].set(running_mean=[1, 2, 3], running_var=[4, 1, 9])
    expected = reference.batch_norm(x, [1, 2, 3], [4, 1, 9])
    for found in (net.predict(x), net(x), net.outputs(x)["batch_norm_1"]):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_frozen_it_normalises_by_the_running_ones_and_moves_nothing() -> None:
    net = model()
    norm, (x, y) = net.layers[1], images()
    for _ in range(3):
        net.train_on_batch(x, y)
    norm.trainable = False
    before, weights = running(norm), norm.weight.tobytes()
    expected = net(x)
    np.testing.assert_allclose(net(x, training=True), expected, rtol=1e-5)
    loss = net.evaluate(x, y)["loss"]
    assert net.train_on_batch(x, y)["loss"] == pytest.approx(loss, rel=1e-6)
    assert running(norm) == before
    assert norm.weight.tobytes() == weights


def test_one_sample_is_a_batch() -> None:
    x, y = images(1)
    net = model()
    net.train_on_batch(x, y)
    assert np.isfinite(net.predict(x)).all()
    one = rn.Sequencial([BatchNorm()], input_shape=(3,), seed=0)
    one.compile("sgd", "mse")
    one.layers[0].set(bias=[1, 2, 3])
    np.testing.assert_array_equal(one(np.ones((1, 3)), training=True), [[1, 2, 3]])
    one.train_on_batch(np.full((1, 3), 7.0), np.zeros((1, 3)))
    np.testing.assert_allclose(one.layers[0].running_mean, 0.7, rtol=1e-6)
    np.testing.assert_array_equal(one.layers[0].running_var, np.ones(3))  # of one value there is no variance


def test_buffers_are_read_and_not_written_in_passing() -> None:
    net = model()
    with pytest.raises(ValueError, match="read-only"):
        net.layers[1].running_mean[0] = 1.0
    with pytest.raises(AttributeError, match="cannot be assigned"):
        net.layers[1].running_var = np.ones(6)
    assert set(net.state_dict()) == {
        *("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight", "4.bias"),
    }


def test_global_pools_give_one_number_a_channel() -> None:
    x, _ = images()
    net = rn.Sequencial([GlobalAvgPool2D()], input_shape=(3, 8, 8))
    np.testing.assert_allclose(net.predict(x), x.mean((2, 3), dtype=np.float64), rtol=1e-6)
    net = rn.Sequencial([GlobalMaxPool2D()], input_shape=(3, 8, 8))
    np.testing.assert_array_equal(net.predict(x), x.max((2, 3)))


# ---- folded into the weights before


def spread(net: rn.Sequencial) -> rn.Sequencial:
    """Give every BatchNorm statistics and weights of its own."""
    rng = np.random.default_rng(3)
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            c = layer.running_mean.shape
            layer.set(running_mean=rng.normal(size=c), running_var=rng.uniform(0.5, 4, c))
            layer.set(**{name: rng.normal(size=c) for name in layer.parameters})
    return net


FOLDED: dict[str, Callable[[], list[Any]]] = {
    "conv": lambda: [Conv2D(6, 3, use_bias=False), BatchNorm(), ReLU()],
    "conv with bias, tanh": lambda: [Conv2D(6, 3), BatchNorm(use_scale=False), rn.layers.Tanh()],
    "conv of groups": lambda: [Conv2D(6, 3, groups=3, padding=1), BatchNorm(use_bias=False)],
    "dense softmax": lambda: [rn.layers.Flatten(), Dense(5), BatchNorm(), rn.layers.Softmax()],
    "in a residual": lambda: [rn.layers.Residual([Conv2D(3, 3, padding=1), BatchNorm(), LeakyReLU()]), ReLU()],
}


@pytest.mark.parametrize("name", FOLDED)
def test_predict_folds_it_into_the_weights_before_and_evaluate_and_calls_with_it(name: str) -> None:
    net = spread(rn.Sequencial(FOLDED[name](), input_shape=(3, 8, 8), seed=2))
    x, _ = images()
    found = net.predict(x)
    with net._lend("predict", len(x)) as bound:
        kernels = [kernel for _, _, kernel, *_ in bound.plan.listing()]
    assert "batch_norm_fold" in kernels
    assert not any(kernel in ("batch_norm", "batch_norm_relu") for kernel in kernels)
    last = net.layers[-1].name
    np.testing.assert_allclose(found, net.outputs(x, last)[last], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(net(x), found)
    np.testing.assert_array_equal(net.predict(x, batch_size=5), found)
    net.compile("sgd", "mse")
    loss = float(((found.astype(np.float64) - 1) ** 2).mean())
    assert net.evaluate(x, np.ones_like(found))["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_fold_notices_every_change_of_weights_and_statistics() -> None:
    net = model()
    x, y = images()
    outcomes = [net.predict(x)]
    net.layers[1].set(running_mean=np.arange(6))
    outcomes.append(net.predict(x))
    net.train_on_batch(x, y)
    outcomes.append(net.predict(x))
    net.load_state_dict({key: 0.9 * value for key, value in net.state_dict().items()})
    outcomes.append(net.predict(x))
    for before, after in itertools.pairwise(outcomes):
        assert not np.array_equal(before, after)
    again = model()
    again.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(again.predict(x), outcomes[-1])


def test_a_gradient_by_input_goes_through_the_running_statistics() -> None:
    net, (x, y) = spread(model()), images()
    step = 1e-2 * np.sign(net.input_gradient(x, y)).astype(np.float32)
    rise = net.evaluate(x + step, y)["loss"] - net.evaluate(x - step, y)["loss"]
    assert rise == pytest.approx(2e-2 * np.abs(net.input_gradient(x, y)).sum(), rel=2e-2)


# ---- PyTorch


@pytest.mark.peers
def test_training_agrees_with_torch() -> None:
    """Weights go over as they are; after 10 steps all is as near to PyTorch's float64 as its own float32, within 3."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)

    def net() -> Any:
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            *(nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)),
        )

    single, double = net(), net().double()
    double.load_state_dict(single.state_dict())
    layers = [
        *(Conv2D(8, 3, padding=1, use_bias=False), BatchNorm(), ReLU(), MaxPool2D(2)),
        *(Conv2D(6, 3), BatchNorm(), LeakyReLU(0.1), GlobalAvgPool2D(), rn.layers.Flatten()),
        *(Dense(16, use_bias=False), BatchNorm(), ReLU(), Dense(4)),
    ]
    ours = rn.Sequencial(layers, input_shape=(3, 12, 12), seed=0)
    ours.load_state_dict(single.state_dict())
    ours.compile(rn.optimizers.SGD(0.05, momentum=0.9), rn.losses.CrossEntropy(from_logits=True))
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 2, (10, 16, 3, 12, 12)).astype(np.float32), rng.integers(0, 4, (10, 16))
    for twin, dtype in ((single, torch.float32), (double, torch.float64)):
        rule = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
        for batch, labels in zip(x, y, strict=True):
            rule.zero_grad()
            nn.functional.cross_entropy(twin(torch.tensor(batch, dtype=dtype)), torch.tensor(labels)).backward()
            rule.step()
        twin.eval()
    for batch, labels in zip(x, y, strict=True):
        ours.train_on_batch(batch, labels)
    exact = {key: value.numpy() for key, value in double.state_dict().items() if "num_batches" not in key}
    assert set(exact) == set(ours.state_dict())
    for key, value in ours.state_dict().items():
        theirs = np.abs(single.state_dict()[key].numpy() - exact[key]).max()
        assert np.abs(value - exact[key]).max() <= max(1e-4, 3 * theirs), key
    expected = double(torch.tensor(x[0], dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(ours.predict(x[0]), expected, atol=1e-3)
