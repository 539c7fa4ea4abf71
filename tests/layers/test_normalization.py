"""Normalization: what it adapts to, beside scikit-learn, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rn
from rn.data import DataLoader
from rn.errors import DtypeError, OptionError, ShapeError, StateError
from rn.layers import Dense, Normalization


def table(n: int = 200) -> np.ndarray:
    """Return features far from 0, tiny, huge, and one that never changes."""
    rng = np.random.default_rng(0)
    return rng.normal([1e3, 0.0, 5e6, 0.1], [1e-1, 1e-6, 1e6, 0.0], (n, 4))


def model(*layers: Any, features: int = 4) -> rn.Sequencial:
    made = rn.Sequencial([*layers, Dense(2)], input_shape=(features,), seed=0)
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("late", [False, True])
def test_what_it_adapts_to_has_mean_0_and_deviation_1(late: bool) -> None:
    x = table().astype(np.float32)
    layer = Normalization()
    if not late:
        layer.adapt(x)
    net = rn.Sequencial([layer], input_shape=(4,))
    if late:
        layer.adapt(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(layer.mean, exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.variance[:3], exact.var(axis=0)[:3], rtol=1e-6)
    y = net.predict(x)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=2e-3)
    np.testing.assert_allclose(y.std(axis=0)[:3], 1.0, atol=1e-4)
    assert layer.variance[3] == 1.0
    np.testing.assert_allclose(y[:, 3], 0.0, atol=1e-7)


def test_a_feature_that_never_changes_is_seen_through_rounding() -> None:
    layer = Normalization(name="n")
    layer.adapt(np.full((1000, 2), [0.1, 1.23456789e8]))
    rn.Sequencial([layer], input_shape=(2,))
    np.testing.assert_array_equal(layer.variance, 1.0)


def test_images_by_channel_and_batches_of_any_size() -> None:
    x = np.random.default_rng(1).normal(3.0, 2.0, (30, 3, 5, 4)).astype(np.float32)
    x[:, 1] *= 7.0
    whole, parts, loaded = Normalization(), Normalization(), Normalization()
    whole.adapt(x)
    parts.adapt([x[:7], x[:0], x[7:8], x[8:]][i] for i in range(4))
    loaded.adapt(DataLoader(x, np.zeros(30, np.int64), batch_size=8, shuffle=True))
    for layer in (whole, parts, loaded):
        rn.Sequencial([layer], input_shape=(3, 5, 4))
        np.testing.assert_allclose(layer.mean, x.astype(np.float64).mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(layer.variance, x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-6)


def test_a_tensor_does_too() -> None:
    x = table(50).astype(np.float32)
    layer = Normalization()
    net = model(layer)
    layer.adapt(rn.Tensor4D(x.reshape(50, 4, 1, 1)))
    np.testing.assert_allclose(layer.mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)
    assert np.isfinite(net.predict(x)).all()


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("shape", [(50, 4, 1, 1), (1, 1, 50, 4)])
def test_a_tensor_of_features_is_taken_as_the_model_takes_it(shape: tuple[int, ...], built: bool) -> None:
    x = table(50).astype(np.float32)
    layer = Normalization()
    if built:
        model(layer)
    layer.adapt(rn.Tensor4D(x.reshape(shape)))
    if not built:
        model(layer)
    np.testing.assert_allclose(layer.mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.variance[:3], x.astype(np.float64).var(axis=0)[:3], rtol=1e-5)


def test_lists_of_batches_and_of_samples() -> None:
    x, y = table(50), np.zeros(50)
    forms: list[Any] = [[x[:20], x[20:]], [(x[:20], y[:20]), (x[20:], y[20:])], x.tolist(), list(x)]
    for form in forms:
        layer = Normalization()
        layer.adapt(form)
        model(layer)
        np.testing.assert_allclose(layer.mean, x.mean(axis=0), rtol=1e-6)
    with pytest.raises(ShapeError, match="samples of one shape"):
        Normalization().adapt([[1.0, 2.0], [3.0]])


@pytest.mark.peers
def test_as_scikit_learn_scales() -> None:
    from sklearn.preprocessing import StandardScaler

    x = table()
    layer = Normalization()
    layer.adapt(x)
    rn.Sequencial([layer], input_shape=(4,))
    scaler = StandardScaler().fit(x)
    np.testing.assert_allclose(layer.mean, scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(layer.variance), scaler.scale_, rtol=1e-6)


def test_training_leaves_it_alone_and_files_keep_it(tmp_path: Path) -> None:
    x = table().astype(np.float32)
    layer = Normalization(name="scale")
    layer.adapt(x)
    net = model(layer)
    mean = layer.mean.copy()
    net.fit(x, np.zeros((len(x), 2), np.float32), epochs=2, verbose=0)
    np.testing.assert_array_equal(layer.mean, mean)
    net.save(tmp_path / "net.rn")
    loaded = rn.load(tmp_path / "net.rn")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    np.testing.assert_array_equal(loaded.layers[0].variance, layer.variance)
    other = model(Normalization(name="scale"))
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.predict(x), net.predict(x))


def test_before_it_is_adapted_the_model_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    x = table().astype(np.float32)
    layer = Normalization(name="scale")
    net = model(layer)
    for use in (lambda: net.predict(x), lambda: net.fit(x, np.zeros((len(x), 2)), verbose=0)):
        with pytest.raises(StateError, match=r"'scale' is not adapted yet: call layer\.adapt"):
            use()
    net.summary()
    assert "call layer.adapt" in capsys.readouterr().out
    layer.adapt(x)
    assert np.isfinite(net.predict(x)).all()
    before = net.predict(x)
    layer.adapt(x[:10])
    assert not np.array_equal(net.predict(x), before)


def test_numbers_in_the_place_of_data() -> None:
    layer = Normalization(1.0, [4.0, 0.0, 1.0])
    net = rn.Sequencial([layer], input_shape=(3,))
    np.testing.assert_allclose(net.predict(np.array([[3.0, 3.0, 3.0]])), [[1.0, 2.0, 2.0]], rtol=1e-6)
    assert layer.config() == {"mean": [1.0], "variance": [4.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Normalization(1.0), OptionError, "mean and variance, or neither"),
        (lambda: Normalization(1.0, -1.0), OptionError, "variance must be finite numbers"),
        (lambda: Normalization(np.nan, 1.0), OptionError, "mean must be finite"),
        (lambda: Normalization("a", 1.0), OptionError, "mean must be numbers"),
        (lambda: Normalization(np.ma.array([1.0, 2.0], mask=[0, 1]), 1.0), DtypeError, "mean is a masked array"),
        (lambda: Normalization(1.0, np.ma.array([1.0, 2.0])), DtypeError, "variance is a masked array"),
        (lambda: model(Normalization([1.0, 2.0], 1.0)), ShapeError, "2 numbers as its mean.*4 features"),
        (lambda: rn.Sequencial([Normalization()], input_shape=(3, 4)), ShapeError, "shape"),
        (lambda: Normalization().adapt(np.zeros((3, 2, 2))), ShapeError, r"got shape \(3, 2, 2\)"),
        (lambda: Normalization().adapt(np.zeros((0, 2))), ShapeError, "there are none"),
        (lambda: Normalization().adapt([["a", "b"]]), DtypeError, "adapts to numbers"),
        (lambda: Normalization().adapt(3), DtypeError, "got int"),
        (lambda: Normalization().adapt(np.array([[1.0, np.inf]])), OptionError, "finite"),
        (lambda: Normalization().adapt(iter([np.ones((2, 2)), np.ones((2, 3))])), ShapeError, "2 and of 3 features"),
        (lambda: model(Normalization()).layers[0].adapt(np.ones((5, 3))), ShapeError, r"shape \(4,\), got \(3,\)"),
        (lambda: model(Normalization(1e40, 1.0)), OptionError, "the buffer mean must stay below 3.4e38"),
    ],
)
def test_refusals(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_a_refused_adaptation_changes_nothing() -> None:
    x = table().astype(np.float32)
    layer = Normalization()
    net = model(layer)
    layer.adapt(x)
    before = net.predict(x)
    with pytest.raises(OptionError, match="finite"):
        layer.adapt(iter([x, np.full((1, 4), np.nan)]))
    with pytest.raises(OptionError, match="variance must stay below"):
        layer.adapt(x * np.float32(1e30))
    np.testing.assert_array_equal(net.predict(x), before)
