"""Convolutions and their gradients against their float64 twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import OptionError, ShapeError
from tests import reference
from tests.core.harness import Bench, close, with_threads


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def output_shape(x, weight, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    reach = [x.shape[2 + i] + sum(padding[i]) - dilation[i] * (weight.shape[2 + i] - 1) - 1 for i in range(2)]
    return x.shape[0], weight.shape[0], reach[0] // stride[0] + 1, reach[1] // stride[1] + 1


def convolve(x, weight, bias=None, activation="linear", alpha=0.0, **options):
    """The kernel's forward result."""
    bench = Bench()
    y = bench.out(output_shape(x, weight, **options))
    slot = None if bias is None else bench.put(bias)
    _core.conv2d(
        bench.plan, bench.put(x), bench.put(weight), y, bias=slot, activation=activation, alpha=alpha, **options
    )
    return bench.run().get(y)


def gradients(x, weight, dy, **options):
    """The kernels' dx, dweight and dbias."""
    bench = Bench()
    x_slot, weight_slot, dy_slot = bench.put(x), bench.put(weight), bench.put(dy)
    dx, dweight, dbias = bench.out(x.shape), bench.out(weight.shape), bench.out((weight.shape[0],))
    _core.conv2d_input_gradient(bench.plan, dy_slot, weight_slot, dx, **options)
    _core.conv2d_weight_gradient(bench.plan, x_slot, dy_slot, dweight, dbias=dbias, **options)
    bench.run()
    return bench.get(dx), bench.get(dweight), bench.get(dbias).reshape(-1)


def gradient_by_weights(x, weight, dy, **options):
    """The kernels' dweight where there is no bias."""
    bench = Bench()
    dweight = bench.out(weight.shape)
    _core.conv2d_weight_gradient(bench.plan, bench.put(x), bench.put(dy), dweight, **options)
    return bench.run().get(dweight)


def check(rng, x_shape, weight_shape, activation="linear", **options):
    """Compare forward and gradients of random numbers with the twins."""
    x, weight, bias = normal(rng, *x_shape), normal(rng, *weight_shape), normal(rng, weight_shape[0])
    y = convolve(x, weight, bias, activation=activation, alpha=0.2, **options)
    close(y, *reference.conv2d(x, weight, bias=bias, activation=activation, alpha=0.2, **options))
    dy = normal(rng, *y.shape)
    dx, dweight, dbias = gradients(x, weight, dy, **options)
    close(dx, *reference.conv2d_input_gradient(dy, weight, x.shape, **options))
    expected_weight, expected_bias, weight_terms, bias_terms = reference.conv2d_weight_gradient(
        x, dy, weight.shape[2:], **options
    )
    close(dweight, expected_weight, weight_terms)
    close(gradient_by_weights(x, weight, dy, **options), expected_weight, weight_terms)
    close(dbias, expected_bias, bias_terms)


# ---- known values


def test_a_window_of_four():
    x = np.arange(9).reshape(1, 1, 3, 3)
    weight = np.array([1, 10, 100, 1000]).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(convolve(x, weight)[0, 0], [[4310, 5421], [7643, 8754]])


def test_padding_is_zeros_and_each_side_its_own():
    x = np.array([[1, 2], [3, 4]]).reshape(1, 1, 2, 2)
    weight = np.array([1, 10]).reshape(1, 1, 1, 2)
    y = convolve(x, weight, padding=((0, 1), (2, 1)))
    np.testing.assert_array_equal(y[0, 0], [[0, 10, 21, 2], [0, 30, 43, 4], [0, 0, 0, 0]])


def test_stride_dilation_and_bias():
    x = np.arange(25).reshape(1, 1, 5, 5)
    weight = np.array([1, 100]).reshape(1, 1, 1, 2)
    y = convolve(x, weight, np.array([0.5]), stride=(2, 1), dilation=(1, 3))
    np.testing.assert_array_equal(y[0, 0], [[300.5, 401.5], [1310.5, 1411.5], [2320.5, 2421.5]])


def test_groups_know_nothing_of_each_other():
    x = np.stack([np.ones((2, 2)), np.full((2, 2), 10)])[None]
    weight = np.array([1, 2, 3, 4]).reshape(4, 1, 1, 1)
    y = convolve(x, weight, groups=2)
    np.testing.assert_array_equal(y[0, :, 0, 0], [1, 2, 30, 40])


def test_gradients_of_a_window_of_four():
    x = np.arange(9).reshape(1, 1, 3, 3)
    weight = np.array([1, 10, 100, 1000]).reshape(1, 1, 2, 2)
    dy = np.array([[1, 2], [0, 1]]).reshape(1, 1, 2, 2)
    dx, dweight, dbias = gradients(x, weight, dy)
    np.testing.assert_array_equal(dx[0, 0], [[1, 12, 20], [100, 1201, 2010], [0, 100, 1000]])
    np.testing.assert_array_equal(dweight[0, 0], [[0 + 2 + 4, 1 + 4 + 5], [3 + 8 + 7, 4 + 10 + 8]])
    np.testing.assert_array_equal(dbias, [4])


# ---- reference

SAME = ((1, 1), (1, 1))


CASES = [
    ((2, 1, 28, 28), (18, 1, 3, 3), {}),
    ((3, 18, 13, 13), (20, 18, 3, 3), {}),
    ((2, 3, 32, 32), (32, 3, 3, 3), {"padding": SAME}),
    ((2, 64, 16, 16), (40, 64, 3, 3), {"padding": SAME}),
    ((1, 128, 8, 8), (50, 128, 3, 3), {"padding": SAME}),
    ((2, 40, 9, 9), (24, 40, 1, 1), {}),
    ((1, 1024, 4, 4), (30, 1024, 1, 1), {}),
    ((1, 1024, 9, 9), (7, 1024, 1, 1), {}),
    ((1, 2100, 9, 9), (7, 2100, 1, 1), {}),
    ((2, 5, 40, 40), (8, 5, 1, 1), {"stride": (2, 2)}),
    ((2, 16, 14, 14), (24, 16, 3, 3), {"stride": (2, 2), "padding": SAME}),
    ((1, 3, 50, 47), (10, 3, 7, 7), {"stride": (2, 3), "padding": ((3, 2), (1, 4))}),
    ((2, 6, 20, 20), (9, 2, 3, 3), {"groups": 3, "padding": SAME}),
    ((2, 32, 15, 15), (32, 1, 3, 3), {"groups": 32, "padding": SAME}),
    ((2, 8, 15, 15), (24, 1, 5, 5), {"groups": 8, "stride": (2, 2), "padding": ((2, 2), (2, 2))}),
    ((1, 4, 30, 30), (6, 4, 3, 3), {"dilation": (2, 3), "padding": ((2, 2), (3, 3))}),
    ((1, 4, 31, 30), (6, 4, 3, 4), {"dilation": (2, 3), "stride": (3, 2), "padding": ((2, 5), (3, 1))}),
    ((1, 4, 31, 30), (6, 4, 4, 4), {"dilation": (4, 6), "stride": (6, 4)}),
    ((1, 2, 12, 300), (3, 2, 3, 3), {"padding": SAME}),
    ((1, 2, 5, 700), (19, 2, 2, 3), {"stride": (1, 2)}),
    ((1, 7, 90, 80), (33, 7, 3, 3), {"padding": SAME}),
    ((40, 2, 4, 4), (3, 2, 3, 3), {"padding": SAME}),
    ((3, 5, 7, 6), (4, 5, 7, 6), {}),
    ((3, 5, 2, 2), (4, 5, 2, 2), {"padding": ((3, 3), (3, 3))}),
    ((2, 3, 9, 9), (4, 3, 2, 2), {"stride": (5, 3)}),
    ((2, 3, 1, 1), (4, 3, 1, 1), {}),
    ((2, 2, 20, 20), (3, 2, 17, 18), {"padding": SAME}),
    ((1, 16, 9, 150), (16, 16, 3, 5), {"padding": ((1, 1), (2, 2))}),
    ((1, 16, 11, 150), (31, 16, 3, 3), {"stride": (1, 2)}),
    # gradients of two phases side by side: runs longer than are collected, a phase without taps, groups
    ((2, 16, 9, 14), (5, 16, 3, 3), {"stride": (1, 2), "padding": SAME}),
    ((1, 40, 4, 600), (6, 40, 2, 3), {"stride": (2, 2), "padding": SAME}),
    ((2, 32, 8, 22), (9, 32, 1, 1), {"stride": (2, 2)}),
    ((2, 32, 8, 24), (10, 16, 3, 4), {"stride": (1, 2), "groups": 2, "padding": ((1, 1), (1, 2))}),
    ((2, 31, 20, 19), (48, 31, 3, 3), {"stride": (3, 3), "padding": SAME}),
    ((1, 30, 12, 12), (80, 30, 1, 1), {}),
    ((2, 32, 9, 10), (30, 16, 3, 3), {"groups": 2, "dilation": (2, 2), "padding": ((2, 2), (2, 2))}),
    ((2, 3, 70, 90), (3, 1, 7, 7), {"groups": 3, "padding": ((3, 3), (3, 3))}),
    # images joined to one row of pixels, and a rest of them; with groups
    ((5, 24, 30, 30), (34, 24, 1, 1), {}),
    ((70, 10, 6, 6), (40, 5, 1, 1), {"groups": 2}),
    # gradients by input of 1 x 1 with rows of padding: dy has more rows than x, before, behind and around it
    ((2, 64, 9, 9), (64, 64, 1, 1), {"padding": ((2, 1), (0, 0))}),
    ((2, 64, 9, 9), (64, 64, 1, 1), {"padding": ((0, 2), (0, 0))}),
    ((2, 64, 9, 9), (64, 64, 1, 1), {"padding": ((3, 0), (0, 0))}),
    # planes that collide in the cache, in two blocks of k; and a part of a panel after them, of a gradient by input
    ((1, 420, 8, 8), (100, 420, 1, 1), {}),
    ((16, 1100, 8, 8), (100, 1100, 1, 1), {}),
    ((1, 100, 9, 4), (130, 100, 1, 1), {"padding": ((4, 3), (0, 0))}),
    # a last block of k that is short
    ((2, 46, 9, 30), (7, 46, 3, 3), {}),
    ((2, 116, 5, 30), (7, 116, 3, 3), {}),
    # of whole planes, x is turned in the place of dy: several panels and a part, blocks of pixels, splits, groups
    ((6, 64, 16, 16), (128, 64, 1, 1), {}),
    ((3, 75, 23, 25), (150, 75, 1, 1), {}),
    ((3, 144, 9, 12), (200, 72, 1, 1), {"groups": 2}),
    # columns of taps outside the image: all of a tap's, all of a position's
    ((2, 8, 9, 3), (40, 8, 3, 7), {"padding": ((1, 1), (6, 6))}),
    ((2, 8, 9, 8), (20, 8, 3, 3), {"padding": ((1, 1), (9, 9)), "stride": (1, 2), "dilation": (1, 4)}),
    # rows of taps outside the image, at the ends of blocks of k; whole blocks of k outside
    ((2, 40, 5, 30), (32, 40, 3, 3), {"dilation": (3, 3), "padding": ((3, 3), (3, 3))}),
    ((1, 120, 5, 30), (32, 120, 3, 3), {"dilation": (3, 3), "padding": ((3, 3), (3, 3))}),
    ((1, 1, 1, 40), (32, 1, 3, 300), {"padding": ((1, 1), (150, 150))}),
    ((1, 1, 1, 40), (32, 1, 3, 1100), {"padding": ((1, 1), (550, 550))}),
    # depthwise 3 x 3 over several vectors and strips, turned in both axes by the gradient
    ((2, 3, 18, 37), (3, 1, 3, 3), {"groups": 3, "padding": ((0, 2), (2, 0))}),
    # a copy of more vectors than go side by side
    ((1, 2, 6, 200), (16, 2, 3, 3), {"padding": ((1, 1), (70, 70)), "dilation": (1, 20)}),
    ((2, 5, 17, 40), (5, 1, 5, 5), {"groups": 5, "stride": (2, 2), "padding": ((2, 2), (2, 2))}),
    ((2, 5, 17, 41), (5, 1, 3, 3), {"groups": 5, "stride": (3, 3), "dilation": (2, 1)}),
    # windows of more taps than a block of k of narrow vectors, and of any
    ((2, 3, 23, 40), (3, 1, 21, 21), {"groups": 3, "padding": ((10, 10), (10, 10))}),
    ((2, 3, 30, 40), (3, 1, 33, 33), {"groups": 3, "padding": ((16, 16), (16, 16))}),
    ((3, 5, 3, 35), (5, 1, 3, 3), {"groups": 5}),
    ((3, 5, 2, 33), (5, 1, 3, 3), {"groups": 5, "padding": ((2, 1), (0, 2))}),
    # two panels of filters, forward or of a gradient by input: groups, outputs with gaps between rows, between columns
    ((2, 112, 6, 11), (150, 56, 3, 5), {"groups": 2, "padding": ((1, 1), (2, 2))}),
    ((2, 70, 12, 11), (50, 70, 3, 5), {"stride": (2, 1), "padding": ((1, 1), (2, 2))}),
    ((2, 70, 6, 33), (50, 70, 3, 5), {"stride": (1, 3), "padding": SAME}),
    ((2, 60, 6, 21), (75, 60, 3, 5), {"stride": (1, 2), "padding": ((1, 1), (2, 2))}),
]


@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), CASES)
def test_against_reference(x_shape, weight_shape, options):
    check(np.random.default_rng(sum(x_shape)), x_shape, weight_shape, **options)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_activations(activation):
    check(np.random.default_rng(1), (2, 40, 9, 9), (7, 40, 3, 3), activation)
    check(np.random.default_rng(1), (2, 4, 9, 9), (7, 4, 3, 3), activation)
    check(np.random.default_rng(1), (2, 2, 20, 13), (9, 2, 3, 3), activation)
    check(np.random.default_rng(1), (2, 60, 6, 11), (60, 60, 3, 5), activation, padding=((1, 1), (2, 2)))


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    axes = []
    for _ in range(2):
        kernel, dilation, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
        low, high = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        least = max(1, dilation * (kernel - 1) + 1 - low - high)
        axes.append((draw(st.integers(least, least + 18)), kernel, stride, (low, high), dilation))
    (h, kh, sh, pad_h, dh), (w, kw, sw, pad_w, dw) = axes
    channels, filters = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    x_shape = (draw(st.integers(0, 3)), channels * groups, h, w)
    options = {"stride": (sh, sw), "padding": (pad_h, pad_w), "dilation": (dh, dw), "groups": groups}
    return draw(st.integers(0, 1000)), x_shape, (filters * groups, channels, kh, kw), options


@settings(max_examples=200, deadline=None)
@given(convolutions())
def test_any_shape_and_option(case):
    seed, x_shape, weight_shape, options = case
    check(np.random.default_rng(seed), x_shape, weight_shape, "relu", **options)


@pytest.mark.parametrize("filters", [1, 7, 8, 9, 15, 16, 17, 18, 24, 25, 31, 33, 40, 41, 48, 49])
@pytest.mark.parametrize("channels", [1, 2, 11])
def test_every_tail_of_filters_and_pixels(filters, channels):
    check(np.random.default_rng(filters), (2, channels, 7, 4 + filters % 5), (filters, channels, 3, 2))


def kernels(x_shape, weight_shape, **options):
    """The names of a convolution's kernels."""
    plan = _core.Plan(x_shape[0])
    y_shape = output_shape(np.empty(x_shape), np.empty(weight_shape), **options)
    x, weight, y = (plan.kept(shape) for shape in (x_shape, weight_shape, y_shape))
    _core.conv2d(plan, x, weight, y, **options)
    return [kernel for _, _, kernel, *_ in plan.listing()]


def takes_filters(*shapes, **options):
    """Whether filters lie in the lanes; vectors of 16 alone take two panels of them at once, and are alone asked."""
    return _core.instruction_set() != "avx512" or any("direct_filters" in name for name in kernels(*shapes, **options))


@pytest.mark.parametrize("filters", [49, 63, 64, 65, 112, 113, 130])
@pytest.mark.parametrize(
    ("rows", "width"), [(4, 5), (3, 6), (2, 10), (2, 11), (1, 22), (1, 34), (1, 65), (1, 68), (1, 97)]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": ((0, 0), (2, 2))}, {"stride": (1, 2), "padding": ((0, 0), (1, 1))}, {"dilation": (1, 2)}],
)
def test_every_tail_of_two_panels_of_filters(filters, rows, width, options):
    """Outputs of tiles of 5 and 6 pixels and of fewer, in several blocks of k, with pixels beside the image."""
    reach = 4 * options.get("dilation", (1, 1))[1] + 1
    padding = sum(options.get("padding", ((0, 0), (0, 0)))[1])
    columns = (width - 1) * options.get("stride", (1, 1))[1] + reach - padding
    x_shape, weight_shape = (2, 70, rows + 2, columns), (filters, 70, 3, 5)
    assert takes_filters(x_shape, weight_shape, **options)
    rng = np.random.default_rng(filters + width)
    x, weight, bias = normal(rng, *x_shape), normal(rng, *weight_shape), normal(rng, filters)
    y = convolve(x, weight, bias, "relu", **options)
    assert y.shape[2:] == (rows, width)
    close(y, *reference.conv2d(x, weight, bias=bias, activation="relu", **options))


def test_two_panels_of_filters_have_the_bits_of_one():
    rng = np.random.default_rng(5)
    x, weight = normal(rng, 2, 70, 9, 22), normal(rng, 75, 70, 3, 5)
    assert takes_filters(x.shape, weight.shape)
    both = convolve(x, weight)
    for first in (0, 32, 64):
        one = slice(first, first + 32)
        np.testing.assert_array_equal(convolve(x, weight[one]), both[:, one])


# ---- edges


def test_an_empty_batch():
    x, weight = np.zeros((0, 3, 8, 8), np.float32), np.ones((5, 3, 3, 3), np.float32)
    assert convolve(x, weight).shape == (0, 5, 6, 6)
    dx, dweight, dbias = gradients(x, weight, np.zeros((0, 5, 6, 6)))
    assert dx.shape == x.shape
    assert (dweight == 0).all()
    assert (dbias == 0).all()


def test_pixels_that_no_window_reaches_have_no_gradient():
    dx, _, _ = gradients(np.ones((1, 1, 8, 8)), np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), stride=(5, 5))
    expected = np.zeros((8, 8))
    expected[np.ix_([0, 1, 5, 6], [0, 1, 5, 6])] = 1
    np.testing.assert_array_equal(dx[0, 0], expected)


def test_values_beside_the_image_do_not_leak():
    """Infinities in one sample must not reach its neighbours in memory."""
    rng = np.random.default_rng(0)
    x, weight = normal(rng, 3, 4, 9, 9), normal(rng, 6, 4, 3, 3)
    for options in ({}, {"padding": SAME}, {"stride": (2, 2)}):
        clean = convolve(x, weight, **options)
        dirty = x.copy()
        dirty[0] = dirty[2] = np.inf
        np.testing.assert_array_equal(convolve(dirty, weight, **options)[1], clean[1])


# ---- bits


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((32, 1, 28, 28), (18, 1, 3, 3), {}),
        ((32, 18, 13, 13), (20, 18, 3, 3), {}),
        ((3, 32, 33, 33), (48, 32, 3, 3), {"padding": SAME, "stride": (2, 2)}),
        ((1, 64, 16, 16), (130, 64, 3, 3), {"padding": SAME}),
        ((5, 32, 20, 20), (32, 1, 3, 3), {"groups": 32, "padding": SAME}),
        ((9, 70, 12, 12), (130, 70, 1, 1), {}),
        ((2, 2, 4, 4), (3, 2, 3, 3), {}),
        ((3, 56, 9, 22), (60, 56, 3, 5), {"padding": ((1, 1), (2, 2))}),
    ],
)
def test_bits_do_not_depend_on_threads(x_shape, weight_shape, options):
    rng = np.random.default_rng(0)
    x, weight, bias = normal(rng, *x_shape), normal(rng, *weight_shape), normal(rng, weight_shape[0])
    dy = normal(rng, *output_shape(x, weight, **options))

    def results():
        dx, dweight, dbias = gradients(x, weight, dy, **options)
        y = convolve(x, weight, bias, "relu", **options)
        alone = gradient_by_weights(x, weight, dy, **options)
        return {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias, "dweight alone": alone}

    with_threads(results)


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((16, 18, 13, 13), (20, 18, 3, 3), {}),
        ((16, 64, 28, 28), (32, 64, 3, 3), {"padding": SAME}),
        ((16, 32, 17, 17), (32, 32, 3, 3), {"padding": SAME, "stride": (2, 2)}),
        ((16, 600, 7, 7), (64, 600, 1, 1), {}),
        ((16, 56, 9, 22), (60, 56, 3, 5), {"padding": ((1, 1), (2, 2))}),
    ],
)
def test_a_sample_alone_and_in_a_batch_are_the_same_bits(x_shape, weight_shape, options):
    rng = np.random.default_rng(3)
    x, weight, bias = normal(rng, *x_shape), normal(rng, *weight_shape), normal(rng, weight_shape[0])
    dy = normal(rng, *output_shape(x, weight, **options))
    whole, whole_dx = convolve(x, weight, bias, **options), gradients(x, weight, dy, **options)[0]
    for first, count in ((0, 1), (7, 1), (3, 2), (0, 5)):
        part = slice(first, first + count)
        np.testing.assert_array_equal(convolve(x[part], weight, bias, **options), whole[part])
        np.testing.assert_array_equal(gradients(x[part], weight, dy[part], **options)[0], whole_dx[part])


# ---- refusals


def slots(*shapes):
    plan = _core.Plan(1)
    return plan, [plan.tensor(shape) for shape in shapes]


def test_shapes_that_do_not_fit_are_refused():
    plan, (x, weight, y, bias) = slots((2, 3, 8, 8), (5, 3, 3, 3), (2, 5, 6, 6), (4,))
    _core.conv2d(plan, x, weight, y)
    with pytest.raises(ShapeError, match="bias of 5 filters"):
        _core.conv2d(plan, x, weight, y, bias=bias)
    with pytest.raises(ShapeError, match=r"\(2, 5, 8, 8\), not \(2, 5, 6, 6\)"):
        _core.conv2d(plan, x, weight, y, padding=SAME)
    with pytest.raises(ShapeError, match="take 3 channels a group"):
        _core.conv2d(plan, y, weight, y)
    with pytest.raises(ShapeError, match="larger than the image"):
        _core.conv2d(plan, x, weight, y, dilation=(4, 1))
    with pytest.raises(ShapeError, match="take 3 channels a group"):
        _core.conv2d_input_gradient(plan, x, weight, y)
    with pytest.raises(ShapeError, match="gradient by bias of 5 filters"):
        _core.conv2d_weight_gradient(plan, x, y, weight, dbias=bias)


@pytest.mark.parametrize(
    "options", [{"stride": (0, 1)}, {"dilation": (1, 0)}, {"padding": ((0, 0), (-1, 0))}, {"groups": 2}, {"groups": 0}]
)
def test_options_out_of_range_are_refused(options):
    plan, (x, weight, y) = slots((2, 3, 8, 8), (5, 3, 3, 3), (2, 5, 6, 6))
    with pytest.raises(OptionError):
        _core.conv2d(plan, x, weight, y, **options)
    assert plan.listing() == []


def test_an_output_that_is_an_input_is_refused():
    plan, (x, weight) = slots((1, 1, 4, 4), (1, 1, 1, 1))
    with pytest.raises(OptionError, match="share memory"):
        _core.conv2d(plan, x, weight, x)


def test_a_taps_gradient_leaves_out_what_it_does_not_read():
    """The last columns belong to the last taps alone, whatever else a vector of pixels reaches over."""
    rng = np.random.default_rng(5)
    for width in (3, 9, 20, 35):
        x, weight, dy = normal(rng, 2, 1, 9, width), normal(rng, 6, 1, 3, 3), normal(rng, 2, 6, 7, width - 2)
        clean = gradients(x, weight, dy)[1]
        x[..., -1] = np.inf
        dirty = gradients(x, weight, dy)[1]
        np.testing.assert_array_equal(dirty[..., :2], clean[..., :2])
        assert not np.isfinite(dirty[..., 2]).any()


# ---- which form


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "form"),
    [
        ((2, 32, 20, 20), (32, 32, 3, 3), {"stride": (2, 2)}, "conv2d_direct_filters"),
        ((2, 32, 20, 20), (18, 32, 3, 3), {"stride": (2, 2)}, "conv2d_direct_pixels"),
        ((2, 64, 16, 16), (128, 64, 1, 1), {}, "conv2d_direct_pixels"),
        ((2, 1, 20, 20), (32, 1, 3, 3), {}, "conv2d_direct_pixels"),
        ((2, 6, 20, 20), (6, 1, 3, 3), {"groups": 6}, "conv2d_depthwise"),
    ],
)
def test_the_form_is_in_the_name_and_the_same_for_any_batch(x_shape, weight_shape, options, form):
    for n in (1, 2, 64):
        assert form in kernels((n, *x_shape[1:]), weight_shape, **options)


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "form"),
    [
        ((2, 1, 28, 28), (32, 1, 3, 3), {}, "conv2d_weight_gradient_dots"),
        ((2, 3, 32, 32), (32, 3, 3, 3), {"padding": SAME}, "conv2d_weight_gradient_dots"),
        ((2, 3, 32, 32), (32, 3, 3, 3), {"padding": SAME, "stride": (2, 2)}, "conv2d_weight_gradient"),
        ((2, 40, 9, 9), (24, 40, 1, 1), {}, "conv2d_weight_gradient_dots"),
        ((2, 200, 9, 9), (24, 200, 1, 1), {}, "conv2d_weight_gradient"),
        ((2, 64, 16, 16), (128, 64, 1, 1), {}, "conv2d_weight_gradient_swapped"),
        ((2, 64, 16, 16), (64, 64, 1, 1), {}, "conv2d_weight_gradient"),
    ],
)
def test_the_form_of_the_gradient_by_weights(x_shape, weight_shape, options, form):
    for n in (1, x_shape[0], 64):
        plan = _core.Plan(1)
        x, dweight = plan.tensor((n, *x_shape[1:])), plan.tensor(weight_shape)
        y = plan.tensor(output_shape(np.empty((n, *x_shape[1:])), np.empty(weight_shape), **options))
        _core.conv2d_weight_gradient(plan, x, y, dweight, **options)
        assert plan.listing()[0][2] == form


@pytest.mark.parametrize(
    ("groups", "kernel", "image"),
    [
        (2, (3, 3), (512, 512)),
        (2, (5, 5), (512, 512)),
        (2, (1, 3), (1, 1 << 18)),
        (2, (3, 1), (4000, 1)),
        (1, (1, 1), (512, 512)),
        (1, (3, 3), (512, 512)),
        (1, (1, 3), (1, 1 << 18)),
    ],
)
def test_gradients_of_large_planes_keep_their_digits(groups, kernel, image):
    grid = [size - side + 1 for size, side in zip(image, kernel, strict=True)]
    plan = _core.Plan(1)
    x, dy = plan.kept((1, 2, *image)), plan.kept((1, 2, *grid))
    dweight, dbias = plan.kept((2, 2 // groups, *kernel)), plan.kept((2,))
    _core.conv2d_weight_gradient(plan, x, dy, dweight, dbias=dbias, groups=groups)
    plan.seal()
    # Equal terms are rounded the same way again and again.
    np.asarray(plan.array(x))[...] = 0.7
    np.asarray(plan.array(dy))[...] = 1.3
    plan.run()
    slope = np.prod(grid) * np.float64(np.float32(1.3))
    np.testing.assert_allclose(np.asarray(plan.array(dweight)), slope * np.float64(np.float32(0.7)), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(plan.array(dbias)), slope, rtol=1e-5)
