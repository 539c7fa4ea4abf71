"""Initializers: moments and bounds of large draws, structure, seeds, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from rn import _core, errors, initializers, registry
from rn.initializers import WeightSource, fans

SHAPE = (120, 40, 3, 3)
FAN_IN, FAN_OUT = 360, 1080
# name: (lower bound, upper bound, mean, variance); None where there is none, or follows
DRAWN = {
    "uniform": (-0.05, 0.05, 0.0, 0.1**2 / 12),
    "positive_uniform": (0.0, 0.05, 0.025, 0.05**2 / 12),
    "normal": (None, None, 0.0, 0.05**2),
    "truncated_normal": (-0.1, 0.1, 0.0, 0.7737413 * 0.05**2),
    **{
        f"{name}_{kind}": (None, None, 0.0, v)
        for name, v in (("glorot", 2 / (FAN_IN + FAN_OUT)), ("he", 2 / FAN_IN), ("lecun", 1 / FAN_IN))
        for kind in ("normal", "uniform")
    },
}


def filled(initializer: str | initializers.Initializer, shape: tuple[int, ...] = SHAPE, seed: int = 3) -> np.ndarray:
    tensor = _core.Tensor4D.full(shape + (1,) * (4 - len(shape)), np.nan)
    initializers.get(initializer).fill(tensor, shape, WeightSource(seed))
    return np.asarray(tensor, np.float64).reshape(shape)


def test_every_name_of_the_design() -> None:
    assert set(registry.names("initializer")) >= {
        *("zeros", "ones", "constant", "uniform", "positive_uniform", "normal", "truncated_normal"),
        *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"),
        *("orthogonal", "identity"),
    }


def test_fans() -> None:
    assert fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert fans((7, 5)) == (5, 7)
    assert fans((4,)) == (4, 4)


@pytest.mark.parametrize("name", DRAWN)
def test_moments_and_bounds(name: str) -> None:
    low, high, mean, variance = DRAWN[name]
    w = filled(name)
    if name.endswith("_uniform") and low is None:
        low, high = -((3 * variance) ** 0.5), (3 * variance) ** 0.5
    if low is not None:
        assert low <= w.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < w.max() <= high
    assert abs(w.mean() - mean) < 5 * (variance / w.size) ** 0.5
    assert w.var() == pytest.approx(variance, rel=0.02)
    np.testing.assert_array_equal(w, filled(name))
    assert (w != filled(name, seed=4)).mean() > 0.99


@pytest.mark.peers
def test_the_truncated_normal_beside_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    w = filled(initializers.TruncatedNormal(1.0, 0.5)).reshape(-1)
    assert stats.kstest(w, stats.truncnorm(-2, 2, 1.0, 0.5).cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1), (120, 40, 3, 3), (6, 1, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = filled(initializers.Orthogonal(2.0), shape).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4.0 * np.eye(len(product)), atol=1e-6)


def test_orthogonal_matrices_are_spread_evenly() -> None:
    """The first row of a random rotation points anywhere: its elements have mean 0 and mean square 1 / n."""
    rows = np.array([filled("orthogonal", (3, 3), seed)[2] for seed in range(2000)])
    np.testing.assert_allclose(rows.mean(0), 0, atol=0.06)
    np.testing.assert_allclose((rows**2).mean(0), 1 / 3, atol=0.03)


def test_identity() -> None:
    w = filled("identity", (3, 2, 3, 3))
    assert w.sum() == 2
    assert w[0, 0, 1, 1] == w[1, 1, 1, 1] == 1


def test_refusals() -> None:
    for name in ("orthogonal", "identity"):
        with pytest.raises(errors.ShapeError, match="two axes"):
            filled(name, (5,))
    for make in (
        lambda: initializers.PositiveUniform(-1.0),
        lambda: initializers.TruncatedNormal(0.0, -1.0),
        lambda: initializers.Normal(deviation=-1.0),
        lambda: initializers.Uniform(1.0, 0.0),
        lambda: initializers.Orthogonal(float("nan")),
    ):
        with pytest.raises(errors.OptionError):
            make()
