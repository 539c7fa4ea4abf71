"""Softmax and its gradient, over rows and over the channels of images, against the float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

SHAPES = [
    (1, 1, 1, 1),
    (4, 2, 1, 1),
    (3, 10, 1, 1),
    (300, 10, 1, 1),
    (2, 8, 1, 1),
    (5, 257, 1, 1),
    (7, 16, 1, 1),
    (7, 17, 1, 1),
    (2, 100_003, 1, 1),
    (0, 10, 1, 1),
    (2, 3, 1, 2),
    (2, 21, 5, 7),
    (1, 4, 30, 40),
    (2, 1000, 2, 2),
    (2, 1, 3, 3),
    (2, 0, 3, 3),
]


def inputs(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    return (5 * rng.normal(size=shape)).astype(np.float32), rng.normal(size=shape).astype(np.float32)


def run(x: np.ndarray, dy: np.ndarray, in_place: bool = False) -> dict[str, np.ndarray]:
    bench = Bench()
    a, d = bench.put(x), bench.put(dy)
    y, dx = (a, d) if in_place else (bench.out(x.shape), bench.out(x.shape))
    _core.softmax(bench.plan, a, y)
    _core.softmax_gradient(bench.plan, y, d, dx)
    bench.run()
    return {"y": bench.get(y), "dx": bench.get(dx)}


def test_known_values() -> None:
    got = run(np.log(np.float32([[1, 2, 5]])).reshape(1, 3, 1, 1), np.float32([1, 0, 0]).reshape(1, 3, 1, 1))
    close(got["y"].reshape(3), [0.125, 0.25, 0.625], tolerance=1e-6)
    close(got["dx"].reshape(3), [0.125 * 0.875, -0.125 * 0.25, -0.125 * 0.625], tolerance=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_reference(shape: Any) -> None:
    x, dy = inputs(shape)
    got = run(x, dy)
    if x.size:
        expected = reference.softmax(x.astype(np.float64))
        close(got["y"], expected, tolerance=3e-6)
        terms = expected * (np.abs(dy) + (expected * np.abs(dy)).sum(1, keepdims=True))
        close(got["dx"], reference.softmax_gradient(expected, dy), terms)
        np.testing.assert_allclose(got["y"].astype(np.float64).sum(1), 1.0, rtol=1e-6)
    for name, value in run(x, dy, in_place=True).items():
        np.testing.assert_array_equal(value, got[name])


@pytest.mark.parametrize("shape", [(2, 5, 1, 1), (1, 3, 2, 2)])
def test_gradient_is_the_difference(shape: Any) -> None:
    x, dy = (a.astype(np.float64) for a in inputs(shape))
    expected = reference.softmax_gradient(reference.softmax(x), dy)
    for index in np.ndindex(shape):
        step = np.zeros(shape)
        step[index] = 1e-6
        difference = np.sum(dy * (reference.softmax(x + step) - reference.softmax(x - step))) / 2e-6
        assert abs(difference - expected[index]) < 1e-8


@pytest.mark.parametrize("shape", [(3, 10, 1, 1), (2, 9, 3, 5)])
@pytest.mark.parametrize("shift", [1e4, -1e4, 1e30, -1e30, 3e38])
def test_any_finite_input(shape: Any, shift: float) -> None:
    x, dy = inputs(shape)
    x = (
        (x + np.float32(shift))
        if abs(shift) < 1e6
        else np.where(np.abs(x) < 5, np.float32(shift), x).astype(np.float32)
    )
    got = run(x, dy)
    close(got["y"], reference.softmax(x.astype(np.float64)), 1.0, 3e-6)
    assert np.all(np.isfinite(got["dx"]))


def test_far_apart() -> None:
    x = np.float32([10_000, -10_000, 0, 9_999]).reshape(1, 4, 1, 1)
    expected = [1 / (1 + np.exp(-1)), 0, 0, 1 / (1 + np.e)]
    np.testing.assert_allclose(run(x, x)["y"].reshape(4), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 10, 1, 1), (2, 9, 3, 5)])
def test_nan_stays_in_its_row(shape: Any) -> None:
    x, dy = inputs(shape)
    x[1, 4, 0, 0] = np.nan
    got = run(x, dy)
    assert np.all(np.isnan(got["y"][1, :, 0, 0]))
    assert np.isnan(got["y"]).sum() == shape[1]


@pytest.mark.parametrize("shape", [(3, 10, 1, 1), (4096, 100, 1, 1), (64, 10, 20, 20)])
def test_same_bits_on_any_number_of_threads(shape: Any) -> None:
    with_threads(lambda: run(*inputs(shape)))


def test_a_row_does_not_depend_on_its_batch() -> None:
    x, dy = inputs((300, 10, 1, 1))
    got, one = run(x, dy), run(x[207:208], dy[207:208])
    for name in got:
        np.testing.assert_array_equal(got[name][207:208], one[name])


def test_refusals() -> None:
    bench = Bench()
    x, other = bench.out((2, 3)), bench.out((3, 2))
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.softmax(bench.plan, x, other)
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.softmax_gradient(bench.plan, x, x, other)


@pytest.mark.parametrize("classes", [1, 3, 8, 10, 15, 16])
def test_few_classes_get_the_numbers_of_many(classes: int) -> None:
    """Rows that fit into one vector have a way of their own; classes of minus infinity beside them change nothing."""
    few, dy = inputs((9, classes, 1, 1))
    many = np.full((9, 40, 1, 1), -np.inf, np.float32)
    many[:, :classes] = few
    y = run(many, np.zeros_like(many))["y"]
    np.testing.assert_array_equal(run(few, dy)["y"], y[:, :classes])
    np.testing.assert_array_equal(y[:, classes:], 0)
