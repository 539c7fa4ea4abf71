"""Activations and their gradients against the float64 twin and its finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

NAMES = list(reference.ACTIVATIONS)
FROM_OUTPUT = ["linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "exp", "sqrt"]
ALPHA = {"leaky_relu": 0.01, "elu": 1.3}
POSITIVE = ("log", "sqrt")
SIZES = (0, 1, 3, 7, 8, 9, 255, 16384, 16385, 40003)

# What a result is made of, where that is more than the result itself: gelu adds 1 to erf, hard_sigmoid 1/2 to x / 6, …
TERMS = {
    "gelu": lambda x: np.abs(x),
    "hard_sigmoid": lambda x: np.abs(x) / 6 + 0.5,
}


def spread(name: str, n: int) -> np.ndarray:
    """Return n numbers around 0, some of them large."""
    x = np.random.default_rng(n).normal(size=(1, n)) * np.where(np.arange(n) % 5 == 0, 10.0, 1.0)
    return (np.abs(x) + 1e-3 if name in POSITIVE else x).astype(np.float32)


def activate(x: np.ndarray, name: str, alpha: float) -> np.ndarray:
    bench = Bench(training=False)
    a, b = bench.put(x), bench.out(x.shape)
    _core.activate(bench.plan, a, b, name, alpha)
    return bench.run().get(b).reshape(x.shape)


def gradient(x: np.ndarray, dy: np.ndarray, name: str, alpha: float, in_place: bool = False) -> np.ndarray:
    """Return dx as a layer gets it: from y alone where that is enough, from x alone where it is not."""
    bench = Bench()
    a, b, d = bench.put(x), bench.out(x.shape), bench.put(dy)
    dx = d if in_place else bench.out(x.shape)
    _core.activate(bench.plan, a, b, name, alpha)
    known = (None, b) if name in FROM_OUTPUT else (a, None)
    _core.activate_gradient(bench.plan, *known, d, dx, name, alpha)
    return bench.run().get(dx).reshape(x.shape)


# known values


def test_known_values() -> None:
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 2.0]], np.float32)
    np.testing.assert_array_equal(activate(x, "relu", 0.0), [[0, 0, 0, 0.5, 2]])
    np.testing.assert_array_equal(activate(x, "leaky_relu", 0.25), [[-0.5, -0.125, 0, 0.5, 2]])
    np.testing.assert_array_equal(activate(x, "softsign", 0.0), np.float32([[-2 / 3, -1 / 3, 0, 1 / 3, 2 / 3]]))
    np.testing.assert_array_equal(gradient(x, np.ones_like(x), "relu", 0.0), [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(gradient(x, np.ones_like(x), "leaky_relu", 0.25), [[0.25, 0.25, 0.25, 1, 1]])
    close(activate(x, "gelu", 0.0), [[-0.04550026, -0.15426877, 0.0, 0.34573123, 1.95449974]], 1.0, 1e-6)
    close(activate(x, "mish", 0.0), [[-0.25250148, -0.22074345, 0.0, 0.37524524, 1.94395904]], 1.0, 1e-6)


# reference


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", SIZES)
def test_reference(name: str, n: int) -> None:
    x, alpha = spread(name, n), ALPHA.get(name, 0.0)
    expected = reference.activate(x, name, alpha)
    close(
        activate(x, name, alpha), expected, TERMS.get(name, np.abs)(expected if name not in TERMS else x.astype(float))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", SIZES)
def test_gradient(name: str, n: int) -> None:
    x, alpha = spread(name, n), ALPHA.get(name, 0.0)
    dy = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    expected = reference.activate_gradient(x, dy, name, alpha)
    # slopes are made of terms of the order of 1 (1 - y^2, y + alpha, …), larger only where the slope is
    close(gradient(x, dy, name, alpha), expected, np.maximum(np.abs(dy), np.abs(expected)))
    np.testing.assert_array_equal(gradient(x, dy, name, alpha, in_place=True), gradient(x, dy, name, alpha))


@pytest.mark.parametrize("name", NAMES)
def test_slopes_of_the_reference_are_its_differences(name: str) -> None:
    x = spread(name, 2000).astype(np.float64)
    x = x[np.abs(np.abs(x) - 3.0) > 1e-3]  # hard_sigmoid bends there
    x = x[np.abs(x) > 1e-3]
    alpha, h = ALPHA.get(name, 0.0), 1e-6
    difference = (reference.activate(x + h, name, alpha) - reference.activate(x - h, name, alpha)) / (2 * h)
    slope = reference.activate_gradient(x, np.ones_like(x), name, alpha)
    np.testing.assert_allclose(
        slope, difference, rtol=1e-5, atol=1e-7 + 1e-9 * np.abs(reference.activate(x, name, alpha)).max()
    )


@pytest.mark.peers
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("exp", "log", "sqrt", "cos", "erf", "linear")])
def test_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    peer = {
        "leaky_relu": lambda t: functions.leaky_relu(t, ALPHA["leaky_relu"]),
        "elu": lambda t: functions.elu(t, ALPHA["elu"]),
        "hard_sigmoid": functions.hardsigmoid,
        "swish": functions.silu,
        "softplus": lambda t: functions.softplus(t, threshold=1000),
        "sin": torch.sin,
        "atan": torch.atan,
    }.get(name) or getattr(functions, name)
    x = spread(name, 3000)
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = peer(t)
    y.backward(torch.ones_like(y))
    np.testing.assert_allclose(reference.activate(x, name, ALPHA.get(name, 0.0)), y.detach(), rtol=1e-12, atol=1e-12)
    slope = reference.activate_gradient(x, np.ones_like(x), name, ALPHA.get(name, 0.0))
    np.testing.assert_allclose(slope, t.grad, rtol=1e-7, atol=1e-12)  # torch rounds 1 / 6 to float32


# edges


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays(name: str) -> None:
    x = spread(name, 19)
    x[0, [0, 7, 18]] = np.nan
    y = activate(x, name, ALPHA.get(name, 0.0))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


LIMITS = {
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1.3, np.inf),
    "selu": (-1.7580993, np.inf),
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "tanh": (-1, 1),
    "softplus": (0, np.inf),
    "atan": (-np.pi / 2, np.pi / 2),
    "erf": (-1, 1),
    "exp": (0, np.inf),
}


@pytest.mark.parametrize("name", LIMITS)
def test_infinities(name: str) -> None:
    x = np.array([[-np.inf, np.inf]], np.float32)
    np.testing.assert_array_equal(activate(x, name, ALPHA.get(name, 0.0)), np.float32([LIMITS[name]]))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*POSITIVE, "exp")])
@pytest.mark.parametrize("size", [50.0, 1e4, 1e15, 3e38])
def test_huge_inputs(name: str, size: float) -> None:
    x = np.array([[-size, size]], np.float32)
    alpha = ALPHA.get(name, 0.0)
    expected = reference.activate(x, name, alpha)
    y = activate(x, name, alpha)
    assert np.all(np.isfinite(y))
    close(y, expected, np.maximum(np.abs(expected), 1e-6))
    if name not in ("sin", "cos"):
        dx = gradient(x, np.ones_like(x), name, alpha)
        with np.errstate(over="ignore"):
            close(dx, reference.activate_gradient(x, np.ones_like(x), name, alpha), 1.0)


def test_small_sigmoids_keep_their_digits() -> None:
    x = np.linspace(-103, -80, 1000, dtype=np.float32)[None]
    expected = reference.sigmoid(x.astype(np.float64))
    y = activate(x, "sigmoid", 0.0)
    assert np.all(np.abs(y - expected) <= 4 * np.spacing(expected.astype(np.float32)))


@pytest.mark.parametrize("name", ["tanh", "elu", "selu", "softplus", "swish", "mish", "atan", "sin", "erf", "gelu"])
def test_small_inputs_keep_their_digits(name: str) -> None:
    x = (np.logspace(-30, -2, 500) * np.where(np.arange(500) % 2, 1, -1)).astype(np.float32)[None]
    close(activate(x, name, 1.3), reference.activate(x, name, 1.3), tolerance=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_in_place(name: str) -> None:
    x, alpha = spread(name, 1001), ALPHA.get(name, 0.0)
    bench = Bench()
    a = bench.put(x)
    _core.activate(bench.plan, a, a, name, alpha)
    np.testing.assert_array_equal(bench.run().get(a).reshape(x.shape), activate(x, name, alpha))


# every thread count


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "mish"])
@pytest.mark.parametrize("n", [100, 200_003])
def test_same_bits_on_any_number_of_threads(name: str, n: int) -> None:
    x = spread(name, n)
    with_threads(lambda: {"y": activate(x, name, 0.0), "dx": gradient(x, x, name, 0.0)})


@pytest.mark.parametrize("name", NAMES)
def test_tails_are_the_body(name: str) -> None:
    x, alpha = spread(name, 70), ALPHA.get(name, 0.0)
    y, dx = activate(x, name, alpha), gradient(x, x, name, alpha)
    for n in (1, 2, 5, 8, 13, 69):
        np.testing.assert_array_equal(activate(x[:, :n], name, alpha), y[:, :n])
        np.testing.assert_array_equal(gradient(x[:, :n], x[:, :n], name, alpha), dx[:, :n])


# refusals


def test_refusals() -> None:
    bench = Bench()
    x, y, other = bench.out((2, 3)), bench.out((2, 3)), bench.out((3, 2))
    with pytest.raises(errors.OptionError, match=r'unknown activation "relux"'):
        _core.activate(bench.plan, x, y, "relux")
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.activate(bench.plan, x, other, "relu")
    with pytest.raises(errors.OptionError, match="gelu needs x"):
        _core.activate_gradient(bench.plan, None, y, y, x, "gelu")
    with pytest.raises(errors.OptionError, match="tanh needs y"):
        _core.activate_gradient(bench.plan, x, None, y, x, "tanh")
    with pytest.raises(errors.OptionError, match="alpha >= 0"):
        _core.activate_gradient(bench.plan, x, y, y, x, "leaky_relu", -0.5)
    with pytest.raises(errors.ShapeError):
        _core.activate_gradient(bench.plan, x, y, other, x, "relu")


def test_which_slopes_need_no_input() -> None:
    assert [name for name in NAMES if _core.activation_slope_from_output(name)] == FROM_OUTPUT


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 4, 2, 3), (2, 3000), (700, 3, 1, 2)])
def test_one_hot_of_the_largest(shape: tuple[int, ...]) -> None:
    x = np.round(2 * np.random.default_rng(1).normal(size=shape)).astype(np.float32)  # rounded: many are equal
    x.reshape(-1)[-1] = np.nan

    def run() -> dict[str, Any]:
        bench = Bench()
        a, y = bench.put(x), bench.out(shape)
        _core.one_hot_largest(bench.plan, a, y)
        _core.one_hot_largest(bench.plan, a, a)
        bench.run()
        np.testing.assert_array_equal(bench.get(a), bench.get(y))
        return {"y": bench.get(y).reshape(shape)}

    got = with_threads(run)["y"]
    expected = np.moveaxis(np.eye(shape[1])[np.nan_to_num(x, nan=-99.0).argmax(1)], -1, 1)
    expected = np.where(np.isnan(x).any(1, keepdims=True), np.nan, expected)
    np.testing.assert_array_equal(got, expected)
