"""Winograd's form of 3 x 3 and 5 x 5 convolutions, dilated and at stride 2: its error, its choice, its bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import rn
from rn import _core
from tests import reference
from tests.core.harness import Bench, with_threads

NONE, SAME, WIDE, TWO = ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 1), (0, 2)), ((2, 2), (2, 2))
ACTIVATIONS = ["linear", "relu", "leaky_relu", "tanh", "sigmoid"]


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    filters: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    side: int = 3
    dilation: tuple[int, int] = (1, 1)
    scattered: bool = False  # whether the gradient by input goes by tiles of dy, which are fewer than those of dx
    stride: int = 1
    one_sided: bool = False  # whether the weights of so few tiles stay G w, on vectors of 16

    @property
    def window(self) -> dict[str, Any]:
        return {"padding": self.padding, "dilation": self.dilation, "stride": (self.stride, self.stride)}

    def form(self) -> str:
        """What the profiler's names say of it, but for tiles of dy."""
        return "winograd_one_sided" if self.one_sided and _core.instruction_set() == "avx512" else "winograd"


# Ordinary and odd sizes, channels that fill no vector, more channels than a chain, dilations that divide no image;
# at stride 2 also images with a row and a column that no output sees.
CASES = [
    Case((2, 32, 26, 26), 64, NONE, scattered=True),
    Case((2, 24, 13, 13), 30, NONE, scattered=True),
    Case((3, 37, 13, 10), 33, ((0, 1), (0, 0)), scattered=True),
    Case((2, 40, 17, 21), 48, ((1, 0), (0, 1)), scattered=True),
    Case((2, 36, 12, 14), 33, ((1, 0), (0, 0)), side=5, scattered=True),
    Case((1, 64, 16, 16), 128, SAME),
    Case((3, 128, 8, 8), 70, SAME),
    Case((2, 33, 9, 11), 37, WIDE),
    Case((1, 420, 8, 12), 40, SAME),
    Case((5, 48, 4, 4), 48, SAME),
    Case((2, 65, 9, 12), 128, SAME),  # these two: the gradient by weights with filters in the lanes, in several blocks
    Case((3, 33, 10, 9), 100, SAME),
    Case((2, 24, 28, 28), 32, TWO, side=5),
    Case((3, 37, 11, 15), 33, WIDE, side=5, scattered=True),
    Case((1, 270, 9, 7), 40, TWO, side=5),
    Case((2, 32, 28, 28), 64, TWO, dilation=(2, 2)),
    Case((2, 40, 23, 27), 48, WIDE, dilation=(3, 2)),
    Case((1, 280, 17, 34), 40, TWO, dilation=(1, 4)),
    Case((3, 33, 33, 14), 64, SAME, dilation=(4, 1)),
    Case((2, 32, 32, 32), 64, SAME, scattered=True, stride=2),
    Case((3, 64, 9, 17), 62, NONE, scattered=True, stride=2),
    Case((2, 78, 18, 10), 64, NONE, scattered=True, stride=2),
    Case((3, 78, 15, 15), 64, WIDE, scattered=True, stride=2),
    Case((1, 144, 16, 8), 64, ((0, 1), (1, 0)), scattered=True, stride=2),
    Case((2, 64, 16, 32), 400, SAME, scattered=True, stride=2),
    Case((1, 128, 8, 8), 70, SAME, one_sided=True),
    Case((1, 270, 4, 4), 40, SAME, one_sided=True),
    Case((2, 96, 4, 4), 130, SAME, one_sided=True),
    Case((4, 100, 4, 3), 80, SAME, one_sided=True),
    Case((1, 97, 12, 4), 81, SAME, one_sided=True),
    Case((1, 64, 8, 8), 128, TWO, dilation=(2, 2), one_sided=True),
    Case((0, 32, 12, 12), 32, SAME),
]


@pytest.fixture(autouse=True)
def _setting():
    before = _core.get_winograd()
    _core.set_winograd(True)
    yield
    _core.set_winograd(before)


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs(case, mean=0.0):
    rng = np.random.default_rng(sum(case.shape) + case.filters)
    x = numbers(rng, *case.shape) + np.float32(mean)
    weight = numbers(rng, case.filters, case.shape[1], case.side, case.side)
    dy = numbers(rng, len(x), case.filters, *grid(x, weight, **case.window)) + np.float32(mean)
    return x, weight, numbers(rng, case.filters), dy


def grid(x, weight, padding, dilation=(1, 1), stride=(1, 1)):
    seen = [x.shape[2 + i] + sum(padding[i]) - dilation[i] * (weight.shape[2 + i] - 1) for i in range(2)]
    return [(seen[i] - 1) // stride[i] + 1 for i in range(2)]


def forward(x, weight, bias, activation="linear", **window):
    bench = Bench()
    y = bench.out((len(x), len(weight), *grid(x, weight, **window)))
    slots = bench.put(x), bench.put(weight)
    _core.conv2d(bench.plan, *slots, y, bias=bench.put(bias), activation=activation, alpha=0.1, **window)
    return bench.run().get(y), names(bench.plan)


def by_input(dy, weight, x, **window):
    bench = Bench()
    dx = bench.out(x.shape)
    dx_slots = bench.put(dy), bench.put(weight), dx
    _core.conv2d_input_gradient(bench.plan, *dx_slots, **window)
    return bench.run().get(dx), names(bench.plan)


def by_weights(x, dy, weight, **window):
    bench = Bench()
    dweight, dbias = bench.out(weight.shape), bench.out((len(weight),))
    slots = bench.put(x), bench.put(dy), dweight
    _core.conv2d_weight_gradient(bench.plan, *slots, dbias=dbias, **window)
    bench.run()
    return bench.get(dweight), bench.get(dbias).reshape(-1), names(bench.plan)


def names(plan):
    return [kernel for _, _, kernel, _, _ in plan.listing()]


def near(found, expected, bound=2e-5):
    """Assert each sample's error within ``bound`` of its largest value, which is not 0."""
    for one, wanted in zip(found, expected, strict=True):
        largest = np.abs(wanted).max(initial=0)
        assert largest > 0
        np.testing.assert_allclose(one, wanted, rtol=0, atol=bound * largest)


# ---- reference


@pytest.mark.parametrize("mean", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_part_is_within_2e_5_of_the_largest(case, mean):
    window = case.window
    x, weight, bias, dy = inputs(case, mean)
    y, kernels = forward(x, weight, bias, **window)
    assert f"conv2d_{case.form()}" in kernels
    near(y, reference.conv2d(x, weight, bias=bias, **window)[0])
    dx, kernels = by_input(dy, weight, x, **window)
    assert f"conv2d_input_gradient_{case.form()}{'_scattered' if case.scattered else ''}" in kernels
    near(dx, reference.conv2d_input_gradient(dy, weight, x.shape, **window)[0])
    dweight, dbias, kernels = by_weights(x, dy, weight, **window)
    assert "conv2d_weight_gradient_winograd" in kernels
    expected, expected_bias, _, bias_terms = reference.conv2d_weight_gradient(x, dy, weight.shape[2:], **window)
    if len(x) > 0:
        near([dweight], [expected])
    else:
        assert not dweight.any()
    np.testing.assert_array_less(np.abs(dbias - expected_bias), 1e-5 * bias_terms + 1e-30)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 32, 18, 18), 34, SAME),
        Case((1, 32, 18, 18), 34, SAME, side=5),
        Case((1, 32, 18, 18), 34, SAME, dilation=(2, 3)),
        Case((1, 64, 16, 16), 66, SAME, stride=2),
    ],
    ids=str,
)
def test_bias_and_activation_are_applied_to_the_output(case, activation):
    x, weight, bias, _ = inputs(case)
    y, kernels = forward(0.02 * x, weight, bias, activation, **case.window)
    assert "conv2d_winograd" in kernels
    options = {"bias": bias, "activation": activation, "alpha": 0.1, **case.window}
    near(y, reference.conv2d(0.02 * x, weight, **options)[0], 4e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", [case for case in CASES if case.scattered], ids=str)
def test_a_transposed_convolution_is_biased_and_activated_where_no_tile_reaches(case, activation):
    _, weight, _, dy = inputs(case)
    bias = numbers(np.random.default_rng(1), case.shape[1])
    bench = Bench()
    y = bench.out(case.shape)
    slots = bench.put(0.02 * dy), bench.put(weight), y
    _core.conv2d_transpose(bench.plan, *slots, bias=bench.put(bias), activation=activation, alpha=0.1, **case.window)
    bench.run()
    assert "conv2d_transpose_winograd_scattered" in names(bench.plan)
    summed = reference.conv2d_input_gradient(0.02 * dy, weight, case.shape, **case.window)[0]
    near(bench.get(y), reference.activate(summed + bias.reshape(1, -1, 1, 1), activation, 0.1), 4e-5)


# ---- bits


@pytest.mark.parametrize("case", CASES[:-1], ids=str)
def test_the_same_bits_on_any_number_of_threads_and_in_any_batch(case):
    x, weight, bias, dy = inputs(case)
    window = case.window

    def everything():
        return {
            "y": forward(x, weight, bias, **window)[0],
            "dx": by_input(dy, weight, x, **window)[0],
            "dweight": by_weights(x, dy, weight, **window)[0],
        }

    found = with_threads(everything)
    many, many_dy = (np.concatenate([part] * 5) for part in (x, dy))  # more tiles than weights stay one-sided for
    np.testing.assert_array_equal(forward(x[:1], weight, bias, **window)[0], found["y"][:1])
    np.testing.assert_array_equal(forward(many, weight, bias, **window)[0][: len(x)], found["y"])
    np.testing.assert_array_equal(by_input(dy[:1], weight, x[:1], **window)[0], found["dx"][:1])
    np.testing.assert_array_equal(by_input(many_dy, weight, many, **window)[0][: len(x)], found["dx"])


# ---- the choice


def test_the_form_follows_from_one_samples_shape():
    taken = [Case((1, 32, 12, 12), 32, SAME), Case((1, 64, 16, 16), 64, SAME, stride=2)]
    left = [
        Case((1, 1, 12, 12), 4, SAME),
        Case((1, 32, 30, 30), 32, SAME, dilation=(5, 1)),
        Case((1, 16, 16, 16), 16, SAME, stride=2),
        Case((1, 64, 16, 16), 64, SAME, dilation=(2, 2), stride=2),
        Case((1, 64, 16, 16), 64, TWO, side=5, stride=2),
        Case((1, 64, 24, 24), 64, SAME, stride=3),
        Case((1, 64, 8, 520), 64, SAME, stride=2),
    ]
    for case in taken + left:
        for n in (1, 2, 64):
            x, weight, bias, _ = inputs(case._replace(shape=(n, *case.shape[1:])))
            assert ("conv2d_winograd" in forward(x, weight, bias, **case.window)[1]) == (case in taken)


def test_one_setting_turns_it_off():
    case = Case((2, 32, 12, 12), 32, SAME)
    x, weight, bias, dy = inputs(case)
    by_winograd = forward(x, weight, bias, **case.window)[0]
    rn.set_winograd(False)
    assert not rn.get_winograd()
    y, kernels = forward(x, weight, bias, **case.window)
    kernels += by_input(dy, weight, x, **case.window)[1] + by_weights(x, dy, weight, **case.window)[2]
    assert not any("winograd" in kernel for kernel in kernels)
    expected, terms = reference.conv2d(x, weight, bias=bias, padding=SAME)
    np.testing.assert_array_less(np.abs(y - expected), 1e-5 * terms)
    assert (y != by_winograd).any()


def test_a_model_obeys_the_setting_from_its_next_call_on():
    model = rn.Sequencial([rn.layers.Conv2D(32, 3, padding=1)], input_shape=(32, 12, 12), seed=0)
    model.compile("sgd", "mse")
    x, y = (np.random.default_rng(i).normal(size=(2, 32, 12, 12)).astype(np.float32) for i in (0, 1))
    with_it = model.predict(x)
    model.train_on_batch(x, y)
    after, state = model.train_on_batch(x, y), model.state_dict()
    rn.set_winograd(False)
    direct = rn.Sequencial([rn.layers.Conv2D(32, 3, padding=1)], input_shape=(32, 12, 12), seed=0)
    direct.compile("sgd", "mse")
    without = direct.predict(x)
    assert (with_it != without).any()
    np.testing.assert_allclose(with_it, without, atol=1e-4)
    model.load_state_dict(state)
    np.testing.assert_allclose(model.predict(x), _direct(state, x), atol=1e-5)
    assert model.train_on_batch(x, y)["loss"] < after["loss"]


def _direct(state, x):
    return reference.conv2d(x, state["0.weight"], bias=state["0.bias"], padding=SAME)[0]
