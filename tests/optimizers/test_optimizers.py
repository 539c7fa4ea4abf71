"""Optimizers in a model: every rule learns, is stored, and goes on with the same bits; users' own ones as well."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rn
from rn import optimizers, registry, schedules
from rn.layers import BatchNorm, Dense, Dropout

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)
RULES: list[Any] = [
    optimizers.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1.0),
    optimizers.SGD(0.1, weight_decay=0.01, decoupled_weight_decay=True, clip_value=0.1),
    optimizers.Adagrad(0.05),
    optimizers.RMSProp(0.003, centered=True, momentum=0.5),
    optimizers.Adadelta(3.0),
    optimizers.Adam(0.01, amsgrad=True),
    optimizers.AdamW(0.01, weight_decay=0.1),
    optimizers.AMSGrad(0.01),
    optimizers.Nadam(0.01, clip_norm=0.5),
    optimizers.Lion(0.003, weight_decay=0.1),
    optimizers.Adam(schedules.Warmup(5, schedules.Cosine(0.02, 80))),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


class Signs(optimizers.Optimizer):
    """θ ← θ - η sign(v), v ← 0.9 v + g, in plain Python."""

    def __init__(self, learning_rate: Any = 0.01, *, keep: float = 0.9, **common: Any) -> None:
        super().__init__(learning_rate, **common)
        self.keep = keep

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("velocity",)

    def update(self, parameters: Any, gradients: Any, state: dict[str, Any], learning_rate: float, t: int) -> None:
        state["velocity"][...] = self.keep * state["velocity"] + gradients
        parameters -= np.float32(learning_rate) * np.sign(state["velocity"])


class PlainSGD(optimizers.Optimizer):
    def update(self, parameters: Any, gradients: Any, state: dict[str, Any], learning_rate: float, t: int) -> None:
        parameters -= np.float32(learning_rate) * gradients


@pytest.fixture(autouse=True)
def registered(new_names: None) -> None:
    """Register ``Signs`` for the length of a test."""
    rn.register("optimizer", "signs")(Signs)


def net(rule: Any, **compiled: Any) -> rn.Sequencial:
    layers = [Dense(12, "tanh"), BatchNorm(), Dropout(0.1), Dense(3, "softmax")]
    model = rn.Sequencial(layers, input_shape=5, seed=3)
    model.compile(copy.deepcopy(rule), "cross_entropy", **compiled)
    return model


def same_bits(a: rn.Sequencial, b: rn.Sequencial) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("rule", [*RULES, Signs(0.003)], ids=repr)
def test_it_learns(rule: Any) -> None:
    loss = net(rule).fit(X, Y, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert loss[-1] < 0.8 * loss[0]


@pytest.mark.parametrize("rule", [*RULES, Signs(0.003, keep=0.8)], ids=repr)
@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_stopped_and_resumed_it_has_the_same_bits(rule: Any, way: str, tmp_path: Path) -> None:
    whole, part = net(rule), net(rule)
    part.layers[0].trainable = whole.layers[0].trainable = False
    whole.fit(X, Y, epochs=4, batch_size=16, verbose=0)
    part.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    if way == "file":
        part.save(tmp_path / "part.rn")
        part = rn.load(tmp_path / "part.rn")
    else:
        part = pickle.loads(pickle.dumps(part)) if way == "pickle" else copy.deepcopy(part)
    assert repr(part.optimizer) == repr(rule)
    part.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    assert same_bits(whole, part)


@every_rule
def test_the_same_bits_on_any_number_of_threads(rule: Any) -> None:
    results = []
    for threads in (1, 3):
        with rn.threads(threads):
            model = net(rule)
            model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
            results.append(model)
    assert same_bits(*results)


@every_rule
def test_its_description_makes_it_again(rule: Any) -> None:
    described = registry.describe("optimizer", rule)
    again = optimizers.get(described)
    assert type(again) is type(rule)
    assert again.config() == rule.config()


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_every_name_has_its_defaults(name: str) -> None:
    rule = optimizers.get(name)
    assert rule.learning_rate > 0
    assert (rule.clip_norm, rule.clip_value) == (None, None)
    assert rule.decoupled_weight_decay is (name in ("adamw", "lion"))


def test_clipping_and_decay_of_rules_in_python_are_those_of_the_core() -> None:
    for options in (
        {"clip_norm": 0.3},
        {"clip_value": 0.01, "weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
    ):
        own, built_in = net(PlainSGD(0.1, **options)), net(optimizers.SGD(0.1, **options))
        for model in (own, built_in):
            model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
        for key, value in built_in.state_dict().items():
            np.testing.assert_allclose(own.state_dict()[key], value, rtol=1e-3, atol=1e-5)


def test_the_norm_for_clipping_is_that_of_what_is_trained_whatever_lies_between() -> None:
    """A frozen layer parts the parameters into two ranges; one norm holds for both."""
    rule = optimizers.SGD(1.0, clip_norm=0.01)
    model = rn.Sequencial([Dense(4), Dense(4), Dense(3, "softmax")], input_shape=5, seed=3)
    model.compile(rule, "cross_entropy")
    model.layers[1].trainable = False
    before = model.state_dict()
    model.train_on_batch(X, Y)
    moved = {key: value - before[key] for key, value in model.state_dict().items()}
    assert not moved["1.weight"].any()
    assert np.sqrt(sum(float((m.astype(np.float64) ** 2).sum()) for m in moved.values())) == pytest.approx(
        0.01, rel=1e-3
    )
    assert all(moved[key].any() for key in ("0.weight", "2.weight"))


def test_clipping_with_gradient_chunks() -> None:
    plain = rn.Sequencial([Dense(4), Dense(3, "softmax")], input_shape=5, seed=3)
    other = copy.deepcopy(plain)
    for model, chunks in ((plain, 1), (other, 3)):
        model.compile(optimizers.SGD(0.5, clip_norm=0.05), "cross_entropy", gradient_chunks=chunks)
        model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    for key, value in plain.state_dict().items():
        np.testing.assert_allclose(other.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_an_update_that_raises_leaves_a_usable_model() -> None:
    class Broken(PlainSGD):
        def update(self, *arguments: Any) -> None:
            raise ZeroDivisionError("mine")

    model = net(Broken(0.1))
    with pytest.raises(ZeroDivisionError, match="mine"):
        model.fit(X, Y, verbose=0)
    model.compile("sgd", "cross_entropy")
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optimizers.SGD(-1), "learning_rate must be a finite number of at least 0"),
        (lambda: optimizers.SGD(lambda update: 0.1), "learning_rate must be a number or a schedule.*rn.schedules"),  # type: ignore[arg-type]
        (lambda: optimizers.SGD("fast"), "learning_rate must be"),  # type: ignore[arg-type]
        (lambda: optimizers.SGD(clip_norm=0), "SGD: clip_norm must be above 0"),
        (lambda: optimizers.Adam(clip_value=-1), "Adam: clip_value must be a finite number"),
        (lambda: optimizers.Lion(clip_value=1, clip_norm=1), "Lion: choose clip_norm or clip_value"),
        (lambda: optimizers.RMSProp(rho=1), "RMSProp: rho must be at least 0 and below 1"),
        (lambda: optimizers.Nadam(beta_2=-0.1), "Nadam: beta_2"),
        (lambda: optimizers.Adadelta(epsilon=float("nan")), "Adadelta: epsilon"),
        (lambda: optimizers.SGD(nesterov=True), "SGD: nesterov needs a momentum"),
    ],
)
def test_refusals(make: Any, words: str) -> None:
    with pytest.raises(rn.errors.OptionError, match=words):
        make()
