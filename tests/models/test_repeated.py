"""``train_on_batch`` and ``predict`` again and again: the short way gives the bits and the refusals of the long one."""

from __future__ import annotations

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rn
from rn.errors import DtypeError, LabelError, OptionError, ShapeError, StateError
from rn.layers import Conv2D, Dense, Dropout, GlobalAvgPool2D, Residual


def model(loss="mse", seed=1):
    ending = "softmax" if loss == "cross_entropy" else "tanh"
    made = rn.Sequencial([Dense(7, "relu"), Dropout(0.3), Dense(3, ending)], input_shape=(5,), seed=seed)
    made.compile("adam", loss, ["mae"] if loss == "mse" else ["accuracy"])
    return made


def batches(count, loss, n=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, n, 5)).astype(np.float32)
    y = rng.integers(0, 3, (count, n)) if loss == "cross_entropy" else rng.normal(size=(count, n, 3)).astype(np.float32)
    return x, y


def weights(made):
    return {key: value.tobytes() for key, value in made.state_dict().items()}


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_short_way_gives_the_bits_of_the_long_one(loss):
    short, long = model(loss), model(loss)
    for x, y in zip(*batches(6, loss), strict=True):
        # A list goes the long way: it has to become an array first.
        assert short.train_on_batch(x, y) == long.train_on_batch(x.tolist(), y.tolist())
        assert weights(short) == weights(long)
    assert (short.steps, short._updates) == (long.steps, long._updates) == (6, 6)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_what_is_wrong_with_a_later_batch_is_still_refused(loss):
    made = model(loss)
    (x, *_), (y, *_) = batches(1, loss)
    made.train_on_batch(x, y)
    before, steps = weights(made), made.steps
    bad = x.copy()
    bad[2, 1] = np.nan
    with pytest.raises(OptionError, match="not finite as float32 in sample 2"):
        made.train_on_batch(bad, y)
    bad = y.copy()
    bad[1] = 3 if loss == "cross_entropy" else np.inf
    with pytest.raises(LabelError, match="sample 1"):
        made.train_on_batch(x, bad)
    with pytest.raises(ShapeError):
        made.train_on_batch(x[:, :4].copy(), y)
    with pytest.raises(ShapeError, match="4 samples"):
        made.train_on_batch(x, y[:3].copy())
    assert weights(made) == before
    assert made.steps == steps


def test_other_shapes_types_and_layouts_go_the_long_way_and_back():
    made, twin = model(), model()
    (x, *_), (y, *_) = batches(1, "mse", 6)
    for again in (x, x[:2], x.astype(np.float64), np.asfortranarray(x), x):
        target = y[: len(again)]
        assert made.train_on_batch(again, target) == twin.train_on_batch(again.tolist(), target.tolist())


def test_a_layer_frozen_or_a_loss_changed_meanwhile_is_seen():
    made = model()
    (x, *_), (y, *_) = batches(1, "mse")
    made.train_on_batch(x, y)
    made.train_on_batch(x, y)
    kept = made.layers[0].weight.tobytes()
    made.layers[0].trainable = False
    made.train_on_batch(x, y)
    assert made.layers[0].weight.tobytes() == kept
    made.compile("sgd", "mae")
    assert set(made.train_on_batch(x, y)) == {"loss"}
    assert made.train_on_batch(x, y)["loss"] == pytest.approx(np.abs(made(x) - y).mean(), rel=0.5)


def test_learning_rates_set_and_scheduled_hold_for_the_next_step():
    made = model()
    (x, *_), (y, *_) = batches(1, "mse")
    made.train_on_batch(x, y)
    before = weights(made)
    made.optimizer.learning_rate = 0.0
    made.train_on_batch(x, y)
    assert weights(made) == before


def test_a_model_that_is_being_fitted_refuses_it():
    made = model()
    (x, *_), (y, *_) = batches(1, "mse")
    made.train_on_batch(x, y)

    def meddle(*_):
        with pytest.raises(StateError, match="while this model is being fitted"):
            made.train_on_batch(x, y)

    made.fit(x, y, verbose=0, callbacks=[meddle])
    assert made.steps == 2


def test_a_layer_frozen_inside_a_residual_is_seen():
    made = rn.Sequencial([Residual([Dense(5, "tanh")]), Dense(3, "tanh")], input_shape=(5,), seed=1)
    made.compile("sgd", "mse")
    (x, *_), (y, *_) = batches(1, "mse")
    made.train_on_batch(x, y)
    inner = made.layers[0].layers[0]
    inner.trainable = False
    kept = inner.weight.tobytes()
    made.train_on_batch(x, y)
    assert inner.weight.tobytes() == kept


def test_the_winograd_setting_is_seen():
    x, y = np.random.default_rng(0).normal(size=(2, 8, 24, 24)).astype(np.float32), np.zeros((2, 3), np.float32)

    def states(switch):
        layers = [Conv2D(16, 3, padding="same"), GlobalAvgPool2D(), Dense(3)]
        made = rn.Sequencial(layers, input_shape=(8, 24, 24), seed=1)
        made.compile("sgd", "mse")
        made.train_on_batch(x, y)
        if switch:
            rn.set_winograd(False)
        try:
            made.train_on_batch(x, y)
        finally:
            rn.set_winograd(True)
        return weights(made)

    assert states(switch=False) != states(switch=True)


class Twice(rn.layers.Layer):
    """2 x, in Python."""

    def forward(self, x, training):
        return 2 * x

    def backward(self, grad, input_gradient=True):
        return 2 * grad


@pytest.mark.parametrize("own", [False, True])
def test_a_batch_is_taken_as_it_was_and_left_alone(own):
    """However aligned it is, and whoever writes into it later, a layer in the middle of the step as well."""

    class Meddler(Twice):
        def forward(self, x, training):
            rows[...] = np.nan
            return super().forward(x, training)

    def made(middle):
        layers = [Dense(7, "relu"), *([middle] if own else []), Dense(3, "tanh")]
        model = rn.Sequencial(layers, input_shape=(5,), seed=1)
        model.compile("adam", "mse")
        return model

    rows = np.empty((4, 5), np.float32)
    short, long = made(Meddler()), made(Twice())
    x, y = batches(4, "mse")
    for i, offset in enumerate((0, 0, 2, 4)):
        memory = np.empty(x[i].nbytes + offset, np.uint8)
        rows = memory[offset:].view(np.float32).reshape(x[i].shape)  # bytes beyond an aligned place
        rows[...] = x[i]
        assert short.train_on_batch(rows, y[i]) == long.train_on_batch(x[i].tolist(), y[i].tolist())
        assert own or np.array_equal(rows, x[i])
        rows[...] = np.nan
    assert weights(short) == weights(long)
    for model in (short, long):
        model.fit(x[1], y[1], batch_size=4, verbose=0)
    assert weights(short) == weights(long)


def test_a_large_model_compiled_again_is_seen():
    """Its plans do not lie at hand, so that those of before and after are alike in what lies there: nothing."""
    x, y = np.random.default_rng(0).normal(size=(2, 256, 200)).astype(np.float32)
    made = rn.Sequencial([Dense(800, "relu"), Dense(800, "relu"), Dense(200)], input_shape=(200,), seed=0)
    made.compile(rn.optimizers.SGD(0.1), "mse")
    made.train_on_batch(x, y)
    assert made._repeated_step is not None
    made.compile(rn.optimizers.SGD(0.0), "mse", ["mae"])
    made.fit(x, y, batch_size=256, verbose=0)  # leaves a plan for the step
    before = weights(made)
    assert set(made.train_on_batch(x, y)) == {"loss", "mae"}
    assert weights(made) == before


def test_predictions_again_are_those_of_the_long_way():
    made = model()
    (x, more), _ = batches(2, "mse")
    for rows in (x, more, x[:1], more[:3].copy(), x):
        np.testing.assert_array_equal(made.predict(rows), made.predict(rows.tolist()))
    before = made.predict(x).copy()
    again = made.predict(x)
    made.predict(more)
    np.testing.assert_array_equal(again, before)  # each result has memory of its own


def test_what_cannot_be_predicted_again_goes_the_long_way():
    made = model()
    (x, *_), _ = batches(1, "mse")
    expected = made.predict(x)
    for rows in (x.astype(np.float64), np.asfortranarray(x), x.astype(">f4"), x.view(np.matrix)):
        np.testing.assert_array_equal(made.predict(rows), expected)
    with pytest.raises(DtypeError, match="masked"):
        made.predict(np.ma.masked_array(x, x > 0))
    with pytest.raises(ShapeError, match="takes"):
        made.predict(x[:, :4].copy())
    with pytest.raises(DtypeError):
        made.predict(x.astype(str))


def test_weights_layers_and_settings_changed_meanwhile_are_seen():
    x = np.random.default_rng(0).normal(size=(2, 8, 24, 24)).astype(np.float32)
    made = rn.Sequencial([Conv2D(16, 3, padding="same")], input_shape=(8, 24, 24), seed=1)
    first = made.predict(x)
    made.layers[0].set(weight=2 * made.layers[0].weight, bias=2 * made.layers[0].bias)
    np.testing.assert_array_equal(made.predict(x), 2 * first)
    rn.set_winograd(False)
    try:
        assert not np.array_equal(made.predict(x), 2 * first)
    finally:
        rn.set_winograd(True)
    np.testing.assert_array_equal(made.predict(x), 2 * first)
    made.add(GlobalAvgPool2D())
    assert made.predict(x).shape == (2, 16)
    assert made.predict(x).shape == (2, 16)


def test_plans_of_before_a_change_are_let_go():
    made = model()
    (x, *_), _ = batches(1, "mse")
    made.predict(x)
    made.predict(x)
    plans = [weakref.ref(bound) for bound in made._plans.generation.values()]
    assert plans
    made.compile("sgd", "mse")
    gc.collect()
    assert [plan() for plan in plans] == [None] * len(plans)


def test_many_shapes_are_remembered_and_forgotten_by_many_threads():
    made = model()
    (x,), _ = batches(1, "mse", 60)
    expected = made.predict(x.tolist())

    def predict(first):
        return [
            np.array_equal(made.predict(x[:count]), expected[:count]) for count in (*range(first, 61), *range(1, 61))
        ]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(all(right) for right in pool.map(predict, (1, 15, 30, 45)))
    finally:
        sys.setswitchinterval(before)
    made.predict(x[:7])
    assert len(made._repeated_prediction._known) <= 16
    assert len(made._plans.generation) <= 16


def test_the_plans_of_the_shapes_used_last_lie_at_hand():
    made = model()
    (x,), _ = batches(1, "mse", 60)
    for count in range(1, 60):
        made.predict(x[:count])
    sizes = [key[1] for key in made._plans.generation]
    assert sizes == list(range(44, 60))


def test_the_short_way_is_taken():
    """What is kept is used: the model is not asked for its plan's key again."""
    made = model()
    (x,), (y,) = batches(1, "mse")
    made.predict(x)
    made.train_on_batch(x, y)
    asked = []
    made._plan_key = lambda *_, **__: asked.append(1)
    made.predict(x)
    made.train_on_batch(x, y)
    assert not asked
    with pytest.raises(TypeError):
        made.predict(x[:2])
    assert asked
