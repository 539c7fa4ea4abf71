"""Tensor4D: sums, means, extremes and their places over any axes, against NumPy in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import DtypeError, OptionError, ShapeError
from tests.core.harness import close, with_threads

Tensor4D = _core.Tensor4D

AXES = [axes for count in range(5) for axes in itertools.combinations(range(4), count)]
NAMES = ["sum", "mean", "var", "std", "norm", "min", "max", "argmax"]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def expected_of(name, x, axes):
    """Return NumPy's result in float64 over a tuple of axes, and the terms that its rounding errors are measured by."""
    x = x.astype(np.float64)
    if name == "argmax":
        kept = [axis for axis in range(4) if axis not in axes]
        rows = x.transpose(kept + list(axes)).reshape([x.shape[axis] for axis in kept] + [-1])
        shape = [1 if axis in axes else x.shape[axis] for axis in range(4)]
        return rows.argmax(-1).reshape(shape), 0.0
    if name == "norm":
        result = np.sqrt((x * x).sum(axes, keepdims=True))
    else:
        result = getattr(x, name)(axis=axes, keepdims=True)
    return result, np.abs(x).sum(axes, keepdims=True) if name == "sum" else np.abs(x).mean(
        axes, keepdims=True
    ) if name == "mean" else None


def check(name, x, axes):
    result = getattr(Tensor4D(x), name)(axes)
    expected, terms = expected_of(name, x, axes)
    if name == "argmax":
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected)
    else:
        assert result.shape == expected.shape
        close(np.asarray(result), expected, terms, 1e-6)


# Known values


def test_known_values():
    x = Tensor4D([[1, 2, 3], [4, 5, 9]])
    assert (x.sum(), x.mean(), x.min(), x.max(), x.argmax()) == (24, 4, 1, 9, 5)
    assert x.var() == pytest.approx(np.var([1, 2, 3, 4, 5, 9]), rel=1e-15)
    assert x.std() == math.sqrt(x.var())
    assert x.norm() == math.sqrt(136)
    assert all(isinstance(getattr(x, name)(), float) for name in NAMES if name != "argmax")
    assert isinstance(x.argmax(), int)
    assert x.sum(2).equals([5, 7, 12])
    assert x.sum(3).equals([[6], [18]])
    assert x.sum(-1).equals(x.sum((3,)))
    assert x.max(axis=2).equals([4, 5, 9])
    assert x.argmax(2).tolist() == [[[[1, 1, 1]]]]
    assert x.argmax(3).tolist() == [[[[2], [2]]]]
    assert x.argmax((2, 3)).tolist() == [[[[5]]]]
    assert x.sum(()).equals(x)
    assert x.sum((0, 1, 2, 3)).equals(24)


# NumPy reference


@given(
    st.tuples(*[st.sampled_from([1, 1, 2, 3, 8, 17])] * 4),
    st.sampled_from(AXES),
    st.sampled_from(NAMES),
    st.integers(0, 99),
)
@settings(max_examples=500, deadline=None)
def test_any_shape_and_axes(shape, axes, name, seed):
    check(name, numbers(*shape, seed=seed), axes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1_000_003),
        (1, 1, 700, 701),
        (1, 3, 1, 200_000),
        (2, 1, 100_000, 3),
        (4, 32, 31, 33),
        (1, 60_000, 1, 7),
    ],
)
def test_large(shape, name):
    x = numbers(*shape) + np.float32(3)
    for axes in AXES:
        check(name, x, axes)


@pytest.mark.parametrize("shape", [(1, 1, 700, 2101), (1, 300_001, 1, 2), (3, 40, 50, 60)])
def test_results_do_not_depend_on_threads(shape):
    x = Tensor4D(numbers(*shape))

    def results():
        found = {}
        for name in NAMES:
            found[name] = getattr(x, name)()
            found |= {f"{name}{axes}": getattr(x, name)(axes) for axes in [(0, 2), (2,), (3,), (1, 3)]}
        return found

    with_threads(results)


def test_long_sums_are_those_of_float64():
    x = np.full(3_000_000, 0.1, np.float32)
    exact = 3_000_000 * float(np.float32(0.1))
    assert Tensor4D(x).sum() == pytest.approx(exact, rel=1e-12)
    assert Tensor4D(x).mean() == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    # Squares of long rows are float32, their sums float64: half a unit of float32's last place, however long the row.
    assert Tensor4D(x).norm() == pytest.approx(math.sqrt(3_000_000) * float(np.float32(0.1)), rel=1e-7)
    for scale in (1e-30, 1e25):  # whose squares float32 does not hold
        assert Tensor4D(x * np.float32(scale)).norm() == pytest.approx(scale * Tensor4D(x).norm(), rel=1e-6)
    alternating = np.tile(np.array([1e8, 1, -1e8], np.float32), 100_000)
    assert Tensor4D(alternating).sum() == 100_000
    assert Tensor4D(alternating.reshape(-1, 3)).sum((2, 3))[0, 0, 0, 0] == 100_000


@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (1e4, 1), (1e6, 1), (-1e7, 2)])
def test_variances_far_from_zero(mean, deviation):
    x = (mean + deviation * np.random.default_rng(0).normal(size=(3, 50_000, 2))).astype(np.float32)
    for axes, tensor_axes in [((0, 1, 2), None), (1, 2), (2, 3)]:
        close(
            Tensor4D(x).var(tensor_axes), x.astype(np.float64).var(axes, keepdims=tensor_axes is not None), None, 1e-6
        )
    outlier = np.ones(100_000, np.float32)
    outlier[0] = 1e6
    assert Tensor4D(outlier).var() == pytest.approx(outlier.astype(np.float64).var(), rel=1e-6)


def test_constant_tensors_have_no_variance():
    assert Tensor4D.full(1000, 0.1).var() == 0
    assert Tensor4D.full((50, 50), 1e30).std(2).equals(np.zeros(50))


# Edges


def test_nan_reaches_every_result():
    x = numbers(2, 3, 40, 50)
    x[1, 2, 33, 44] = np.nan
    tensor = Tensor4D(x)
    for name in ["sum", "mean", "var", "std", "norm", "min", "max"]:
        assert math.isnan(getattr(tensor, name)())
        for axes in AXES[1:]:
            expected = np.isnan(x).any(axes, keepdims=True)
            np.testing.assert_array_equal(np.isnan(getattr(tensor, name)(axes)), expected)
    x[0, 1, 2, 3] = np.nan
    assert Tensor4D(x).argmax() == np.argmax(x)
    for axis in range(4):
        np.testing.assert_array_equal(Tensor4D(x).argmax(axis), x.argmax(axis, keepdims=True))


def test_infinities():
    assert Tensor4D([1, np.inf, -np.inf]).max() == np.inf
    assert Tensor4D([1, np.inf, -np.inf]).min() == -np.inf
    assert math.isnan(Tensor4D([1, np.inf, -np.inf]).sum())
    assert Tensor4D([np.inf, 1]).sum() == np.inf
    assert Tensor4D([-np.inf] * 20).max() == -np.inf
    assert Tensor4D([-np.inf] * 20).argmax() == 0
    assert Tensor4D([[-np.inf] * 3] * 20).argmax(2).tolist() == [[[[0, 0, 0]]]]
    assert Tensor4D([3e38, 3e38]).sum() == pytest.approx(6e38)
    assert Tensor4D([3e38, 3e38]).sum(3).equals(np.inf)


@pytest.mark.parametrize("size", [1, 7, 8, 33, 1023, 1024, 1025, 5000, 131_072, 131_073, 400_000])
def test_the_first_of_equals_wins(size):
    rng = np.random.default_rng(size)
    for top in [1, 3, 1000]:
        x = rng.integers(0, top + 1, size=size).astype(np.float32)
        assert Tensor4D(x).argmax() == x.argmax()
        assert Tensor4D(x.reshape(-1, 1)).argmax() == x.argmax()
        assert Tensor4D(-x).argmax() == (-x).argmax()
        wide = np.stack([x, x[::-1], -x], axis=1)
        np.testing.assert_array_equal(Tensor4D(wide).argmax(2)[0, 0, 0], wide.argmax(0))


def test_places_over_several_axes_are_row_major():
    x = numbers(3, 4, 5, 6)
    for axes in AXES[1:]:
        check("argmax", x, axes)


def test_nothing_to_reduce():
    empty = Tensor4D.zeros((2, 0, 3))
    assert (empty.sum(), empty.norm()) == (0, 0)
    assert math.isnan(empty.mean())
    assert math.isnan(empty.var())
    assert empty.sum(2).equals(np.zeros((2, 1, 3)))
    assert np.isnan(empty.mean(2)).all()
    assert empty.sum(1).shape == (1, 1, 0, 3)
    assert empty.max(3).shape == (1, 2, 0, 1)
    assert empty.argmax(3).shape == (1, 2, 0, 1)
    for name in ["min", "max", "argmax"]:
        for axis in [None, 2, (1, 2)]:
            with pytest.raises(ShapeError, match="no largest or least"):
                getattr(empty, name)(axis)


def test_one_element():
    x = Tensor4D(3.5)
    assert (x.sum(), x.mean(), x.var(), x.std(), x.norm(), x.min(), x.max(), x.argmax()) == (
        3.5,
        3.5,
        0,
        0,
        3.5,
        3.5,
        3.5,
        0,
    )


@pytest.mark.parametrize(
    "function",
    [
        *(np.sum, np.mean, np.max, np.min, np.std, np.var, np.prod, np.argmax, np.any, np.median, np.cumsum, np.ptp),
        *(lambda x: np.sum(x, axis=(2, 3), keepdims=True), lambda x: np.mean(x, 1, dtype=np.float64)),
        *(lambda x: np.max(x, axis=0, initial=-1.0), lambda x: np.stack([x, x], 1), lambda x: np.concatenate((x, x))),
        *(lambda x: np.linalg.norm(x), lambda x: np.where(x > 0, x, 0.0), lambda x: np.clip(x, -0.5, 0.5), np.asarray),
        lambda x: np.sum(x, axis=-1, out=np.empty(x.shape[:3], np.float32)),
    ],
)
def test_numpys_functions_of_a_tensor_are_those_of_its_array(function):
    x = numbers(2, 3, 4, 5)
    found, expected = function(Tensor4D(x)), function(x)
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# Refusals


@pytest.mark.parametrize("name", NAMES)
def test_axes_that_are_refused(name):
    x = Tensor4D(numbers(2, 3))
    for axis in [4, -5, (0, 0), (3, -1), 2**70]:
        with pytest.raises(OptionError):
            getattr(x, name)(axis)
    for axis in [1.0, "a", True, (0, None), {1}, [[0]]]:
        with pytest.raises(DtypeError):
            getattr(x, name)(axis)
