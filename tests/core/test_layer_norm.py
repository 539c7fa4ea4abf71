"""Normalisation of every sample by itself."""

from __future__ import annotations

import numpy as np
import pytest

from rn import _core
from rn.errors import ShapeError
from tests import reference
from tests.core.harness import Bench, close, with_threads

SHAPES = [(1, 1), (3, 2), (5, 16), (4, 100), (33, 17), (2, 5000), (300, 9), (0, 4)]


def numbers(n, c, mean=0.3, deviation=1.0):
    rng = np.random.default_rng(n * 7919 + c)
    return (mean + deviation * rng.standard_normal((n, c))).astype(np.float32)


def run(x, dy, weight=None, bias=None, epsilon=1e-5):
    bench, (n, c) = Bench(), x.shape
    put = {name: bench.put(array) for name, array in (("weight", weight), ("bias", bias)) if array is not None}
    x_slot, dy_slot, y, dx = bench.put(x), bench.put(dy), bench.out((n, c)), bench.out((n, c))
    dweight, dbias, moments = bench.out((c,)), bench.out((c,)), bench.out((n, 3))
    _core.layer_norm(bench.plan, x_slot, y, moments=moments, epsilon=epsilon, **put)
    _core.layer_norm_weight_gradient(bench.plan, x_slot, dy_slot, moments, dweight, dbias=dbias)
    _core.layer_norm_gradient(bench.plan, x_slot, dy_slot, moments, dx, weight=put.get("weight"))
    bench.run()
    return {
        "y": bench.get(y).reshape(n, c),
        "dx": bench.get(dx).reshape(n, c),
        "dweight": bench.get(dweight).reshape(c),
        "dbias": bench.get(dbias).reshape(c),
    }


def check(x, dy, weight=None, bias=None):
    found = run(x, dy, weight, bias)
    expected = reference.layer_norm(x, weight, bias)
    close(found["y"], expected, np.abs(expected) + 1)
    dx, dweight, dbias = reference.layer_norm_gradient(x, dy, weight)
    scale = 1 / np.sqrt(x.astype(np.float64).var(axis=1, keepdims=True) + 1e-5)
    largest = np.abs(dy * (1 if weight is None else weight)).max(initial=0)
    close(found["dx"], dx, scale * largest * 3)
    h = np.abs(reference.layer_norm(x))
    close(found["dweight"], dweight, (np.abs(dy) * (h + 1)).sum(axis=0))
    close(found["dbias"], dbias, np.abs(dy).sum(axis=0))


def test_a_row_of_known_values():
    found = run(np.array([[1, 2, 3, 6]]), np.zeros((1, 4)), np.array([1, 1, 2, 1]), np.array([0, 0, 0, 5]), epsilon=0.5)
    np.testing.assert_allclose(found["y"], [[-1, -0.5, 0, 6.5]], rtol=1e-6)  # mean 3, variance 3.5


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_twin(shape):
    x, dy, (_, c) = numbers(*shape), numbers(shape[0], shape[1], 0.1), shape
    check(x, dy)
    check(x, dy, numbers(1, c)[0], numbers(1, c, 1.0)[0])


def test_a_large_mean_takes_nothing_from_a_small_deviation():
    check(numbers(6, 400, 1e3, 0.1), numbers(6, 400))


def test_bits_are_the_same_on_any_number_of_threads_and_in_any_batch():
    x, dy = numbers(600, 130), numbers(600, 130, 0.2)
    found = with_threads(lambda: run(x, dy))
    np.testing.assert_array_equal(run(x[17:18], dy[17:18])["dx"], found["dx"][17:18])


def test_shapes_that_do_not_fit_are_refused():
    plan = _core.Plan(1)
    x = plan.kept((2, 6))
    with pytest.raises(ShapeError, match="6 elements of weight, not 5"):
        _core.layer_norm(plan, x, plan.kept((2, 6)), weight=plan.kept((5,)))
    with pytest.raises(ShapeError, match="leaves 6 moments, not 4"):
        _core.layer_norm(plan, x, plan.kept((2, 6)), moments=plan.kept((2, 2)))
