"""What users hand in wrongly: each time a clear error that names the culprit, and nothing changed."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rn
from rn.errors import DtypeError, LabelError, OptionError, RnError, ShapeError, StateError
from rn.layers import AvgPool2D, Conv2D, Dense, Dropout, Flatten, Input, MaxPool2D
from tests.unreadable import Unreadable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
CLASSES = np.arange(12) % 3
IMAGES = RNG.normal(size=(6, 2, 8, 8)).astype(np.float32)


def classifier() -> rn.Sequencial:
    model = rn.Sequencial([Dense(5, "relu"), Dense(3, "softmax")], input_shape=4, seed=1)
    model.compile("adam", "cross_entropy", metrics=["accuracy"])
    return model


def regressor(outputs: int = 1) -> rn.Sequencial:
    model = rn.Sequencial([Dense(outputs)], input_shape=4, seed=1)
    model.compile("sgd", "mse")
    return model


def images() -> rn.Sequencial:
    model = rn.Sequencial([Conv2D(3, 3), Flatten(), Dense(3, "softmax")], input_shape=(2, 8, 8), seed=1)
    model.compile("sgd", "cross_entropy")
    return model


def refused(
    model: rn.models.Model, error: type[RnError], words: str, *args: object, method: str = "fit", **kwargs: object
) -> None:
    """Assert that the call raises ``error`` with ``words`` and leaves weights and counters as they were."""
    before = model.state_dict() if model.network is not None else {}
    counters = (model.epochs, model.steps)
    with pytest.raises(error, match=words) as caught:
        getattr(model, method)(*args, **kwargs)
    assert isinstance(caught.value, (ValueError, TypeError, RuntimeError))
    assert (model.epochs, model.steps) == counters
    after = model.state_dict() if model.network is not None else {}
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:, :3], r"\(12, 3\).*\(n, 4\)"),
        (X[0], r"x\[None\]"),
        (X.reshape(12, 2, 2), r"reshape"),
        (X[:0], "empty"),
        ([], "empty"),
        (np.float32(3), "axes"),
    ],
)
def test_vectors_of_wrong_shape(method: str, x: np.ndarray, words: str) -> None:
    refused(classifier(), ShapeError, words, x, CLASSES, method=method)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (IMAGES[:, :1], "channels"),
        (IMAGES[0], r"\[None\]"),
        (IMAGES.transpose(0, 2, 3, 1), "transpose"),
        (IMAGES.reshape(6, -1), r"x\.reshape\(-1, 2, 8, 8\)"),
        (IMAGES[:, :, 0, :5], "4 axes"),
        (IMAGES[:, :, :7], "height"),
    ],
)
def test_images_of_wrong_shape(x: np.ndarray, words: str) -> None:
    refused(images(), ShapeError, words, x, np.zeros(6, int))
    refused(images(), ShapeError, words, x, method="predict")


def test_channel_axis_is_missing() -> None:
    model = rn.Sequencial([Conv2D(3, 3), Flatten(), Dense(2)], input_shape=(1, 8, 8))
    refused(model, ShapeError, r"x\[:, None\]", IMAGES[:, 0], method="predict")
    refused(model, ShapeError, r"single sample.*x\[None, None\]", IMAGES[0, 0], method="predict")
    for shape in ((8, 8), (8, 8, 1)):
        with pytest.raises(ShapeError, match=r"\(channels, height, width\)"):
            rn.Sequencial([Conv2D(3, 3)], input_shape=shape)


def test_channels_last_are_named_where_no_kernel_fits() -> None:
    for layer, shape in ((Conv2D(4, 3), (28, 28, 1)), (MaxPool2D(4), (32, 32, 3))):
        with pytest.raises(ShapeError, match=rf"if {shape[2]} are the channels, .{shape[2]}, height, {shape[1]}.$"):
            rn.Sequencial([layer], input_shape=shape)


def test_rows_and_columns_that_changed_places() -> None:
    model = rn.Sequencial([Conv2D(3, 3), Flatten(), Dense(2)], input_shape=(2, 8, 6))
    refused(model, ShapeError, r"x\.transpose\(0, 1, 3, 2\)", IMAGES[:, :, :6], method="predict")


def test_complex_numbers_and_targets_of_another_length() -> None:
    refused(classifier(), DtypeError, r"dtype complex64: pass x\.real", X + 1j, CLASSES)
    refused(classifier(), ShapeError, "12 samples, but y has 11: each sample needs a target", X, CLASSES[:11])


def test_a_column_of_numbers_for_a_model_without_a_shape() -> None:
    refused(rn.Sequencial([Dense(1)]), ShapeError, r"\(12,\).*x\.reshape\(-1, 1\)", X[:, 0], method="predict")


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        (np.full(12, 3), LabelError, "label 3.*0 to 2"),
        (np.where(np.arange(12) == 7, -1, CLASSES), LabelError, r"label -1 \(sample 7\)"),
        (CLASSES.astype(np.float32), LabelError, "integer labels"),
        (np.where(np.arange(12) == 5, np.nan, 0.0), LabelError, "not finite in sample 5"),
        (np.where(np.arange(36) == 17, np.inf, 0.0).reshape(12, 3), LabelError, r"sample 5: it holds inf at \[2\];"),
        (CLASSES[:11], ShapeError, "12 samples.*11"),
        (CLASSES[:0], ShapeError, "12 samples.*0"),
        (None, LabelError, "missing"),
        (np.array(["a"] * 12), DtypeError, r"numbers.*np\.unique\(y, return_inverse=True\)"),
        (np.array(["a", "b", "c"], object)[CLASSES], DtypeError, r"objects.*np\.unique"),
        ([[0], [1, 2]], ShapeError, "different lengths"),
        (CLASSES.astype(object), DtypeError, "objects"),
        (np.zeros((12, 3)), LabelError, "sum to 1"),
        (np.eye(4)[np.arange(12) % 4], ShapeError, r"\(n, 3\)"),
    ],
)
def test_labels(y: object, error: type[RnError], words: str) -> None:
    refused(classifier(), error, words, X, y)
    refused(classifier(), error, words, X, y, method="evaluate")


def test_one_hot_rows_and_a_column_of_classes_serve_as_classes_do() -> None:
    by_class, by_row, by_column = classifier(), classifier(), classifier()
    by_class.fit(X, CLASSES, epochs=2, verbose=0)
    by_row.fit(X, np.eye(3)[CLASSES], epochs=2, verbose=0)
    by_column.fit(X, CLASSES[:, None], epochs=2, verbose=0)
    for key, value in by_class.state_dict().items():
        np.testing.assert_allclose(by_row.state_dict()[key], value, rtol=1e-5, atol=1e-6)
        assert np.array_equal(by_column.state_dict()[key], value)


def test_a_row_of_targets_is_never_broadcast_against_a_column_of_outputs() -> None:
    y = X.sum(axis=1)
    flat, column = regressor(), regressor()
    flat.fit(X, y, epochs=3, verbose=0)
    column.fit(X, y[:, None], epochs=3, verbose=0)
    assert all(
        np.array_equal(a, b) for a, b in zip(flat.state_dict().values(), column.state_dict().values(), strict=True)
    )
    expected = float(np.mean((flat.predict(X).astype(np.float64)[:, 0] - y) ** 2))
    assert flat.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-5)
    refused(regressor(2), ShapeError, r"\(12,\).*\(n, 2\)", X, y)
    refused(regressor(1), ShapeError, r"\(12, 12\)", X, np.zeros((12, 12)))


def test_mse_refuses_classes() -> None:
    refused(regressor(3), LabelError, "cross_entropy", X, CLASSES)


def test_binary_targets_outside_0_to_1() -> None:
    model = rn.Sequencial([Dense(1, "sigmoid")], input_shape=4)
    model.compile("sgd", "binary_cross_entropy")
    refused(model, LabelError, "between 0 and 1", X, np.full(12, 2))


@pytest.mark.parametrize("method", ["fit", "predict"])
def test_inputs_that_are_no_numbers(method: str) -> None:
    y = [CLASSES] if method == "fit" else []
    refused(classifier(), DtypeError, "objects", X.astype(object), *y, method=method)
    refused(classifier(), DtypeError, "dtype", X.astype(complex), *y, method=method)
    refused(classifier(), DtypeError, "dtype", X.astype(str), *y, method=method)
    refused(classifier(), ShapeError, "different lengths", [[1.0, 2.0], [1.0]], *y, method=method)
    refused(classifier(), DtypeError, "x must hold numbers, got NoneType", None, *y, method=method)
    refused(classifier(), DtypeError, "x must hold numbers, got dict$", {"x": X}, *y, method=method)
    batches = (X for _ in range(3))
    refused(classifier(), DtypeError, "got generator; pass an array, or a DataLoader", batches, *y, method=method)
    for x in (Unreadable(), Unreadable(RuntimeError), [Unreadable()] * 2, [Unreadable(RuntimeError)] * 2):
        refused(classifier(), DtypeError, "x cannot be read .*: there is no bfloat16", x, *y, method=method)


def test_weights_that_cannot_be_read() -> None:
    model = classifier()
    model.build(X.shape[1:])
    before = model.state_dict()
    for error in (TypeError, RuntimeError):
        with pytest.raises(DtypeError, match=r"must be an array of numbers of shape .*no bfloat16"):
            model.load_state_dict({**before, list(before)[-1]: Unreadable(error)})
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "input_gradient"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_one_number_that_is_not_finite_would_spoil_every_weight_or_the_mean(method: str, value: float) -> None:
    x = X.astype(np.float64)
    x[7, 2] = value
    refused(classifier(), OptionError, "x is not finite as float32 in sample 7", x, CLASSES, method=method)
    if method == "fit":
        held_out = (x, CLASSES)
        refused(classifier(), OptionError, "validation x is not finite", X, CLASSES, validation_data=held_out)
    if np.isfinite(value):
        refused(classifier(), OptionError, "x is not finite as float32 in sample 7", x, method="predict")
    else:
        assert np.isfinite(classifier().predict(x)[:7]).all()


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "input_gradient"])
def test_targets_beyond_float32_would_become_infinities(method: str) -> None:
    y = X[:, :1].astype(np.float64)
    y[5] = -1e40
    refused(regressor(), LabelError, "y is not finite as float32 in sample 5.*beyond 3.4e38", X, y, method=method)
    if method == "fit":
        refused(regressor(), LabelError, "validation y is not finite", X, X[:, 0], validation_data=(X, y))


def test_weights_beyond_float32_would_become_infinities() -> None:
    heavy = np.where(np.arange(12) == 3, 1e40, 1.0)
    for method in ("fit", "evaluate"):
        refused(
            classifier(), OptionError, "sample_weight must stay below", X, CLASSES, sample_weight=heavy, method=method
        )
    refused(classifier(), OptionError, "class_weight must stay below", X, CLASSES, class_weight={1: 1e40})
    both = {"sample_weight": np.full(12, 1e30), "class_weight": {1: 1e30}}
    refused(classifier(), OptionError, "sample_weight times class_weight must stay below.*1e.60", X, CLASSES, **both)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_sample_weight_out_of_range_is_named(wrong: float) -> None:
    weights = np.ones(12)
    weights[[5, 8]] = wrong
    refused(classifier(), OptionError, f"at least 0, got {wrong} for sample 5", X, CLASSES, sample_weight=weights)


@pytest.mark.parametrize("cls", [rn.Sequencial, rn.RedeNeural])
def test_what_config_did_not_give(cls: type[rn.Sequencial] | type[rn.RedeNeural]) -> None:
    with pytest.raises(DtypeError, match=f"the config of a {cls.__name__} must be a dict as .*, got list"):
        cls.from_config([])  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=f"the config of a {cls.__name__} must .* no '(layers|sizes)'"):
        cls.from_config({"seed": 0})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"activations": ["relu"]}, DtypeError, "one of activations for each layer of sizes .*, got .'relu'"),
        ({"activations": ["relu", "relu", "relu"]}, DtypeError, "one of activations for each layer"),
        ({"activations": 5}, DtypeError, "one of activations for each layer.* got 5"),
        ({"names": "ab"}, DtypeError, "one of names for each layer"),
        ({"trainable": []}, DtypeError, "one of trainable for each layer"),
        ({"trainable": ["yes", True]}, OptionError, "trainable must be True or False, got 'yes'"),
        ({"sizes": []}, DtypeError, "for each layer of sizes"),
    ],
)
def test_a_perceptron_from_a_config_that_does_not_fit(change: dict, error: type[Exception], words: str) -> None:
    config = rn.RedeNeural([4, 5, 3]).config()
    with pytest.raises(error, match=words):
        rn.RedeNeural.from_config({**config, **change})


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({}, "layers of the config of a Sequencial must be a list of layers, got dict"),
        (None, "must be a list of layers, got NoneType"),
        ([1], "the config of a layer must be a dict .*, got int"),
        ([{}], "the config of a layer must be a dict .* no 'layer'"),
        ([{"layer": "dense", "name": "a", "trainable": True, "config": 5}], "the arguments in .* got int"),
    ],
)
def test_a_stack_from_a_config_that_does_not_fit(layers: object, words: str) -> None:
    with pytest.raises(DtypeError, match=words):
        rn.Sequencial.from_config({"layers": layers, "seed": 0, "name": ""})


def test_masked_arrays_would_be_used_with_what_they_hide() -> None:
    def masked(array: np.ndarray) -> np.ma.MaskedArray:
        return np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) % 5 == 0)

    for method in ("fit", "evaluate", "train_on_batch", "predict"):
        y = () if method == "predict" else (CLASSES,)
        refused(classifier(), DtypeError, r"x is a masked array.*x\.filled\(", masked(X), *y, method=method)
        refused(classifier(), DtypeError, r"x holds masked arrays.*\.filled\(", list(masked(X)), *y, method=method)
        refused(classifier(), DtypeError, r"x holds masked arrays.*\.filled\(", [[masked(X)], [X]], *y, method=method)
    refused(classifier(), DtypeError, r"y is a masked array.*y\.filled\(", X, masked(CLASSES))
    refused(classifier(), DtypeError, "sample_weight is a masked", X, CLASSES, sample_weight=masked(np.ones(12)))
    for make in (
        lambda: rn.data.DataLoader(masked(X)),
        lambda: rn.data.DataLoader(X, masked(CLASSES)),
        lambda: rn.data.train_test_split(X, CLASSES, stratify=masked(CLASSES)),
        lambda: rn.data.one_hot(masked(CLASSES)),
        lambda: rn.layers.Normalization().adapt(masked(X)),
    ):
        with pytest.raises(DtypeError, match="is a masked array"):
            make()


@pytest.mark.parametrize(
    ("bias", "error", "words"),
    [
        (np.float64([1, -1e40, np.nan]), OptionError, "'dense_2': bias must stay below 3.4e38.*float32, got 1e.40"),
        ([np.inf, 2.0, 3.5e38], OptionError, "'dense_2': bias must stay below 3.4e38.*float32, got 3.5e.38"),
        (np.ma.array(np.ones(3), mask=[0, 1, 0]), DtypeError, r"'dense_2': bias is a masked array.* bias\.filled\("),
    ],
)
def test_weights_that_a_layer_cannot_hold(bias: object, error: type[RnError], words: str) -> None:
    model = classifier()
    state = model.state_dict()
    refused(model, error, words, {**state, "0.bias": np.ones(5), "1.bias": bias}, method="load_state_dict")
    with pytest.raises(error, match=words):
        model.layers[1].set(weight=np.ones((3, 5)), bias=bias)
    assert all(np.array_equal(state[key], value) for key, value in model.state_dict().items())
    largest = np.finfo(np.float32).max
    model.layers[1].set(bias=np.float64([largest, -largest, np.inf]))
    assert model.layers[1].bias.tolist() == [largest, -largest, np.inf]


def test_methods_at_the_wrong_time() -> None:
    model = rn.Sequencial([Dense(3, "softmax")], input_shape=4)
    for method in ("fit", "evaluate", "train_on_batch", "input_gradient"):
        refused(model, StateError, f"{method} before compile", X, CLASSES, method=method)
    unbuilt = rn.Sequencial([Dense(3)])
    with pytest.raises(StateError, match="not built"):
        unbuilt.state_dict()
    with pytest.raises(StateError, match="no layers"):
        rn.Sequencial().build(3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dense(3, activation="relux"), 'unknown activation "relux"; did you mean "relu"'),
        (lambda: Dense(3, activation="ReLU"), 'did you mean "relu"'),
        (lambda: Dense(3, kernel_initializer="glorot_unifrom"), "glorot_uniform"),
        (
            lambda: rn.Sequencial([Dense(1)]).compile(loss="categorical_crossentropy"),
            "known names: .*, cross_entropy, ",
        ),
        (lambda: rn.Sequencial([Dense(1)]).compile(optimizer="adm"), 'did you mean "adam"'),
        (lambda: rn.Sequencial([Dense(1)]).compile(loss="crossentropy"), 'did you mean "cross_entropy"'),
        (lambda: rn.Sequencial([Dense(1)]).compile(metrics=["acuracy"]), 'did you mean "accuracy"'),
        (lambda: rn.Sequencial([Dense(1)]).compile(metrics=["acc"]), 'did you mean "accuracy"'),
        (lambda: rn.Sequencial([Dense(1)]).compile(loss="mean_squared_error"), 'did you mean "mse"'),
        (
            lambda: rn.Sequencial([Dense(1)]).compile(loss="sparse_categorical_crossentropy"),
            'did you mean "cross_entropy"',
        ),
        (lambda: Dropout(1.0), "rate must be at least 0 and below 1, got 1.0"),
        (lambda: Dropout(-0.1), "rate"),
        (lambda: Dropout(float("nan")), "rate"),
        (lambda: Dense(0), "units"),
        (lambda: Dense(2.5), "units"),
        (lambda: Conv2D(0, 3), "filters"),
        (lambda: Conv2D(4, 0), "kernel_size"),
        (lambda: Conv2D(4, (3, 3, 3)), "kernel_size"),
        (lambda: Conv2D(4, 3, padding="sane"), "padding"),
        (lambda: Conv2D(4, 3, padding=-1), "padding"),
        (lambda: Conv2D(4, 3, groups=3), "groups=3 must divide filters=4"),
        (lambda: MaxPool2D(2, padding=2), "padding must be smaller"),
        (lambda: rn.optimizers.SGD(-1.0), "learning_rate"),
        (lambda: rn.optimizers.SGD(nesterov=True), "momentum"),
        (lambda: rn.optimizers.Adam(beta_1=1.0), "beta_1"),
        (lambda: rn.optimizers.Adam(float("nan")), "learning_rate"),
        (lambda: rn.RedeNeural([4]), "at least two sizes"),
        (lambda: rn.RedeNeural([4, 1], activation="rleu"), "relu"),
        (lambda: rn.RedeNeural([4, 0, 1]), "sizes"),
        (lambda: rn.RedeNeural(4), "at least two sizes"),
        (lambda: Input(None), "shape"),
        (lambda: rn.layers.LeakyReLU("steep"), "alpha"),
        (lambda: rn.layers.LeakyReLU(float("inf")), "alpha"),
        (lambda: rn.Sequencial([Dense(1)]).compile(metrics=["mse", "mse"]), "two metrics are called 'mse'"),
        (lambda: rn.Sequencial([Dense(1, name="a"), Dense(1, name="a")], input_shape=2), "two layers are called 'a'"),
    ],
)
def test_options(make: object, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("layers", "shape", "words"),
    [
        ([Conv2D(4, 9)], (1, 8, 8), "conv2d_1.*9x9.*8x8"),
        ([Conv2D(4, 3, dilation=4)], (1, 8, 8), "conv2d_1.*9x9"),
        ([MaxPool2D(2), MaxPool2D(5)], (1, 8, 8), "max_pool2d_2.*a window that spans 5x5.*4x4.*smaller window"),
        ([AvgPool2D(9)], (1, 8, 8), "avg_pool2d_1"),
        ([Dense(3)], (1, 8, 8), "dense_1.*Flatten"),
        ([Conv2D(4, 3)], (8,), "conv2d_1.*images"),
        ([Conv2D(4, 3, groups=2)], (3, 8, 8), "conv2d_1.*groups=2"),
        ([Dense(3), Input(3)], (8,), "Input can only be the first"),
        ([Input((1, 4, 4))], (1, 8, 8), r"\(1, 4, 4\)"),
    ],
)
def test_layers_that_do_not_fit(layers: list[rn.layers.Layer], shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        rn.Sequencial(layers, input_shape=shape)
    assert all(layer.output_shape is None and not layer.parameters for layer in layers)


def test_a_layer_belongs_to_one_model() -> None:
    layer = Dense(3)
    rn.Sequencial([layer], input_shape=2)
    with pytest.raises(StateError, match="part of a model already"):
        rn.Sequencial([layer], input_shape=3)
    with pytest.raises(StateError, match="part of a model already"):
        rn.Sequencial([rn.layers.Residual([layer])], input_shape=2)
    assert (layer.output_shape, list(layer.parameters)) == ((3,), ["weight", "bias"])
    with pytest.raises(DtypeError, match="call the class"):
        rn.Sequencial([Dense])  # type: ignore[list-item]


def test_adding_a_layer_that_does_not_fit_changes_nothing() -> None:
    model = rn.Sequencial([Dense(3)], input_shape=2, seed=0)
    before = model.state_dict()
    with pytest.raises(ShapeError, match="images"):
        model.add(Conv2D(2, 3))
    with pytest.raises(StateError, match="part of a model already"):
        model.add(model.layers[-1])
    assert len(model.layers) == len(model.network.layers) == 1
    assert before.keys() == model.state_dict().keys()
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())
    assert model.predict(X[:, :2]).shape == (12, 3)


@pytest.mark.parametrize(
    ("layers", "loss", "words"),
    [
        ([Dense(3)], "cross_entropy", "dense_1.*softmax.*from_logits=True"),
        ([Dense(3), Dropout(0.5)], "cross_entropy", "dense_1"),
        ([Dense(1)], "binary_cross_entropy", "sigmoid"),
        ([Dense(3, "sigmoid")], "cross_entropy", "dense_1.*ends with sigmoid.*softmax.*each yes or no.*binary_cross"),
        ([Dense(3, "relu")], "cross_entropy", "dense_1.*ends with relu.*softmax"),
        ([Dense(3), rn.layers.Tanh()], "cross_entropy", "tanh_1.*softmax"),
        ([Dense(1, "softmax")], "binary_cross_entropy", "dense_1.*ends with softmax.*sigmoid.*one class of several"),
        ([Dense(1, "leaky_relu")], "binary_cross_entropy", "ends with leaky_relu.*sigmoid"),
        ([Dense(3, "softmax")], rn.losses.CrossEntropy(from_logits=True), "takes logits"),
        ([Dense(3, "softmax"), rn.layers.Softmax()], "cross_entropy", "softmax_1.*a second softmax.*dense_1"),
        (
            [Dense(3, "softmax"), Flatten(), rn.layers.Activation("softmax")],
            "cross_entropy",
            "a second softmax.*dense_1",
        ),
        ([Dense(1, "sigmoid"), rn.layers.Sigmoid()], "binary_cross_entropy", "sigmoid_1.*a second sigmoid.*dense_1"),
        ([Dense(3, "softmax"), Dropout(0.5)], "cross_entropy", "dropout_1.*drops.*before the layer.*dense_1"),
    ],
)
def test_probabilities_and_logits_are_not_mixed(layers: list[rn.layers.Layer], loss: object, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        rn.Sequencial(layers, input_shape=4).compile("sgd", loss)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"validation_split": 1.0}, "validation_split"),
        ({"validation_split": 0.001}, "no samples"),
        ({"validation_data": X}, "pair"),
        ({"initial_epoch": -1}, "initial_epoch"),
        ({"sample_weight": np.full(12, -1.0)}, "sample_weight"),
        ({"class_weight": {0: float("nan")}}, "class_weight"),
        ({"shuffle": "no"}, "shuffle must be True or False, got 'no'"),
        ({"shuffle": 2}, "shuffle must be True or False"),
        ({"verbose": "no"}, "verbose must be a whole number"),
        ({"verbose": -1}, "verbose"),
        (
            {"validation_split": 0.2, "validation_data": (X, CLASSES)},
            "validation_data and validation_split.*one of them",
        ),
    ],
)
def test_options_of_fit(options: dict[str, object], words: str) -> None:
    refused(classifier(), OptionError, words, X, CLASSES, **options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rn.data.DataLoader(X, shuffle="no"), "shuffle must be True or False, got 'no'"),
        (lambda: rn.data.DataLoader(X, drop_last="False"), "drop_last must be"),
        (lambda: rn.data.read_csv("any.csv", header="no"), "header must be"),
        (lambda: rn.callbacks.EarlyStopping(restore_best_weights="no"), "EarlyStopping: restore_best_weights must be"),
        (lambda: rn.callbacks.ModelCheckpoint("m.rn", save_best_only="no"), "ModelCheckpoint: save_best_only must be"),
        (lambda: rn.callbacks.CSVLogger("log.csv", append="no"), "CSVLogger: append must be"),
        (lambda: rn.callbacks.ProgressBar(live="no"), "ProgressBar: live must be"),
        (lambda: Dense(3, use_bias="no"), "Dense: use_bias must be"),
        (lambda: Conv2D(3, 3, use_bias="no"), "Conv2D: use_bias must be"),
        (lambda: rn.layers.BatchNorm(use_scale="no"), "BatchNorm: use_scale must be"),
        (lambda: rn.layers.LayerNorm(use_bias=None), "LayerNorm: use_bias must be"),
        (lambda: rn.optimizers.SGD(momentum=0.9, nesterov="no"), "SGD: nesterov must be"),
        (lambda: rn.optimizers.Adam(amsgrad="no"), "Adam: amsgrad must be"),
        (lambda: rn.optimizers.Adam(decoupled_weight_decay="no"), "Adam: decoupled_weight_decay must be"),
        (lambda: rn.losses.CrossEntropy(from_logits="no"), "CrossEntropy: from_logits must be"),
        (lambda: rn.set_winograd("off"), "set_winograd: on must be True or False, got 'off'"),
        (lambda: classifier()(X, training="no"), "training must be"),
        (lambda: setattr(classifier().layers[0], "trainable", "no"), "layer 'dense_1': trainable must be"),
        (lambda: setattr(rn.layers.Residual([Dense(4)]), "trainable", "no"), "layer '': trainable must be"),
    ],
)
def test_a_text_is_neither_yes_nor_no(make: object, words: str) -> None:
    """Every text that is not empty would count as True, "no" and "False" too."""
    with pytest.raises(OptionError, match=words):
        make()  # type: ignore[operator]


def test_yes_and_no_as_numpy_and_json_have_them() -> None:
    for yes, no in ((True, False), (np.True_, np.False_), (1, 0)):
        assert rn.data.DataLoader(X, shuffle=yes).shuffle is True
        assert rn.data.DataLoader(X, shuffle=no).shuffle is False
    a, b, c = classifier(), classifier(), classifier()
    a.fit(X, CLASSES, shuffle=np.False_, verbose=False)
    b.fit(X, CLASSES, shuffle=False, verbose=0)
    c.fit(X, CLASSES, verbose=0, batch_size=5)
    assert np.array_equal(a.predict(X), b.predict(X))
    assert not np.array_equal(a.predict(X), c.predict(X))


def test_weights_of_the_wrong_length() -> None:
    refused(classifier(), ShapeError, "sample_weight", X, CLASSES, sample_weight=np.ones(11))


def test_state_dicts_that_do_not_fit() -> None:
    model = classifier()
    state = model.state_dict()
    refused(
        model,
        OptionError,
        "missing: 0.weight",
        {k: v for k, v in state.items() if k != "0.weight"},
        method="load_state_dict",
    )
    refused(model, OptionError, "unknown: 3", {**state, 3: X}, method="load_state_dict")
    refused(model, OptionError, "unknown: 7.weight", {**state, "7.weight": X}, method="load_state_dict")
    refused(model, ShapeError, r"dense_2.*weight.*\(3, 5\)", {**state, "1.weight": X}, method="load_state_dict")
    refused(model, DtypeError, "bias", {**state, "1.bias": np.array(["a", "b", "c"])}, method="load_state_dict")
    with pytest.raises(OptionError, match=r"no parameter 'wieght'.*weight, bias"):
        model.layers[0].set(wieght=X)


def test_only_one_fit_at_a_time() -> None:
    model = classifier()

    def nested(epoch: int, logs: dict[str, float]) -> None:
        model.fit(X, CLASSES, verbose=0)

    with pytest.raises(StateError, match="one fit at a time"):
        model.fit(X, CLASSES, callbacks=[nested], verbose=0)
    model.fit(X, CLASSES, verbose=0)


def test_what_would_change_a_model_waits_until_it_is_fitted() -> None:
    """compile and add take the memory away that the running fit trains: it would go on in vain."""
    for method, *args in (
        ("compile", "sgd", "cross_entropy"),
        ("add", Dense(3, "softmax")),
        ("train_on_batch", X, CLASSES),
    ):
        model = classifier()

        def meddle(epoch: int, logs: object, model: object = model, method: str = method, args: object = args) -> None:
            getattr(model, method)(*args)

        with pytest.raises(StateError, match=f"{method} while this model is being fitted"):
            model.fit(X, CLASSES, epochs=2, callbacks=[meddle], verbose=0)
        assert (len(model.layers), model._updates) == (2, 1)
        model.fit(X, CLASSES, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "input_gradient", "predict"])
def test_a_model_that_refuses_its_first_data_is_not_built_for_it(method: str) -> None:
    layers = [Flatten(), Dense(3, "softmax", name="mine")]
    model = rn.Sequencial(layers, seed=1)
    model.compile("adam", "cross_entropy")
    wrong = (IMAGES[:0],) if method == "predict" else (IMAGES, CLASSES)
    refused(model, ShapeError, "samples|empty", *wrong, method=method)
    assert model.network is None
    assert [layer.name for layer in layers] == ["", "mine"]
    assert all(layer.output_shape is None and not layer.parameters for layer in layers)
    if method == "fit":
        refused(model, OptionError, "batch_size", X, CLASSES, batch_size=0)
        refused(model, ShapeError, r"validation x", X, CLASSES, validation_data=(IMAGES, CLASSES))
        assert model.network is None
    model.fit(X, CLASSES, verbose=0)
    assert model.network is not None
    assert model.network.input_shape == (4,)


def test_names_given_in_a_building_that_was_refused_are_taken_back() -> None:
    first, second = Dense(3), Dense(3)
    for layer in (first, second):
        with pytest.raises(ShapeError):
            rn.Sequencial([layer], input_shape=(1, 2, 2))
    model = rn.Sequencial([first, second], input_shape=2)
    assert [layer.name for layer in model.layers] == ["dense_1", "dense_2"]


def test_a_layer_added_after_compile_is_held_against_the_loss_before_it_trains() -> None:
    model = classifier()
    model.add(Dense(3))
    refused(model, OptionError, "dense_3.*linear", X, CLASSES)
    model.add(rn.layers.Softmax())
    model.fit(X, CLASSES, verbose=0)
    # Layer by layer from nothing: no step on the way is refused.
    model = rn.Sequencial()
    model.compile("sgd", "cross_entropy")
    for layer in (Input(4), Dense(3), rn.layers.Softmax()):
        model.add(layer)
    model.fit(X, CLASSES, verbose=0)


def test_a_metric_of_values_refuses_classes() -> None:
    model = classifier()
    model.compile("sgd", "cross_entropy", metrics=["mse"])
    refused(model, LabelError, "metric 'mse'.*one-hot", X, CLASSES)
    assert model.evaluate(X, np.eye(3)[CLASSES])["mse"] > 0
    model.summary()


def test_cross_entropy_of_images() -> None:
    model = rn.Sequencial([Conv2D(2, 1, "softmax")], input_shape=(2, 8, 8))
    model.compile("sgd", "cross_entropy")
    refused(model, ShapeError, r"vector of classes.*\(2, 8, 8\)", IMAGES, np.ones((6, 2, 8, 8)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1.0, 2.0, 3.0], "must map labels"),
        ({3: 1.0}, "label 3.*0 to 2"),
        ({"a": 1.0}, "each label"),
        ({0: "heavy"}, r"class_weight\[0\]"),
    ],
)
def test_class_weights(given: object, words: str) -> None:
    refused(classifier(), OptionError, words, X, CLASSES, class_weight=given)


def test_ragged_rows_for_a_model_without_a_shape() -> None:
    refused(rn.Sequencial([Dense(1)]), ShapeError, "different lengths", [[1.0, 2.0], [1.0]], method="predict")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2D(1, 1, strides=2**31),
        lambda: Conv2D(1, 1, padding=2**70),
        lambda: MaxPool2D(2**64),
        lambda: Dense(2**31),
    ],
)
def test_sizes_beyond_reason(make: object) -> None:
    with pytest.raises(OptionError, match="2,147,483,647"):
        make()  # type: ignore[operator]


def test_a_tensor_between_layers_that_is_larger_than_any_memory() -> None:
    """Its bytes would be 4 (2^32)^2 = 2^66, which is 0 in 64 bits."""
    model = rn.Sequencial([Conv2D(1, 1, padding=2**31 - 1), MaxPool2D(1, 2**31 - 1)], input_shape=(1, 2, 2))
    assert model.layers[0].output_shape == (1, 2**32, 2**32)
    with pytest.raises(MemoryError, match="larger than any memory"):
        model.predict(np.zeros((1, 1, 2, 2)))


def test_a_layer_that_no_name_leads_back_to_is_not_saved(tmp_path: Path) -> None:
    class Mine(Dense):
        pass

    Mine.__name__ = "Dense"  # whose name in lower case is that of a built-in layer
    path = tmp_path / "model.rn"
    refused(rn.Sequencial([Mine(3)], input_shape=2), OptionError, "not registered", path, method="save")
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rn.Sequencial(Dense(3)), "list of layers, got Dense; write it in brackets$"),
        (lambda: rn.Sequencial(3), "list of layers, got int$"),
        (lambda: rn.Sequencial([Dense(3)]).compile(metrics=None), "metric must be a name"),
        (lambda: classifier().load_state_dict([X]), "state dict maps"),
        (lambda: Dense(3, kernel_initializer=5), "initializer must be"),
        (lambda: rn.load(5), "path must be a string or a path, got int"),
        (lambda: classifier().save(None), "path must be a string or a path, got NoneType"),
    ],
)
def test_what_is_of_another_type_altogether(make: object, words: str) -> None:
    with pytest.raises(DtypeError, match=words):
        make()  # type: ignore[operator]


def test_a_path_of_bytes_is_a_path(tmp_path: Path) -> None:
    model, path = classifier(), str(tmp_path / "model.rn").encode()
    model.save(path)  # type: ignore[arg-type]
    assert np.array_equal(rn.load(path).predict(X), model.predict(X))


def test_an_empty_state_dict_is_for_a_model_without_weights() -> None:
    refused(classifier(), OptionError, r"state dict is empty.*state_dict\(\)", {}, method="load_state_dict")
    rn.Sequencial([Flatten()], input_shape=(1, 2, 2)).load_state_dict({})


def test_validation_data_says_what_came() -> None:
    refused(classifier(), OptionError, r"pair \(x, y\).*got tuple of 3", X, CLASSES, validation_data=(X, CLASSES, X))
    refused(classifier(), OptionError, r"pair \(x, y\).*got ndarray", X, CLASSES, validation_data=X)


def test_a_parameter_is_not_hidden_behind_an_attribute() -> None:
    model = classifier()
    before = model.predict(X)
    with pytest.raises(AttributeError, match=r"'dense_1'.*layer\.set\(weight=\.\.\.\)"):
        model.layers[0].weight = np.zeros((5, 4))
    assert np.array_equal(model.predict(X), before)
    assert model.layers[0].weight.any()


def test_a_copied_model_trains_by_itself() -> None:
    model = classifier()
    model.fit(X, CLASSES, verbose=0)
    before = model.state_dict()
    copied = copy.copy(model)
    copied.fit(X, CLASSES, verbose=0)
    assert (model.epochs, copied.epochs) == (1, 2)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


def test_a_layer_whose_init_forgets_the_contract() -> None:
    class Scale(rn.layers.Layer):
        def __init__(self, factor: float) -> None:
            self.factor = factor

    with pytest.raises(AttributeError, match=r"Scale.*super\(\).__init__\(\)"):
        rn.Sequencial([Scale(2.0)], input_shape=4)


@pytest.mark.parametrize(
    ("layer", "setting", "value"),
    [
        (Dense(3), "units", 4),
        (Dense(3), "activation", "tanh"),
        (Dense(3), "kernel_regularizer", rn.regularizers.L2()),
        (Dropout(0.5), "rate", 0.1),
        (rn.layers.BatchNorm(), "momentum", 0.5),
        (rn.layers.LeakyReLU(0.1), "alpha", 0.3),
        (rn.layers.Residual([Dense(4)]), "layers", ()),
    ],
)
def test_a_setting_that_plans_are_bound_with_is_fixed_once_the_layer_is_built(
    layer: rn.layers.Layer, setting: str, value: object
) -> None:
    layer = copy.deepcopy(layer)
    if setting in vars(layer):
        setattr(layer, setting, getattr(layer, setting))  # before the layer is built
    model = rn.Sequencial([layer, Dense(1)], input_shape=4, seed=1)
    model.compile("sgd", "mse")
    before = repr(layer)
    with pytest.raises(StateError, match=rf"{layer.name}.*{setting} was fixed.*new {type(layer).__name__}\({setting}="):
        setattr(layer, setting, value)
    assert repr(layer) == before
    layer.trainable, layer.note = False, "mine"
    assert copy.deepcopy(layer).note == "mine"


def test_settings_of_a_layer_in_python_hold_from_the_next_step_on() -> None:
    class Times(rn.layers.Layer):
        factor = 1.0
        activation: object = None

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            self.activation = x  # an attribute as any other
            return x * self.factor

    model = rn.Sequencial([Times()], input_shape=4)
    assert np.array_equal(model.predict(X), X)
    model.layers[0].factor = 2.0
    assert np.array_equal(model.predict(X), 2 * X)
    with pytest.raises(StateError, match="activation was fixed"):
        model.layers[0].activation = rn.activations.ReLU()


def test_what_a_layer_in_python_raises_says_which_layer() -> None:
    class Forgetful(rn.layers.Layer):
        def forward(self, x: np.ndarray) -> np.ndarray:  # without training
            return x

    class Misspelt(rn.layers.Layer):
        def build(self, input_shape: tuple[int, ...], rng: rn.Tensor4D) -> tuple[int, ...]:
            self.add_parameter("gain", input_shape, "ones", rng)
            return input_shape

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return x * self.gain

        def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
            self.gradients["gian"][...] = grad.sum(axis=0)
            return grad * self.gain

    with pytest.raises(TypeError) as caught:
        rn.Sequencial([Forgetful(name="first")], input_shape=4).predict(X)
    assert caught.value.__notes__ == ["raised in layer 'first': Forgetful.forward"]
    model = rn.Sequencial([Dense(4), Misspelt(name="second")], input_shape=4)
    model.compile("sgd", "mse")
    with pytest.raises((KeyError, OptionError)) as caught:
        model.train_on_batch(X, X)
    assert caught.value.__notes__ == ["raised in layer 'second': Misspelt.backward"]


def test_misspelt_settings_are_refused() -> None:
    model = classifier()
    with pytest.raises(OptionError, match="Adam has no setting 'learning_rte'; it has: learning_rate, "):
        model.optimizer.learning_rte = 0.5
    with pytest.raises(StateError, match=r"set model\.optimizer\.learning_rate"):
        model.learning_rate = 0.5
    model.epochs = "a"
    refused(model, OptionError, "model.epochs must be a whole number of at least 0, got 'a'", X, CLASSES, verbose=0)
    with pytest.raises(OptionError, match="a model's name must be text, got 3"):
        rn.Sequencial([Dense(3)], name=3)


def test_frames_of_objects_are_told_what_to_do() -> None:
    with pytest.raises(DtypeError, match=r"Python objects; if these are all numbers, pass x\.astype\(float\)"):
        classifier().predict(X.astype(object))


@pytest.mark.parametrize("setting", ["optimizer", "loss", "metrics", "gradient_chunks", "seed"])
def test_what_compile_chose_is_changed_by_compile_alone(setting: str) -> None:
    model = classifier()
    before = getattr(model, setting)
    words = "new model" if setting == "seed" else rf"compile\({setting}=\.\.\.\)"
    with pytest.raises(StateError, match=rf"model\.{setting} cannot be assigned.*{words}"):
        setattr(model, setting, 2)
    assert getattr(model, setting) is before
    assert copy.deepcopy(model).seed == model.seed
    assert "to change it" in getattr(rn.Sequencial, setting).__doc__


def test_settings_of_what_a_model_took_are_fixed() -> None:
    activation, inner, penalty = rn.activations.LeakyReLU(0.1), rn.activations.ELU(0.1), rn.regularizers.L2(0.1)
    loss, metric = rn.losses.Huber(), rn.metrics.TopKAccuracy(2)
    layers = [Dense(5, activation, kernel_regularizer=penalty), rn.layers.Residual([Dense(5, inner)]), Dense(3)]
    model = rn.Sequencial(layers, seed=1)
    model.compile("sgd", loss, [metric])
    with pytest.raises(LabelError):
        model.fit(X, np.full((12, 3), np.nan), verbose=0)
    activation.alpha, penalty.l2 = 0.3, 0.2  # the model was refused, and is as it was
    model.fit(X, RNG.normal(size=(12, 3)), verbose=0)
    pieces = (("alpha", activation), ("alpha", inner), ("l2", penalty), ("delta", loss), ("k", metric))
    for setting, piece in pieces:
        before, kind = piece.config(), type(piece).__name__
        with pytest.raises(StateError, match=rf"{kind}: {setting} was fixed.*new {kind}\({setting}="):
            setattr(piece, setting, 3)
        assert piece.config() == before
        assert before.keys() == {setting}
    assert (activation.alpha, penalty.l2) == (0.3, 0.2)


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_a_model_does_not_change_between_the_check_of_its_data_and_training(method: str) -> None:
    model = classifier()

    class Meddling:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            with pytest.raises(StateError, match="add while this model is being fitted"):
                model.add(Dense(2, "softmax"))
            with pytest.raises(StateError, match="compile while this model is being fitted"):
                model.compile("sgd", "mse")
            return X

    getattr(model, method)(Meddling(), CLASSES)
    assert (len(model.layers), model.steps) == (2, 1)
    model.add(rn.layers.Activation("linear"))


def test_a_layer_added_while_another_thread_builds_the_model() -> None:
    class Slow(rn.layers.Layer):
        def build(self, input_shape: tuple[int, ...], rng: object) -> tuple[int, ...]:
            adding.start()
            adding.join(0.2)
            return input_shape

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return x

    model = rn.Sequencial([Slow()], seed=1)
    adding = threading.Thread(target=model.add, args=(Dense(2),))
    assert model.predict(X).shape == (12, 4)
    adding.join()
    assert len(model.layers) == 2
    assert model.predict(X).shape == (12, 2)


def test_adding_a_layer_for_which_there_is_no_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, layer = classifier(), Dense(2)
    before, keys = model.predict(X), model.state_dict().keys()

    class Full(rn.Tensor4D):
        left = 0  # how many more there is memory for

        @classmethod
        def zeros(cls, shape: tuple[int, ...]) -> rn.Tensor4D:
            cls.left -= 1
            if cls.left < 0:
                raise MemoryError
            return rn.Tensor4D.zeros(shape)

    for fits in range(2 * 2 + 2 + 2):  # values and gradients of weight and bias, those of all layers, Adam's arrays
        Full.left = fits
        with monkeypatch.context() as patch:
            patch.setattr(rn._core, "Tensor4D", Full)
            with pytest.raises(MemoryError):
                model.add(layer)
        assert (layer.name, layer.output_shape, len(model.layers), len(model.network.layers)) == ("", None, 2, 2)
        assert np.array_equal(model.predict(X), before)
        assert model.state_dict().keys() == keys
    model.fit(X, CLASSES, verbose=0)


def test_compiling_for_an_optimizer_for_which_there_is_no_memory_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = classifier()
    model.fit(X, CLASSES, verbose=0)
    optimizer, updates = model.optimizer, model._updates

    def full(network: object, names: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(rn.models.network.Network, "new_state", full)
        with pytest.raises(MemoryError):
            model.compile("sgd", "mse")
    assert (model.optimizer, model._updates, model.loss.takes_classes) == (optimizer, updates, True)
    model.fit(X, CLASSES, verbose=0)


def test_a_layer_may_be_called_otherwise_later(tmp_path: Path) -> None:
    model = classifier()
    before = model.outputs(X)
    model.layers[0].name = "hidden"
    found = model.outputs(X)
    assert list(found) == ["hidden", "dense_2"]
    assert np.array_equal(found["hidden"], before["dense_1"])
    model.save(tmp_path / "model.rn")
    assert np.array_equal(rn.load(tmp_path / "model.rn").outputs(X, "hidden")["hidden"], before["dense_1"])
    model.layers[1].name = "hidden"
    with pytest.raises(OptionError, match="two layers are called 'hidden'"):
        model.save(tmp_path / "twice.rn")
    assert [file.name for file in tmp_path.iterdir()] == ["model.rn"]


@pytest.mark.parametrize(
    "call",
    [
        lambda model, x: model.predict(x, batch_size=0),
        lambda model, x: model.outputs(x, "nope"),
        lambda model, x: model.outputs(x, ["dense_1"]),
        lambda model, x: model.evaluate(x, x[:, :3], batch_size=-1),
        lambda model, x: model.evaluate(x, x[:, :3], sample_weight=[1]),
    ],
)
def test_what_is_refused_leaves_a_model_unbuilt(call: Callable[[rn.Sequencial, np.ndarray], object]) -> None:
    model = rn.Sequencial([Dense(3)], seed=0)
    model.compile("sgd", "mse")
    with pytest.raises(RnError):
        call(model, np.ones((5, 8), np.float32))
    assert model.network is None
    assert model.predict(np.ones((5, 4), np.float32)).shape == (5, 3)


def test_a_wrong_sample_of_a_loader_is_found_in_its_data_set() -> None:
    x = np.zeros((700, 6))
    x[77, 0] = 1e300
    with pytest.raises(OptionError, match="sample 13") as caught:
        rn.Sequencial([Dense(3)], input_shape=6, seed=0).predict(rn.data.DataLoader(x))
    (note,) = caught.value.__notes__
    assert "64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78" in note
