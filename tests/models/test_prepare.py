"""What inference prepares from the weights: made once, and anew wherever weights may have been written."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import numpy as np
import pytest

import rn
from rn import _core
from rn.layers import BatchNorm, Dense, Layer, Residual
from rn.layers.base import Shape


class Biased(Layer):
    """y = x + b, with b prepared; counts the preparations."""

    def build(self, input_shape: Shape, rng: object) -> Shape:
        self.count = 0
        self.add_parameter("bias", input_shape, "ones", rng)  # type: ignore[arg-type]
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        bias, gradient = self.slots(plan, "bias")
        prepared, y = plan.tensor(bias.shape), self.output_slot(plan)
        with plan.prepare():
            plan.callback("count", self.prepare)
            _core.activate(plan, bias, prepared, "linear")

        def add() -> None:
            np.asarray(plan.array(y))[...] = np.asarray(plan.array(x)) + np.asarray(plan.array(prepared)).reshape(
                -1, 1, 1
            )

        plan.callback("add", add, reads=[x, prepared], writes=[y])
        if self.learns(plan) or plan.wants_gradient(x):
            with plan.backward():
                _core.sum_rows(plan, plan.gradient(y), gradient)
                if plan.wants_gradient(x):
                    _core.activate(plan, plan.gradient(y), plan.gradient(x), "linear")
        return y

    def prepare(self) -> None:
        self.count += 1


def model_of(*layers: Layer) -> rn.Sequencial:
    model = rn.Sequencial(layers, input_shape=(3,), seed=0)
    model.compile(rn.optimizers.SGD(0.1), "mse")
    return model


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.zeros((4, 3), np.float32)

WRITES: dict[str, Callable[[rn.Sequencial, Layer], object]] = {
    "set": lambda model, layer: layer.set(bias=[1.0, 2.0, 3.0]),
    "load_state_dict": lambda model, layer: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
    "train_on_batch": lambda model, layer: model.train_on_batch(X, Y),
    "fit": lambda model, layer: model.fit(X, Y, epochs=2, batch_size=3, verbose=0),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_what_is_prepared_follows_every_write(write: str, inside: bool) -> None:
    layer = Biased()
    model = model_of(Residual([layer]) if inside else layer)

    def wanted() -> np.ndarray:
        return X + layer.bias + (X if inside else 0)

    for _ in range(3):
        np.testing.assert_array_equal(model.predict(X), wanted())
    assert layer.count == 1
    before = layer.bias.copy()
    WRITES[write](model, layer)
    assert (layer.bias != before).any()
    layer.count = 0
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(X), wanted())
    assert layer.count == 1
    np.testing.assert_array_equal(model(X), model.predict(X))
    assert layer.count == 1  # the same plan


def test_gradients_in_chunks_are_noticed_and_evaluate_agrees() -> None:
    layer = Biased()
    model = model_of(layer)
    model.compile("sgd", "mse", gradient_chunks=2)
    model.predict(X)
    model.evaluate(X, Y)
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.predict(X), X + layer.bias)
    assert model.evaluate(X, Y)["loss"] == pytest.approx(float(np.mean((X + layer.bias) ** 2)), rel=1e-6)


def test_a_layer_that_is_built_anew_or_copied_tells_its_new_network() -> None:
    model = model_of(Biased())
    model.predict(X)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    for each, bias in ((twin, 5.0), (model, 7.0)):
        each.layers[0].set(bias=np.full(3, bias))
        np.testing.assert_array_equal(each.predict(X), X + np.float32(bias))
    model.add(Dense(2))
    model.layers[0].set(bias=np.zeros(3))
    np.testing.assert_array_equal(model.outputs(X)[model.layers[0].name], X)


def test_running_statistics_are_written_too() -> None:
    layer = BatchNorm()
    model = model_of(layer)
    for write in (lambda: model.train_on_batch(X, Y), lambda: layer.set(running_var=np.full(3, 9.0))):
        before = model.predict(X)
        write()
        assert (model.predict(X) != before).any()


def test_several_threads_prepare_at_once() -> None:
    layer = Biased()
    model = model_of(layer)
    layer.set(bias=[4.0, 5.0, 6.0])
    results: list[bool] = []

    def work() -> None:
        results.extend(bool((model.predict(X) == X + layer.bias).all()) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 200
