"""Tensor4D: operators with broadcasting, comparisons and functions of one element, against NumPy in float64."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import DtypeError, OptionError, ShapeError, StateError
from tests.core.harness import ulps, with_threads

Tensor4D = _core.Tensor4D

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
NAN, INF = np.nan, np.inf
SPECIAL = np.array([0.0, -0.0, 1, -1, 2.5, -2.5, 1e-45, -1e-45, 1e38, -1e38, INF, -INF, NAN], np.float32)


def numbers(*shape, seed=0, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, size=shape).astype(np.float32)


@st.composite
def pairs(draw):
    """Two shapes that broadcast."""
    shape = draw(st.tuples(*[st.sampled_from([0, 1, 2, 3, 5, 9, 33])] * 4))
    return [tuple(draw(st.sampled_from([1, length])) for length in shape) for _ in range(2)]


# Known values


def test_known_values():
    a, b = Tensor4D([[1, 2], [3, 4]]), Tensor4D([10, 20])
    assert (a + b).equals([[11, 22], [13, 24]])
    assert (b - a).equals([[9, 18], [7, 16]])
    assert (a * b).equals([[10, 40], [30, 80]])
    assert (b / a).equals([[10, 10], [np.float32(10 / 3), 5]])
    assert (a**2).equals([[1, 4], [9, 16]])
    assert (2**a).equals([[2, 4], [8, 16]])
    assert (-a).equals([[-1, -2], [-3, -4]])
    assert abs(-a).equals(a)
    assert (+a).equals(a)


def test_numbers_on_either_side():
    a = Tensor4D([1, 2])
    assert (a + 1).equals([2, 3])
    assert (1 - a).equals([0, -1])
    assert (True * a).equals(a)
    assert (np.float32(2) * a).equals([2, 4])
    assert (np.float64(2) / a).equals([2, 1])
    assert (a - np.int64(2)).equals([-1, 0])
    assert (a * 10**400).equals([INF, INF])


def test_sequences_and_arrays_on_either_side():
    a = Tensor4D([[1, 2], [3, 4]])
    for other in [[10, 20], (10, 20), np.array([10, 20]), np.array([10.0, 20.0], np.float32), np.array([[10, 20]])]:
        for left, right in [(a, other), (other, a)]:
            result = left - right
            assert isinstance(result, Tensor4D)
            assert abs(result).equals([[9, 18], [7, 16]])


def test_numpys_functions_take_tensors():
    a = Tensor4D([[1, 2], [3, 4]])
    array = np.ones((1, 1, 2, 2), np.float32)
    array += a
    np.testing.assert_array_equal(array[0, 0], [[2, 3], [4, 5]])
    assert isinstance(np.add(array, a), Tensor4D)
    assert isinstance(np.exp(a), np.ndarray)
    np.testing.assert_array_equal(np.maximum(a, 2)[0, 0], [[2, 2], [3, 4]])
    np.testing.assert_array_equal(np.less(array, a), array < np.asarray(a))
    np.add(array, 1, out=a)
    np.testing.assert_array_equal(np.add.reduce(a, axis=3)[0, 0], [7, 11])
    with pytest.raises(DtypeError):
        np.array([None], object) + a


# NumPy reference


@given(pairs(), st.sampled_from(ARITHMETIC))
@settings(max_examples=300, deadline=None)
def test_arithmetic_is_numpys(shapes, op):
    a, b = numbers(*shapes[0]), numbers(*shapes[1], seed=1)
    with np.errstate(all="ignore"):
        expected = op(a, b)
    for left, right in [(Tensor4D(a), Tensor4D(b)), (Tensor4D(a), b), (a, Tensor4D(b))]:
        result = op(left, right)
        assert isinstance(result, Tensor4D)
        assert result.shape == expected.shape
        np.testing.assert_array_equal(np.asarray(result), expected)


@given(pairs(), st.sampled_from(COMPARISONS))
@settings(max_examples=300, deadline=None)
def test_comparisons_are_numpys(shapes, op):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-1, 2, size=shape).astype(np.float32) for shape in shapes)
    expected = op(a, b)
    for left, right in [(Tensor4D(a), Tensor4D(b)), (Tensor4D(a), b), (a, Tensor4D(b))]:
        result = op(left, right)
        assert type(result) is np.ndarray
        assert result.dtype == bool
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS, operator.pow])
def test_special_values(op):
    a, b = SPECIAL.reshape(-1, 1), SPECIAL
    with np.errstate(all="ignore"):
        expected = op(a.astype(np.float64), b.astype(np.float64)) if op is operator.pow else op(a, b)
        expected = expected.astype(bool if op in COMPARISONS else np.float32)
    result = np.asarray(op(Tensor4D(a), Tensor4D(b)))[0, 0]
    if op is operator.pow:  # powers that are neither 0, 1 nor infinite may be off by 4 ulp
        inexact = np.isfinite(expected) & ~np.isin(expected, [-1, 0, 1])
        assert ulps(result[inexact], expected[inexact].astype(np.float64)).max() < 4
        result = np.where(inexact, expected, result)
    np.testing.assert_array_equal(result, expected)
    sure = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[sure]), np.signbit(expected[sure]))


@pytest.mark.parametrize("size", [1, 7, 8, 31, 32, 33, 16383, 16385, 100_003])
def test_tails_and_tiles(size):
    a, b = numbers(size), numbers(size, seed=1)
    for op in [*ARITHMETIC, *COMPARISONS]:
        np.testing.assert_array_equal(np.asarray(op(Tensor4D(a), Tensor4D(b))).ravel(), op(a, b))
        np.testing.assert_array_equal(np.asarray(op(Tensor4D(a), 0.5)).ravel(), op(a, np.float32(0.5)))
        np.testing.assert_array_equal(np.asarray(op(0.5, Tensor4D(a))).ravel(), op(np.float32(0.5), a))


def test_results_do_not_depend_on_threads():
    a, row, column = numbers(3, 5, 70, 130), numbers(1, 1, 1, 130, seed=1), numbers(1, 5, 70, 1, seed=2)

    def results():
        t = Tensor4D(a)
        return {
            "add": t + row,
            "divide": column / t,
            "power": abs(t) ** Tensor4D(row),
            "less": t < column,
            "clip": t.clip(-1, 1),
            "exp": t.exp(),
        }

    found = with_threads(results)
    np.testing.assert_array_equal(np.asarray(found["add"]), a + row)
    np.testing.assert_array_equal(np.asarray(found["divide"]), column / a)
    np.testing.assert_array_equal(found["less"], a < column)


# Powers


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (2, lambda x: x * x),
        (3, lambda x: x * x * x),
        (-1, lambda x: 1 / x),
        (0.5, np.sqrt),
        (1, lambda x: x),
        (0, np.ones_like),
    ],
)
def test_powers_that_people_write_are_exact(exponent, expected):
    x = numbers(1001, low=0.0)
    np.testing.assert_array_equal(np.asarray(Tensor4D(x) ** exponent).ravel(), expected(x))
    tensor = Tensor4D(x)
    tensor **= exponent
    np.testing.assert_array_equal(np.asarray(tensor).ravel(), expected(x))


def test_powers_against_float64():
    rng = np.random.default_rng(0)
    for x, y in [
        (np.exp(rng.uniform(-80, 80, 100_000)), rng.uniform(-3, 3, 100_000)),
        (rng.uniform(0.99, 1.01, 100_000), rng.uniform(-5000, 5000, 100_000)),
        (-rng.uniform(0, 30, 100_000), np.round(rng.uniform(-30, 30, 100_000))),
        (10.0 ** rng.uniform(-45, -38, 100_000), rng.uniform(-1, 1, 100_000)),
    ]:
        x, y = x.astype(np.float32), y.astype(np.float32)
        with np.errstate(all="ignore"):
            expected = x.astype(np.float64) ** y.astype(np.float64)
        errors = ulps(np.asarray(Tensor4D(x) ** Tensor4D(y)).ravel(), expected)
        assert errors.max() < 4
        with np.errstate(all="ignore"):
            moderate = np.abs(np.log2(np.abs(expected))) < 32
        assert moderate.sum() > 1000
        assert errors[moderate].max() < 1.5
    errors = ulps(np.asarray(Tensor4D(x) ** 1.7).ravel(), x.astype(np.float64) ** np.float64(np.float32(1.7)))
    assert errors.max() < 4


def test_a_modulus_is_refused():
    with pytest.raises(TypeError):
        pow(Tensor4D([1]), 2, 3)


# In place


@pytest.mark.parametrize(("op", "plain"), list(zip(IN_PLACE, ARITHMETIC, strict=True)))
def test_in_place(op, plain):
    a, b = numbers(3, 4), numbers(1, 4, seed=1)
    for other, value in [(Tensor4D(b), b), (b, b), (b.astype(np.float64), b), (2.5, np.float32(2.5))]:
        tensor = Tensor4D(a)
        view = np.asarray(tensor)
        assert op(tensor, other) is tensor
        np.testing.assert_array_equal(view[0, 0], plain(a, value))


def test_in_place_keeps_the_shape():
    small = Tensor4D([1, 2])
    with pytest.raises(ShapeError, match="cannot hold"):
        small += Tensor4D([[1, 2], [3, 4]])
    with pytest.raises(ShapeError):
        small **= Tensor4D([[1, 2], [3, 4]])
    assert small.equals([1, 2])


def test_in_place_on_its_own_memory():
    a = numbers(4, 4)
    tensor = Tensor4D(a)
    tensor += tensor
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], a + a)
    tensor = Tensor4D(a)
    tensor -= Tensor4D.wrap(np.asarray(tensor)[0, 0, :1])
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], a - a[:1])
    tensor = Tensor4D(a)
    tensor *= np.asarray(tensor)[..., ::-1]
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], a * a[:, ::-1])
    tensor = Tensor4D(a)
    tensor /= tensor
    assert tensor.equals(np.ones((4, 4)))


def test_read_only_tensors_are_not_written():
    values = numbers(3)
    values.flags.writeable = False
    tensor = Tensor4D.wrap(values)
    for op in [*IN_PLACE, operator.ipow]:
        for other in [2, 3, 0.5, -1, 1, 1.7, Tensor4D([1, 2, 3])]:
            with pytest.raises(StateError, match="read-only"):
                op(tensor, other)
    assert (tensor + 1).size == 3


# One bool


def test_equals():
    a = Tensor4D([[1, 2], [3, 4]])
    assert a.equals(a)
    assert a.equals([[1, 2], [3, 4]])
    assert a.equals(np.array([[1, 2], [3, 4]]))
    assert not a.equals([1, 2, 3, 4])
    assert not a.equals(a[..., :1])
    assert not a.equals([[1, 2], [3, 5]])
    assert not a.equals("no")
    assert not a.equals(None)
    assert not Tensor4D([NAN]).equals([NAN])
    assert Tensor4D([0.0]).equals([-0.0])
    assert Tensor4D.zeros((0, 3)).equals(np.zeros((0, 3)))
    long = Tensor4D.zeros(100_000)
    other = long.copy()
    other[..., -1] = 1
    assert long.equals(long.copy())
    assert not long.equals(other)


def test_equality_with_anything_else_is_false():
    tensor = Tensor4D([1])
    for other in [None, "a", object(), {}]:
        assert (tensor == other) is False
        assert (tensor != other) is True
        for op in [operator.lt, operator.ge, operator.add, operator.truediv, operator.pow]:
            with pytest.raises(TypeError):
                op(tensor, other)
            with pytest.raises(TypeError):
                op(other, tensor)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e30])
def test_allclose(scale):
    rng = np.random.default_rng(0)
    for spread in [1e-7, 1e-6, 9e-6, 1.1e-5, 1e-3]:
        a = (rng.normal(size=1000) * scale).astype(np.float32)
        b = (a * (1 + rng.uniform(-spread, spread, 1000))).astype(np.float32)
        assert Tensor4D(a).allclose(b) == np.allclose(a, b)
        assert Tensor4D(a).allclose(b, 1e-3, 0) == np.allclose(a, b, 1e-3, 0)
        assert Tensor4D(a).allclose(b, rtol=0, atol=1e-6) == np.allclose(a, b, 0, 1e-6)


def test_allclose_at_special_values():
    for a, b in [(INF, INF), (INF, -INF), (INF, 1), (1, INF), (NAN, NAN), (NAN, 1), (0, 1e-9), (0, 1e-7)]:
        assert Tensor4D(a).allclose(b) == np.allclose(np.float32(a), np.float32(b)), (a, b)
    assert Tensor4D.zeros((2, 0)).allclose(Tensor4D.ones((2, 0)))
    assert Tensor4D.ones((3, 4)).allclose([1, 1, 1, 1])
    with pytest.raises(ShapeError):
        Tensor4D.ones((3, 4)).allclose([1, 1, 1])
    with pytest.raises(DtypeError):
        Tensor4D.ones(3).allclose(None)
    with pytest.raises(DtypeError):
        Tensor4D.ones(3).allclose(1, rtol="a")


# Functions of one element


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("exp", np.exp),
        ("log", np.log),
        ("sqrt", np.sqrt),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("relu", lambda x: np.where(x < 0, 0, x)),
    ],
)
@pytest.mark.parametrize("shape", [(0, 3), (1,), (13,), (3, 5, 7, 11), (5, 8, 50, 50)])
def test_functions(name, exact, shape):
    x = numbers(*shape, low=-20, high=20)
    x.reshape(-1)[: SPECIAL.size] = SPECIAL[: x.size]
    tensor = Tensor4D(x)
    with np.errstate(all="ignore"):
        expected = exact(x.astype(np.float64))
    result = np.asarray(getattr(tensor, name)()).reshape(shape)
    assert ulps(result, expected).max(initial=0) <= 4
    np.testing.assert_array_equal(np.asarray(tensor).reshape(shape), x)


def test_sign_functions():
    x = np.concatenate([SPECIAL, numbers(1000)])
    np.testing.assert_array_equal(np.asarray(-Tensor4D(x)).ravel().view(np.int32), (-x).view(np.int32))
    np.testing.assert_array_equal(np.asarray(abs(Tensor4D(x))).ravel().view(np.int32), np.abs(x).view(np.int32))


def test_clip():
    x = np.concatenate([SPECIAL, numbers(1000)])
    for low, high in [(-1, 1), (None, 0.5), (0.25, None), (None, None), (1, 1), (-INF, INF)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.clip(x, -INF if low is None else low, INF if high is None else high)
        np.testing.assert_array_equal(np.asarray(Tensor4D(x).clip(low, high)).ravel(), expected)
    for low, high in [(1, 0), (NAN, 1), (0, NAN)]:
        with pytest.raises(OptionError):
            Tensor4D(x).clip(low, high)
    with pytest.raises(DtypeError):
        Tensor4D(x).clip("a")


def test_map():
    assert Tensor4D([[1, 2], [3, 4]]).map(lambda x: x * x + 1).equals([[2, 5], [10, 17]])
    assert Tensor4D.zeros((0, 2)).map(lambda x: x).shape == (1, 1, 0, 2)
    with pytest.raises(ZeroDivisionError):
        Tensor4D([0]).map(lambda x: 1 / x)
    with pytest.raises(DtypeError):
        Tensor4D([0]).map(lambda x: None)
    with pytest.raises(DtypeError):
        Tensor4D([0]).map(3)


# Refusals


def test_shapes_that_do_not_broadcast():
    a, b = Tensor4D.zeros((2, 3)), Tensor4D.zeros((2, 4))
    for op in [*ARITHMETIC, *COMPARISONS, operator.pow, *IN_PLACE, operator.ipow]:
        with pytest.raises(ShapeError, match=r"\(1, 1, 2, 3\)"):
            op(a, b)


def test_what_cannot_be_calculated_with():
    a = Tensor4D.zeros((2, 3))
    for other in [np.array(["a"]), np.zeros(3, complex), [[1, 2], [3]], [None], np.zeros((1,) * 5)]:
        for op in [operator.add, operator.lt, operator.iadd, operator.pow]:
            with pytest.raises((DtypeError, ShapeError)):
                op(a, other)


def test_the_result_may_be_larger_than_memory():
    a = Tensor4D.wrap(np.zeros((1, 1, 1, 2**22), np.float32))
    with pytest.raises(MemoryError):
        a.reshape(2**22, 1, 1, 1) + a + a.reshape(1, 2**22, 1, 1)


def test_tensors_have_no_hash():
    with pytest.raises(TypeError):
        hash(Tensor4D.zeros(1))
