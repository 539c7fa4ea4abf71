"""Maximum and average pooling and their gradients against the float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

NONE = ((0, 0), (0, 0))

# (n, c, h, w), size, stride, padding
CASES = [
    ((2, 3, 4, 4), (2, 2), (2, 2), NONE),
    ((2, 3, 26, 26), (2, 2), (2, 2), NONE),
    ((1, 2, 11, 11), (2, 2), (2, 2), NONE),
    ((1, 2, 33, 35), (2, 2), (2, 2), NONE),
    ((1, 1, 2, 2), (2, 2), (2, 2), NONE),
    ((1, 1, 3, 33), (2, 2), (2, 2), NONE),
    ((3, 2, 9, 17), (2, 2), (2, 2), ((1, 1), (0, 1))),
    ((2, 2, 13, 13), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((2, 2, 14, 37), (3, 3), (2, 2), ((0, 1), (0, 1))),
    ((1, 2, 12, 40), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((1, 2, 12, 40), (3, 3), (3, 3), NONE),
    ((1, 2, 7, 50), (2, 5), (3, 4), ((1, 0), (4, 2))),
    ((2, 1, 5, 5), (1, 1), (1, 1), NONE),
    ((2, 1, 5, 41), (1, 1), (2, 2), NONE),
    ((1, 1, 1, 1), (1, 1), (1, 1), NONE),
    ((1, 1, 1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((4, 5, 7, 7), (7, 7), (7, 7), NONE),
    ((1, 3, 6, 6), (2, 2), (1, 1), ((0, 1), (0, 1))),
    ((0, 3, 6, 6), (2, 2), (2, 2), NONE),
    ((3, 0, 6, 6), (2, 2), (2, 2), NONE),
]


def inputs(shape: tuple[int, ...], size: Any, stride: Any, padding: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return x with many ties and dy."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(-4, 5, shape).astype(np.float32) / 2
    return x, rng.normal(size=reference.pooled_shape(shape, size, stride, padding)).astype(np.float32)


def pool(x: np.ndarray, dy: np.ndarray, size: Any, stride: Any, padding: Any) -> dict[str, np.ndarray]:
    bench = Bench()
    options = {"size": size, "stride": stride, "padding": padding}
    a, d = bench.put(x), bench.put(dy)
    largest, mean, dx_max, dx_avg = bench.out(dy.shape), bench.out(dy.shape), bench.out(x.shape), bench.out(x.shape)
    taps = bench.out(dy.shape)
    _core.max_pool2d(bench.plan, a, largest, taps=taps, **options)
    _core.max_pool2d_gradient(bench.plan, taps, d, dx_max, **options)
    _core.avg_pool2d(bench.plan, a, mean, **options)
    _core.avg_pool2d_gradient(bench.plan, d, dx_avg, **options)
    bench.run()
    return {
        "max": bench.get(largest),
        "mean": bench.get(mean),
        "dx_max": bench.get(dx_max),
        "dx_avg": bench.get(dx_avg),
    }


def check(x: np.ndarray, dy: np.ndarray, size: Any, stride: Any, padding: Any) -> None:
    got = pool(x, dy, size, stride, padding)
    np.testing.assert_array_equal(got["max"], reference.max_pool2d(x, size, stride, padding))
    terms = reference.avg_pool2d(np.abs(x), size, stride, padding)
    close(got["mean"], reference.avg_pool2d(x, size, stride, padding), terms, 1e-6)
    expected = reference.max_pool2d_gradient(x, dy.astype(np.float64), size, stride, padding)
    terms = reference.max_pool2d_gradient(x, np.abs(dy).astype(np.float64), size, stride, padding)
    close(got["dx_max"], expected, terms, 1e-6)
    np.testing.assert_array_equal(got["dx_max"] != 0, terms != 0)
    expected = reference.avg_pool2d_gradient(x.shape, dy, size, stride, padding)
    close(got["dx_avg"], expected, reference.avg_pool2d_gradient(x.shape, np.abs(dy), size, stride, padding), 1e-6)


# known values


def test_known_values() -> None:
    x = np.array([[[[1, 2, 5, 5], [4, 4, 0, 5], [-1, -2, 0, 0], [-3, -1, 0, 0]]]], np.float32)
    dy = np.array([[[[1, 10], [100, 1000]]]], np.float32)
    got = pool(x, dy, (2, 2), (2, 2), NONE)
    np.testing.assert_array_equal(got["max"], [[[[4, 5], [-1, 0]]]])
    np.testing.assert_array_equal(got["mean"], [[[[2.75, 3.75], [-1.75, 0]]]])
    np.testing.assert_array_equal(got["dx_max"], [[[[0, 0, 10, 0], [1, 0, 0, 0], [100, 0, 1000, 0], [0, 0, 0, 0]]]])
    np.testing.assert_array_equal(got["dx_avg"][0, 0, :2], [[0.25, 0.25, 2.5, 2.5]] * 2)


# reference


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_reference(shape: Any, size: Any, stride: Any, padding: Any) -> None:
    check(*inputs(shape, size, stride, padding), size, stride, padding)


@st.composite
def poolings(draw: st.DrawFn) -> tuple[Any, ...]:
    size, stride = [(draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in range(2)]
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in size)
    axes = tuple(draw(st.integers(max(1, k - sum(p)), 24)) for k, p in zip(size, padding, strict=True))
    return (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *axes), size, stride, padding


@given(poolings())
@settings(max_examples=150, deadline=None)
def test_any_size_stride_and_padding(case: Any) -> None:
    check(*inputs(*case), *case[1:])


@pytest.mark.peers
@pytest.mark.parametrize(("shape", "size", "stride", "padding"), [case for case in CASES if 0 not in case[0]])
def test_torch(shape: Any, size: Any, stride: Any, padding: Any) -> None:
    torch = pytest.importorskip("torch")
    if any(a != b or 2 * a > k for (a, b), k in zip(padding, size, strict=True)):
        return  # torch pads both sides alike and by half a window at most
    x, dy = inputs(shape, size, stride, padding)
    got = pool(x, dy, size, stride, padding)
    pad = padding[0][0], padding[1][0]
    for name, function in (
        ("max", lambda t: torch.nn.functional.max_pool2d(t, size, stride, pad)),
        ("mean", lambda t: torch.nn.functional.avg_pool2d(t, size, stride, pad, count_include_pad=False)),
    ):
        t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        y = function(t)
        y.backward(torch.tensor(dy, dtype=torch.float64))
        close(got[name], y.detach().numpy(), 1.0, 1e-6)
        close(got["dx_max" if name == "max" else "dx_avg"], t.grad.numpy(), 1.0 + np.abs(t.grad.numpy()), 1e-6)


# edges


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_nan_propagates(shape: Any, size: Any, stride: Any, padding: Any) -> None:
    x, dy = inputs(shape, size, stride, padding)
    x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    got = pool(x, dy, size, stride, padding)
    np.testing.assert_array_equal(got["max"], reference.max_pool2d(x, size, stride, padding))
    np.testing.assert_array_equal(np.isnan(got["mean"]), np.isnan(got["max"]))
    expected = reference.max_pool2d_gradient(x, dy.astype(np.float64), size, stride, padding)
    close(got["dx_max"], expected, 10.0, 1e-6)


def test_infinities() -> None:
    x = np.full((1, 1, 4, 20), -np.inf, np.float32)
    x[0, 0, 0, 3] = np.inf
    for size, stride, padding in (((2, 2), (2, 2), NONE), ((3, 3), (2, 2), ((1, 1), (1, 1)))):
        dy = np.ones(reference.pooled_shape(x.shape, size, stride, padding), np.float32)
        got = pool(x, dy, size, stride, padding)
        np.testing.assert_array_equal(got["max"], reference.max_pool2d(x, size, stride, padding))
        assert got["dx_max"].sum() == dy.size


def test_the_mean_of_a_large_image_keeps_its_digits() -> None:
    x = (1000 + np.random.default_rng(0).random((1, 1, 1, 700_001))).astype(np.float32)
    bench = Bench()
    mean = bench.out((1, 1, 1, 1))
    _core.avg_pool2d(bench.plan, bench.put(x), mean, size=(1, x.size), stride=(1, x.size))
    close(bench.run().get(mean), x.mean(dtype=np.float64).reshape(1, 1, 1, 1), tolerance=2e-7)


# every thread count


@pytest.mark.parametrize(
    "case", [CASES[1], ((32, 18, 26, 26), (2, 2), (2, 2), NONE), ((16, 16, 28, 28), (3, 3), (2, 2), ((1, 1), (1, 1)))]
)
def test_same_bits_on_any_number_of_threads(case: Any) -> None:
    x, dy = inputs(*case)
    with_threads(lambda: pool(x, dy, *case[1:]))


# refusals


@pytest.mark.parametrize(
    ("shape", "pooled", "size", "stride", "padding", "error", "message"),
    [
        ((1, 1, 4, 4), (1, 1, 2, 3), (2, 2), (2, 2), NONE, errors.ShapeError, r"has shape \(1, 1, 2, 2\)"),
        ((1, 1, 4, 4), (1, 1, 2, 2), (5, 2), (2, 2), NONE, errors.ShapeError, "window of 5 does not fit"),
        ((1, 1, 0, 4), (1, 1, 0, 2), (1, 2), (2, 2), NONE, errors.ShapeError, "does not fit"),
        ((1, 1, 4, 4), (1, 1, 2, 2), (2, 0), (2, 2), NONE, errors.OptionError, "at least 1"),
        ((1, 1, 4, 4), (1, 1, 2, 2), (2, 2), (2, -1), NONE, errors.OptionError, "at least 1"),
        ((1, 1, 4, 4), (1, 1, 2, 2), (2, 2), (2, 2), ((2, 0), (0, 0)), errors.OptionError, "below the size"),
        ((1, 1, 4, 4), (1, 1, 2, 2), (2, 2), (2, 2), ((0, 0), (0, -1)), errors.OptionError, "padding"),
    ],
)
def test_refusals(shape: Any, pooled: Any, size: Any, stride: Any, padding: Any, error: type, message: str) -> None:
    bench = Bench()
    with pytest.raises(error, match=message):
        _core.max_pool2d(bench.plan, bench.out(shape), bench.out(pooled), size=size, stride=stride, padding=padding)


def test_results_are_other_tensors() -> None:
    bench = Bench()
    x, y = bench.out((1, 1, 3, 3)), bench.out((1, 1, 3, 3))
    options = {"size": (1, 1), "stride": (1, 1)}
    with pytest.raises(errors.OptionError, match="write over"):
        _core.max_pool2d(bench.plan, x, x, **options)
    with pytest.raises(errors.OptionError, match="write over"):
        _core.avg_pool2d_gradient(bench.plan, x, x, **options)
    for taps, dy in ((y, x), (x, y)):
        with pytest.raises(errors.OptionError, match="write over"):
            _core.max_pool2d_gradient(bench.plan, taps, dy, x, **options)
    for taps in (x, y):
        with pytest.raises(errors.OptionError, match="a tensor of their own"):
            _core.max_pool2d(bench.plan, x, y, taps=taps, **options)


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_the_slope_of_relu_before_is_applied_in_the_same_pass(shape: Any, size: Any, stride: Any, padding: Any):
    before, dy = inputs(shape, size, stride, padding)
    before[..., : shape[3] // 2] -= 1.0  # windows whose maximum is 0
    x = np.maximum(before, 0)
    bench = Bench()
    options = {"size": size, "stride": stride, "padding": padding}
    a, d = bench.put(x), bench.put(dy)
    y, taps, joined, apart = bench.out(dy.shape), bench.out(dy.shape), bench.out(x.shape), bench.out(x.shape)
    for relu, dx in ((True, joined), (False, apart)):
        _core.max_pool2d(bench.plan, a, y, taps=taps, relu=relu, **options)
        _core.max_pool2d_gradient(bench.plan, taps, d, dx, **options)
    _core.activate_gradient(bench.plan, None, a, apart, apart, "relu")
    bench.run()
    np.testing.assert_array_equal(bench.get(joined), bench.get(apart))


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_the_maxima_are_the_same_bits_whether_taps_are_kept_or_not(shape: Any, size: Any, stride: Any, padding: Any):
    x, dy = inputs(shape, size, stride, padding)
    rng = np.random.default_rng(1)
    x[rng.random(x.shape) < 0.3] = -0.0
    x[rng.random(x.shape) < 0.05] = np.nan
    bench = Bench()
    a, alone, kept, taps = bench.put(x), bench.out(dy.shape), bench.out(dy.shape), bench.out(dy.shape)
    _core.max_pool2d(bench.plan, a, alone, size=size, stride=stride, padding=padding)
    _core.max_pool2d(bench.plan, a, kept, taps=taps, size=size, stride=stride, padding=padding)
    bench.run()
    np.testing.assert_array_equal(bench.get(alone).view(np.int32), bench.get(kept).view(np.int32))


def test_taps_of_another_window_write_nothing_outside() -> None:
    bench = Bench()
    taps = bench.put(np.full((1, 1, 2, 1), 500_000_000, np.int32))
    dy, dx = bench.put(np.ones((1, 1, 2, 1))), bench.out((1, 1, 16, 8))
    _core.max_pool2d_gradient(bench.plan, taps, dy, dx, size=(8, 8), stride=(8, 8))
    bench.run()
    np.testing.assert_array_equal(bench.get(dx), np.zeros((1, 1, 16, 8)))
