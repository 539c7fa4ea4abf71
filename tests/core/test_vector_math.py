"""exp, log, tanh and friends over every exponent: at most 4 ulp from float64, exact at special values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn import _core
from tests.core.harness import Bench, ulps

ERF = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


TRUE = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "sin": np.sin,
    "cos": np.cos,
    "erf": ERF,
    "atan": np.arctan,
    "sqrt": np.sqrt,
}


def run(name: str, x: np.ndarray) -> np.ndarray:
    bench = Bench(training=False)  # a training step has no denormals
    a, b = bench.put(x.reshape(1, -1)), bench.out((1, x.size))
    _core.activate(bench.plan, a, b, name)
    return bench.run().get(b).reshape(-1)


def sweep(per_exponent: int) -> np.ndarray:
    """Both signs, every exponent including the denormals', evenly and randomly spread mantissas."""
    rng = np.random.default_rng(0)
    mantissas = np.concatenate(
        [
            np.linspace(0, 2**23 - 1, per_exponent // 2).astype(np.uint32),
            rng.integers(0, 2**23, per_exponent // 2, dtype=np.uint32),
        ]
    )
    exponents = np.arange(255, dtype=np.uint32) << np.uint32(23)
    bits = (exponents[:, None] | mantissas[None, :]).reshape(-1)
    return np.concatenate([bits, bits | np.uint32(1 << 31)]).view(np.float32)


@pytest.mark.parametrize("name", TRUE)
def test_every_exponent(name: str) -> None:
    x = sweep(600 if name == "erf" else 6000)
    with np.errstate(all="ignore"):
        expected = TRUE[name](x.astype(np.float64))
        distance = ulps(run(name, x), expected)
    worst = int(np.nanargmax(np.where(np.isnan(distance), np.inf, distance)))
    assert distance[worst] <= 4.0, f"{name}({x[worst]!r}): {distance[worst]:.2f} ulp"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("exp", -104, 89),
        ("log", 0.25, 4),
        ("tanh", -10, 10),
        ("sigmoid", -104, 20),
        ("sin", -1e4, 1e4),
        ("cos", -1e4, 1e4),
        ("erf", -4.5, 4.5),
        ("atan", -30, 30),
    ],
)
def test_where_it_matters(name: str, low: float, high: float) -> None:
    x = np.random.default_rng(1).uniform(low, high, 100_000 if name == "erf" else 2_000_000).astype(np.float32)
    distance = ulps(run(name, x), TRUE[name](x.astype(np.float64)))
    worst = int(np.argmax(distance))
    assert distance[worst] <= 4.0, f"{name}({x[worst]!r}): {distance[worst]:.2f} ulp"


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38, 1.0, -1.0], np.float32)


@pytest.mark.parametrize("name", TRUE)
def test_special_values(name: str) -> None:
    with np.errstate(all="ignore"):
        expected = TRUE[name](SPECIAL.astype(np.float64))
        got = run(name, SPECIAL)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        assert np.nanmax(ulps(got, expected)) <= 4.0
    exact = np.isinf(expected) | (expected == 0)
    np.testing.assert_array_equal(got[exact], expected[exact].astype(np.float32))
    if name in ("tanh", "sin", "erf", "atan"):
        assert np.signbit(got[1]), "odd functions keep the sign of zero"


def test_sine_beside_multiples_of_pi() -> None:
    k = np.arange(1, 3180)
    near = (k * np.pi).astype(np.float32)
    x = np.concatenate([near, np.nextafter(near, np.float32(0)), (near + np.pi / 2).astype(np.float32)])
    x = x[x <= 1e4]
    for name in ("sin", "cos"):
        assert ulps(run(name, x), TRUE[name](x.astype(np.float64))).max() <= 4.0


@pytest.mark.parametrize("name", ["tanh", "sin", "erf", "atan"])
def test_odd(name: str) -> None:
    x = np.abs(sweep(200))
    assert np.array_equal(run(name, -x), -run(name, x), equal_nan=True)


@pytest.mark.parametrize("name", TRUE)
def test_tails_are_the_body(name: str) -> None:
    x = np.random.default_rng(2).uniform(0.1, 3, 67).astype(np.float32)
    whole = run(name, x)
    for n in (1, 2, 3, 5, 7, 8, 9, 31, 66):
        np.testing.assert_array_equal(run(name, x[:n]), whole[:n])
