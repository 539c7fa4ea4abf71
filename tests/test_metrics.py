"""Metrics of whole epochs, whatever the batches, beside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rn
from rn.errors import LabelError, OptionError
from rn.layers import Linear
from rn.metrics import F1, Precision, Recall, TopKAccuracy

CLASSES = ("accuracy", "precision", "recall", "f1", "confusion_matrix")


class NineIsNan(rn.layers.Layer):
    """y = x, but NaN where x is 9: a model's door lets no NaN in."""

    def build(self, input_shape: tuple[int, ...], rng: rn.initializers.WeightSource) -> tuple[int, ...]:
        return input_shape

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        return np.where(x == 9, np.float32("nan"), x)


def evaluated(
    p: np.ndarray, y: np.ndarray, metrics: Any, loss: Any, batch_size: int = 7, layer: type[rn.layers.Layer] = Linear
) -> dict[str, Any]:
    """Return the metrics of a model that gives ``p`` as it is."""
    model = rn.Sequencial([layer()], input_shape=p.shape[1:], seed=0)
    model.compile("sgd", loss, metrics)
    return model.evaluate(p, y, batch_size=batch_size)


def drawn(n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    y = rng.integers(0, max(classes - 1, 1), n)  # the last class never comes
    p = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y]
    return p.astype(np.float32), y


LOGITS = rn.losses.CrossEntropy(from_logits=True)


def test_known_values() -> None:
    p, y = np.float32([[2, 1, 0], [0, 1, 2], [0, 3, 1], [5, 1, 0]]), np.array([0, 2, 2, 1])
    got = evaluated(p, y, [*CLASSES, TopKAccuracy(2)], LOGITS)
    np.testing.assert_array_equal(got["confusion_matrix"], [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert got["confusion_matrix"].dtype == np.int64
    assert got["accuracy"] == 0.5
    assert got["precision"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert got["recall"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert got["f1"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert got["top_k_accuracy"] == 1.0


@pytest.mark.parametrize("batch_size", [1, 7, 256])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_batches_do_not_matter(classes: int, batch_size: int) -> None:
    p, y = drawn(101, classes)
    whole, parts = (evaluated(p, y, [*CLASSES, "top_k_accuracy"], LOGITS, size) for size in (101, batch_size))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-12 if name != "loss" else 1e-6)


def test_one_hot_rows_and_a_single_column() -> None:
    p, y = drawn(50, 4)
    whole = evaluated(p, y, CLASSES, LOGITS)
    rows = evaluated(p, np.eye(4, dtype=np.float32)[y], CLASSES, LOGITS)
    for name in CLASSES:
        np.testing.assert_array_equal(rows[name], whole[name])
    yes = np.float32([[1], [0], [1], [1], [0]])
    got = evaluated(np.float32([[0.9], [0.8], [0.1], [0.7], [0.2]]), yes, CLASSES, "mse", 2)
    assert got["precision"] == got["recall"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(got["confusion_matrix"], [[1, 1], [1, 2]])


@pytest.mark.parametrize("batch_size", [2, 7, 40])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "logits", "hinge"])
def test_outputs_that_are_each_yes_or_no(loss: str, batch_size: int) -> None:
    """Each output is held against the loss's threshold: 0.5 of a probability, 0 of a margin."""
    rng = np.random.default_rng(3)
    yes = rng.random((40, 3)) < [0.2, 0.5, 0.7]
    z = np.where(rng.random((40, 3)) < 0.8, 1, -1) * np.where(yes, 1, -1) * rng.uniform(0.01, 0.4, (40, 3))
    guess = z > 0
    y = np.where(yes, 1.0, -1.0) if loss == "hinge" else yes.astype(np.float64)

    def found(outputs: int, *more: str) -> dict[str, Any]:
        chosen: Any = rn.losses.BinaryCrossEntropy(from_logits=True) if loss == "logits" else loss
        last = rn.layers.Sigmoid() if loss == "binary_cross_entropy" else Linear()
        model = rn.Sequencial([last], input_shape=outputs)
        model.compile("sgd", chosen, ["accuracy", "precision", Recall("micro"), "f1", *more])
        return model.evaluate(z[:, :outputs], y[:, :outputs], batch_size=batch_size)

    right, guessed, actual = (guess & yes).sum(0), guess.sum(0), yes.sum(0)
    got = found(3)
    assert got["accuracy"] == pytest.approx((guess == yes).mean())
    assert 0.6 < got["accuracy"] < 0.95
    assert got["precision"] == pytest.approx((right / guessed).mean())
    assert got["recall"] == pytest.approx(right.sum() / actual.sum())
    assert got["f1"] == pytest.approx((2 * right / (guessed + actual)).mean())
    got = found(1, "confusion_matrix", "top_k_accuracy")
    assert got["accuracy"] == got["top_k_accuracy"] == pytest.approx((guess == yes)[:, 0].mean())
    assert got["f1"] == pytest.approx((2 * right / (guessed + actual))[0])
    assert got["confusion_matrix"][1, 1] == right[0]
    assert got["confusion_matrix"].sum() == 40


def test_the_threshold_itself_and_nan_are_no() -> None:
    p, y = np.float32([[0.0, 1e-30], [-1e-30, 9.0]]), np.float32([[1, 1], [-1, 1]])
    got = evaluated(p, y, ["accuracy", "recall"], "hinge", layer=NineIsNan)
    assert np.isnan(got["loss"])
    assert (got["accuracy"], got["recall"]) == (0.5, 0.25)  # recall: nothing of the first output, half of the second


def test_images_of_yes_and_no() -> None:
    rng = np.random.default_rng(1)
    p, y = rng.random((5, 2, 3, 3)), rng.random((5, 2, 3, 3)) < 0.5
    got = evaluated((p - 0.5) * 9, y.astype(np.float32), "accuracy", rn.losses.BinaryCrossEntropy(from_logits=True), 2)
    assert got["accuracy"] == pytest.approx(((p > 0.5) == y).mean())


def test_metrics_of_classes_where_there_are_none() -> None:
    image, row = np.zeros((4, 2, 3, 3), np.float32), np.zeros((4, 3), np.float32)
    for name in (*CLASSES, "top_k_accuracy"):
        with pytest.raises(OptionError, match=rf"metric '{name}' takes an output for each class.*\(n, 2, 3, 3\)"):
            evaluated(image, image, name, "mse")
    with pytest.raises(OptionError, match="metric 'f1' takes an output for each class"):
        evaluated(image, image, "f1", rn.losses.BinaryCrossEntropy(from_logits=True))
    for name in ("confusion_matrix", "top_k_accuracy"):
        with pytest.raises(OptionError, match=rf"'{name}' takes one class a sample, but with Hinge each of the 3"):
            evaluated(row, row + 1, name, "hinge")


def test_nothing_counted_is_0() -> None:
    none = np.zeros((3, 1), np.float32)
    got = evaluated(none, none, ["precision", "recall", "f1"], "mse")
    assert (got["precision"], got["recall"], got["f1"]) == (0.0, 0.0, 0.0)


def test_an_epoch_of_fit_is_no_mean_of_batches() -> None:
    p, y = drawn(60, 3)
    model = rn.Sequencial([rn.layers.Dense(3)], input_shape=(3,), seed=1)
    model.compile(rn.optimizers.SGD(0.0), LOGITS, ["precision", "f1", "confusion_matrix"])
    expected = model.evaluate(p, y)
    history = model.fit(p, y, batch_size=7, verbose=0, validation_data=(p, y))
    for name in ("precision", "f1"):
        assert history.final[name] == history.final[f"val_{name}"] == expected[name]
    assert "confusion_matrix" not in history.history
    np.testing.assert_array_equal(model.train_on_batch(p, y)["confusion_matrix"], expected["confusion_matrix"])


def test_r2_of_equal_targets_and_large_means() -> None:
    t = np.full((5, 1), 1.1, np.float32)
    assert evaluated(t, t, "r2", "mse")["r2"] == 1.0
    assert evaluated(t + 1, t, "r2", "mse")["r2"] == 0.0
    rng = np.random.default_rng(0)
    t = rng.normal(1e3, 0.1, (500, 2)).astype(np.float32)
    p = (t + rng.normal(0, 0.05, t.shape)).astype(np.float32)
    a, b = p.astype(np.float64), t.astype(np.float64)
    expected = np.mean(1 - ((a - b) ** 2).sum(0) / ((b - b.mean(0)) ** 2).sum(0))
    assert evaluated(p, t, "r2", "mse")["r2"] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1e4, -1e7, 1e15])
def test_r2_keeps_its_digits_where_the_mean_is_large(mean: float) -> None:
    rng = np.random.default_rng(1)
    t = (mean + max(abs(mean) * 1e-6, 1.0) * rng.normal(size=(300, 2))).astype(np.float32)
    p = (t + 0.3 * t.std(axis=0, dtype=np.float64) * rng.normal(size=t.shape)).astype(np.float32)
    a, b = p.astype(np.float64), t.astype(np.float64)
    expected = np.mean(1 - ((a - b) ** 2).sum(0) / ((b - b.mean(0)) ** 2).sum(0))
    assert 0.5 < expected < 1.0
    model = rn.Sequencial([rn.layers.Activation("linear")], input_shape=2)
    model.compile("sgd", "mse", ["r2"])
    for size in (7, 300):
        assert model.evaluate(p, t, batch_size=size)["r2"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", [3.3, -1e7, 1e-30, 1e30])
def test_r2_of_equal_targets_in_several_batches(value: float) -> None:
    t = np.full((1000, 1), value, np.float32)
    model = rn.Sequencial([rn.layers.Activation("linear")], input_shape=1)
    model.compile("sgd", "mse", ["r2"])
    assert model.evaluate(t, t, batch_size=7)["r2"] == 1.0
    assert model.evaluate(t * 2, t, batch_size=7)["r2"] == 0.0


def test_images() -> None:
    rng = np.random.default_rng(0)
    p, t = (rng.normal(size=(9, 2, 3, 2)).astype(np.float32) for _ in range(2))
    got = evaluated(p, t, ["r2", "mse", "mae"], "mse")
    a, b = p.astype(np.float64), t.astype(np.float64)
    assert got["r2"] == pytest.approx(np.mean(1 - ((a - b) ** 2).sum(0) / ((b - b.mean(0)) ** 2).sum(0)))
    assert got["mse"] == pytest.approx(((a - b) ** 2).mean())
    assert got["mae"] == pytest.approx(np.abs(a - b).mean())


def test_refusals() -> None:
    for k in (0, 1.5, True, "3"):
        with pytest.raises(OptionError, match="k must be"):
            TopKAccuracy(k)
    with pytest.raises(OptionError, match="average must be"):
        F1("mean")
    p, y = drawn(5, 3)
    with pytest.raises(LabelError, match="'r2'"):
        evaluated(p, y, "r2", LOGITS)


@pytest.mark.peers
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_beside_sklearn(classes: int, average: Any) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    p, y = drawn(200, classes)
    chosen = [Precision(average), Recall(average), F1(average), "accuracy", "confusion_matrix", TopKAccuracy(2)]
    got = evaluated(p, y, chosen, LOGITS)
    guess = p.argmax(1)
    options = {"average": average, "zero_division": 0}
    assert got["precision"] == pytest.approx(sk.precision_score(y, guess, **options))
    assert got["recall"] == pytest.approx(sk.recall_score(y, guess, **options))
    assert got["f1"] == pytest.approx(sk.f1_score(y, guess, **options))
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(y, guess))
    labels = np.arange(classes)
    np.testing.assert_array_equal(got["confusion_matrix"], sk.confusion_matrix(y, guess, labels=labels))
    if classes > 2:
        assert got["top_k_accuracy"] == pytest.approx(sk.top_k_accuracy_score(y, p, k=2, labels=labels))


@pytest.mark.peers
def test_regression_beside_sklearn() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    t = rng.normal(size=(150, 3)).astype(np.float32)
    p = (t + rng.normal(0, 0.7, t.shape)).astype(np.float32)
    got = evaluated(p, t, ["r2", "mse", "mae"], "rmse")
    a, b = p.astype(np.float64), t.astype(np.float64)
    assert got["r2"] == pytest.approx(sk.r2_score(b, a), abs=1e-9)
    assert got["mse"] == pytest.approx(sk.mean_squared_error(b, a), rel=1e-6)
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(b, a), rel=1e-6)
    assert got["loss"] == pytest.approx(sk.mean_squared_error(b, a) ** 0.5, rel=1e-6)
