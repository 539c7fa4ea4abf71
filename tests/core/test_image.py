"""Kernels over whole images: shifting, enlarging, dropping, summing, adding."""

from __future__ import annotations

import numpy as np
import pytest

from rn import _core
from rn.errors import OptionError, ShapeError
from tests import reference
from tests.core.harness import Bench, close, with_threads

SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (3, 2, 7, 33), (2, 40, 16, 16), (0, 3, 4, 4), (1, 1, 130, 200)]
PURPOSE = (3 << 24) + 1


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def shifted(x, shape, top, left):
    bench = Bench()
    y = bench.out((*x.shape[:2], *shape))
    _core.shift_planes(bench.plan, bench.put(x), y, top=top, left=left)
    return bench.run().get(y)


def enlarged(x, size):
    bench = Bench()
    y = bench.out((*x.shape[:2], x.shape[2] * size[0], x.shape[3] * size[1]))
    _core.upsample(bench.plan, bench.put(x), y, size=size)
    return bench.run().get(y)


def reduced(dy, size):
    bench = Bench()
    dx = bench.out((*dy.shape[:2], dy.shape[2] // size[0], dy.shape[3] // size[1]))
    _core.upsample_gradient(bench.plan, bench.put(dy), dx, size=size)
    return bench.run().get(dx)


def dropped(x, rate, *, seed=7, step=0):
    bench = Bench(seed=seed, step=step)
    y = bench.out(x.shape)
    _core.dropout_planes(bench.plan, bench.put(x), y, rate, PURPOSE)
    return bench.run().get(y)


def summed(x):
    bench = Bench()
    total = bench.out((x.shape[1],))
    _core.sum_planes(bench.plan, bench.put(x), total)
    return bench.run().get(total).reshape(-1)


# ---- known values


def test_zeros_come_around_an_image_and_go_again():
    x = np.array([[1, 2], [3, 4]]).reshape(1, 1, 2, 2)
    y = shifted(x, (3, 4), 0, 1)
    np.testing.assert_array_equal(y[0, 0], [[0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(shifted(y, (2, 2), 0, -1), x)


def test_every_pixel_becomes_a_block():
    x = np.array([[1, 2], [3, 4]]).reshape(1, 1, 2, 2)
    y = enlarged(x, (1, 3))
    np.testing.assert_array_equal(y[0, 0], [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]])
    np.testing.assert_array_equal(reduced(y, (1, 3)), 3 * x)


def test_whole_planes_are_dropped():
    y = dropped(np.ones((8, 16, 3, 3)), 0.25)
    planes = y.reshape(128, 9)
    assert (planes == planes[:, :1]).all()
    assert set(np.unique(planes)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 70 < np.count_nonzero(planes[:, 0]) < 120


# ---- reference


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("frame", [(1, 2, 3, 4), (0, 0, 0, 0), (-1, 0, 2, -1), (0, 40, -3, 1)])
def test_shifting_agrees_with_the_twin(shape, frame):
    top, bottom, left, right = frame
    target = (max(shape[2] + top + bottom, 1), max(shape[3] + left + right, 1))
    x = normal(*shape)
    np.testing.assert_array_equal(shifted(x, target, top, left), reference.shift_planes(x, target, top, left))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (2, 5), (1, 4)])
def test_enlarging_and_its_gradient_agree_with_the_twins(shape, size):
    x = normal(*shape)
    y = enlarged(x, size)
    np.testing.assert_array_equal(y, reference.upsample(x, size))
    dy = normal(*y.shape)
    close(reduced(dy, size), reference.upsample_gradient(dy, size), reference.upsample_gradient(np.abs(dy), size))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropping_agrees_with_the_twin(shape, rate):
    x = normal(*shape)
    kept = reference.dropout_mask(shape[0] * shape[1], rate, 7, PURPOSE, 3).reshape(*shape[:2], 1, 1)
    close(dropped(x, rate, step=3), x.astype(np.float64) * kept / (1 - rate))


@pytest.mark.parametrize("shape", [*SHAPES, (64, 3, 40, 40)])
def test_sums_of_planes_agree_with_the_twin(shape):
    x = normal(*shape) + np.float32(0.5)
    close(summed(x), x.astype(np.float64).sum(axis=(0, 2, 3)), np.abs(x).sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("shape", SHAPES)
def test_two_tensors_are_added(shape):
    bench, a, b = Bench(), normal(*shape), normal(*shape[::-1]).reshape(shape)
    y = bench.out(shape)
    _core.add_pair(bench.plan, bench.put(a), bench.put(b), y)
    np.testing.assert_array_equal(bench.run().get(y), a + b)


# ---- threads


def test_bits_are_the_same_on_any_number_of_threads():
    x = normal(9, 31, 18, 22)
    with_threads(
        lambda: {
            "shifted": shifted(x, (20, 26), 1, 2),
            "enlarged": enlarged(x, (2, 3)),
            "reduced": reduced(x, (2, 2)),
            "dropped": dropped(x, 0.4),
            "summed": summed(x),
        }
    )


# ---- refusals


def test_shapes_that_do_not_fit_are_refused():
    plan = _core.Plan(1)
    x = plan.kept((2, 3, 4, 4))
    with pytest.raises(ShapeError, match="keeps its samples and channels"):
        _core.shift_planes(plan, x, plan.kept((2, 2, 5, 5)), top=0, left=0)
    with pytest.raises(OptionError, match="cannot share memory"):
        _core.shift_planes(plan, x, x, top=0, left=0)
    with pytest.raises(ShapeError, match=r"has shape \(2, 3, 8, 12\)"):
        _core.upsample(plan, x, plan.kept((2, 3, 8, 8)), size=(2, 3))
    with pytest.raises(OptionError, match="at least 1"):
        _core.upsample(plan, x, plan.kept((2, 3, 8, 8)), size=(0, 3))
    with pytest.raises(OptionError, match="below 1"):
        _core.dropout_planes(plan, x, x, 1.0, PURPOSE)
    with pytest.raises(ShapeError, match="3 numbers, not 4"):
        _core.sum_planes(plan, x, plan.kept((4,)))
    with pytest.raises(ShapeError, match="must be equal"):
        _core.add_pair(plan, x, x, plan.kept((2, 3, 4, 5)))
