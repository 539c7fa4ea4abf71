"""Matrix products and sums of rows against their float64 twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import OptionError, ShapeError
from tests import reference
from tests.core.harness import Bench, close, with_threads

FLAGS = [(False, False), (False, True), (True, False), (True, True)]


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def operands(rng, m, n, k, transpose_a, transpose_b):
    a = normal(rng, k, m) if transpose_a else normal(rng, m, k)
    b = normal(rng, n, k) if transpose_b else normal(rng, k, n)
    return a, b


def product(a, b, c=None, *, bias=None, **options):
    """The kernel's result for arrays; `c` is what C holds before, for accumulation."""
    bench = Bench()
    m = a.shape[1] if options.get("transpose_a") else a.shape[0]
    n = b.shape[0] if options.get("transpose_b") else b.shape[1]
    out = bench.out((m, n)) if c is None else bench.put(c)
    _core.gemm(
        bench.plan,
        bench.put(a),
        bench.put(b),
        out,
        bias=None if bias is None else bench.put(bias),
        accumulate=c is not None,
        **options,
    )
    return bench.run().get(out).reshape(m, n)


def check(a, b, c=None, **options):
    result = product(a, b, c, **options)
    expected, terms = reference.gemm(a, b, c, **options)
    # What an activation makes of a sum may be far larger than the sum's terms: sigmoid(0) is 0.5.
    close(result, expected, np.maximum(terms, np.abs(expected)))
    return result


# ---- known values


def test_two_by_two():
    result = product(np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]]))
    np.testing.assert_array_equal(result, [[19, 22], [43, 50]])


def test_transposes_of_two_by_three():
    a, b = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 0, 2], [0, 1, 3]])
    np.testing.assert_array_equal(product(a, b, transpose_b=True), [[7, 11], [16, 23]])
    np.testing.assert_array_equal(product(a, b, transpose_a=True), [[1, 4, 14], [2, 5, 19], [3, 6, 24]])
    np.testing.assert_array_equal(product(a, b.T, transpose_a=False), [[7, 11], [16, 23]])
    np.testing.assert_array_equal(
        product(a, b[:, :2].copy(), transpose_a=True, transpose_b=True), [[1, 4], [2, 5], [3, 6]]
    )


def test_bias_and_activation_by_hand():
    a, b = np.array([[1, -1]]), np.array([[2, 1, 0], [0, 3, 1]])  # product: 2, -2, -1
    np.testing.assert_array_equal(product(a, b, bias=np.array([1, 1, 1]), activation="relu"), [[3, 0, 0]])
    np.testing.assert_array_equal(
        product(a, b, bias=np.array([-4.0]), bias_axis="rows", activation="leaky_relu", alpha=0.5), [[-1, -3, -2.5]]
    )


# ---- reference


SHAPES = [
    (1, 1, 1),
    (6, 16, 400),
    (6, 32, 400),
    (12, 47, 31),
    (7, 17, 401),
    (13, 9, 850),
    (7, 17, 1041),  # a block of vectors of 16 and one more
    (13, 9, 2085),
    (64, 64, 64),
    (97, 131, 83),
    (5, 1000, 70),
    (40, 2048, 33),
    (129, 100, 1024),
    (1030, 70, 64),
    (400, 60, 20),
    # rows of b that collide in the cache, of short and long chains, in one block of k and in two
    (100, 160, 200),
    (100, 160, 300),
    (96, 256, 450),
    # short chains: rows of panels, more than one row of them, a part of a panel after them
    (24, 676, 9),
    (70, 301, 9),
    (15, 2500, 24),
    (15, 100, 25),
    (3, 3000, 1),
    # many rows that pass pairs of panels, in place and packed; they ask between steps for more than there is room for
    (500, 256, 801),
    (300, 256, 1100),
    (300, 512, 1060),
    # rows that pass strip by strip: a partial last strip, several tiles, a last panel of one column, blocks of k
    (529, 70, 401),
    (1030, 130, 900),
    (529, 70, 1060),
    (570, 130, 2090),
    (530, 1000, 1100),
    (513, 33, 256),
    # large ones, of which both operands are packed: parts of tiles and panels, one block of k and several
    (384, 384, 64),
    (385, 390, 67),
    (391, 433, 850),
]


@pytest.mark.parametrize(("transpose_a", "transpose_b"), FLAGS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_against_reference(m, n, k, transpose_a, transpose_b):
    rng = np.random.default_rng(m * 31 + n * 7 + k)
    a, b = operands(rng, m, n, k, transpose_a, transpose_b)
    check(a, b, bias=normal(rng, n), transpose_a=transpose_a, transpose_b=transpose_b)


@settings(max_examples=150, deadline=None)
@given(
    m=st.integers(0, 40),
    n=st.integers(0, 70),
    k=st.integers(0, 60),
    flags=st.sampled_from(FLAGS),
    bias_axis=st.sampled_from([None, "columns", "rows"]),
    activation=st.sampled_from(["linear", "relu", "leaky_relu", "sigmoid", "tanh"]),
    accumulate=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_option(m, n, k, flags, bias_axis, activation, accumulate, seed):
    rng = np.random.default_rng(seed)
    a, b = operands(rng, m, n, k, *flags)
    options = {"transpose_a": flags[0], "transpose_b": flags[1], "activation": activation, "alpha": 0.3}
    if bias_axis is not None:
        options |= {"bias": normal(rng, n if bias_axis == "columns" else m), "bias_axis": bias_axis}
    check(a, b, normal(rng, m, n) if accumulate else None, **options)


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (21, 37, 900),
        (529, 70, 420),
        (14, 100, 9),
        (9, 128, 12),
        (389, 393, 420),
        (3, 64, 401),
        (7, 96, 800),
        (27, 10, 402),
        (500, 256, 801),
        (515, 160, 401),
        (7, 96, 1100),
        (500, 256, 1041),
        (300, 512, 1060),
        (515, 160, 1050),
        # whole rows: sets of rows, in one part and in two; sets with c transposed
        (24, 676, 9),
        (35, 676, 24),
        (400, 60, 20),
    ],
)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), FLAGS)
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu", "sigmoid", "tanh"])
def test_finishing_after_several_blocks_of_k(m, n, k, transpose_a, transpose_b, accumulate, activation):
    rng = np.random.default_rng(5)
    a, b = operands(rng, m, n, k, transpose_a, transpose_b)
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b, "activation": activation, "alpha": 0.1}
    for bias_axis, length in (("columns", n), ("rows", m)):
        check(a, b, normal(rng, m, n) if accumulate else None, bias=normal(rng, length), bias_axis=bias_axis, **options)


def test_nan_and_infinity_pass_through():
    a, b = np.ones((7, 5), np.float32), np.ones((5, 20), np.float32)
    a[3, 2] = np.nan
    a[4, 1] = np.inf
    for activation in ("linear", "relu", "leaky_relu"):
        result = product(a, b, activation=activation)
        assert np.isnan(result[3]).all()
        assert np.isposinf(result[4]).all()
        assert (np.delete(result, (3, 4), 0) == 5).all()


def test_nan_and_zeros_sign_in_columns_that_pass_twice():
    """Whole rows, of which those that begin within a line of the cache pass some columns twice."""
    a, b = np.ones((24, 9), np.float32), np.ones((9, 676), np.float32)
    a[:, 1:] = 0
    b[0] = -0.0
    b[:, (3, 674)] = np.nan
    b[0, (5, 670)] = -np.inf
    for activation in ("linear", "leaky_relu"):
        result = product(a, b, activation=activation, alpha=0.5)
        assert np.isnan(result[:, (3, 674)]).all()
        assert np.isneginf(result[:, (5, 670)]).all()
        rest = np.delete(result, (3, 5, 670, 674), 1)
        assert (rest == 0).all()
        assert not np.signbit(rest).any()  # -0 added to 0


# ---- edges


@pytest.mark.parametrize(("transpose_a", "transpose_b"), FLAGS)
def test_no_k_gives_the_activated_bias(transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    a, b = operands(rng, 9, 20, 0, transpose_a, transpose_b)
    bias, c = normal(rng, 20), normal(rng, 9, 20)
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b, "activation": "relu"}
    np.testing.assert_array_equal(product(a, b, bias=bias, **options), np.tile(np.maximum(bias, 0), (9, 1)))
    np.testing.assert_array_equal(product(a, b, c, bias=bias, **options), np.maximum(c + bias, 0))


@pytest.mark.parametrize(("m", "n"), [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), FLAGS)
def test_empty_results(m, n, transpose_a, transpose_b):
    a, b = operands(np.random.default_rng(0), m, n, 3, transpose_a, transpose_b)
    assert product(a, b, transpose_a=transpose_a, transpose_b=transpose_b).shape == (m, n)


@pytest.mark.parametrize("k", [1, 9, 24])
@pytest.mark.parametrize("n", [*range(128, 194), 336, 340, 344, 383, 500, 512, 516, 676, 1020, 1028, 2050])
def test_short_chains_of_wide_rows(n, k):
    """Columns that fill no panel, rows that begin anywhere in a line, b in parts: as b stored by columns."""
    for m in (3, 7, 24, 35, 49):
        a, b = operands(np.random.default_rng(m + n + k), m, n, k, False, False)
        result = check(a, b)
        np.testing.assert_array_equal(result, product(a, np.ascontiguousarray(b.T), transpose_b=True))


@pytest.mark.parametrize("k", [1, 3, 4, 23, 33, 402])
@pytest.mark.parametrize("n", [1, 3, 10, 15, 16])
def test_few_columns_of_any_number_of_rows(n, k):
    """One vector of columns passes more rows at once than others do; each is what it is alone."""
    rng = np.random.default_rng(n + k)
    a, b = operands(rng, 46, n, k, False, False)
    bias = normal(rng, n)
    alone = np.vstack([product(row[np.newaxis], b, bias=bias) for row in a])
    for m in range(1, 47):
        np.testing.assert_array_equal(check(a[:m], b, bias=bias), alone[:m], err_msg=f"{m} rows")


@pytest.mark.parametrize("offset", range(17))
@pytest.mark.parametrize(("m", "n", "k"), [(24, 512, 9), (35, 676, 9), (48, 264, 24), (14, 640, 40), (5, 33, 7)])
def test_a_result_that_begins_anywhere_in_a_line(m, n, k, offset):
    a, b = operands(np.random.default_rng(offset), m, n, k, False, False)
    memory = np.full(16 + m * n + 17, 7, np.float32)
    line = -memory.ctypes.data // memory.itemsize % 16
    out = memory[line + offset :][: m * n]
    bench = Bench()
    c = bench.plan.bound(_core.Tensor4D.wrap(out.reshape(m, n, 1, 1)))
    _core.gemm(bench.plan, bench.put(a), bench.put(b), c)
    bench.run()
    np.testing.assert_array_equal(out.reshape(m, n), product(a, b))
    close(out.reshape(m, n), *reference.gemm(a, b))
    assert (memory[: line + offset] == 7).all()
    assert (memory[line + offset + m * n :] == 7).all()


def test_columns_beside_the_result_stay():
    """A row's tail must not be written over the next row, nor past the end."""
    rng = np.random.default_rng(3)
    for n in range(1, 34):
        a, b = operands(rng, 8, n, 4, False, True)
        bench = Bench()
        guard = bench.put(np.full((3, 16), 7.0))
        out = bench.out((8, n))
        after = bench.put(np.full((3, 16), 7.0))
        _core.gemm(bench.plan, bench.put(a), bench.put(b), out, transpose_b=True)
        bench.run()
        close(bench.get(out).reshape(8, n), *reference.gemm(a, b, transpose_b=True))
        assert (bench.get(guard) == 7).all()
        assert (bench.get(after) == 7).all()


# ---- bits


@pytest.mark.parametrize(("transpose_a", "transpose_b"), FLAGS)
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (12, 10, 30),
        (150, 200, 500),
        (32, 128, 784),
        (700, 33, 401),
        (400, 390, 450),
        (96, 676, 24),
        (500, 256, 801),
        (520, 256, 1050),
        (520, 720, 1060),
    ],
)
def test_bits_do_not_depend_on_threads(m, n, k, transpose_a, transpose_b):
    rng = np.random.default_rng(1)
    a, b = operands(rng, m, n, k, transpose_a, transpose_b)
    c, bias = normal(rng, m, n), normal(rng, n)
    with_threads(
        lambda: {
            "c": product(a, b, bias=bias, transpose_a=transpose_a, transpose_b=transpose_b, activation="relu"),
            "accumulated": product(a, b, c, transpose_a=transpose_a, transpose_b=transpose_b),
        }
    )


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(
    ("n", "k"), [(10, 128), (128, 784), (1000, 40), (100, 1024), (200, 20), (401, 450), (256, 801), (96, 1100)]
)
def test_a_row_alone_and_in_a_batch_are_the_same_bits(n, k, transpose_b):
    rng = np.random.default_rng(2)
    a, b = operands(rng, 600, n, k, False, transpose_b)
    bias = normal(rng, n)
    whole = product(a, b, bias=bias, transpose_b=transpose_b)
    # 300 rows go by strips where vectors are narrow, 600 everywhere; 600 rows and as many columns are packed there
    for rows in (1, 2, 3, 5, 6, 7, 8, 13, 32, 64, 100, 300, 500):
        part = product(a[:rows], b, bias=bias, transpose_b=transpose_b)
        np.testing.assert_array_equal(part, whole[:rows], err_msg=f"{rows} rows")
    np.testing.assert_array_equal(product(a[37:38], b, bias=bias, transpose_b=transpose_b), whole[37:38])


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (1, 20, 500),
        (8, 128, 70),
        (33, 16, 800),
        (300, 40, 410),
        (300, 40, 1050),
        (20, 150, 17),
        (390, 400, 410),
        (513, 128, 450),
        (513, 128, 1100),
        (520, 512, 1060),
        (24, 676, 9),
        (70, 301, 9),
        (37, 690, 24),
    ],
)
def test_bits_do_not_depend_on_how_operands_are_stored(m, n, k):
    a, b = operands(np.random.default_rng(4), m, n, k, False, False)
    for c in (None, normal(np.random.default_rng(5), m, n)):
        expected = product(a, b, c)
        np.testing.assert_array_equal(product(a.T.copy(), b, c, transpose_a=True), expected)
        np.testing.assert_array_equal(product(a, b.T.copy(), c, transpose_b=True), expected)
        np.testing.assert_array_equal(product(a.T.copy(), b.T.copy(), c, transpose_a=True, transpose_b=True), expected)


PREPARED = [(m, n, k) for m in (1, 2, 3, 15) for n in (63, 64, 65, 96, 129) for k in (1, 24, 399, 401, 1041)]
PREPARED += [(385, 401, 450), (24, 676, 9), (70, 301, 9)]
PREPARED += [
    (1, 661, 401),
    (1, 280, 1041),
    (1, 97, 2900),
    (2, 97, 2900),
]  # large weights, which one row passes by blocks of k


@pytest.mark.parametrize(
    ("m", "n", "k", "large"),
    [
        (384, 384, 64, True),
        (900, 400, 90, True),
        (383, 400, 64, False),
        (400, 383, 64, False),
        (400, 400, 63, False),
        (400, 801, 64, False),
    ],
)
def test_large_products_pack_both_operands_on_narrow_vectors(m, n, k, large):
    plan = _core.Plan(1)
    _core.gemm(plan, plan.kept((m, k)), plan.kept((k, n)), plan.kept((m, n)))
    packed = ["gemm_pack_rows", "gemm_packed"] if large and _core.instruction_set() != "avx512" else ["gemm"]
    assert [kernel for _, _, kernel, *_ in plan.listing()] == packed


def prepared_product(a, b, bias, activation="relu"):
    """a times b transposed, packed once in a plan that predicts."""
    bench = Bench(training=False)
    out = bench.out((len(a), len(b)))
    weights = bench.plan.bound(_core.Tensor4D.wrap(b.reshape(*b.shape, 1, 1)))
    _core.gemm(bench.plan, bench.put(a), weights, out, bias=bench.put(bias), transpose_b=True, activation=activation)
    return bench.run().get(out).reshape(len(a), len(b))


@pytest.mark.parametrize(("m", "n", "k"), PREPARED)
def test_bits_do_not_depend_on_packing_weights_once(m, n, k):
    rng = np.random.default_rng(7)
    a, b = operands(rng, m, n, k, False, True)
    bias = normal(rng, n)
    for activation in ("relu", "tanh"):
        expected = product(a, b, bias=bias, transpose_b=True, activation=activation)
        np.testing.assert_array_equal(prepared_product(a, b, bias, activation), expected)


# ---- refusals


def slots(*shapes):
    plan = _core.Plan(1)
    return plan, [plan.tensor(shape) for shape in shapes]


@pytest.mark.parametrize(("n", "k"), [(130, 2417), (64, 4100), (700, 400), (1, 300000)])
def test_one_row_of_large_weights_is_the_same_from_either_end(n, k):
    rng = np.random.default_rng(8)
    a, b = operands(rng, 2, n, k, False, True)
    a[1, :1040] = 0.0
    bias = normal(rng, n)
    expected = [product(row[None], b, bias=bias, transpose_b=True, activation="relu") for row in a]
    plan = _core.Plan(1)
    x, out = plan.input((1, k)), plan.keep(plan.tensor((1, n)))
    weights = plan.bound(_core.Tensor4D.wrap(b.reshape(n, k, 1, 1)))
    _core.gemm(
        plan,
        x,
        weights,
        out,
        bias=plan.bound(_core.Tensor4D.wrap(bias.reshape(n, 1, 1, 1))),
        transpose_b=True,
        activation="relu",
    )
    assert [kernel for _, _, kernel, *_ in plan.listing()] == ["gemm_pack_columns", "gemm", "gemm_add_blocks"]
    plan.seal()
    before = _core.get_num_threads()
    try:
        for turn, threads in enumerate((1, 1, 2, 2, 3, 1, 3, 8, 8, 1)):
            _core.set_num_threads(threads)
            np.asarray(plan.array(x)).ravel()[:] = a[turn % 2]
            plan.run()
            np.testing.assert_array_equal(
                np.asarray(plan.array(out)).ravel(), expected[turn % 2].ravel(), err_msg=f"turn {turn}"
            )
    finally:
        _core.set_num_threads(before)


def test_shapes_that_do_not_fit_are_refused():
    plan, (a, b, c) = slots((2, 3), (4, 5), (2, 5))
    with pytest.raises(ShapeError, match=r"op\(a\) of shape \(2, 3\).*\(4, 5\)"):
        _core.gemm(plan, a, b, c)
    plan, (a, b, c) = slots((2, 3), (3, 5), (5, 2))
    with pytest.raises(ShapeError, match=r"has shape \(2, 5\), but c is \(5, 2\)"):
        _core.gemm(plan, a, b, c)
    plan, (a, b, c, bias) = slots((2, 3), (3, 5), (2, 5), (2,))
    with pytest.raises(ShapeError, match="has 5 elements, not 2"):
        _core.gemm(plan, a, b, c, bias=bias)
    _core.gemm(plan, a, b, c, bias=bias, bias_axis="rows")


def test_unknown_options_are_refused():
    plan, (a, b, c) = slots((2, 3), (3, 5), (2, 5))
    with pytest.raises(OptionError, match="relux"):
        _core.gemm(plan, a, b, c, activation="relux")
    with pytest.raises(OptionError, match="bias_axis"):
        _core.gemm(plan, a, b, c, bias_axis="c")
    assert plan.listing() == []


def test_an_output_that_is_an_input_is_refused():
    plan, (a, b) = slots((3, 3), (3, 3))
    with pytest.raises(OptionError, match="share memory"):
        _core.gemm(plan, a, b, a)


# ---- sums of rows


def summed(x, total=None):
    bench = Bench()
    out = bench.out((x.shape[1],)) if total is None else bench.put(total)
    _core.sum_rows(bench.plan, bench.put(x), out, total is not None)
    return bench.run().get(out).reshape(-1)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 10), (32, 128), (257, 17), (1000, 300), (5, 1025), (0, 7), (4, 0)])
def test_sums_of_rows(m, n):
    rng = np.random.default_rng(m + n)
    x, total = normal(rng, m, n), normal(rng, n)
    close(summed(x), *reference.sum_rows(x))
    close(summed(x, total), *reference.sum_rows(x, total))


def test_sums_of_rows_do_not_depend_on_threads():
    x = normal(np.random.default_rng(0), 513, 2000)
    with_threads(lambda: {"total": summed(x)})


def test_sums_of_rows_refuse_another_length():
    plan, (x, total) = slots((2, 3), (2,))
    with pytest.raises(ShapeError, match="has 3 elements, not 2"):
        _core.sum_rows(plan, x, total)
