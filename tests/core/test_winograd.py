"""Winograd's form of 3 x 3 convolutions: its error, its choice, its bits."""

from __future__ import annotations

import numpy as np
import pytest

import rn
from rn import _core
from tests import reference
from tests.core.harness import Bench, with_threads

NONE, SAME, WIDE = ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 1), (0, 2))
ACTIVATIONS = ["linear", "relu", "leaky_relu", "tanh", "sigmoid"]
# (x, filters, padding): ordinary and odd sizes, channels that fill no vector, more channels than a block of k.
CASES = [
    ((2, 32, 26, 26), 64, NONE),
    ((2, 24, 13, 13), 30, NONE),
    ((1, 64, 16, 16), 128, SAME),
    ((3, 128, 8, 8), 70, SAME),
    ((2, 33, 9, 11), 37, WIDE),
    ((1, 300, 8, 12), 40, SAME),
    ((5, 48, 4, 4), 48, SAME),
    ((0, 32, 12, 12), 32, SAME),
]


@pytest.fixture(autouse=True)
def _setting():
    before = _core.get_winograd()
    _core.set_winograd(True)
    yield
    _core.set_winograd(before)


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs(shape, filters, padding, mean=0.0):
    rng = np.random.default_rng(sum(shape) + filters)
    x, weight = numbers(rng, *shape) + np.float32(mean), numbers(rng, filters, shape[1], 3, 3)
    size = [shape[2 + axis] + sum(padding[axis]) - 2 for axis in range(2)]
    return x, weight, numbers(rng, filters), numbers(rng, shape[0], filters, *size)


def forward(x, weight, bias, padding, activation="linear"):
    bench = Bench()
    y = bench.out((len(x), len(weight), *(x.shape[2 + axis] + sum(padding[axis]) - 2 for axis in range(2))))
    slots = bench.put(x), bench.put(weight)
    _core.conv2d(bench.plan, *slots, y, bias=bench.put(bias), padding=padding, activation=activation, alpha=0.1)
    return bench.run().get(y), names(bench.plan)


def by_input(dy, weight, x, padding):
    bench = Bench()
    dx = bench.out(x.shape)
    _core.conv2d_input_gradient(bench.plan, bench.put(dy), bench.put(weight), dx, padding=padding)
    return bench.run().get(dx), names(bench.plan)


def by_weights(x, dy, weight, padding):
    bench = Bench()
    dweight, dbias = bench.out(weight.shape), bench.out((len(weight),))
    _core.conv2d_weight_gradient(bench.plan, bench.put(x), bench.put(dy), dweight, dbias=dbias, padding=padding)
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


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_part_is_within_2e_5_of_the_largest(case, mean):
    shape, _, padding = case
    x, weight, bias, dy = inputs(*case, mean)
    y, kernels = forward(x, weight, bias, padding)
    assert "conv2d_winograd" in kernels
    near(y, reference.conv2d(x, weight, bias=bias, padding=padding)[0])
    dx, kernels = by_input(dy, weight, x, padding)
    assert "conv2d_input_gradient_winograd" in kernels
    near(dx, reference.conv2d_input_gradient(dy, weight, x.shape, padding=padding)[0])
    dweight, dbias, kernels = by_weights(x, dy, weight, padding)
    assert "conv2d_weight_gradient_winograd" in kernels
    expected, expected_bias, _, bias_terms = reference.conv2d_weight_gradient(x, dy, (3, 3), padding=padding)
    if shape[0] > 0:
        near([dweight], [expected])
    else:
        assert not dweight.any()
    np.testing.assert_array_less(np.abs(dbias - expected_bias), 1e-5 * bias_terms + 1e-30)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bias_and_activation_are_applied_to_the_output(activation):
    x, weight, bias, _ = inputs((1, 32, 14, 14), 34, SAME)
    y, kernels = forward(0.02 * x, weight, bias, SAME, activation)
    assert "conv2d_winograd" in kernels
    expected = reference.conv2d(0.02 * x, weight, bias=bias, padding=SAME, activation=activation, alpha=0.1)[0]
    near(y, expected, 4e-5)


# ---- bits


@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_the_same_bits_on_any_number_of_threads_and_in_any_batch(case):
    x, weight, bias, dy = inputs(*case)
    padding = case[2]

    def everything():
        return {
            "y": forward(x, weight, bias, padding)[0],
            "dx": by_input(dy, weight, x, padding)[0],
            "dweight": by_weights(x, dy, weight, padding)[0],
        }

    found = with_threads(everything)
    many = np.concatenate([x, x, x, x, x])
    np.testing.assert_array_equal(forward(x[:1], weight, bias, padding)[0], found["y"][:1])
    np.testing.assert_array_equal(forward(many, weight, bias, padding)[0][: len(x)], found["y"])
    np.testing.assert_array_equal(by_input(dy[:1], weight, x[:1], padding)[0], found["dx"][:1])


# ---- the choice


def test_the_form_follows_from_one_samples_shape():
    for n in (1, 2, 64):
        x, weight, bias, _ = inputs((n, 32, 12, 12), 32, SAME)
        assert "conv2d_winograd" in forward(x, weight, bias, SAME)[1]
        x, weight, bias, _ = inputs((n, 1, 12, 12), 4, SAME)
        assert "conv2d_winograd" not in forward(x, weight, bias, SAME)[1]


def test_one_setting_turns_it_off():
    x, weight, bias, dy = inputs((2, 32, 12, 12), 32, SAME)
    by_winograd = forward(x, weight, bias, SAME)[0]
    rn.set_winograd(False)
    assert not rn.get_winograd()
    y, kernels = forward(x, weight, bias, SAME)
    kernels += by_input(dy, weight, x, SAME)[1] + by_weights(x, dy, weight, SAME)[2]
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
