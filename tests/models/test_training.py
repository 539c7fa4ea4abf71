"""Models from compile to predict: they learn, repeat themselves bit for bit, and go on where they stopped."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rn
from rn import _core
from rn.errors import StateError
from rn.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Softmax,
)
from rn.models.fitting import Fitting

RNG = np.random.default_rng(3)
X = RNG.normal(size=(70, 1, 10, 10)).astype(np.float32)
Y = (X.mean(axis=(1, 2, 3)) > 0).astype(int) + (X[:, 0, 0, 0] > 0)


def net(seed: int = 5, optimizer: object = "adam", **compiled: object) -> rn.Sequencial:
    model = rn.Sequencial(
        [
            Conv2D(6, 3, "relu"),
            MaxPool2D(2),
            Dropout(0.3),
            Flatten(),
            Dense(16, "tanh"),
            Dropout(0.2),
            Dense(3, "softmax"),
        ],
        input_shape=(1, 10, 10),
        seed=seed,
    )
    model.compile(optimizer, "cross_entropy", metrics=["accuracy"], **compiled)  # type: ignore[arg-type]
    return model


def same_bits(a: rn.models.Model, b: rn.models.Model) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_it_learns() -> None:
    model = net(optimizer=rn.optimizers.Adam(0.005))
    history = model.fit(X, Y, epochs=60, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(X, Y)["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads() -> None:
    models, losses = [], []
    for threads in (1, 2, 3, 8):
        with rn.threads(threads):
            model = net()
            losses.append(model.fit(X, Y, epochs=3, batch_size=16, verbose=0).history["loss"])
            models.append(model)
    assert all(same_bits(models[0], other) for other in models[1:])
    assert all(losses[0] == other for other in losses[1:])
    assert not same_bits(models[0], net())
    other_seed = net(seed=6)
    other_seed.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    assert not same_bits(models[0], other_seed)


def test_two_fits_of_one_epoch_are_one_fit_of_two() -> None:
    whole, parts = net(), net()
    whole.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    for _ in range(2):
        parts.fit(X, Y, epochs=1, batch_size=16, verbose=0)
    assert (whole.epochs, whole.steps) == (parts.epochs, parts.steps) == (2, 10)
    assert same_bits(whole, parts)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", rn.optimizers.SGD(0.1, momentum=0.9, nesterov=True)])
@pytest.mark.parametrize(
    "stored",
    [
        lambda m, path: (m.save(path), rn.load(path))[1],
        lambda m, _: pickle.loads(pickle.dumps(m)),
        lambda m, _: copy.deepcopy(m),
    ],
)
def test_a_model_that_was_stored_goes_on_with_the_same_bits(
    stored: Callable[[rn.Sequencial, Path], rn.Sequencial], optimizer: object, tmp_path: Path
) -> None:
    model = net(optimizer=copy.deepcopy(optimizer))
    model.layers[0].trainable = False
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    again = stored(model, tmp_path / "model.rn")
    assert same_bits(model, again)
    assert np.array_equal(model.predict(X), again.predict(X))
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    again.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    assert same_bits(model, again)
    assert (again.epochs, again.steps) == (model.epochs, model.steps)
    # It shares nothing with the one it came from.
    model.fit(X, Y, epochs=1, batch_size=16, verbose=0)
    assert not same_bits(model, again)


def test_a_whole_model_is_frozen_and_thawed() -> None:
    model, plain = net(), net()
    assert model.trainable
    before = net()
    model.trainable = False
    assert not model.trainable
    assert not any(layer.trainable for layer in model.layers)
    model.fit(X, Y, batch_size=16, verbose=0)
    model.train_on_batch(X, Y)
    assert same_bits(model, before)
    model.layers[4].trainable = True
    assert model.trainable
    with pytest.raises(rn.errors.OptionError, match="trainable must be True or False, got 'no'"):
        model.trainable = "no"  # type: ignore[assignment]
    model.trainable = True
    assert all(layer.trainable for layer in model.layers)
    model.epochs = model.steps = 0
    for either in (model, plain):
        either.compile("adam", "cross_entropy")
        either.fit(X, Y, batch_size=16, verbose=0)
    assert same_bits(model, plain)
    assert not same_bits(model, before)


def test_rede_neural_has_the_bits_of_the_sequencial_of_its_layers(tmp_path: Path) -> None:
    x, y = X.reshape(70, -1)[:, :4], Y
    light = rn.RedeNeural([4, 10, 10, 3], output_activation="softmax", seed=2)
    stack = rn.Sequencial([Dense(10, "tanh"), Dense(10, "tanh"), Dense(3, "softmax")], input_shape=4, seed=2)
    for model in (light, stack):
        model.compile(rn.optimizers.SGD(0.01, momentum=0.9), "cross_entropy")
        model.fit(x, y, epochs=5, batch_size=16, verbose=0)
    assert same_bits(light, stack)
    light.layers[1].name = "hidden"
    light.layers[0].trainable = False
    light.save(tmp_path / "light.rn")
    again = rn.load(tmp_path / "light.rn")
    assert isinstance(again, rn.RedeNeural)
    assert again.sizes == (4, 10, 10, 3)
    assert [layer.name for layer in again.layers] == ["dense_1", "hidden", "dense_3"]
    assert [layer.trainable for layer in again.layers] == [False, True, True]
    assert np.array_equal(again.predict(x), light.predict(x))


def test_large_activations_are_computed_in_parts() -> None:
    layers = [Conv2D(12, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(4)]
    model = rn.Sequencial(layers, input_shape=(2, 44, 44), seed=3)
    network = model.network
    assert network is not None
    # 12 x 42 x 42 + 2 x 12 x 21 x 21 + 4 floats a sample: 16 of them have 2 MiB
    assert [network.samples_at_a_time(samples) for samples in (1, 31, 32, 500)] == [1, 31, 16, 16]
    x = np.random.default_rng(5).standard_normal((77, 2, 44, 44)).astype(np.float32)
    y = np.random.default_rng(6).standard_normal((77, 4)).astype(np.float32)
    assert np.array_equal(model.predict(x), model.predict(x, batch_size=77))
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.evaluate(x, y)["loss"], model.evaluate(x, y, batch_size=77)["loss"], rtol=1e-6)
    small = net().network
    assert small is not None
    assert [small.samples_at_a_time(samples) for samples in (256, 257, 511, 5000)] == [256] * 4
    # In the core alone parts are even, and as many for each thread where its samples are worth waking it.
    assert [network.even_parts(samples, 1) for samples in (1, 31, 32, 500)] == [1, 31, 16, 17]
    assert [network.even_parts(samples, 2) for samples in (1, 33, 63, 64, 500)] == [1, 17, 32, 16, 17]
    assert [small.even_parts(samples, 1) for samples in (256, 257, 511, 5000)] == [256, 129, 256, 250]
    assert 4_000 < small.products < 7_000
    assert [small.even_parts(samples, 2) for samples in (40, 200, 1000)] == [40, 100, 250]


def test_weights_that_stay_in_no_core_are_not_read_for_few_samples() -> None:
    network = rn.Sequencial([Dense(600)], input_shape=500, seed=0).network
    assert network is not None
    assert [network.even_parts(samples, 2) for samples in (2, 30, 31, 32)] == [2, 30, 16, 16]


def test_parts_of_threads_are_such_that_they_can_be_worked_side_by_side() -> None:
    network = rn.Sequencial([Conv2D(12, 3), Flatten(), Dense(4)], input_shape=(2, 44, 44), seed=3).network
    assert network is not None
    for threads in (2, 3, 8, 16, 64):
        for samples in range(1, 1500, 7):
            part = network.even_parts(samples, threads)
            assert part <= 256
            if part != network.even_parts(samples, 1):
                assert _core.lanes(threads, -(-samples // part)) > 1


def works_side_by_side(model: rn.Sequencial, x: np.ndarray) -> bool:
    with rn.profile() as p:
        model.predict(x)
    return "waiting" in {row.name for row in p.kernels}


def test_which_predictions_threads_work_side_by_side() -> None:
    x = np.random.default_rng(0).standard_normal((64, 3, 20, 20)).astype(np.float32)
    built_in = rn.Sequencial(layers_of_all_kinds(), input_shape=(3, 20, 20), seed=1)
    own = rn.Sequencial([*layers_of_all_kinds(), Watching()], input_shape=(3, 20, 20), seed=1)
    for threads in (1, 2, 1, 3):  # the long way once, then that of arrays like an earlier one
        with rn.threads(threads):
            for _ in range(2):
                assert works_side_by_side(built_in, x) == (threads > 1)
                assert not works_side_by_side(own, x)
    with rn.threads(2):
        assert not works_side_by_side(built_in, x[:1])
        large = rn.Sequencial([Conv2D(64, 3)], input_shape=(3, 200, 200), seed=1)
        assert not works_side_by_side(large, np.zeros((64, 3, 200, 200), np.float32))  # 10 MB a sample


class Centred(rn.activations.ActivationFunction):
    def value(self, x: np.ndarray) -> np.ndarray:
        return x - x.mean(axis=0)


def test_an_activation_of_ones_own_sees_the_same_parts_on_any_number_of_threads() -> None:
    x = np.random.default_rng(0).standard_normal((101, 256)).astype(np.float32)
    for layers in ([Dense(256, Centred())], [Residual([Dense(256)], activation=Centred())], [Activation(Centred())]):
        model = rn.Sequencial([Dense(256), *layers], input_shape=256, seed=0)
        results = []
        for threads in (1, 2, 3):
            with rn.threads(threads):
                results.append(model.predict(x))
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])


def layers_of_all_kinds() -> list[Layer]:
    block = [Conv2D(8, 3, "relu", padding="same"), BatchNorm(), Conv2D(8, 3, padding="same")]
    return [
        *(Conv2D(8, 5), Residual(block), MaxPool2D(2), Conv2D(20, 3, strides=2, padding=1), ReLU()),
        *(Dropout(0.3), Flatten(), Dense(40, "gelu"), Dense(7, "softmax")),
    ]


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 16, 31, 64, 101])
def test_a_prediction_has_the_same_bits_on_any_number_of_threads(samples: int) -> None:
    model = rn.Sequencial(layers_of_all_kinds(), input_shape=(3, 20, 20), seed=1)
    x = np.random.default_rng(samples).standard_normal((samples, 3, 20, 20)).astype(np.float32)
    state = model.state_dict()
    last = next(name for name in reversed(state) if name.endswith("weight"))
    with rn.threads(1):
        one = model.predict(x)
    for threads in (2, 3, 8):
        with rn.threads(threads):
            for _ in range(3):  # the long way, and those of arrays like an earlier one
                assert np.array_equal(model.predict(x), one)
            assert np.array_equal(model.predict(x, batch_size=1), one)
            model.load_state_dict({**state, last: -state[last]})
            assert not np.array_equal(model.predict(x), one)
            model.load_state_dict(state)
    assert np.array_equal(model.predict(x), one)


def test_rede_neural_compiles_to_sgd_with_momentum_and_mse() -> None:
    model = rn.RedeNeural([2, 3, 1])
    model.compile()
    assert isinstance(model.optimizer, rn.optimizers.SGD)
    assert (model.optimizer.learning_rate, model.optimizer.momentum) == (0.01, 0.9)
    assert isinstance(model.loss, rn.losses.MeanSquaredError)


def test_a_rows_prediction_does_not_depend_on_its_batch() -> None:
    model = net()
    whole = model.predict(X)
    assert whole.shape == (70, 3)
    for batch_size in (1, 7, 32):
        assert np.array_equal(model.predict(X, batch_size=batch_size), whole)
    assert np.array_equal(model.predict(X[41:42])[0], whole[41])
    assert np.array_equal(model(X), whole)


def test_dropout_works_in_training_alone_and_differs_by_step() -> None:
    model = net()
    assert np.array_equal(model(X), model(X))
    assert np.array_equal(model(X, training=True), model(X, training=True))
    first = model(X, training=True)
    assert not np.array_equal(first, model(X))
    model.steps += 1
    assert not np.array_equal(first, model(X, training=True))
    assert model.evaluate(X, Y) == model.evaluate(X, Y)


def test_evaluate_is_the_mean_over_all_samples() -> None:
    model = net()
    p = model.predict(X).astype(np.float64)
    values = model.evaluate(X, Y, batch_size=32)
    assert values["loss"] == pytest.approx(-np.log(p[np.arange(70), Y]).mean(), rel=1e-5)
    assert values["accuracy"] == pytest.approx((p.argmax(axis=1) == Y).mean(), abs=1e-12)
    assert model.evaluate(X, Y, batch_size=7)["loss"] == pytest.approx(values["loss"], rel=1e-9)


def test_sample_and_class_weights() -> None:
    model = net()
    p = model.predict(X).astype(np.float64)
    w = RNG.uniform(0, 2, 70)
    assert model.evaluate(X, Y, sample_weight=w)["loss"] == pytest.approx(
        (-np.log(p[np.arange(70), Y]) * w).mean(), rel=1e-5
    )
    by_class, by_sample = net(), net()
    by_class.fit(X, Y, class_weight={0: 2.0, 1: 0.5}, epochs=2, verbose=0)
    by_sample.fit(X, Y, sample_weight=np.array([2.0, 0.5, 1.0])[Y], epochs=2, verbose=0)
    assert same_bits(by_class, by_sample)
    unweighted = net()
    unweighted.fit(X, Y, epochs=2, verbose=0)
    assert not same_bits(by_class, unweighted)


def test_a_weight_of_zero_leaves_a_sample_out() -> None:
    model, other = net(optimizer="sgd"), net(optimizer="sgd")
    w = np.ones(70)
    w[:35] = 0
    changed = X.copy()
    changed[:35] += 1
    model.fit(X, Y, sample_weight=w, verbose=0)
    other.fit(changed, Y, sample_weight=w, verbose=0)
    assert same_bits(model, other)


def test_frozen_layers_stay() -> None:
    model = net()
    model.layers[4].trainable = False
    before = model.state_dict()
    model.fit(X, Y, epochs=2, verbose=0)
    after = model.state_dict()
    assert all(np.array_equal(before[key], after[key]) == key.startswith("4.") for key in before)


def test_the_learning_rate_can_be_set_at_any_time() -> None:
    model = net(optimizer="sgd")
    assert model.optimizer is not None
    model.fit(X, Y, verbose=0)
    before = model.state_dict()
    model.optimizer.learning_rate = 0.0
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("chunks", [2, 3, 64])
def test_gradient_chunks_give_the_gradient_of_the_batch(chunks: int) -> None:
    def model(count: int) -> rn.Sequencial:
        made = rn.Sequencial([Flatten(), Dense(8, "tanh"), Dense(3, "softmax")], input_shape=(1, 10, 10), seed=1)
        made.compile("sgd", "cross_entropy", gradient_chunks=count)
        return made

    whole, parts = model(1), model(chunks)
    a = whole.fit(X, Y, epochs=3, batch_size=16, verbose=0).history["loss"]
    b = parts.fit(X, Y, epochs=3, batch_size=16, verbose=0).history["loss"]
    assert b == pytest.approx(a, rel=1e-5)
    for key, value in whole.state_dict().items():
        np.testing.assert_allclose(parts.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_gradient_chunks_need_a_mean_over_samples() -> None:
    model = rn.Sequencial([Dense(1)], input_shape=4)
    with pytest.raises(rn.errors.OptionError, match="gradient_chunks must be 1 with RootMeanSquaredError, which is no"):
        model.compile("sgd", "rmse", gradient_chunks=4)
    model.compile("sgd", "rmse", gradient_chunks=1)


def test_validation_is_an_evaluate_after_each_epoch() -> None:
    model, other = net(), net()
    history = model.fit(X[:50], Y[:50], epochs=2, validation_data=(X[50:], Y[50:]), verbose=0)
    assert history.history["val_loss"][-1] == model.evaluate(X[50:], Y[50:])["loss"]
    split = other.fit(X, Y, epochs=2, validation_split=20 / 70, verbose=0)
    assert split.history == history.history
    assert same_bits(model, other)


def test_train_on_batch_is_a_step_of_fit() -> None:
    model, other = net(), net()
    values = model.train_on_batch(X, Y)
    history = other.fit(X, Y, batch_size=70, shuffle=False, verbose=0)
    assert values["loss"] == pytest.approx(history.history["loss"][0], rel=1e-12)
    assert same_bits(model, other)


def test_a_training_step_allocates_nothing() -> None:
    model = net()
    model.fit(X, Y, epochs=1, batch_size=16, verbose=0)
    seen = []
    model.fit(
        X, Y, epochs=4, batch_size=16, verbose=0, callbacks=[lambda epoch, logs: seen.append(_core.allocations())]
    )
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_outputs_by_layer_name() -> None:
    model = net()
    outputs = model.outputs(X, "conv2d_1", "dense_2")
    assert outputs["conv2d_1"].shape == (70, 6, 8, 8)
    assert outputs["conv2d_1"].min() == 0.0
    assert np.array_equal(outputs["dense_2"], model.predict(X))
    assert list(model.outputs(X)) == [layer.name for layer in model.layers]
    with pytest.raises(rn.errors.OptionError, match="no layer 'conv'"):
        model.outputs(X, "conv")


def test_activations_as_layers_of_their_own_compute_the_same() -> None:
    joined = rn.Sequencial([Flatten(), Dense(8, "relu"), Dense(3, "softmax")], input_shape=(1, 10, 10), seed=4)
    apart = rn.Sequencial([Input((1, 10, 10)), Flatten(), Dense(8), ReLU(), Dense(3), Activation("softmax")], seed=4)
    apart.load_state_dict(dict(zip(apart.state_dict(), joined.state_dict().values(), strict=True)))
    assert np.array_equal(joined.predict(X), apart.predict(X))
    for model in (joined, apart):
        model.compile("adam", "cross_entropy")
        model.fit(X, Y, shuffle=False, verbose=0)
    assert all(
        np.array_equal(a, b) for a, b in zip(joined.state_dict().values(), apart.state_dict().values(), strict=True)
    )
    hidden = apart.outputs(X, "dense_1", "relu_1")
    assert np.array_equal(np.maximum(hidden["dense_1"], 0), hidden["relu_1"])


def test_logits_and_a_softmax_layer_give_the_same_loss_and_gradients() -> None:
    logits = rn.Sequencial([Flatten(), Dense(3)], input_shape=(1, 10, 10), seed=4)
    logits.compile("sgd", rn.losses.CrossEntropy(from_logits=True))
    probabilities = rn.Sequencial([Flatten(), Dense(3), Softmax()], input_shape=(1, 10, 10), seed=4)
    probabilities.compile("sgd", "cross_entropy")
    assert logits.evaluate(X, Y)["loss"] == probabilities.evaluate(X, Y)["loss"]
    assert np.array_equal(logits.input_gradient(X, Y), probabilities.input_gradient(X, Y))


@pytest.mark.parametrize("size", [10_000.0, -10_000.0])
def test_extreme_logits(size: float) -> None:
    model = rn.Sequencial([Dense(3, "softmax", use_bias=False, kernel_initializer="identity")], input_shape=3)
    model.compile("sgd", "cross_entropy")
    x = np.array([[size, 0.0, 0.0], [0.0, size, 0.0]], np.float32)
    p = model.predict(x)
    wanted = np.exp(x - x.max(axis=1, keepdims=True), dtype=np.float64)
    wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, wanted, atol=1e-7)
    gradient = model.input_gradient(x, [1, 1])
    np.testing.assert_allclose(gradient, (wanted - np.eye(3)[[1, 1]]) / 2, atol=1e-7)
    loss = model.evaluate(x, [1, 1])["loss"]
    shifted = x - x.max(axis=1, keepdims=True)
    assert loss == pytest.approx((np.log(np.exp(shifted).sum(axis=1)) - shifted[:, 1]).mean(), rel=1e-6)


def test_several_threads_predict_at_once() -> None:
    model = net()
    expected = model.predict(X)
    wrong: list[int] = []

    def work(number: int) -> None:
        wrong.extend(number for _ in range(20) if not np.array_equal(model.predict(X), expected))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


CHANGING_THREADS = """
import threading
import numpy as np
import rn
model = rn.Sequencial([rn.layers.Conv2D(16, 3), rn.layers.Conv2D(16, 3)], input_shape=(3, 20, 20), seed=0)
x = np.ones((120, 3, 20, 20), np.float32)
def work(threads):
    for n in range(20, 120):
        with rn.threads(threads):
            model.predict(x[:n])
jobs = [threading.Thread(target=work, args=(threads,)) for threads in (1, 8)]
for job in jobs:
    job.start()
for job in jobs:
    job.join()
print("done")
"""


def test_the_number_of_threads_may_change_while_others_predict() -> None:
    # In a process of its own, which a plan that runs on more threads than it has room for would end.
    done = subprocess.run([sys.executable, "-c", CHANGING_THREADS], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr


class Watching(Layer):
    """Passes on what comes, and remembers how many samples came at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.sizes.append(len(x))
        return x


def test_the_parts_of_a_prediction_do_not_depend_on_threads() -> None:
    watching = Watching()
    model = rn.Sequencial([Conv2D(32, 3), Flatten(), watching, Dense(2)], input_shape=(1, 22, 22), seed=0)
    x = np.ones((300, 1, 22, 22), np.float32)
    sizes = []
    for threads in (1, 3, 8):
        watching.sizes.clear()
        with rn.threads(threads):
            model.predict(x)
        sizes.append(watching.sizes.copy())
    assert sizes[0] == sizes[1] == sizes[2]
    assert len(sizes[0]) > 1


def test_several_threads_meet_a_model_that_is_not_built_yet() -> None:
    wrong: list[object] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            model = rn.Sequencial([Dense(8) for _ in range(20)], seed=0)
            barrier = threading.Barrier(4)

            def work(model: rn.Sequencial = model, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                try:
                    model.predict(X[:3, 0, 0])
                except rn.errors.RnError as error:
                    wrong.append(error)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_a_layer_written_in_python_learns_in_the_same_plan() -> None:
    class Scale(rn.layers.Layer):
        def build(self, input_shape: tuple[int, ...], rng: object) -> tuple[int, ...]:
            self.add_parameter("factor", (1,), "ones", rng)  # type: ignore[arg-type]
            return input_shape

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            self.x = x.copy()
            return x * self.factor

        def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
            self.gradients["factor"][...] += (grad * self.x).sum()
            return grad * self.factor

    def model(layer: rn.layers.Layer) -> rn.Sequencial:
        made = rn.Sequencial([Flatten(), Dense(8, "tanh"), layer, Dense(3, "softmax")], input_shape=(1, 10, 10), seed=1)
        made.compile("sgd", "cross_entropy")
        return made

    scaled, plain = model(Scale()), model(Activation("linear"))
    assert np.array_equal(scaled.predict(X), plain.predict(X))
    np.testing.assert_allclose(scaled.input_gradient(X, Y), plain.input_gradient(X, Y), rtol=1e-6)
    scaled.fit(X, Y, epochs=3, verbose=0)
    assert abs(float(scaled.layers[2].factor[0]) - 1.0) > 1e-4
    left = scaled.layers[2].gradients["factor"].copy()
    scaled.input_gradient(X[:5], Y[:5])
    assert left != 0
    assert np.array_equal(scaled.layers[2].gradients["factor"], left)

    class Broken(Scale):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        model(Broken()).predict(X)


def test_a_stopped_fit_leaves_a_usable_model() -> None:
    model = net()

    def interrupt(epoch: int, logs: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, callbacks=[interrupt], verbose=0)
    assert model.epochs == 1
    model.fit(X, Y, verbose=0)

    def stop(epoch: int, logs: dict[str, float]) -> None:
        model.stop_training = True

    assert len(model.fit(X, Y, epochs=5, callbacks=[stop], verbose=0).history["loss"]) == 1


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = net()
    model.summary(batch_size=16)
    text = capsys.readouterr().out
    for words in ("conv2d_1", "(n, 6, 8, 8)", "60", "dense_2", "51", f"{60 + 96 * 16 + 16 + 51:,} parameters", "KiB"):
        assert words in text
    rn.Sequencial([Dense(3)]).summary()
    assert "not built" in capsys.readouterr().out


def test_tensors_come_in_at_the_door() -> None:
    model = rn.Sequencial([Dense(3)], input_shape=4, seed=0)
    x = X.reshape(70, -1)[:, :4]
    expected = model.predict(x)
    assert expected.dtype == np.float32
    for tensor in (rn.Tensor4D(x.reshape(70, 4, 1, 1)), rn.Tensor4D(x)):
        assert np.array_equal(model.predict(tensor), expected)
    images = net()
    assert np.array_equal(images.predict(rn.Tensor4D(X)), images.predict(X))


def test_the_gradient_by_the_input_of_the_first_layer_is_not_computed() -> None:
    model = net()
    with model._lend("train", 16, classes=True) as bound:
        listing = bound.plan.listing()
    kernels = [(layer, kernel) for _, layer, kernel, _, _ in listing]
    assert ("conv2d_1", "conv2d_weight_gradient") in kernels
    assert not any(layer == "conv2d_1" and "input_gradient" in kernel for layer, kernel in kernels)
    assert any(layer == "dense_1" and kernel == "gemm" for layer, kernel in kernels)


def test_no_gradient_goes_through_frozen_first_layers() -> None:
    def backward(model: rn.Sequencial) -> set[str]:
        with model._lend("train", 4, classes=True) as bound:
            return {layer for phase, layer, *_ in bound.plan.listing() if phase == "backward"}

    model = net()
    assert backward(model) == {"conv2d_1", "max_pool2d_1", "dropout_1", "dense_1", "dropout_2", "dense_2"}
    model.layers[0].trainable = False
    assert backward(model) == {"dense_1", "dropout_2", "dense_2"}
    with model._lend("input gradient", 4, classes=True) as bound:  # asked for, it goes all the way
        assert "conv2d_1" in {layer for phase, layer, *_ in bound.plan.listing() if phase == "backward"}
    model.layers[0].trainable, model.layers[4].trainable = True, False
    assert "conv2d_1" in backward(model)


def test_what_follows_frozen_layers_learns_the_same() -> None:
    def dense() -> list[rn.layers.Layer]:
        return [Dense(16, "tanh"), Dense(3, "softmax")]

    head = rn.Sequencial(dense(), input_shape=(96,), seed=5)
    whole = rn.Sequencial([Conv2D(6, 3, "relu"), MaxPool2D(2), Flatten(), *dense()], input_shape=(1, 10, 10), seed=5)
    head.load_state_dict(dict(zip(head.state_dict(), list(whole.state_dict().values())[2:], strict=True)))
    whole.layers[0].trainable = False
    for model in (whole, head):
        model.compile("sgd", "cross_entropy")
    features = whole.outputs(X, "flatten_1")["flatten_1"]
    assert whole.train_on_batch(X, Y) == head.train_on_batch(features, Y)
    for ours, theirs in zip(list(whole.state_dict().values())[2:], head.state_dict().values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_metrics_see_probabilities_where_the_loss_takes_logits() -> None:
    x = np.float32([[-2.0], [-0.1], [0.3], [0.4], [3.0]])
    model = rn.Sequencial([Dense(1, kernel_initializer="ones")], input_shape=(1,), seed=0)
    model.compile("sgd", rn.losses.BinaryCrossEntropy(from_logits=True), metrics=["accuracy", "mse"])
    target = np.float32([0, 0, 1, 1, 1])
    found = model.evaluate(x, target)
    assert found["accuracy"] == 1.0
    assert found["mse"] == pytest.approx(((1 / (1 + np.exp(-x[:, 0])) - target) ** 2).mean(), rel=1e-5)
    np.testing.assert_array_equal(model.predict(x), x)


def test_an_optimizers_settings_are_fixed_once_a_model_is_compiled_with_it() -> None:
    optimizer = rn.optimizers.SGD(0.1)
    optimizer.momentum = 0.5
    model = net(optimizer=optimizer)
    with pytest.raises(rn.errors.StateError, match=r"SGD: momentum was fixed.*SGD\(momentum=\.\.\.\)"):
        optimizer.momentum = 0.9
    assert optimizer.momentum == 0.5
    optimizer.learning_rate = 0.2
    assert model.optimizer is optimizer
    assert optimizer.config()["learning_rate"] == 0.2
    with pytest.raises(rn.errors.StateError, match="momentum"):
        pickle.loads(pickle.dumps(model)).optimizer.momentum = 0.9


def test_targets_may_be_tensors() -> None:
    x, y = X.reshape(70, -1)[:, :4], np.eye(3, dtype=np.float32)[Y]
    model = rn.Sequencial([Dense(3)], input_shape=4, seed=0)
    model.compile("sgd", "mse")
    expected = model.evaluate(x, y)
    for target in (rn.Tensor4D(y), rn.Tensor4D(y.reshape(70, 3, 1, 1))):
        assert model.evaluate(rn.Tensor4D(x), target) == expected
    column = rn.Sequencial([Dense(1)], input_shape=4, seed=0)
    column.compile("sgd", "mse")
    assert column.evaluate(x, rn.Tensor4D(y[:, :1])) == column.evaluate(x, y[:, 0])
    images = rn.Sequencial([Conv2D(1, 1)], input_shape=(1, 10, 10), seed=0)
    images.compile("sgd", "mse")
    assert images.evaluate(X, rn.Tensor4D(X)) == images.evaluate(X, X)


def test_layers_may_be_added_to_an_input_shape() -> None:
    model = rn.Sequencial(input_shape=np.int64(4), seed=2)
    for layer in (Dense(3, "tanh"), Dense(2)):
        model.add(layer)
    whole = rn.Sequencial([Dense(3, "tanh"), Dense(2)], input_shape=(4,), seed=2)
    assert same_bits(model, whole)
    empty = rn.Sequencial(input_shape=4)
    with pytest.raises(rn.errors.ShapeError, match="images"):
        empty.add(Conv2D(1, 1))
    assert not empty.layers
    empty.add(Dense(1))
    assert empty.predict(np.zeros((2, 4))).shape == (2, 1)


class Identity(rn.layers.Layer):
    """A layer in Python that raises ``error`` at the ``last`` batch of training."""

    def __init__(self, last: int, error: type[BaseException]) -> None:
        super().__init__()
        self.left, self.error = last, error

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.left -= training
        if self.left == 0:
            raise self.error
        return x

    def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        return grad


@pytest.mark.parametrize("chunks", [1, 2])
def test_the_counters_tell_how_many_steps_the_weights_have_made(chunks: int) -> None:
    def model(batches: int) -> rn.Sequencial:
        layers = [Flatten(), Dense(3), Identity(batches, KeyboardInterrupt), Dropout(0.5), Softmax()]
        made = rn.Sequencial(layers, input_shape=(1, 10, 10), seed=5)
        made.compile("adam", "cross_entropy", gradient_chunks=chunks)
        return made

    broken, whole = model(30 * chunks), model(-1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, Y, batch_size=10, epochs=5, verbose=0)
    assert (broken.steps, broken._updates, broken.epochs) == (29, 29, 4)
    whole.fit(X, Y, batch_size=10, epochs=4, verbose=0)
    assert (whole.steps, whole._updates) == (28, 28)
    order = np.arange(70)
    _core.shuffle(order, 5, 2 << 24, 4)
    whole.train_on_batch(X[order[:10]], Y[order[:10]])
    assert same_bits(broken, whole)


def test_ctrl_c_while_the_core_runs_leaves_counters_that_agree_with_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python hears the signal as soon as the core returns."""

    class Interrupted:
        def __init__(self, plan: _core.Plan) -> None:
            self.plan = plan
            self.set_step = plan.set_step

        def train(self, order: np.ndarray, totals: np.ndarray, rates: np.ndarray | None) -> None:
            self.plan.train(order, totals, rates)
            raise KeyboardInterrupt

        @property
        def counters(self) -> tuple[int, int]:
            return self.plan.counters

    model = net()
    plan = Fitting._plan
    monkeypatch.setattr(Fitting, "_plan", lambda self, size: SimpleNamespace(plan=Interrupted(plan(self, size).plan)))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=16, verbose=0)  # the loop comes back after one batch, until it knows their speed
    assert (model.steps, model._updates, model.epochs) == (1, 1, 0)


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_layer_may_be_frozen_and_thawed_between_epochs_of_a_fit(chunks: int) -> None:
    def model() -> rn.Sequencial:
        made = net()
        made.compile("sgd", "cross_entropy", gradient_chunks=chunks)
        return made

    def turn(epoch: int, logs: object) -> None:
        one.layers[4].trainable = not one.layers[4].trainable

    one, parts = model(), model()
    one.fit(X, Y, epochs=4, callbacks=[turn], verbose=0)
    for trainable in (True, False, True, False):
        parts.layers[4].trainable = trainable
        parts.fit(X, Y, verbose=0)
    assert same_bits(one, parts)


def test_idle_plans_hold_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rn.models.plans, "KEPT_BYTES", 1 << 20)
    monkeypatch.setattr(rn.models.plans, "SMALL_BYTES", 1)  # none lies at hand
    model = net()
    for size in range(1, 71):
        model.predict(X[:size])
    assert 1 < len(model._plans._idle) <= rn.models.plans.KEPT
    assert model._plans._held <= 1 << 20
    idle = [bound.plan for plans in model._plans._idle.values() for bound in plans]
    assert model._plans._held == sum(plan.bytes for plan in idle)
    monkeypatch.setattr(rn.models.plans, "KEPT_BYTES", 1)
    model.predict(X)
    assert len(model._plans._idle) == 1
    with model._lend("predict", 5), model._lend("predict", 5), model._lend("predict", 5):
        pass
    assert [len(plans) for plans in model._plans._idle.values()] == [1]  # of one key as well


FEW, LABELS = np.ones((4, 3), np.float32), np.array([0, 1, 0, 1])


def perceptron() -> rn.Sequencial:
    model = rn.Sequencial([Dense(4, "tanh"), Dense(2, "softmax")], input_shape=3, seed=0)
    model.compile("adam", "cross_entropy")
    return model


def interrupt(work: Callable[[], object], seconds: float) -> None:
    """Do ``work`` again and again until Ctrl-C comes, after so many seconds."""
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            work()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_a_model_whose_training_was_interrupted_can_be_trained_again() -> None:
    for i in range(400):
        model = perceptron()
        model.train_on_batch(FEW, LABELS)
        interrupt(functools.partial(model.train_on_batch, FEW, LABELS), 5e-4 + 1e-6 * i)
        model.train_on_batch(FEW, LABELS)
        assert model.steps == model._updates


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_an_interrupted_compile_leaves_an_optimizer_with_its_state() -> None:
    model, rules = perceptron(), itertools.cycle(["adam", "sgd", "rmsprop"])
    for i in range(400):
        interrupt(lambda: model.compile(next(rules), "cross_entropy"), 5e-4 + 1e-6 * i)
        assert model.optimizer is not None
        assert tuple(model._state) == model.optimizer.state_names


def test_a_model_is_written_down_by_the_thread_that_trains_it_alone(tmp_path: Path) -> None:
    model, path = perceptron(), tmp_path / "net.rn"
    begun, over = threading.Event(), threading.Event()

    def during(epoch: int, logs: dict[str, float]) -> None:
        model.save(path)
        pickle.dumps(copy.deepcopy(model))
        begun.set()
        over.wait()

    fit = threading.Thread(target=model.fit, args=(FEW, LABELS), kwargs={"callbacks": [during], "verbose": 0})
    fit.start()
    begun.wait()
    try:
        for write in (lambda: model.save(path), lambda: copy.deepcopy(model), lambda: pickle.dumps(model)):
            with pytest.raises(StateError, match="while another thread trains this model"):
                write()
    finally:
        over.set()
        fit.join()
    assert rn.load(path).steps == copy.deepcopy(model).steps == pickle.loads(pickle.dumps(model)).steps == 1


def test_training_waits_for_a_copy_of_the_model() -> None:
    copying, steps = threading.Event(), []

    class Slow(rn.callbacks.Callback):
        def __deepcopy__(self, memo: object) -> Slow:
            copying.set()
            time.sleep(0.05)
            steps.append(model.steps)
            return self

    model = perceptron()
    model.held = Slow()  # type: ignore[attr-defined]
    thread = threading.Thread(target=copy.deepcopy, args=(model,))
    thread.start()
    copying.wait()
    model.train_on_batch(FEW, LABELS)
    thread.join()
    assert (steps, model.steps) == ([0], 1)
