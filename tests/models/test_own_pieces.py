"""Losses, metrics and activations that users write in plain Python work in every place that the built-in ones do."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rn
from rn import registry
from rn.errors import DtypeError, OptionError, ShapeError
from rn.layers import Conv2D, Dense, Flatten

RNG = np.random.default_rng(8)
X = RNG.normal(size=(40, 1, 6, 6)).astype(np.float32)
T = RNG.normal(size=(40, 3)).astype(np.float32)
C = RNG.integers(0, 3, 40)


class OwnActivation(rn.activations.ActivationFunction):
    """tanh."""

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def gradient(self, x: np.ndarray, grad: np.ndarray) -> np.ndarray:
        return grad * (1 - np.tanh(x) ** 2)


class OwnLoss(rn.losses.Loss):
    """The squared error, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.factor * ((prediction - target) ** 2).mean(axis=1)

    def gradient(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.factor * 2 * (prediction - target) / prediction.shape[1]


class OwnClassLoss(rn.losses.Loss):
    """Cross-entropy of probabilities."""

    takes_classes = True

    def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return -np.log(prediction[np.arange(len(target)), target])

    def gradient(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        made = np.zeros_like(prediction)
        made[np.arange(len(target)), target] = -1 / prediction[np.arange(len(target)), target]
        return made


class OwnMetric(rn.metrics.Metric):
    """The mean absolute error."""

    name = "own"
    higher_is_better = False

    def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.abs(prediction - target).mean(axis=1)


@pytest.fixture(autouse=True)
def registered(new_names: None) -> None:
    """Register the classes above for the length of a test."""
    rn.register("activation", "own")(OwnActivation)
    rn.register("loss", "own")(OwnLoss)
    rn.register("loss", "own classes")(OwnClassLoss)
    rn.register("metric", "own")(OwnMetric)


def net(activation: object, loss: object, metrics: object = (), last: str = "linear") -> rn.Sequencial:
    layers = [Conv2D(4, 3, activation), Flatten(), Dense(8, activation), Dense(3, last)]  # type: ignore[arg-type]
    model = rn.Sequencial(layers, input_shape=(1, 6, 6), seed=1)
    model.compile("sgd", loss, metrics)  # type: ignore[arg-type]
    return model


def assert_alike(own: rn.Sequencial, built_in: rn.Sequencial) -> None:
    for key, value in built_in.state_dict().items():
        np.testing.assert_allclose(own.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_they_train_as_the_built_in_ones_do() -> None:
    own, built_in = net(OwnActivation(), OwnLoss(), [OwnMetric()]), net("tanh", "mse", ["mae"])
    start, w = own.state_dict(), RNG.uniform(0.5, 2, 40)
    for model in (own, built_in):
        model.fit(X, T, epochs=3, batch_size=16, sample_weight=w, verbose=0)
    assert_alike(own, built_in)
    assert not np.allclose(own.state_dict()["0.weight"], start["0.weight"], atol=1e-3)
    a, b = own.evaluate(X, T), built_in.evaluate(X, T)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    assert a["own"] == pytest.approx(b["mae"], rel=1e-5)
    np.testing.assert_allclose(own.predict(X), built_in.predict(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own.input_gradient(X, T), built_in.input_gradient(X, T), rtol=1e-3, atol=1e-6)


def test_a_loss_of_classes() -> None:
    own, built_in = net("tanh", "own classes", last="softmax"), net("tanh", "cross_entropy", last="softmax")
    for model in (own, built_in):
        model.fit(X, C, epochs=3, batch_size=16, verbose=0)
    assert_alike(own, built_in)


@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_they_are_stored(way: str, tmp_path: Path) -> None:
    model = net("own", OwnLoss(0.5), ["own"])
    model.fit(X, T, verbose=0)
    if way == "file":
        model.save(tmp_path / "own.rn")
        again = rn.load(tmp_path / "own.rn")
    else:
        again = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert again.loss.factor == 0.5
    for either in (model, again):
        either.fit(X, T, epochs=2, verbose=0)
    assert np.array_equal(model.predict(X), again.predict(X))
    assert model.evaluate(X, T) == again.evaluate(X, T)


def test_settings_of_pieces_in_python_hold_from_the_next_call_on() -> None:
    loss = OwnLoss()
    model = net(OwnActivation(), loss, [OwnMetric()])
    before = model.evaluate(X, T)["loss"]
    loss.factor = 2.0
    assert model.evaluate(X, T)["loss"] == pytest.approx(2 * before)


@pytest.mark.parametrize("written", ["prediction", "target"])
@pytest.mark.parametrize("labels", [True, False])
def test_what_they_are_given_cannot_be_written(written: str, labels: bool) -> None:
    def write(self: object, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        (prediction if written == "prediction" else target)[:] = 0
        return np.zeros(len(prediction))

    y = np.int64([0, 1, 2, 0]) if labels else np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    loss = type("Writing", (OwnClassLoss,), {"value": write})
    metric = type("Writing", (OwnMetric,), {"value": write, "takes_classes": True})
    for chosen in ({"loss": loss()}, {"loss": "cross_entropy", "metrics": [metric()]}):
        model = rn.Sequencial([Dense(3, "softmax")], input_shape=2)
        model.compile("sgd", **chosen)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="read-only"):
            model.evaluate(np.ones((4, 2), np.float32), y)


def test_unregistered_ones_cannot_be_saved(tmp_path: Path) -> None:
    class Unknown(OwnLoss):
        pass

    model = net("tanh", Unknown())
    model.fit(X, T, verbose=0)
    with pytest.raises(rn.errors.OptionError, match=r'put @rn.register\("loss"'):
        model.save(tmp_path / "own.rn")
    assert not list(tmp_path.iterdir())


def test_wrong_shapes_are_named() -> None:
    class Mean(OwnLoss):
        def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
            return super().value(prediction, target).mean()

    class Row(OwnMetric):
        def value(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
            return np.zeros(3)

    class Cut(OwnActivation):
        def value(self, x: np.ndarray) -> np.ndarray:
            return x[:1]

    for model, words in (
        (net("tanh", Mean()), r"Mean.value returned shape \(\), expected \(40,\)"),
        (net("tanh", "mse", [Row()]), r"Row.value returned shape \(3,\), expected one number a sample, \(40,\)"),
        (net(Cut(), "mse"), r"Cut.value returned shape \(1, 4, 4, 4\), expected \(40, 4, 4, 4\)"),
    ):
        with pytest.raises(rn.errors.ShapeError, match=words):
            model.evaluate(X, T)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "returned NoneType, not numbers, expected .*{shape}"),
        (["nan"] * 40, "returned dtype <U3, not numbers, expected .*{shape}"),
        ([[1.0], [1.0, 2.0]], "returned rows of different lengths, expected .*{shape}"),
    ],
)
def test_nonsense_is_named(made: object, words: str) -> None:
    """As float64 None would be NaN, and so would a text that says nan."""

    class Strange:
        def value(self, *arguments: object) -> object:
            return made

    loss, metric, activation = (
        type(f"Own{base.__name__}", (Strange, base), {"name": "own"})()
        for base in (rn.losses.Loss, rn.metrics.Metric, rn.activations.ActivationFunction)
    )
    for model, name, shape in (
        (net("tanh", loss), "OwnLoss", r"\(40,\)"),
        (net("tanh", "mse", [metric]), "OwnMetric", r"one number a sample, \(40,\)"),
        (net(activation, "mse"), "OwnActivationFunction", r"\(40, 4, 4, 4\)"),
    ):
        with pytest.raises((DtypeError, ShapeError), match=f"{name}.value {words.format(shape=shape)}"):
            model.evaluate(X, T)


def test_a_metric_that_ends_in_no_number_is_named() -> None:
    class Lost(OwnMetric):
        def finish(self, totals: np.ndarray, samples: int) -> object:
            return None

    class Small(OwnMetric):
        def finish(self, totals: np.ndarray, samples: int) -> object:
            return np.float32(0.25)

    with pytest.raises(DtypeError, match="finish of the metric 'own' returned None, expected a number"):
        net("tanh", "mse", [Lost()]).fit(X, T, verbose=0)
    with pytest.raises(DtypeError, match="finish of the metric 'own' returned None, expected a number"):
        net("tanh", "mse", [Lost()]).evaluate(X, T)
    assert net("tanh", "mse", [Small()]).fit(X, T, verbose=0).final["own"] == 0.25


def test_a_metric_whose_bind_knows_of_no_threshold() -> None:
    class Bound(rn.metrics.Accuracy):
        def bind(self, plan: object, prediction: object, target: object, *, target_classes: bool) -> object:
            return super().bind(plan, prediction, target, target_classes=target_classes)  # type: ignore[arg-type]

    got, expected = (net("tanh", "cross_entropy", [metric], "softmax") for metric in (Bound(), "accuracy"))
    assert got.evaluate(X, C) == expected.evaluate(X, C)
    own, rows = net("tanh", "mse", [Bound()]), np.eye(3, dtype=np.float32)[C]
    assert own.evaluate(X, rows)["accuracy"] == net("tanh", "mse", ["accuracy"]).evaluate(X, rows)["accuracy"]


@pytest.mark.parametrize("name", [None, 3, "loss"])
def test_a_metric_is_reported_under_a_name_of_its_own(name: object) -> None:
    class Named(rn.metrics.Metric):
        pass

    if name is not None:
        Named.name = name  # type: ignore[assignment]
    with pytest.raises(OptionError, match="Named needs a class attribute name"):
        net("tanh", "mse", [Named()])


@pytest.mark.parametrize(
    ("kind", "name", "thing", "words"),
    [
        ("loss", "mse", type("Other", (OwnLoss,), {}), "the loss name 'mse' already belongs to MeanSquaredError"),
        ("loss", "mine", Dense, r"a loss must be a subclass of rn.losses.Loss, got <class '.*Dense'>"),
        ("layer", "mine", OwnLoss, r"a layer must be a subclass of rn.layers.base.Layer"),
        ("metric", "mine", lambda p, t: 0, "a metric must be a subclass of rn.metrics.Metric, got <function"),
        ("metric", "mine", OwnMetric(), "a metric must be a subclass of rn.metrics.Metric"),
        ("metrics", "mine", OwnMetric, "unknown kind 'metrics'; known kinds: activation, callback, .*, schedule$"),
        ("metric", OwnMetric, OwnMetric, "the name of a metric must be text"),
        ("metric", "", OwnMetric, "the name of a metric must be text"),
    ],
)
def test_what_cannot_be_registered(kind: str, name: object, thing: object, words: str) -> None:
    before = copy.deepcopy(registry._classes)
    with pytest.raises((OptionError, DtypeError), match=words):
        rn.register(kind, name)(thing)  # type: ignore[arg-type]
    assert registry._classes == before


def test_every_kind_has_its_contract() -> None:
    for kind, classes in registry._classes.items():
        assert all(issubclass(cls, registry._contracts[kind]) for cls in classes.values())
    assert registry._contracts.keys() >= {"callback", *registry._classes}


def test_arguments_that_a_class_does_not_take_are_named() -> None:
    with pytest.raises(OptionError, match=r"optimizer Adam: got an .*'lr'; its arguments are: learning_rate"):
        rn.optimizers.get({"name": "adam", "lr": 1})
    with pytest.raises(OptionError, match=r"schedule Step: missing a required argument: 'learning_rate'"):
        registry.create("schedule", "step", rn.schedules.Schedule)

    class Failing(OwnLoss):
        def __init__(self) -> None:
            raise TypeError("its own")

    with pytest.raises(TypeError, match="its own"):
        rn.losses.get(Failing)


@pytest.mark.parametrize("kind", [rn.losses.Loss, rn.metrics.Metric, rn.activations.ActivationFunction])
def test_an_empty_one_says_what_is_missing(kind: type) -> None:
    class Empty(kind):  # type: ignore[misc]
        name = "empty"

    model = {
        rn.losses.Loss: lambda: net("tanh", Empty()),
        rn.metrics.Metric: lambda: net("tanh", "mse", [Empty()]),
        rn.activations.ActivationFunction: lambda: net(Empty(), "mse"),
    }[kind]()
    with pytest.raises(NotImplementedError, match=r"Empty .* neither .* nor value"):
        model.evaluate(X, T)


class OwnScale(rn.layers.Layer):
    """y = factor x; what ``backward`` does with the factor's gradient is the subclasses' affair."""

    def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
        self.add_parameter("factor", (1,), "ones", rng)
        return input_shape

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.x = x
        return x * self.factor

    def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        self.gradients["factor"][...] += (grad * self.x).sum()
        return grad * self.factor


def scaled(layer: rn.layers.Layer) -> rn.Sequencial:
    layers = [Conv2D(4, 3, "tanh"), Flatten(), Dense(8, "tanh"), layer, Dense(3)]
    model = rn.Sequencial(layers, input_shape=(1, 6, 6), seed=1)
    model.compile("sgd", "mse")
    return model


def test_a_gradient_assigned_by_name_reaches_the_optimizer() -> None:
    class Assigned(OwnScale):
        def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
            self.gradients["factor"] = (grad.astype(np.float64) * self.x).sum().reshape(1)
            return grad * self.factor

    added, assigned = scaled(OwnScale()), scaled(Assigned())
    for model in (added, assigned):
        model.fit(X, T, epochs=3, batch_size=16, verbose=0)
    assert_alike(assigned, added)
    assert abs(float(assigned.layers[3].factor[0]) - 1.0) > 1e-4


def test_gradients_that_do_not_fit_are_named() -> None:
    layer = scaled(OwnScale()).layers[3]
    layer.gradients["factor"] = [2.5]
    for name, array, error, words in (
        ("factor", 1.0, rn.errors.ShapeError, r"layer 'ownscale_1': the gradient of factor has shape \(1,\), got \(\)"),
        ("factor", None, rn.errors.DtypeError, "the gradient of factor must be an array of numbers, got dtype object"),
        ("fcator", [1.0], rn.errors.OptionError, "has no parameter 'fcator'; it has: factor"),
    ):
        with pytest.raises(error, match=words):
            layer.gradients[name] = array  # type: ignore[assignment]
    assert dict(layer.gradients) == {"factor": np.float32([2.5])}


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_become_infinities_quietly() -> None:
    """As they do wherever the core computes them, in training that diverges."""
    huge = np.full((40, 8), 1e40)

    class Assigned(OwnScale):
        def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
            self.gradients["factor"] = [-1e40]
            return grad

    class Steep(OwnActivation):
        def value(self, x: np.ndarray) -> np.ndarray:
            return x.astype(np.float64) + 1e40

        def gradient(self, x: np.ndarray, grad: np.ndarray) -> np.ndarray:
            return grad.astype(np.float64) + 1e40

    class Far(OwnLoss):
        def gradient(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
            return np.full(prediction.shape, -1e42)

    model = net("linear", Far())
    model.train_on_batch(X, T)
    assert np.isinf(model.layers[3].bias).all()
    model = scaled(Assigned())
    model.train_on_batch(X, T)
    assert model.layers[3].factor.tolist() == [np.inf]
    made = scaled(Plain(forward=lambda x: huge)).outputs(X, "mine")
    assert np.isinf(made["mine"]).all()
    for layer in (Plain(backward=lambda grad: huge), rn.layers.Activation(Steep())):
        model = scaled(layer)
        model.train_on_batch(X, T)
        assert not np.isfinite(model.layers[2].bias).any()


def test_what_the_layer_before_has_given_cannot_be_written() -> None:
    class Writes(OwnScale):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            x *= 2
            return x

    class Shifts(OwnActivation):
        def value(self, x: np.ndarray) -> np.ndarray:
            x += 1
            return x

    for model in (scaled(Writes()), net(Shifts(), "mse")):
        before = model.state_dict()
        with pytest.raises(ValueError, match="read-only"):
            model.train_on_batch(X, T)
        assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("values", [np.arange(3.0), np.arange(3), [0, 1, 2], np.float32([2, 1, 0])[::-1]])
def test_a_buffer_is_float32_whatever_it_is_made_of(values: object, tmp_path: Path) -> None:
    @rn.register("layer", "counts")
    class Counts(OwnScale):
        def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
            self.add_buffer("counts", values)  # type: ignore[arg-type]
            return super().build(input_shape, rng)

    model = scaled(Counts())
    assert model.layers[3].counts.dtype == np.float32
    assert model.layers[3].counts.tolist() == [0, 1, 2]
    model.layers[3].set(counts=[3, 4, 5])
    model.save(tmp_path / "counts.rn")
    assert rn.load(tmp_path / "counts.rn").layers[3].counts.tolist() == [3, 4, 5]


@pytest.mark.parametrize("values", [["a"], [[1.0], [1.0, 2.0]], None])
def test_a_buffer_of_what_are_no_numbers(values: object) -> None:
    class Words(OwnScale):
        def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
            self.add_buffer("words", values)  # type: ignore[arg-type]
            return input_shape

    with pytest.raises(rn.errors.DtypeError, match="layer 'mine': the buffer words must be an array of numbers"):
        scaled(Words(name="mine"))


class Plain(rn.layers.Layer):
    """y = x, by functions that a test gives."""

    def __init__(self, forward: object = None, backward: object = None, shape: object = None) -> None:
        super().__init__(name="mine")
        self.functions, self.shape = (forward, backward), shape

    def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
        return input_shape if self.shape is None else self.shape  # type: ignore[return-value]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        return x if self.functions[0] is None else self.functions[0](x)  # type: ignore[operator]

    def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        return grad if self.functions[1] is None else self.functions[1](grad)  # type: ignore[operator]


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: None, rn.errors.DtypeError, r"returned NoneType, not numbers, expected \(40, 8\)"),
        (lambda x: x[:, :4], rn.errors.ShapeError, r"returned shape \(40, 4\), expected \(40, 8\)"),
        (lambda x: x.astype(str), rn.errors.DtypeError, r"returned dtype <U\d+, not numbers, expected"),
        (lambda x: x * 1j, rn.errors.DtypeError, r"returned dtype complex64, not numbers, expected"),
        (lambda x: [[1.0], [1.0, 2.0]], rn.errors.ShapeError, r"returned rows of different lengths, expected"),
    ],
)
def test_what_a_layer_returns_is_held_against_its_shape(method: str, function: object, error: type, words: str) -> None:
    for wrap in (lambda layer: layer, lambda layer: rn.layers.Residual([layer])):
        model = scaled(wrap(Plain(**{method: function})))
        before = model.state_dict()
        with pytest.raises(error, match=f"layer 'mine': {method} {words}"):
            model.train_on_batch(X, T)
        assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("shape", [5, (), (0,), (2.5,), (1, 2, 3, 4), "ab"])
def test_what_build_returns_must_be_a_shape(shape: object) -> None:
    for layer in (Plain(shape=shape), rn.layers.Residual([Plain(shape=shape)])):
        with pytest.raises(rn.errors.ShapeError, match=r"layer 'mine': build returned .*, expected the output's shape"):
            scaled(layer)
        assert layer.output_shape is None


class OwnStep(rn.optimizers.Optimizer):
    """θ ← θ - 0.1 g, whose constructor does not take what its ``config()`` gives."""

    def __init__(self) -> None:
        super().__init__(0.1)

    def update(self, parameters: np.ndarray, gradients: np.ndarray, state: dict, rate: float, t: int) -> None:
        parameters -= rate * gradients


def test_what_load_could_not_make_again_is_not_saved(tmp_path: Path) -> None:
    class Times(OwnScale):
        def __init__(self, factor: float) -> None:
            super().__init__(name="mine")

    class Product(rn.layers.Layer):
        def __init__(self, units: int = 4) -> None:
            super().__init__(name="product")
            self.rows = units  # under another name than the argument's

        def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
            self.add_parameter("weight", (self.rows, *input_shape), "ones", rng)
            return (self.rows,)

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return x @ self.weight.T

    rn.register("layer", "times")(Times)
    rn.register("layer", "product")(Product)
    rn.register("optimizer", "own step")(OwnStep)
    path = tmp_path / "own.rn"
    net("tanh", "mse").save(path)
    before = path.read_bytes()
    stepped = net("tanh", "mse")
    stepped.compile(OwnStep(), "mse")
    stepped.train_on_batch(X, T)
    for model, words in (
        (scaled(Times(2.0)), r"layer .*'mine'.* could not be loaded again \(.*factor.*\): config\(\) must return"),
        (scaled(rn.layers.Residual([Times(2.0)])), r"layer .*'residual'.*'factor'"),
        (scaled(Product(7)), r"layer .*'product'.* \(it would have the shapes .*\(4,.*, not .*\(7,.*config\(\) must"),
        (scaled(rn.layers.Residual([Product(7)])), r"layer .*'residual'.* shapes .*'0.weight': \(4, 8\).*\(7, 8\)"),
        (stepped, r"optimizer .*'own step'.*learning_rate.*: config\(\) must return its constructor's arguments"),
    ):
        with pytest.raises(rn.errors.OptionError, match=words):
            model.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["own.rn"]
    assert path.read_bytes() == before
    scaled(Product(4)).save(path)
    assert rn.load(path).layers[3].weight.shape == (4, 8)


def test_arguments_kept_under_their_names_are_saved(tmp_path: Path) -> None:
    @rn.register("layer", "scaled by")
    class ScaledBy(rn.layers.Layer):
        def __init__(
            self, factor: float = 1.0, shift: float = 0.0, activation: object = None, *, name: str | None = None
        ) -> None:
            super().__init__(name=name)
            self.factor, self.shift = factor, shift
            self.activation = rn.activations.get(activation)  # type: ignore[arg-type]

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return x * self.factor + self.shift

    model = scaled(ScaledBy(5.0, shift=0.25, activation=rn.activations.LeakyReLU(0.125)))
    model.save(tmp_path / "scaled.rn")
    again = rn.load(tmp_path / "scaled.rn")
    assert (again.layers[3].factor, again.layers[3].shift) == (5.0, 0.25)
    assert again.layers[3].activation.alpha == 0.125
    assert repr(ScaledBy(np.float32(2.0))) == "ScaledBy(factor=2.0, activation='linear')"  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    checkpoint = rn.callbacks.ModelCheckpoint(tmp_path / "scaled.rn")
    unsaved = scaled(ScaledBy(shift=object()))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"'shift'.*could not be loaded again.*JSON"):
        unsaved.fit(X, T, callbacks=[checkpoint], verbose=0)
    assert unsaved.steps == 0


def test_what_a_file_would_change_of_an_own_layer_is_refused(tmp_path: Path) -> None:
    class Own(rn.layers.Layer):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return x

    @rn.register("layer", "doubles")
    class Doubles(Own):
        def __init__(self, factor: float = 1.0) -> None:
            super().__init__()
            self.factor = 2 * factor

    @rn.register("layer", "pairs")
    class Pairs(Own):
        def __init__(self, size: tuple[int, ...] = (1,)) -> None:
            super().__init__()
            self.size = size  # a list, once it has been in a file

    class WithConfig(Pairs):
        def config(self) -> dict[str, Any]:
            return {"size": self.size}

    rn.register("layer", "pairs with config")(WithConfig)
    scaled(WithConfig((2, 3))).save(tmp_path / "own.rn")
    assert rn.load(tmp_path / "own.rn").layers[3].size == [2, 3]
    for layer in (Doubles(2.0), Pairs((2, 3)), rn.layers.Residual([Pairs((2, 3))])):
        with pytest.raises(OptionError, match=r"could not be loaded again \(\w+ would get \w+=.*, not "):
            scaled(layer).save(tmp_path / "own.rn")
    scaled(Pairs()).save(tmp_path / "own.rn")
    assert rn.load(tmp_path / "own.rn").layers[3].size == (1,)


def test_a_class_of_a_built_in_layer_keeps_its_own_arguments_in_files(tmp_path: Path) -> None:
    @rn.register("layer", "scaled dense")
    class ScaledDense(Dense):
        def __init__(self, units: int, gain: float = 1.0, use_bias: bool = True, name: str | None = None) -> None:
            super().__init__(units, use_bias=use_bias, name=name)
            self.gain = gain

    @rn.register("layer", "five")
    class Five(Dense):
        def __init__(self, name: str | None = None) -> None:
            super().__init__(5, activation="relu", name=name)

    @rn.register("layer", "any dense")
    class AnyDense(Dense):
        def __init__(self, *args: Any, gain: float = 1.0, **options: Any) -> None:
            super().__init__(*args, **options)
            self.gain = gain

    @rn.register("layer", "doubled gain")
    class DoubledGain(ScaledDense):
        def __init__(self, units: int, gain: float = 1.0) -> None:
            super().__init__(units, 2 * gain)

    layers = [Flatten(), ScaledDense(4, gain=2.5, use_bias=False), Five(), AnyDense(3, gain=0.5, activation="tanh")]
    model = rn.Sequencial(layers, input_shape=X.shape[1:], seed=1)
    model.save(tmp_path / "own.rn")
    again = rn.load(tmp_path / "own.rn")
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in layers]
    assert [again.layers[1].gain, again.layers[3].gain] == [2.5, 0.5]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(OptionError, match=r"could not be loaded again \(\w+ would get \w+=.*, not "):
        scaled(DoubledGain(4, 3.0)).save(tmp_path / "doubled.rn")


def test_arguments_that_pass_through_bases_come_back_from_files(tmp_path: Path) -> None:
    @rn.register("layer", "gain")
    class Gain(rn.layers.Layer):
        def __init__(self, gain: float = 1.0, **more: Any) -> None:
            super().__init__(**more)
            self.gain = gain

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return self.gain * x

    @rn.register("layer", "tagged")
    class Tagged(Gain):
        def __init__(self, *args: Any, tag: str = "none", **more: Any) -> None:
            super().__init__(*args, **more)
            self.tag = tag

    class Mixin:
        def __init__(self, *args: Any, power: float = 1.0, **more: Any) -> None:
            super().__init__(*args, **more)
            self.power = power

    @rn.register("layer", "mixed")
    class Mixed(Mixin, Dense):
        pass

    layers = [Flatten(), Tagged(3.0, tag="own"), Mixed(4, "tanh", power=2.0)]
    model = rn.Sequencial(layers, input_shape=X.shape[1:], seed=1)
    model.save(tmp_path / "own.rn")
    again = rn.load(tmp_path / "own.rn")
    assert (again.layers[1].gain, again.layers[1].tag, again.layers[2].power) == (3.0, "own", 2.0)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_arguments_of_a_base_that_would_come_back_otherwise_are_refused(tmp_path: Path) -> None:
    @rn.register("layer", "strong dropout")
    class StrongDropout(rn.layers.Dropout):
        def __init__(self, strong: bool = False, name: str | None = None) -> None:
            super().__init__(0.5 if strong else 0.1, name=name)

    @rn.register("layer", "positional")
    class Positional(Dense):
        def __init__(self, units: int, *others: Any, name: str | None = None) -> None:
            super().__init__(units, *others, name=name)

    @rn.register("layer", "halved")
    class Halved(rn.layers.Dropout):
        def __init__(self, rate: float, name: str | None = None) -> None:
            super().__init__(rate / 2, name=name)

    @rn.register("layer", "block")
    class Block(rn.layers.Residual):
        def __init__(self, units: int, name: str | None = None) -> None:
            super().__init__([Dense(units, "relu"), Dense(8)], name=name)
            self.units = units

    for layer in (StrongDropout(), Block(7)):
        model = scaled(layer)
        model.save(tmp_path / "right.rn")
        np.testing.assert_array_equal(rn.load(tmp_path / "right.rn").predict(X), model.predict(X))
    frozen = Block(7)
    frozen.layers[0].trainable = False
    for layer in (StrongDropout(True), Positional(8, "relu"), Halved(0.8), frozen):
        with pytest.raises(OptionError, match="could not be loaded again"):
            scaled(layer).save(tmp_path / "wrong.rn")
    assert not (tmp_path / "wrong.rn").exists()


def test_forward_written_below_a_built_in_layer_is_what_is_computed() -> None:
    class Doubled(Dense):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return 2 * x @ self.parameters["weight"].T + self.parameters["bias"]

        def backward(self, grad: np.ndarray, input_gradient: bool = True) -> np.ndarray:
            self.gradients["bias"] += grad.sum(0)
            return 2 * grad @ self.parameters["weight"]

    model = rn.Sequencial([Flatten(), Doubled(3, "tanh")], input_shape=X.shape[1:], seed=1)
    rows = X.reshape(len(X), -1)
    expected = np.tanh(2 * rows @ np.asarray(model.layers[1].weight, np.float64).T)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-5)
    for base in (rn.layers.Residual, rn.layers.Activation, rn.layers.ReLU):
        with pytest.raises(OptionError, match=f"writes forward, which its base {base.__name__} never calls"):
            type("Own", (base,), {"forward": lambda self, x, training: x})


@pytest.mark.parametrize(
    ("base", "method", "contract"),
    [
        (rn.activations.ReLU, "value", "ActivationFunction"),
        (rn.activations.Linear, "gradient", "ActivationFunction"),
        (rn.activations.Softmax, "value", "ActivationFunction"),
        (rn.losses.Huber, "value", "Loss"),
        (rn.losses.CrossEntropy, "gradient", "Loss"),
        (rn.metrics.Accuracy, "value", "Metric"),
        (rn.metrics.Precision, "value", "Metric"),
        (rn.optimizers.SGD, "update", "Optimizer"),
        (rn.optimizers.AdamW, "update", "Optimizer"),
    ],
)
def test_methods_that_the_core_would_never_call_are_refused(base: type, method: str, contract: str) -> None:
    words = f"Mine writes {method}, which its base {base.__name__} never calls.* derive the class from {contract}"
    with pytest.raises(OptionError, match=words):
        type("Mine", (base,), {method: lambda *arguments: None})
    type("Mine", (base,), {"name": "mine"})
    kind = next(cls for cls in base.__mro__ if cls.__name__ == contract)
    type("Next", (type("Mine", (kind,), {method: lambda *arguments: None}),), {method: lambda *arguments: None})


class Beside:
    """What has nothing to do with rn."""


class Tenfold:
    def value(self, x: np.ndarray) -> np.ndarray:
        return 10 * x


def test_methods_of_mixins_are_refused_where_the_core_would_never_call_them() -> None:
    with pytest.raises(OptionError, match="Mine writes value, which its base ReLU never calls"):
        type("Mine", (Beside, rn.activations.ReLU), {"value": lambda self, x: x})
    with pytest.raises(OptionError, match="Mine writes value, which its base ReLU never calls"):
        type("Mine", (Tenfold, rn.activations.ReLU), {})
    mine = type("Mine", (Beside, rn.activations.ActivationFunction), {"value": lambda self, x: 2 * x})
    own = type("Own", (Tenfold, rn.activations.ActivationFunction), {})
    python = type("Python", (rn.activations.ReLU,), {"kernel": "", "value": lambda self, x: 3 * x})
    x = np.float32([[-1, 2]])
    for kind, factor in ((mine, 2), (own, 10), (python, 3)):
        model = rn.Sequencial([rn.layers.Activation(kind())], input_shape=2, seed=0)
        np.testing.assert_array_equal(model.predict(x), factor * x)


@pytest.mark.parametrize(
    ("base", "core", "method"),
    [(rn.activations.ReLU, "kernel", "value"), (rn.optimizers.SGD, "rule", "update")],
)
def test_what_a_class_takes_back_from_the_core_its_subclasses_may_write(base: type, core: str, method: str) -> None:
    python = type("Python", (base,), {core: ""})
    own = type("Own", (python,), {method: lambda *arguments: None})
    assert vars(own)[method]
    again = type("Again", (python,), {core: getattr(base, core)})
    with pytest.raises(OptionError, match=f"Mine writes {method}, which its base Again never calls"):
        type("Mine", (again,), {method: lambda *arguments: None})
    with pytest.raises(OptionError, match=f"Mine writes {method}, which its base Again never calls"):
        type("Mine", (own, again), {})


def test_a_class_whose_bind_is_its_own_takes_nothing_back_by_its_kernel() -> None:
    with pytest.raises(OptionError, match="Mine writes value, which its base Softmax never calls"):
        type("Mine", (rn.activations.Softmax,), {"kernel": "", "value": lambda self, x: x})


def test_defaults_that_no_file_can_hold_are_no_hindrance(tmp_path: Path) -> None:
    twos = np.full(8, 2.0, np.float32)

    @rn.register("layer", "with defaults")
    class WithDefaults(rn.layers.Layer):
        def __init__(self, factors=twos, function=np.abs, inner=None, *others, **more) -> None:
            super().__init__()
            self.factors, self.function, self.inner, self.others, self.more = factors, function, inner, others, more
            self.inner = inner or Dense(3)

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            return self.function(x * self.factors)

    model = scaled(WithDefaults())
    model.save(tmp_path / "defaults.rn")
    np.testing.assert_array_equal(rn.load(tmp_path / "defaults.rn").predict(X), model.predict(X))


@pytest.mark.parametrize("name", ["factor", "rate", "forward", "input_shape", "kept"])
@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_an_array_is_not_hidden_by_what_has_its_name(kind: str, name: str) -> None:
    class Twice(OwnScale):
        def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
            self.rate = 0.5
            self.add_buffer("kept", [0.0])
            super().build(input_shape, rng)
            if kind == "buffer":
                self.add_buffer(name, [1.0])
            else:
                self.add_parameter(name, 1, "ones", rng)
            return input_shape

    with pytest.raises(rn.errors.OptionError, match=rf"layer 'mine' has '{name}' already"):
        scaled(Twice(name="mine"))


def test_the_shape_of_a_vector_may_be_a_number() -> None:
    class Vector(OwnScale):
        def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
            self.add_parameter("factor", 8, "ones", rng)
            return input_shape

    assert scaled(Vector()).layers[3].factor.shape == (8,)
