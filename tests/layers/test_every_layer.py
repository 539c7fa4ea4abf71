"""What every layer must do, over the one list of cases: repeat, save, load, freeze, share threads, stand alone."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rn
from rn import _core
from rn.layers.base import described, restored
from tests.core.harness import THREADS
from tests.layers.cases import LAYERS

BATCH = 5


def built(name: str, seed: int = 4) -> rn.Sequencial:
    shape, layers = LAYERS[name]
    model = rn.Sequencial(layers(), input_shape=shape, seed=seed)
    model.compile("adam", "mse")
    return model


def samples(model: rn.Sequencial, n: int = BATCH, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    assert model.network is not None
    shapes = model.network.input_shape, model.network.output_shape
    x, y = (rng.normal(size=(n, *shape)).astype(np.float32) for shape in shapes)
    return x, y


def state(model: rn.Sequencial) -> dict[str, bytes]:
    return {key: array.tobytes() for key, array in model.state_dict().items()}


@pytest.mark.parametrize("name", LAYERS)
def test_the_shape_that_build_says_is_the_shape_that_comes_out(name: str) -> None:
    model = built(name)
    x, _ = samples(model)
    for layer in model.layers:
        assert model.outputs(x, layer.name)[layer.name].shape == (BATCH, *layer.output_shape)


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_bits_on_any_number_of_threads(name: str) -> None:
    found = []
    for threads in THREADS:
        with rn.threads(threads):
            model = built(name)
            x, y = samples(model, 37)
            model.fit(x, y, epochs=2, batch_size=16, verbose=0)
            found.append((state(model), model.predict(x).tobytes()))
    assert all(result == found[0] for result in found)


@pytest.mark.parametrize("name", LAYERS)
def test_a_sample_alone_has_the_bits_it_has_in_a_batch(name: str) -> None:
    model = built(name)
    x, _ = samples(model, 19)
    whole = model.predict(x)
    for size in (1, 2, 7):
        np.testing.assert_array_equal(model.predict(x, batch_size=size), whole)
    np.testing.assert_array_equal(model.predict(x[11:12]), whole[11:12])
    np.testing.assert_array_equal(model(x), whole)


@pytest.mark.parametrize("name", LAYERS)
def test_saved_pickled_and_copied_models_go_on_with_the_same_bits(name: str, tmp_path: Path) -> None:
    model = built(name)
    x, y = samples(model)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.rn")
    others = [rn.load(tmp_path / "model.rn"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for each in (model, *others):
        each.train_on_batch(x, y)
    for other in others:
        assert state(other) == state(model)
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", LAYERS)
def test_a_description_makes_the_same_layer(name: str) -> None:
    for layer in LAYERS[name][1]():
        again = restored(described(layer))
        assert type(again) is type(layer)
        assert described(again) == described(layer)
        assert repr(again) == repr(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_layer_keeps_its_weights_and_passes_gradients_on(name: str) -> None:
    model = built(name)
    learning = [layer for layer in model.layers if layer.parameters]
    x, y = samples(model)
    frozen = learning[-1]
    frozen.trainable = False
    before = {layer.name: {key: value.tobytes() for key, value in layer.parameters.items()} for layer in learning}
    model.train_on_batch(x, y)
    for layer in learning:
        same = {key: value.tobytes() for key, value in layer.parameters.items()} == before[layer.name]
        assert same == (layer is frozen), layer.name


@pytest.mark.parametrize("name", LAYERS)
def test_predicting_changes_nothing_and_training_does(name: str) -> None:
    model = built(name)
    x, y = samples(model)
    before = state(model)
    model.predict(x)
    model.evaluate(x, y)
    model.input_gradient(x, y)
    model.outputs(x)
    assert state(model) == before
    model.train_on_batch(x, y)
    assert state(model) != before


@pytest.mark.parametrize("name", LAYERS)
def test_a_training_step_allocates_nothing(name: str) -> None:
    model = built(name)
    x, y = samples(model, 16)
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    before = _core.allocations()
    model.fit(x, y, epochs=3, batch_size=8, verbose=0)
    assert _core.allocations() == before


@pytest.mark.parametrize("name", LAYERS)
def test_summary_and_profile_show_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = built(name)
    x, y = samples(model)
    with rn.profile() as p:
        model.train_on_batch(x, y)
    with model._lend("train", BATCH) as bound:
        listed = {(layer, phase) for phase, layer, *_ in bound.plan.listing() if layer}
    assert {(row.name, row.phase) for row in p.layers} == listed | {("batch", "forward")}
    shown = {row.name for row in p.layers}
    assert all(layer.name in shown for layer in model.layers if layer.parameters)
    kept = {layer.name: layer.weights for layer in p.memory().layers}
    assert all(kept[layer.name] >= 4 * sum(a.size for a in layer.parameters.values()) for layer in model.layers)
    model.summary()
    printed = capsys.readouterr().out
    assert all(f"\n{layer.name} " in printed for layer in model.layers)


def test_a_layer_serves_one_model() -> None:
    layer = rn.layers.Dense(3)
    rn.Sequencial([layer], input_shape=(2,))
    with pytest.raises(rn.errors.StateError, match="part of a model already"):
        rn.Sequencial([rn.layers.Residual([layer])], input_shape=(2,))


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "reshape": (lambda: net((6,), rn.layers.Reshape((4,))), rn.errors.ShapeError, "reshape_1.*6 elements"),
    "reshape axes": (lambda: rn.layers.Reshape((2, 3)), rn.errors.ShapeError, "Reshape: shape must be"),
    "reshape twice -1": (lambda: rn.layers.Reshape((-1, -1, 2)), rn.errors.OptionError, "only one axis"),
    "zero pad": (lambda: rn.layers.ZeroPad2D(-1), rn.errors.OptionError, "ZeroPad2D: each side of padding"),
    "zero pad of vectors": (lambda: net((6,), rn.layers.ZeroPad2D()), rn.errors.ShapeError, "zero_pad2d_1.*images"),
    "up sampling": (lambda: rn.layers.UpSampling2D(0), rn.errors.OptionError, "UpSampling2D: size"),
    "spatial dropout": (lambda: rn.layers.SpatialDropout2D(1.0), rn.errors.OptionError, "SpatialDropout2D: rate"),
    "spatial dropout of vectors": (
        lambda: net((6,), rn.layers.SpatialDropout2D()),
        rn.errors.ShapeError,
        "spatial_dropout2d_1.*images",
    ),
    "conv transpose output padding": (
        lambda: rn.layers.Conv2DTranspose(2, 3, strides=2, output_padding=2),
        rn.errors.OptionError,
        "below strides",
    ),
    "conv transpose of nothing": (
        lambda: net((1, 2, 2), rn.layers.Conv2DTranspose(2, 1, padding=1)),
        rn.errors.ShapeError,
        "conv2d_transpose_1.*at least 1x1",
    ),
    "batch norm": (lambda: rn.layers.BatchNorm(1.5), rn.errors.OptionError, "BatchNorm: momentum"),
    "batch norm epsilon": (lambda: rn.layers.BatchNorm(epsilon=-1), rn.errors.OptionError, "BatchNorm: epsilon"),
    "global pool": (
        lambda: net((6,), rn.layers.GlobalAvgPool2D()),
        rn.errors.ShapeError,
        "global_avg_pool2d_1.*images",
    ),
    "layer norm": (lambda: rn.layers.LayerNorm(-1.0), rn.errors.OptionError, "LayerNorm: epsilon"),
    "residual of one layer": (
        lambda: rn.layers.Residual(rn.layers.Dense(3)),  # type: ignore[arg-type]
        rn.errors.DtypeError,
        "layers must be a list of layers, got",
    ),
    "residual of no layer": (lambda: rn.layers.Residual([3]), rn.errors.DtypeError, "must hold layers"),
    "residual that shrinks": (
        lambda: net((1, 8, 8), rn.layers.Residual([rn.layers.Conv2D(4, 3)])),
        rn.errors.ShapeError,
        'residual_1.*padding="same"',
    ),
    "residual with a short shortcut": (
        lambda: net((6,), rn.layers.Residual([rn.layers.Dense(4)], [rn.layers.Dense(3)])),
        rn.errors.ShapeError,
        r"residual_1.*\(4,\).*\(3,\)",
    ),
}


def net(shape: tuple[int, ...], *layers: rn.layers.Layer) -> rn.Sequencial:
    return rn.Sequencial(layers, input_shape=shape)


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_layer(name: str) -> None:
    make, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        make()
