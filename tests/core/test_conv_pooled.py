"""A convolution and the max pooling after it, and their gradients, in one pass: against the two passes and float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

NONE = ((0, 0), (0, 0))
EVEN = ((1, 1), (1, 1))
HALVES = (2, 2), (2, 2), NONE

# x (n, c, h, w), filters, kernel; options of the convolution; size, stride and padding of the pool
CASES: list[tuple[Any, ...]] = [
    ((5, 1, 28, 28), 24, 3, {}, (2, 2), (2, 2), NONE),
    ((3, 1, 28, 28), 6, 5, {"padding": ((2, 2), (2, 2))}, (2, 2), (2, 2), NONE),
    ((2, 3, 33, 35), 9, 3, {"padding": EVEN}, (2, 2), (2, 2), NONE),
    ((2, 3, 33, 35), 9, 3, {"stride": (2, 1)}, (3, 3), (2, 2), EVEN),
    ((20, 2, 9, 34), 36, 2, {"dilation": (1, 2)}, (3, 2), (1, 2), ((1, 0), (0, 1))),
    ((2, 4, 34, 34), 140, 3, {"groups": 2}, (2, 2), (2, 2), NONE),
    ((1, 1, 130, 130), 3, 3, {}, (4, 4), (4, 4), NONE),
    ((2, 1, 20, 20), 5, 3, {}, (18, 18), (18, 18), NONE),
    ((4, 1, 17, 18), 3, 3, {}, (2, 2), (2, 2), NONE),
    ((3, 4, 21, 18), 7, 3, {}, (2, 2), (2, 2), NONE),
    ((3, 1, 29, 29), 8, 3, {}, (2, 2), (2, 2), ((0, 1), (0, 1))),
    ((3, 1, 14, 12), 8, 3, {}, (2, 2), (2, 2), NONE),
    ((2, 2, 19, 16), 6, 3, {"padding": EVEN, "groups": 2}, (2, 2), (2, 2), NONE),
    ((1, 1, 100, 140), 10, 3, {"padding": ((2, 0), (0, 2))}, (2, 2), (2, 2), NONE),
]


def grid_of(shape: Any, kernel: int, options: dict[str, Any]) -> list[int]:
    """Return the rows and columns of what a convolution puts out."""
    sides, steps = options.get("padding", NONE), options.get("stride", (1, 1))
    dilation = options.get("dilation", (1, 1))
    return [
        (length + sum(side) - d * (kernel - 1) - 1) // s + 1
        for length, side, d, s in zip(shape[2:], sides, dilation, steps, strict=True)
    ]


def gradients(case: tuple[Any, ...], *, bias: bool = True) -> dict[str, np.ndarray]:
    """Return x, y, the gradients by weights and bias, in one pass and in two, and the kernels' names."""
    shape, filters, kernel, options, size, stride, padding = case
    rng = np.random.default_rng(7)
    bench = Bench()
    plan = bench.plan
    weight = rng.normal(size=(filters, shape[1] // options.get("groups", 1), kernel, kernel)).astype(np.float32)
    x, w = rng.normal(size=shape).astype(np.float32), bench.put(weight)
    a = bench.put(x)
    grid = grid_of(shape, kernel, options)
    y, dy = bench.out((shape[0], filters, *grid)), bench.out((shape[0], filters, *grid))
    pooled = reference.pooled_shape(y.shape, size, stride, padding)
    dpooled = rng.normal(size=pooled).astype(np.float32)
    z, taps, dz = bench.out(pooled), bench.out(pooled), bench.put(dpooled)
    results = {name: (bench.out(weight.shape), bench.out((filters,))) for name in ("one", "two")}
    window: dict[str, Any] = {"size": size, "stride": stride, "padding": padding}

    _core.conv2d(plan, a, w, y, activation="relu", **options)
    _core.max_pool2d(plan, y, z, taps=taps, relu=True, **window)
    assert _core.takes_taps(a, w, **options)
    _core.conv2d_weight_gradient_pooled(
        *(plan, a, taps, dz, results["one"][0]),
        dbias=results["one"][1] if bias else None,
        **{f"pool_{name}": value for name, value in window.items()},
        **options,
    )
    _core.max_pool2d_gradient(plan, taps, dz, dy, **window)
    _core.conv2d_weight_gradient(plan, a, dy, results["two"][0], dbias=results["two"][1], **options)
    bench.run()
    got = {"x": x, "y": bench.get(y), "dz": dpooled, "dy": bench.get(dy)}
    got["kernels"] = np.array([kernel for _, _, kernel, *_ in plan.listing()])
    for name, (dweight, dbias) in results.items():
        got |= {f"{name}_weight": bench.get(dweight), f"{name}_bias": bench.get(dbias)}
    return got


def sums_windows(case: tuple[Any, ...]) -> bool:
    """Return whether windows lie in the lanes, and are summed in an order of their own."""
    shape, _, kernel, options, *window = case
    return kernel == 3 and fits_windows(shape, kernel, options, window)


def fits_windows(shape: Any, kernel: int, options: dict[str, Any], window: list[Any]) -> bool:
    """Return whether windows may lie in the lanes: of few channels, and rows that are no shorter than a vector."""
    plain = {"stride", "dilation"}.isdisjoint(options) and tuple(window) == HALVES
    return plain and shape[1] // options.get("groups", 1) <= 4 and grid_of(shape, kernel, options)[1] >= 16


@pytest.mark.parametrize("case", CASES)
def test_one_pass_gives_the_same_bits_on_any_number_of_threads(case: tuple[Any, ...]) -> None:
    got = with_threads(lambda: gradients(case))
    assert np.count_nonzero(got["one_weight"]) > got["one_weight"].size // 2
    alone = gradients(case, bias=False)
    np.testing.assert_array_equal(alone["one_weight"], got["one_weight"])
    assert np.isnan(alone["one_bias"]).all()


@pytest.mark.parametrize("case", [case for case in CASES if not sums_windows(case)])
def test_one_pass_gives_the_bits_of_two(case: tuple[Any, ...]) -> None:
    got = gradients(case)
    np.testing.assert_array_equal(got["one_weight"], got["two_weight"])
    np.testing.assert_array_equal(got["one_bias"], got["two_bias"])


@pytest.mark.parametrize("case", CASES)
def test_the_kernels_name_tells_whether_windows_lie_in_the_lanes(case: tuple[Any, ...]) -> None:
    names = gradients(case)["kernels"]
    assert ("conv2d_weight_gradient_windows" in names) == sums_windows(case)
    assert ("conv2d_weight_gradient_pooled" in names) != sums_windows(case)


@pytest.mark.parametrize("case", CASES)
def test_reference(case: tuple[Any, ...]) -> None:
    *_, kernel, options, size, stride, padding = case
    got = gradients(case)
    y = got["y"].astype(np.float64)
    dy = np.where(y > 0, reference.max_pool2d_gradient(y, got["dz"].astype(np.float64), size, stride, padding), 0.0)
    weight, bias, weight_terms, bias_terms = reference.conv2d_weight_gradient(got["x"], dy, (kernel, kernel), **options)
    close(got["one_weight"], weight, weight_terms)
    close(got["one_bias"], bias, bias_terms)


def test_refusals() -> None:
    bench = Bench()
    x, y, pooled = bench.out((2, 1, 8, 8)), bench.out((2, 3, 6, 6)), bench.out((2, 3, 3, 3))
    taps, dweight = bench.out((2, 3, 3, 3)), bench.out((3, 1, 3, 3))
    pool: dict[str, Any] = {"pool_size": (2, 2), "pool_stride": (2, 2)}

    def refuses(error: type[Exception], match: str, *slots: Any, **options: Any) -> None:
        with pytest.raises(error, match=match):
            _core.conv2d_weight_gradient_pooled(bench.plan, *slots, **{**pool, **options})

    refuses(errors.ShapeError, "taps", x, y, pooled, dweight)
    refuses(errors.ShapeError, "max_pool2d_gradient of", x, taps, pooled, dweight, pool_stride=(1, 1))
    refuses(errors.ShapeError, "bias", x, taps, pooled, dweight, dbias=bench.out((2,)))
    deep, weight = bench.out((2, 64, 8, 8)), bench.out((3, 64, 3, 3))
    assert not _core.takes_taps(deep, weight)
    refuses(errors.OptionError, "takes_taps", deep, taps, pooled, weight)


# forward: x, filters, kernel and options of the convolution; size, stride and padding of the pool

POOLED: list[tuple[Any, ...]] = [
    ((3, 24, 13, 13), 30, 3, {"padding": NONE}, *HALVES),
    ((2, 32, 26, 27), 64, 3, {"padding": NONE}, *HALVES),
    ((5, 16, 8, 8), 40, 3, {"padding": EVEN}, *HALVES),
    ((1, 64, 21, 30), 17, 3, {"padding": EVEN}, *HALVES),
    ((2, 12, 70, 34), 33, 3, {"padding": EVEN}, *HALVES),
    ((1, 128, 8, 8), 70, 3, {"padding": EVEN}, *HALVES),
    ((2, 100, 4, 7), 80, 3, {"padding": EVEN}, *HALVES),
    ((2, 20, 19, 18), 24, 5, {"padding": ((2, 2), (2, 2))}, *HALVES),
    ((1, 16, 37, 16), 32, 5, {"padding": NONE}, *HALVES),
    ((3, 1, 28, 28), 24, 3, {}, *HALVES),
    ((3, 1, 14, 14), 5, 3, {}, *HALVES),
    ((2, 3, 40, 40), 9, 3, {"stride": (2, 2)}, *HALVES),
    ((2, 6, 21, 40), 7, 4, {"padding": ((2, 1), (1, 2))}, *HALVES),
    ((2, 1, 300, 290), 7, 3, {}, *HALVES),
    ((1, 3, 224, 224), 16, 3, {"padding": EVEN}, *HALVES),
    ((3, 2, 17, 19), 14, 3, {"padding": ((1, 0), (0, 1)), "groups": 2}, *HALVES),
    ((2, 1, 29, 22), 1, 7, {"padding": ((3, 3), (3, 3))}, *HALVES),
    ((2, 4, 30, 23), 11, 4, {"padding": ((2, 1), (1, 2))}, *HALVES),
    ((2, 3, 33, 41), 32, 5, {"padding": ((2, 2), (2, 2))}, *HALVES),
    ((17, 1, 30, 31), 6, 5, {"padding": ((2, 2), (2, 2))}, (3, 3), (2, 2), EVEN),
    ((2, 3, 21, 40), 9, 3, {"stride": (1, 2)}, (2, 3), (1, 2), ((0, 1), (1, 1))),
    ((2, 4, 18, 18), 8, 3, {"groups": 2, "dilation": (2, 1)}, (9, 9), (9, 9), NONE),
]


def shape_and_window(case: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the parts of a case that the form follows from, besides Winograd's."""
    shape, _, kernel, options, *window = case
    return shape, kernel, options, window


def pooled_forward(case: tuple[Any, ...], relu: bool) -> dict[str, np.ndarray]:
    """Return the maxima and taps, in one pass and in two."""
    shape, filters, kernel, convolution, size, stride, padding = case
    rng = np.random.default_rng(3)
    bench = Bench()
    x = rng.normal(size=shape).astype(np.float32)
    x[0, 0, 2:4, 4] = [np.nan, np.inf]
    a = bench.put(x)
    parts = shape[1] // convolution.get("groups", 1)
    weight = bench.put(rng.normal(size=(filters, parts, kernel, kernel)).astype(np.float32))
    bias = bench.put(rng.normal(size=filters).astype(np.float32))
    y = bench.out((shape[0], filters, *grid_of(shape, kernel, convolution)))
    window: dict[str, Any] = {"size": size, "stride": stride, "padding": padding}
    after = {f"pool_{name}": value for name, value in window.items()}
    pooled = reference.pooled_shape(y.shape, size, stride, padding)
    names = ("one", "two", "one_taps", "two_taps", "alone")
    slots = {name: bench.out(pooled) for name in names}
    assert _core.pools_at_once(a, weight, **convolution, **after)
    options: dict[str, Any] = {"bias": bias, **convolution}
    for pooled_to, taps in ((slots["one"], slots["one_taps"]), (slots["alone"], None)):
        _core.conv2d_max_pool(bench.plan, a, weight, pooled_to, taps=taps, relu=relu, **options, **after)
    _core.conv2d(bench.plan, a, weight, y, activation="relu" if relu else "linear", **options)
    _core.max_pool2d(bench.plan, y, slots["two"], taps=slots["two_taps"], relu=relu, **window)
    bench.run()
    kernels = np.array([kernel for _, _, kernel, *_ in bench.plan.listing()])
    return {"y": bench.get(y), "kernels": kernels} | {name: bench.get(slots[name]).view(np.int32) for name in names}


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("case", POOLED)
def test_pooling_at_once_gives_the_bits_of_two_passes(case: tuple[Any, ...], relu: bool) -> None:
    got = with_threads(lambda: pooled_forward(case, relu))
    np.testing.assert_array_equal(got["one"], got["two"])
    np.testing.assert_array_equal(got["one"], got["alone"])
    np.testing.assert_array_equal(got["one_taps"], got["two_taps"])
    assert np.isnan(got["y"]).any()
    form = next(name for name in got["kernels"] if name.endswith("_pooled"))
    assert ("windows" in form) == fits_windows(*shape_and_window(case))
    assert ("windows" in form) + ("pixels" in form) + ("winograd" in form) == 1
    assert len(np.unique(got["one_taps"])) >= 4
    expected = reference.max_pool2d(got["y"], *case[-3:])
    np.testing.assert_array_equal(got["one"].view(np.float32), expected)


def test_an_image_alone_is_pooled_to_the_bits_that_it_has_in_a_batch() -> None:
    """Alone its weights are transformed on one side, on vectors of 16."""
    rng = np.random.default_rng(4)
    x, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((5, 128, 8, 8), (70, 128, 3, 3)))
    found = []
    for images in (x[1:2], x):
        bench = Bench()
        pooled = bench.out((len(images), 70, 4, 4))
        slots = bench.put(images), bench.put(weight), pooled
        _core.conv2d_max_pool(bench.plan, *slots, padding=EVEN, pool_size=(2, 2), pool_stride=(2, 2))
        found.append(bench.run().get(pooled))
    np.testing.assert_array_equal(found[0][0], found[1][1])
    assert len(np.unique(found[0])) > 1000


def test_what_is_not_pooled_at_once_is_refused() -> None:
    bench = Bench()
    x, weight, pooled = bench.out((2, 32, 16, 16)), bench.out((32, 32, 3, 3)), bench.out((2, 32, 7, 7))
    pool: dict[str, Any] = {"pool_size": (2, 2), "pool_stride": (2, 2)}

    def refuses(error: type[Exception], match: str, *slots: Any, **options: Any) -> None:
        with pytest.raises(error, match=match):
            _core.conv2d_max_pool(bench.plan, *slots, **{**pool, **options})

    refuses(errors.ShapeError, "max_pool2d of", x, weight, bench.out((2, 32, 8, 8)))
    refuses(errors.ShapeError, "taps", x, weight, pooled, taps=bench.out((2, 32, 8, 8)))
    refuses(errors.ShapeError, "bias", x, weight, pooled, bias=bench.out((31,)))
    refuses(errors.OptionError, "conv2d_max_pool", x, weight, pooled, taps=pooled)
    for options in ({"pool_size": (3, 3)}, {"pool_stride": (1, 1)}, {"pool_padding": ((1, 1), (1, 1))}):
        refuses(errors.OptionError, "pools_at_once", x, weight, pooled, **options)
    refuses(errors.OptionError, "pools_at_once", x, weight, pooled, dilation=(2, 2))
    large = bench.out((2, 1, 300, 300)), bench.out((8, 1, 3, 3)), bench.out((2, 8, 99, 99))
    refuses(errors.OptionError, "pools_at_once", *large, pool_size=(3, 3), pool_stride=(3, 3))
    wide = bench.out((16, 8, 200, 200)), bench.out((8, 8, 3, 3)), bench.out((16, 8, 25, 25))
    same: dict[str, Any] = {"stride": (4, 4), "padding": EVEN}
    refuses(errors.OptionError, "pools_at_once", *wide, **same)  # its padded copy would not stay near
    refuses(errors.OptionError, "pools_at_once", x, bench.out((32, 1, 3, 3)), pooled, groups=32)
