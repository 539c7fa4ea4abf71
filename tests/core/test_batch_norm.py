"""Batch normalisation and its gradients against the float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

# Images of every tail, one piece of a plane and several; vectors of every tail, fewer and more rows than a piece.
SHAPES = [
    *(
        (2, 3, 4, 4),
        (3, 2, 7, 9),
        (1, 2, 33, 65),
        (40, 3, 8, 8),
        (2, 2, 50, 61),
        (5, 1, 1, 2),
        (1, 1, 3, 1),
        (3, 9, 16, 16),
    ),
    *((2, 1), (3, 5), (7, 16), (64, 17), (65, 33), (300, 70), (1, 4), (1, 2, 1, 1)),
]
ACTIVATIONS = ("linear", "relu", "leaky_relu")
ALPHA = 0.2


def inputs(shape: tuple[int, ...], mean: float = 0.4, deviation: float = 1.3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    c = shape[1]
    arrays = {
        "x": mean + deviation * rng.normal(size=shape),
        "dy": rng.normal(size=shape) + 0.3,
        "weight": rng.normal(size=c),
        "bias": rng.normal(size=c) * 0.5,
        "running_mean": mean + rng.normal(size=c) * deviation,
        "running_var": deviation**2 * rng.uniform(0.5, 2, c),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def run(
    given: dict[str, np.ndarray],
    activation: str = "linear",
    by_batch: bool = True,
    momentum: float = 0.1,
    **options: Any,
) -> dict[str, np.ndarray]:
    bench = Bench()
    put = {name: bench.put(array) for name, array in given.items()}
    x, dy, means, variances = (put.pop(name) for name in ("x", "dy", "running_mean", "running_var"))
    out = {name: bench.out(given["x"].shape) for name in ("y", "dx")}
    out |= {f"d{name}": bench.out(given["running_mean"].shape) for name in ("weight", "bias")}
    shared = {"by_batch": by_batch, "activation": activation, "alpha": ALPHA}
    saved = _core.batch_norm(bench.plan, x, out["y"], means, variances, momentum=momentum, **put, **shared, **options)
    wanted = {name: out[name] for name in ("dweight", "dbias")}
    _core.batch_norm_gradient(bench.plan, x, dy, saved, out["dx"], **wanted, **shared)
    bench.run()
    out |= {"running_mean": means, "running_var": variances}
    shapes = {"y": given["x"].shape, "dx": given["x"].shape}
    return {name: bench.get(slot).reshape(shapes.get(name, given["running_mean"].shape)) for name, slot in out.items()}


def check(given: dict[str, np.ndarray], activation: str = "linear", by_batch: bool = True) -> None:
    got = run(given, activation, by_batch)
    x, axes = given["x"], (0, *range(2, given["x"].ndim))
    weight, bias = given["weight"].astype(np.float64), given["bias"].astype(np.float64)
    running = given["running_mean"].astype(np.float64), given["running_var"].astype(np.float64)
    mean, variance = reference.batch_moments(x) if by_batch else running
    line = reference.batch_norm(x, mean, variance, weight, bias)
    shape = reference.channel_shape(x)
    close(
        got["y"], reference.activate(line, activation, ALPHA), np.abs(line) + np.abs(bias).reshape(shape) + 1e-3, 3e-6
    )

    # Where the sign hangs on the last bit either slope is right: let no gradient come in there.
    dy = np.where(np.abs(line) < 1e-4, 0.0, given["dy"]) if activation != "linear" else given["dy"]
    got = run({**given, "dy": dy.astype(np.float32)}, activation, by_batch)
    g = reference.activate_gradient(line, dy.astype(np.float64), activation, ALPHA)
    moments = None if by_batch else (mean, variance)
    dx, dweight, dbias = reference.batch_norm_gradient(x, g, moments, weight)
    h = np.abs(reference.batch_norm(x, mean, variance))
    scale = np.abs(weight / np.sqrt(variance + 1e-5)).reshape(shape)
    spread = np.abs(g).mean(axes).reshape(shape) + h * (np.abs(g) * h).mean(axes).reshape(shape) if by_batch else 0.0
    close(got["dx"], dx, scale * (np.abs(g) + spread), 5e-6)
    close(got["dweight"], dweight, (np.abs(g) * h).sum(axes) + np.abs(g).sum(axes) * 1e-2, 5e-6)
    close(got["dbias"], dbias, np.abs(g).sum(axes), 5e-6)

    count = x.size / x.shape[1]
    if by_batch:
        close(got["running_mean"], 0.9 * running[0] + 0.1 * mean, 0.9 * np.abs(running[0]) + 0.1 * np.abs(mean), 1e-6)
        unbiased = 0.9 * running[1] + 0.1 * variance * count / (count - 1) if count > 1 else running[1]
        close(got["running_var"], unbiased, tolerance=1e-6)
    else:
        for name in ("running_mean", "running_var"):
            np.testing.assert_array_equal(got[name], given[name])


# known values


def test_known_values() -> None:
    given = {
        "x": np.array([[1, 5], [3, 5], [5, 5]]),
        "dy": np.array([[1, 1], [0, 2], [0, 3]]),
        "running_mean": np.array([1, 2]),
        "running_var": np.array([3, 4]),
    }
    got = run(given, momentum=0.5, epsilon=1 / 3)
    third = 1 / np.sqrt(3)
    np.testing.assert_allclose(got["y"], [[-2 * third, 0], [0, 0], [2 * third, 0]], atol=1e-7)
    np.testing.assert_allclose(got["running_mean"], [2, 3.5])
    np.testing.assert_allclose(got["running_var"], [3.5, 2])  # of 1, 3, 5 the variance is 4 by n - 1
    np.testing.assert_allclose(got["dbias"], [1, 6])
    np.testing.assert_allclose(got["dweight"], [-2 * third, 0], atol=1e-7)


# reference


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reference(shape: tuple[int, ...], activation: str) -> None:
    for by_batch in (True, False):
        check(inputs(shape), activation, by_batch)


@pytest.mark.parametrize("shape", [(4, 3, 20, 21), (200, 6)])
def test_a_large_mean_costs_no_digits(shape: tuple[int, ...]) -> None:
    check(inputs(shape, 1e3, 0.1), "relu")


def test_a_first_piece_far_from_the_others_costs_no_digits() -> None:
    """Where all was counted from the first piece's mean, the squares of 1e4 would drown the deviation of 0.1."""
    for shape in ((300, 2, 32, 32), (20000, 3)):
        given = inputs(shape, 0.0, 0.1)
        given["x"][:1] += 300.0
        mean, variance = reference.batch_moments(given["x"])
        got = run(given, momentum=1.0)
        count = given["x"].size / shape[1]
        close(got["running_mean"], mean, np.abs(mean) + 1e-3, 1e-6)
        close(got["running_var"], variance * count / (count - 1), tolerance=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (33, 27), (256, 200), (6, 3, 3, 3)])
@pytest.mark.parametrize("bare", [False, True])
def test_folded_weights_are_those_of_map_and_normalisation_in_one(shape: tuple[int, ...], bare: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    c = shape[0]
    w, given = rng.normal(size=shape).astype(np.float32), inputs((2, c))
    b, gamma, beta = (None if bare else rng.normal(size=c).astype(np.float32) for _ in range(3))
    bench = Bench()
    folded, folded_bias = bench.out(shape), bench.out((c,))
    put = {name: None if array is None else bench.put(array) for name, array in (("weight", gamma), ("bias", beta))}
    running = bench.put(given["running_mean"]), bench.put(given["running_var"])
    _core.batch_norm_fold(
        bench.plan, bench.put(w), None if b is None else bench.put(b), *running, folded, folded_bias, epsilon=0.1, **put
    )
    bench.run()
    z = (1.0 if gamma is None else gamma.astype(np.float64)) / np.sqrt(given["running_var"].astype(np.float64) + 0.1)
    close(bench.get(folded).reshape(shape), w * z.reshape(c, *[1] * (len(shape) - 1)), tolerance=3e-7)
    mean = given["running_mean"].astype(np.float64)
    b, beta = (np.zeros(c) if array is None else array.astype(np.float64) for array in (b, beta))
    close(
        bench.get(folded_bias).reshape(c),
        (b - mean) * z + beta,
        (np.abs(b) + np.abs(mean)) * np.abs(z) + np.abs(beta),
        1e-6,
    )


# edges


def test_weight_bias_and_gradients_may_be_left_out() -> None:
    given = inputs((4, 3, 5, 5))
    bare = {name: array for name, array in given.items() if name not in ("weight", "bias")}
    ones = {**given, "weight": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}
    for name, array in run(ones, "relu").items():
        np.testing.assert_array_equal(run(bare, "relu")[name], array)
    bench = Bench()
    x, y, means, variances = (bench.put(given["x"]), bench.out((4, 3, 5, 5)), bench.out((3,)), bench.out((3,)))
    saved = _core.batch_norm(bench.plan, x, y, means, variances)
    dbias, dy = bench.out((3,)), bench.put(given["dy"])
    _core.batch_norm_gradient(bench.plan, x, dy, saved, dbias=dbias)
    bench.run()
    close(bench.get(dbias), given["dy"].sum((0, 2, 3), dtype=np.float64), np.abs(given["dy"]).sum((0, 2, 3)))
    assert np.isnan(bench.get(means)).all()  # without momentum the running ones are not touched


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (9, 20)])
def test_results_may_lie_over_what_they_come_from(shape: tuple[int, ...]) -> None:
    given = inputs(shape)
    apart = run(given, "relu")
    bench = Bench()
    put = {name: bench.put(array) for name, array in given.items()}
    x, dy, means, variances = (put.pop(name) for name in ("x", "dy", "running_mean", "running_var"))
    y = bench.out(shape)
    saved = _core.batch_norm(bench.plan, x, y, means, variances, activation="relu", **put)
    _core.batch_norm_gradient(bench.plan, x, dy, saved, dy, activation="relu")
    _core.batch_norm(bench.plan, x, x, means, variances, activation="relu", **put)
    bench.run()
    np.testing.assert_array_equal(bench.get(dy).reshape(shape), apart["dx"])
    np.testing.assert_array_equal(bench.get(x).reshape(shape), apart["y"])


def test_equal_values_have_no_deviation() -> None:
    for shape in ((3, 2, 5, 5), (6, 2)):
        given = inputs(shape)
        given["x"][...] = 1e3 / 3
        got = run(given)
        np.testing.assert_array_equal(
            got["y"], np.broadcast_to(given["bias"].reshape(reference.channel_shape(got["y"])), shape)
        )
        assert np.isfinite(got["dx"]).all()


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (0, 5), (2, 0, 3, 3), (2, 3, 0, 4)])
def test_nothing_moves_nothing(shape: tuple[int, ...]) -> None:
    given = inputs(shape)
    got = run(given)
    for name in ("running_mean", "running_var"):
        np.testing.assert_array_equal(got[name], given[name])
    assert not got["dweight"].any()
    assert not got["dbias"].any()


def test_a_nan_stays_in_its_channel() -> None:
    for shape in ((3, 4, 5, 5), (9, 20)):
        given = inputs(shape)
        given["x"][0, 1] = np.nan
        got = run(given, "relu")
        for name in ("y", "dx", "dweight", "running_mean", "running_var"):
            array = got[name]
            channels = np.isnan(np.moveaxis(array, 1, 0) if array.ndim > 1 else array).reshape(shape[1], -1)
            assert channels[1].all()
            assert not np.delete(channels, 1, 0).any()


# every thread count


@pytest.mark.parametrize("shape", [(32, 19, 16, 16), (3, 7, 70, 70), (300, 200)])
def test_same_bits_on_any_number_of_threads(shape: tuple[int, ...]) -> None:
    with_threads(lambda: run(inputs(shape), "relu"))


@pytest.mark.parametrize("shape", [(5, 3, 7, 9), (70, 18)])
def test_by_running_statistics_a_sample_alone_has_the_bits_it_has_in_a_batch(shape: tuple[int, ...]) -> None:
    given = inputs(shape)
    whole = run(given, by_batch=False)
    alone = run({**given, "x": given["x"][3:4], "dy": given["dy"][3:4]}, by_batch=False)
    for name in ("y", "dx"):
        np.testing.assert_array_equal(alone[name], whole[name][3:4])


# refusals


def test_refusals() -> None:
    plan = _core.Plan(1)
    x, y, one, two = plan.tensor((2, 3, 4, 4)), plan.tensor((2, 3, 4, 4)), plan.tensor((3,)), plan.tensor((2,))
    with pytest.raises(errors.ShapeError, match="running_var has 2 elements, but there are 3 channels"):
        _core.batch_norm(plan, x, y, one, two)
    with pytest.raises(errors.ShapeError, match="weight has 2 elements"):
        _core.batch_norm(plan, x, y, one, one, weight=two)
    with pytest.raises(errors.ShapeError, match="y has shape"):
        _core.batch_norm(plan, x, one, one, one)
    with pytest.raises(errors.OptionError, match='"leaky_relu", got "tanh"'):
        _core.batch_norm(plan, x, y, one, one, activation="tanh")
    with pytest.raises(errors.ShapeError, match="saves of 3 channels has 15 elements, got 3"):
        _core.batch_norm_gradient(plan, x, y, one)
    saved = _core.batch_norm(plan, x, y, one, one)
    with pytest.raises(errors.ShapeError, match="dx has shape"):
        _core.batch_norm_gradient(plan, x, y, saved, one)
    with pytest.raises(errors.ShapeError, match="folded_bias has 2 elements, but there are 3 channels"):
        _core.batch_norm_fold(plan, plan.tensor((3, 5)), None, one, one, plan.tensor((3, 5)), two)
    with pytest.raises(errors.ShapeError, match="folded has shape"):
        _core.batch_norm_fold(plan, plan.tensor((3, 5)), None, one, one, plan.tensor((5, 3)), one)
    with pytest.raises(errors.ShapeError, match="dbias has 2 elements"):
        _core.batch_norm_gradient(plan, x, y, saved, dbias=two)
