"""What is computed together gives what its parts give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rn
from rn.layers import Activation, Conv2D, Dense, Flatten, MaxPool2D


@pytest.mark.parametrize("pool", [(2, None, "valid"), (3, 2, "same"), (9, None, "valid")])
def test_pooling_applies_the_slope_of_the_relu_before(pool: tuple[int, int | None, Any]):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 2, 12, 11)).astype(np.float32)
    y = rng.integers(0, 3, 5)
    states, initial = [], None
    for between in ([], [Activation("linear")]):  # the second keeps the two apart
        layers = [Conv2D(7, 3, "relu", bias_initializer="uniform"), *between, MaxPool2D(*pool)]
        model = rn.Sequencial([*layers, Flatten(), Dense(3, "softmax")], input_shape=(2, 12, 11), seed=1)
        model.compile("sgd", "cross_entropy")
        initial = initial or list(model.state_dict().values())
        model.load_state_dict(dict(zip(model.state_dict(), initial, strict=True)))
        for _ in range(3):
            model.train_on_batch(x, y)
        states.append(list(model.state_dict().values()))
    for joined, apart in zip(*states, strict=True):
        np.testing.assert_array_equal(joined, apart)


@pytest.mark.parametrize(
    ("side", "before", "kernels", "form"),
    [
        (18, [], {"conv2d_weight_gradient_windows"}, "windows"),
        (8, [], {"conv2d_weight_gradient_pooled"}, "pixels"),
        (
            8,
            [Conv2D(3, 1)],
            {"max_pool2d_gradient", "conv2d_weight_gradient_dots", "conv2d_input_gradient_direct_pixels"},
            "pixels",
        ),
    ],
)
def test_convolution_relu_and_pooling_are_one_pass_and_their_slopes_too(
    side: int, before: list[Any], kernels: set[str], form: str
):
    layers = [*before, Conv2D(3, 3, "relu"), MaxPool2D(2), Flatten(), Dense(2, "softmax")]
    model = rn.Sequencial(layers, input_shape=(1, side, side), seed=0)
    model.compile("sgd", "cross_entropy")
    with model._lend("train", 4, classes=True) as bound:
        calls = [(phase, layer, kernel) for phase, layer, kernel, *_ in bound.plan.listing()]
    backward = {kernel for phase, layer, kernel in calls if phase == "backward" and not layer.startswith("dense")}
    assert kernels <= backward, backward
    assert "activate_gradient" not in backward
    assert ("max_pool2d_gradient" in backward) == bool(before)
    forward = {kernel for phase, _, kernel in calls if phase == "forward"}
    assert f"conv2d_direct_{form}_pooled" in forward
    assert "max_pool2d" not in forward
    assert not before or ("backward", "max_pool2d_1", "max_pool2d_gradient") in calls
