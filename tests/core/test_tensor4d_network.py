"""Tensor4D: products of matrices, convolutions, pooling, softmax and random numbers, against their float64 twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import DtypeError, OptionError, ShapeError
from tests import reference
from tests.core.harness import close, with_threads

Tensor4D = _core.Tensor4D


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Products of matrices


def test_a_product():
    a, b = Tensor4D([[1, 2], [3, 4], [5, 6]]), Tensor4D([[1, 0, 2], [0, 1, 3]])
    expected = [[1, 2, 8], [3, 4, 18], [5, 6, 28]]
    assert (a @ b).equals(expected)
    assert a.matmul(b).equals(expected)
    assert a.matmul([[1, 0, 2], [0, 1, 3]]).equals(expected)
    assert (np.array([[1, 2], [3, 4], [5, 6]]) @ b).equals(expected)
    assert ([[1, 2], [3, 4], [5, 6]] @ b).equals(expected)


@st.composite
def matrices(draw):
    m, k, n = (draw(st.sampled_from([0, 1, 2, 5, 16, 33, 70])) for _ in range(3))
    outer = draw(st.tuples(*[st.sampled_from([1, 2, 3])] * 2))
    shapes = [[draw(st.sampled_from([1, length])) for length in outer] for _ in range(2)]
    return (*shapes[0], m, k), (*shapes[1], k, n)


@given(matrices(), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_products_broadcast(shapes, seed):
    a, b = numbers(*shapes[0], seed=seed), numbers(*shapes[1], seed=seed + 1)
    result = Tensor4D(a) @ Tensor4D(b)
    wide = [x.astype(np.float64) for x in (a, b)]
    assert result.shape == (wide[0] @ wide[1]).shape
    close(np.asarray(result), wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]))


def test_products_do_not_depend_on_threads():
    a, b = numbers(2, 3, 130, 140), numbers(2, 3, 140, 150, seed=1)
    with_threads(lambda: {"each": Tensor4D(a) @ Tensor4D(b), "tall": Tensor4D(a) @ Tensor4D(b[:1, :1])})
    close(np.asarray(Tensor4D(a) @ b), a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b))


def test_products_of_short_chains_that_begin_anywhere_in_a_line():
    a, b = numbers(2, 3, 35, 9), numbers(2, 3, 9, 676, seed=1)
    with_threads(lambda: {"each": Tensor4D(a) @ Tensor4D(b), "odd": Tensor4D(a[:, :, :25]) @ Tensor4D(b[..., :669])})
    close(np.asarray(Tensor4D(a) @ b), a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b))


@pytest.mark.parametrize(("m", "n", "k"), [(520, 40, 410), (1024, 130, 800), (600, 33, 256), (1030, 1024, 420)])
def test_large_products(m, n, k):
    rng = np.random.default_rng(m)
    a = rng.standard_normal((1, 1, m, k)).astype(np.float32)
    b = rng.standard_normal((1, 1, k, n)).astype(np.float32)
    result = with_threads(lambda: {"product": Tensor4D(a) @ Tensor4D(b)})["product"]
    wide = a.astype(np.float64), b.astype(np.float64)
    close(np.asarray(result), wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]))


def test_products_that_are_refused():
    a = Tensor4D.zeros((2, 3, 4, 5))
    with pytest.raises(ShapeError, match=r"a vector at the right is a column, reshape\(1, 1, 5, 1\)"):
        a @ np.zeros(5)
    for other in [Tensor4D.zeros((2, 3, 4, 5)), np.zeros((3, 1, 5, 2)), [1, 2]]:
        with pytest.raises(ShapeError, match=r"\(2, 3, 4, 5\)"):
            a @ other
    for other in [2, 2.5, None, "a"]:
        with pytest.raises(TypeError):
            a @ other
        with pytest.raises(DtypeError):
            a.matmul(other)


# Convolutions

WINDOWS = [
    {},
    {"strides": 2},
    {"strides": (2, 3), "padding": 1},
    {"padding": (2, 0)},
    {"padding": ((0, 1), (2, 3)), "dilation": (2, 1)},
    {"dilation": 2},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"padding": "valid"},
]


def doorway_options(options, shape, kernel):
    """Return the options as pairs, as the twins take them."""
    strides, dilation, padding = (
        options.get(name, default) for name, default in [("strides", 1), ("dilation", 1), ("padding", 0)]
    )
    strides, dilation = ((x, x) if isinstance(x, int) else x for x in (strides, dilation))
    if padding == "same":
        total = [
            max((-(-shape[2 + i] // strides[i]) - 1) * strides[i] + dilation[i] * (kernel[i] - 1) + 1 - shape[2 + i], 0)
            for i in range(2)
        ]
        padding = tuple((cells // 2, cells - cells // 2) for cells in total)
    elif padding == "valid":
        padding = ((0, 0), (0, 0))
    elif isinstance(padding, int):
        padding = ((padding, padding), (padding, padding))
    elif isinstance(padding[0], int):
        padding = tuple((cells, cells) for cells in padding)
    return {"stride": strides, "padding": padding, "dilation": dilation}


@pytest.mark.parametrize("options", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 4, 9, 8), (1, 2, 5, 7), (0, 2, 6, 6)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 3)])
def test_convolutions_and_columns(shape, kernel, options):
    x, weight, bias = numbers(*shape), numbers(6, shape[1], *kernel, seed=1), numbers(6, seed=2)
    as_pairs = doorway_options(options, shape, kernel)
    tensor = Tensor4D(x)
    result = tensor.conv2d(weight, bias, **options)
    expected, terms = reference.conv2d(x, weight, bias=bias, **as_pairs)
    assert result.shape == expected.shape
    close(np.asarray(result), expected, terms)

    columns = tensor.im2col(kernel, **options)
    np.testing.assert_array_equal(np.asarray(columns), reference.im2col(x, kernel, **as_pairs))
    product = Tensor4D(weight).reshape(1, 1, 6, weight[0].size) @ columns
    close(np.asarray(product).reshape(expected.shape) + bias.reshape(6, 1, 1), expected, terms)

    back = columns.col2im(shape, kernel, **options)
    close(
        np.asarray(back),
        *[reference.col2im(y, shape, kernel, **as_pairs) for y in (columns, np.abs(np.asarray(columns)))],
    )


def test_columns_in_the_order_of_the_matrix():
    x = Tensor4D(np.arange(9).reshape(1, 1, 3, 3))
    assert x.im2col(2).equals([[[[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]]])
    assert Tensor4D.ones((1, 1, 4, 4)).col2im((1, 1, 3, 3), 2).equals([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])


def test_groups():
    x, weight = numbers(2, 6, 8, 8), numbers(9, 2, 3, 3, seed=1)
    close(np.asarray(Tensor4D(x).conv2d(weight, groups=3)), *reference.conv2d(x, weight, groups=3))


def test_windows_do_not_depend_on_threads():
    x, weight = Tensor4D(numbers(8, 8, 33, 35)), Tensor4D(numbers(16, 8, 3, 3, seed=1))
    with_threads(
        lambda: {
            "conv2d": x.conv2d(weight, padding="same"),
            "im2col": x.im2col(3, padding=1),
            "col2im": x.im2col(3, padding=1).col2im(x.shape, 3, padding=1),
            "max_pool2d": x.max_pool2d(2),
            "softmax": x.softmax(),
        }
    )


@pytest.mark.parametrize("options", [(2,), (3, 1), (2, 2, "same"), ((3, 2), (2, 3), 1), (3, None, ((0, 1), (2, 1)))])
def test_max_pool2d(options):
    x = numbers(2, 3, 11, 10)
    x[0, 1, 4, 5] = np.nan
    size = (options[0],) * 2 if isinstance(options[0], int) else options[0]
    strides = options[1] if len(options) > 1 and options[1] else size
    padding = options[2] if len(options) > 2 else "valid"
    as_pairs = doorway_options({"strides": strides, "padding": padding}, x.shape, size)
    expected = reference.max_pool2d(x, size, as_pairs["stride"], as_pairs["padding"])
    np.testing.assert_array_equal(np.asarray(Tensor4D(x).max_pool2d(*options)), expected)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.conv2d(numbers(2, 3, 3, 3)), ShapeError),
        (lambda x: x.conv2d(numbers(2, 4, 9, 3)), ShapeError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), [1, 2, 3]), ShapeError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), groups=3), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), strides=0), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), dilation=(1, 2, 3)), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), padding=-1), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), padding="full"), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 3, 3), padding=2**40), OptionError),
        (lambda x: x.conv2d(numbers(2, 4, 0, 3)), OptionError),
        (lambda x: x.conv2d("weights"), DtypeError),
        (lambda x: x.im2col(9), ShapeError),
        (lambda x: x.im2col(1.5), OptionError),
        (lambda x: x.im2col(2**20, padding=2**20), MemoryError),
        (lambda x: x.col2im((2, 4, 6, 7), 3), ShapeError),
        (lambda x: x.col2im((2, 4, 6), 30), ShapeError),
        (lambda x: x.max_pool2d(9), ShapeError),
        (lambda x: x.max_pool2d(0), OptionError),
        (lambda x: x.max_pool2d(2, 2, 2), OptionError),
        (lambda x: x.max_pool2d(2, True), OptionError),
        (lambda x: x.softmax(4), OptionError),
        (lambda x: x.softmax(None), DtypeError),
        (lambda x: x.dropout_mask(0.5, 2**64), OptionError),
        (lambda x: Tensor4D.uniform((2, 3), seed=-1), OptionError),
        (lambda x: Tensor4D.normal((2, 3), seed=2**64), OptionError),
        (lambda x: x.dropout_mask(1.0, 0), OptionError),
        (lambda x: x.dropout_mask(-0.1, 0), OptionError),
        (lambda x: x.dropout_mask("a", 0), DtypeError),
        (lambda x: x.dropout_mask(0.5, 1.5), DtypeError),
        (lambda x: x.uniform(3, 2, 1), OptionError),
        (lambda x: x.uniform(3, "a"), DtypeError),
        (lambda x: x.uniform(3, seed="a"), DtypeError),
        (lambda x: x.normal(3, 0, -1), OptionError),
        (lambda x: x.normal(3, np.nan), OptionError),
        (lambda x: x.normal((-1,)), ShapeError),
    ],
)
def test_refusals(call, error):
    with pytest.raises(error):
        call(Tensor4D.zeros((2, 4, 6, 7)))


# Softmax


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (1, 1, 40, 1000), (7, 10, 1, 1), (0, 3, 1, 1), (3, 0, 2, 2), (1, 1, 1, 1)]
)
def test_softmax(shape, axis):
    x = 5 * numbers(*shape)
    moved = np.moveaxis(x.astype(np.float64), axis, -1)
    exponents = np.exp(moved - moved.max(-1, keepdims=True, initial=-np.inf)) if x.size else moved
    expected = np.moveaxis(exponents / exponents.sum(-1, keepdims=True), -1, axis) if x.size else x
    close(np.asarray(Tensor4D(x).softmax(axis)), expected)


def test_softmax_goes_over_channels():
    x = Tensor4D(numbers(2, 10, 1, 1))
    assert x.softmax().equals(x.softmax(1))
    assert (x * 1e4).softmax().sum(1).allclose(1)


# Random numbers


def test_dropout_masks():
    x = Tensor4D.zeros((20, 30, 10, 10))
    mask = x.dropout_mask(0.25, seed=3, step=7)
    kept = reference.dropout_mask(x.size, 0.25, 3, 0, 7).reshape(x.shape)
    np.testing.assert_array_equal(np.asarray(mask), np.where(kept, np.float32(1 / 0.75), np.float32(0)))
    assert mask.equals(x.dropout_mask(0.25, 3, 7))
    assert not mask.equals(x.dropout_mask(0.25, 3, 8))
    assert not mask.equals(x.dropout_mask(0.25, 4, 7))
    assert mask.mean() == pytest.approx(1, abs=0.01)
    assert x.dropout_mask(0, 1).equals(x + 1)


def test_uniform():
    x = Tensor4D.uniform((20, 30, 10, 10), -1, 3, seed=5)
    close(np.asarray(x).ravel(), reference.random_uniform(x.size, -1, 3, 5, 0, 0), 3.0, 1e-6)
    assert x.equals(Tensor4D.uniform((20, 30, 10, 10), -1, 3, seed=5))
    assert not Tensor4D.uniform(100).equals(Tensor4D.uniform(100))
    assert x.mean() == pytest.approx(1, abs=0.02)


def test_normal():
    x = Tensor4D.normal((20, 30, 10, 10), 2, 3, seed=5)
    close(np.asarray(x).ravel(), reference.random_normal(x.size, 2, 3, 5, 0, 0, False), 10.0, 1e-5)
    assert x.equals(Tensor4D.normal((20, 30, 10, 10), 2, 3, seed=5))
    assert not Tensor4D.normal(100).equals(Tensor4D.normal(100))
    assert (x.mean(), x.std()) == (pytest.approx(2, abs=0.05), pytest.approx(3, abs=0.05))
