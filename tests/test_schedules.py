"""Schedules: their rates, against torch.optim.lr_scheduler, and in training."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import rn
from rn import optimizers, registry, schedules
from rn.layers import Dense
from rn.schedules import Cosine, Exponential, OneCycle, Polynomial, Schedule, Step, Warmup

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = X[:, :2] ** 2
# (schedule, how torch says it, for how many updates they are the same)
CASES: list[tuple[Schedule, Any, int]] = [
    (Step(0.1, 7, 0.5), lambda t, o: t.StepLR(o, 7, 0.5), 60),
    (Step(0.1, [3, 10, 11]), lambda t, o: t.MultiStepLR(o, [3, 10, 11], 0.1), 60),
    (Exponential(0.1, 0.95), lambda t, o: t.ExponentialLR(o, 0.95), 60),
    (Cosine(0.1, 50, 0.01), lambda t, o: t.CosineAnnealingLR(o, 50, 0.01), 51),
    (Polynomial(0.1, 40, 2.0), lambda t, o: t.PolynomialLR(o, 40, 2.0), 60),
    (OneCycle(0.1, 50), lambda t, o: t.OneCycleLR(o, 0.1, 50, cycle_momentum=False), 50),
    (
        OneCycle(0.1, 50, rising=0.5, start_divisor=10, end_divisor=100),
        lambda t, o: t.OneCycleLR(o, 0.1, 50, pct_start=0.5, div_factor=10, final_div_factor=100, cycle_momentum=False),
        50,
    ),
    (Warmup(10, 0.1, 0.25), lambda t, o: t.LinearLR(o, 0.25, total_iters=10), 60),
    (
        Warmup(10, Cosine(0.1, 30), 0.1),
        lambda t, o: t.SequentialLR(o, [t.LinearLR(o, 0.1, total_iters=10), t.CosineAnnealingLR(o, 30)], [10]),
        41,
    ),
]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*")
@pytest.mark.parametrize(("schedule", "theirs", "count"), CASES, ids=lambda value: repr(value)[:40])
def test_torch(schedule: Schedule, theirs: Any, count: int) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = theirs(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose([schedule(update) for update in range(count)], rates, rtol=1e-9, atol=1e-16)


def test_known_values() -> None:
    assert [Step(1.0, 2, 0.5)(t) for t in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert Exponential(1.0, 0.5, 10)(20) == 0.25
    assert [Cosine(2.0, 4, 1.0)(t) for t in (0, 4, 400)] == [2, 1, 1]
    assert Cosine(2.0, 4)(2) == pytest.approx(1.0)
    assert [Polynomial(1.0, 4, end=0.5)(t) for t in range(6)] == [1, 0.875, 0.75, 0.625, 0.5, 0.5]
    assert [Polynomial(0.1, 2, 0.0)(t) for t in range(4)] == [0.1, 0.1, 0, 0]
    assert [Warmup(2, Polynomial(1.0, 2))(t) for t in range(5)] == [0, 0.5, 1, 0.5, 0]
    cycle = OneCycle(1.0, 10, rising=0.5)
    assert max(cycle(t) for t in range(20)) == cycle(4) == 1.0
    assert cycle(0) == pytest.approx(1 / 25)
    assert cycle(9) == cycle(1000) == pytest.approx(1 / 25e4)
    assert all(math.isfinite(OneCycle(1.0, steps)(t)) for steps in (1, 2, 3) for t in range(5))


@pytest.mark.parametrize("schedule", [case[0] for case in CASES], ids=repr)
def test_its_description_makes_it_again(schedule: Schedule) -> None:
    again = registry.create("schedule", registry.describe("schedule", schedule), Schedule)
    assert repr(again) == repr(schedule)
    assert [again(t) for t in range(60)] == [schedule(t) for t in range(60)]


def net(rate: Any, **compiled: Any) -> rn.Sequencial:
    model = rn.Sequencial([Dense(6, "tanh"), Dense(2)], input_shape=4, seed=1)
    model.compile(optimizers.SGD(rate, momentum=0.5), "mse", **compiled)
    return model


def same_bits(a: rn.Sequencial, b: rn.Sequencial) -> bool:
    return all(np.array_equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_schedule_is_a_rate_set_anew_before_each_step(chunks: int) -> None:
    schedule = Warmup(3, Step(0.1, 2, 0.5))
    scheduled, by_hand = net(schedule, gradient_chunks=chunks), net(0.1, gradient_chunks=chunks)
    scheduled.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    update = 0
    for _ in range(2):
        for begin in (0, 16, 32):
            by_hand.optimizer.learning_rate = schedule(update)
            by_hand.train_on_batch(X[begin : begin + 16], Y[begin : begin + 16])
            update += 1
    assert same_bits(scheduled, by_hand)
    assert scheduled.learning_rate == schedule(6)


def test_a_batch_callback_does_not_change_the_rates() -> None:
    alone, watched = net(Cosine(0.1, 6)), net(Cosine(0.1, 6))
    alone.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    watched.fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=[rn.callbacks.BatchEnd(lambda batch, logs: None)])
    assert same_bits(alone, watched)


def test_the_learning_rate_may_be_replaced_by_a_schedule_or_a_number() -> None:
    model = net(0.1)
    model.optimizer.learning_rate = Cosine(0.2, 10)
    assert model.learning_rate == 0.2
    model.optimizer.learning_rate = 0.0
    before = copy.deepcopy(model)
    model.fit(X, Y, verbose=0)
    assert same_bits(before, model)


class Own(Schedule):
    """A user's own."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, update: int) -> float:
        return self.scale / (1 + update)


def test_a_users_own_schedule(new_names: None, tmp_path: Any) -> None:
    rn.register("schedule", "own")(Own)
    model = net(Warmup(2, Own(0.1)))
    model.fit(X, Y, batch_size=16, verbose=0)
    model.save(tmp_path / "own.rn")
    again = rn.load(tmp_path / "own.rn")
    for either in (model, again):
        either.fit(X, Y, batch_size=16, verbose=0)
    assert same_bits(model, again)
    model.optimizer.learning_rate = Own(-1.0)
    with pytest.raises(rn.errors.OptionError, match="Own at update 6 must be a finite number"):
        model.fit(X, Y, batch_size=16, verbose=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Step(-1, 3), "Step: learning_rate must be a finite number of at least 0"),
        (lambda: Step(1, [3, 0]), "Step: each of steps must be a whole number of at least 1"),
        (lambda: Cosine(0.1, 0.5), "Cosine: steps"),  # type: ignore[arg-type]
        (lambda: OneCycle(0.1, 10, rising=1.0), "OneCycle: rising must lie between"),
        (lambda: Warmup(10, lambda update: 0.1), "Warmup: after must be a number or a schedule.*rn.schedules"),  # type: ignore[arg-type]
        (lambda: Warmup(10, "cosine"), "Warmup: after must be"),  # type: ignore[arg-type]
        (lambda: Polynomial(0.1, True), "Polynomial: steps"),
        (lambda: Step(0.1, np.array([1, 2])), "Step: steps must be a whole number or a list of them, got array"),  # type: ignore[arg-type]
        (lambda: Exponential(1, 1e10, 1)(1000), "Exponential.* has no finite learning rate at update 1000"),
        (lambda: Step(1, 1, 1e10)(1000), "Step.* has no finite learning rate at update 1000"),
        (lambda: optimizers.SGD({"name": "cosin", "steps": 3}), 'unknown schedule "cosin"; did you mean "cosine"'),
    ],
)
def test_refusals(make: Any, words: str) -> None:
    with pytest.raises(rn.errors.OptionError, match=words):
        make()


def test_numbers_may_be_numpys() -> None:
    cosine = Cosine(np.float32(0.5), np.int64(10))  # type: ignore[arg-type]
    assert vars(cosine) == vars(Cosine(0.5, 10))
    assert all(type(value) in (int, float) for value in vars(cosine).values())
    assert Step(0.1, [np.int32(1), 2]).steps == [1, 2]  # type: ignore[list-item]


def test_an_empty_one_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Schedule writes no __call__"):
        schedules.Schedule()(0)
