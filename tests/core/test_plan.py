"""The plan: order of calls, memory shared by liveness, callbacks, whole epochs, refusals."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import platform
import signal

import numpy as np
import pytest

import rn
from rn import _core
from rn.errors import OptionError, ShapeError, StateError


def values(plan: _core.Plan, slot: _core.Slot) -> np.ndarray:
    return np.asarray(plan.array(slot))


def test_a_missing_axis_is_1_on_the_right() -> None:
    plan = _core.Plan(3)
    assert plan.tensor((3, 5)).shape == (3, 5, 1, 1)
    assert plan.tensor(()).size == 1
    assert plan.tensor((3, 0)).size == 0
    for shape in ((1, 2, 3, 4, 5), (2, -1)):
        with pytest.raises(ShapeError, match="four axes"):
            plan.tensor(shape)


def test_calls_run_forward_then_backward_groups_in_reverse_then_the_update() -> None:
    plan = _core.Plan(1, training=True)
    seen: list[str] = []
    for name in "ab":
        plan.callback(name, lambda name=name: seen.append(f"forward {name}"))
        with plan.backward():
            plan.callback(name, lambda name=name: seen.append(f"backward {name} 1"))
            plan.callback(name, lambda name=name: seen.append(f"backward {name} 2"))
        with plan.update():
            plan.callback(name, lambda name=name: seen.append(f"update {name}"))
    plan.seal()
    order = [
        *("forward a", "forward b"),
        *("backward b 1", "backward b 2", "backward a 1", "backward a 2"),
        *("update a", "update b"),
    ]
    plan.run()
    assert seen == order
    for phase, count in (("forward", 2), ("backward", 6), ("update", 8)):
        seen.clear()
        plan.run(phase)
        assert seen == order[:count]
    seen.clear()
    plan.run_update()
    assert seen == order[6:]
    assert [row[0] for row in plan.listing()] == ["forward"] * 2 + ["backward"] * 4 + ["update"] * 2


def test_tensors_that_are_not_alive_together_share_memory() -> None:
    plan = _core.Plan(1)
    chain = [plan.tensor((1000,)) for _ in range(10)]
    _core.fill(plan, chain[0], 1.0)
    for x, y in itertools.pairwise(chain):
        _core.activate(plan, x, y, "tanh")
    plan.keep(chain[-1])
    plan.seal()
    assert plan.arena_bytes <= 2 * 4032  # the last is kept; all others lie one over the other
    plan.run()
    expected = 1.0
    for _ in range(9):
        expected = np.tanh(expected)
    np.testing.assert_allclose(values(plan, chain[-1]), expected, rtol=1e-5)


def test_a_result_lies_over_what_it_came_from_unless_that_is_needed_later() -> None:
    plan = _core.Plan(1)
    x, used_twice, y, total = (plan.tensor((1000,)) for _ in range(4))
    _core.fill(plan, x, 0.5)
    _core.activate(plan, x, used_twice, "tanh")  # over x
    _core.activate(plan, used_twice, y, "exp")  # not over used_twice
    _core.add_pair(plan, used_twice, y, total)  # over one of them
    kept = plan.kept((1000,))
    _core.activate(plan, total, kept, "linear")  # kept has a place of its own
    plan.seal()
    assert plan.arena_bytes <= 3 * 4032
    plan.run()
    expected = np.tanh(0.5) + np.exp(np.tanh(0.5))
    np.testing.assert_allclose(values(plan, kept), expected, rtol=1e-6)


def test_what_is_kept_or_owned_by_others_is_not_written_over() -> None:
    plan = _core.Plan(1)
    kept, owned = plan.kept((5,)), _core.Tensor4D.full((5, 1, 1, 1), 0.5)
    results = []
    for x in (kept, plan.bound(owned)):
        y = plan.tensor((5,))
        _core.activate(plan, x, y, "tanh")
        results.append(plan.kept((5,)))
        _core.activate(plan, y, results[-1], "tanh")
    plan.seal()
    values(plan, kept)[...] = 0.5
    for _ in range(2):
        plan.run()
        for result in results:
            np.testing.assert_allclose(values(plan, result), np.tanh(np.tanh(0.5)), rtol=1e-6)
    assert (values(plan, kept) == 0.5).all()
    assert (np.asarray(owned) == 0.5).all()


def test_tensors_alive_together_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    plan = _core.Plan(1)
    slots = [plan.tensor((int(size),)) for size in rng.integers(0, 300, 60)]
    lives = []
    for number, slot in enumerate(slots):
        first, last = sorted(int(step) for step in rng.integers(0, 40, 2))
        lives.append((first, last, number, slot))

    def write(slot: _core.Slot, number: int) -> None:
        values(plan, slot)[...] = number

    def check(slot: _core.Slot, number: int) -> None:
        assert (values(plan, slot) == number).all()

    for step in range(40):
        for first, last, number, slot in lives:
            if first == step:
                plan.callback("write", lambda slot=slot, number=number: write(slot, number), writes=[slot])
            if last == step:
                plan.callback("check", lambda slot=slot, number=number: check(slot, number), reads=[slot])
    plan.seal()
    assert plan.arena_bytes < sum(4 * slot.size for slot in slots)
    plan.run()
    plan.run()


def test_kept_tensors_and_inputs_hold_their_values() -> None:
    plan = _core.Plan(1)
    x, kept, other = plan.input((64,)), plan.kept((64,)), plan.tensor((64,))
    _core.activate(plan, x, other, "relu")
    _core.activate(plan, other, plan.tensor((64,)), "relu")
    plan.seal()
    assert (values(plan, kept) == 0).all()
    values(plan, kept)[...] = 7
    values(plan, x)[...] = 1
    plan.run()
    assert (values(plan, kept) == 7).all()


def test_memory_is_aligned_and_counted() -> None:
    before = _core.allocations()
    plan = _core.Plan(1)
    slots = [plan.kept((size,)) for size in (1, 17, 3)]
    plan.seal()
    assert _core.allocations() > before
    assert all(values(plan, slot).ctypes.data % 64 == 0 for slot in slots)
    sealed = _core.allocations()
    for _ in range(3):
        plan.run()
    assert _core.allocations() == sealed


def test_views_share_memory_and_gradients() -> None:
    plan = _core.Plan(2, training=True)
    x = plan.kept((2, 3, 4, 5))
    flat = plan.view(x, (2, 60))
    assert plan.gradient(flat).shape == (2, 60, 1, 1)
    plan.keep(plan.gradient(x))
    plan.seal()
    values(plan, x)[...] = np.arange(120).reshape(2, 3, 4, 5)
    assert np.array_equal(values(plan, flat).ravel(), np.arange(120))
    values(plan, plan.gradient(flat))[...] = 3
    assert (values(plan, plan.gradient(x)) == 3).all()
    unsealed = _core.Plan(2)
    with pytest.raises(ShapeError, match="view"):
        unsealed.view(unsealed.tensor((2, 3)), (2, 4))


def test_gradients_are_wanted_of_what_the_caller_does_not_fill() -> None:
    plan = _core.Plan(2, training=True)
    x = plan.input((2, 6))
    assert not plan.wants_gradient(x)
    assert not plan.wants_gradient(plan.view(x, (2, 2, 3)))
    assert plan.wants_gradient(plan.tensor((2, 6)))
    plan.gradient(x)
    assert plan.wants_gradient(plan.view(x, (2, 2, 3)))
    assert not _core.Plan(2).wants_gradient(_core.Plan(2).tensor((2,)))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors' denormals are left alone")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_denormals_count_as_zero_in_training_alone(threads: int, training: bool) -> None:
    rows, k, tiny = 4096, 64, np.float32(1e-40)
    plan = _core.Plan(rows, training=training)
    x, w, y = plan.kept((rows, k)), plan.kept((k, 64)), plan.kept((rows, 64))
    seen = []
    plan.callback("before", lambda: seen.append(tiny * np.float32(2)))
    _core.gemm(plan, x, w, y)
    plan.callback("after", lambda: seen.append(tiny * np.float32(2)))
    plan.seal()
    values(plan, x)[...] = tiny
    values(plan, w)[...] = 1.0
    with rn.threads(threads):
        for _ in range(3):
            plan.run()
            seen.append(tiny * np.float32(2))
    assert all(number > 0 for number in seen)
    assert len(seen) == 9
    np.testing.assert_array_equal(values(plan, y), np.float32(0 if training else k * np.float64(tiny)))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors' denormals are left alone")
def test_denormals_are_back_after_an_exception_and_in_a_plan_within() -> None:
    tiny = np.float32(1e-40)
    inner, outer = _core.Plan(1), _core.Plan(1, training=True)
    x, y = inner.kept((1, 8)), inner.kept((1, 8))
    _core.activate(inner, x, y, "relu")
    inner.seal()
    values(inner, x)[...] = tiny

    def call() -> None:
        inner.run()
        raise ValueError("from the callback")

    outer.callback("call", call)
    outer.seal()
    with pytest.raises(ValueError, match="from the callback"):
        outer.run()
    assert tiny * np.float32(2) > 0
    np.testing.assert_array_equal(values(inner, y), tiny)


def test_an_exception_in_a_callback_comes_through_and_the_plan_runs_again() -> None:
    plan = _core.Plan(1)
    broken = [True]

    def call() -> None:
        if broken[0]:
            raise ZeroDivisionError("here")

    plan.callback("call", call)
    plan.seal()
    with pytest.raises(ZeroDivisionError, match="here"):
        plan.run()
    broken[0] = False
    plan.run()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_train_feeds_the_rows_of_each_batch_and_adds_up_reports(dtype: type) -> None:
    rows = np.arange(60, dtype=dtype).reshape(20, 3)
    plan = _core.Plan(4)
    x, total = plan.input((4, 3)), plan.kept((2,))
    batches = []

    def look() -> None:
        batch = values(plan, x).reshape(4, 3).view(dtype).copy()
        batches.append(batch)
        values(plan, total).reshape(-1).view(np.float64)[0] = batch.mean()

    plan.callback("look", look, reads=[x], writes=[total])
    plan.report(total)
    plan.seal()
    plan.feed(x, rows)
    order = np.random.default_rng(0).permutation(20).astype(np.int64)
    totals = np.array([100.0])
    plan.train(order, totals)
    assert np.array_equal(np.concatenate(batches), rows[order])
    assert totals[0] == pytest.approx(100 + rows.sum() / 3)
    assert plan.scalar(total) == batches[-1].mean()
    for bad in (np.array([0, 1, 2, 20]), np.array([0, -1, 2, 3])):
        with pytest.raises(ShapeError, match="outside the 20 rows"):
            plan.train(bad, totals)
    with pytest.raises(ShapeError, match="batches of 4"):
        plan.train(order[:5], totals)
    with pytest.raises(ShapeError, match="do not fill"):
        plan.feed(x, rows[:, :2].copy())


def test_counters_tell_the_steps_that_were_finished() -> None:
    plan = _core.Plan(2)
    calls = []

    def third_time_unlucky() -> None:
        calls.append(plan.counters)
        if len(calls) == 3:
            raise ZeroDivisionError

    plan.callback("call", third_time_unlucky)
    plan.seal()
    plan.set_step(10, 5, 0.1)
    with pytest.raises(ZeroDivisionError):
        plan.train(np.arange(8), np.zeros(0))
    assert calls == [(10, 5), (11, 6), (12, 7)]
    assert plan.counters == (12, 7)


def test_a_plan_frees_its_memory_as_soon_as_nobody_holds_it() -> None:
    plan = _core.Plan(2)
    scalar = plan.kept((2,))
    x = plan.input((2, 3))
    plan.report(scalar)
    plan.seal()
    plan.feed(x, np.zeros((4, 3), np.float32))
    plan.train(np.arange(4), np.zeros(1))
    gc.collect()
    del plan, x, scalar
    # What only the collector of cycles would find keeps its arena until then.
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        assert not [thing for thing in gc.garbage if isinstance(thing, _core.Plan)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("shape", [(1, 2**31, 2**31, 1), (2**31, 2**31, 2**31, 2**31), (1, 2**62, 1, 1)])
def test_a_tensor_larger_than_any_memory(shape: tuple[int, ...]) -> None:
    with pytest.raises(MemoryError, match="larger than any memory"):
        _core.Plan(1).tensor(shape)
    plan = _core.Plan(1)
    for _ in range(3):
        plan.kept((2**60,))
    with pytest.raises(MemoryError):
        plan.seal()


def test_a_batch_of_none_trains_on_nothing() -> None:
    plan = _core.Plan(0)
    plan.seal()
    plan.train(np.arange(0), np.zeros(0))
    with pytest.raises(ShapeError, match="batches of 0"):
        plan.train(np.arange(3), np.zeros(0))


def test_a_plan_refuses_what_comes_too_late_or_from_elsewhere() -> None:
    plan, other = _core.Plan(1), _core.Plan(1)
    slot = plan.tensor((3,))
    with pytest.raises(StateError, match="another plan"):
        other.keep(slot)
    with pytest.raises(StateError, match="another plan"):
        _core.fill(other, slot, 1.0)
    with pytest.raises(StateError, match="seal"):
        plan.run()
    with pytest.raises(StateError, match="no memory before"):
        plan.array(slot)
    with pytest.raises(StateError, match="no memory before"):
        plan.scalar(plan.kept((2,)))
    with pytest.raises(StateError, match="no memory before"):
        plan.feed(slot, np.zeros((4, 3), np.float32))
    with pytest.raises(ShapeError, match="lives in 2 floats"):
        plan.report(slot)
    with plan.backward(), pytest.raises(StateError, match="nest"), plan.update():
        pass
    plan.seal()
    plan.seal()
    with pytest.raises(OptionError, match="'forward', 'backward' or 'update', not 'backwards'"):
        plan.run("backwards")
    with pytest.raises(StateError, match="no more tensors"):
        plan.tensor((3,))
    with pytest.raises(StateError, match="no more calls"):
        _core.fill(plan, slot, 1.0)


def test_memory_outlives_the_plan_that_made_it() -> None:
    plan = _core.Plan(1)
    slot = plan.kept((1000,))
    plan.seal()
    view = values(plan, slot)
    view[...] = 5
    del plan
    assert (view == 5).all()


def test_prepared_tensors_are_made_anew_only_where_the_weights_were_written() -> None:
    version = _core.Version()
    weights = _core.Tensor4D.ones((1, 1, 1, 8))
    plan = _core.Plan(1, version=version)
    weight, twice, x = plan.bound(weights), plan.tensor((1, 1, 1, 8)), plan.input((1, 1, 1, 8))
    passing = plan.tensor((1, 1, 1, 8))
    with plan.prepare():
        _core.activate(plan, weight, passing, "linear")
        _core.add_pair(plan, passing, weight, twice)
    y = plan.keep(plan.tensor((1, 1, 1, 8)))
    _core.add_pair(plan, x, twice, y)
    assert [row[0] for row in plan.listing()] == ["prepare", "prepare", "forward"]
    plan.seal()
    assert plan.preparations == 0
    for written, wanted, count in ((1.0, 2.0, 1), (5.0, 2.0, 1), (5.0, 10.0, 2)):
        weights[...] = written
        if count == 2:
            version.advance()
        for _ in range(3):
            plan.run()
            assert (values(plan, y) == wanted).all()
        assert plan.preparations == count
    plan.run_update()
    plan.run()
    assert plan.preparations == 3  # an update writes weights


@pytest.mark.parametrize("backward", [False, True])
def test_a_plan_that_trains_prepares_in_every_step_and_advances_the_version(backward: bool) -> None:
    version = _core.Version()
    plan = _core.Plan(1, training=True, version=version)
    seen: list[str] = []
    with plan.backward() if backward else plan.scope(""):
        plan.callback("before", lambda: seen.append("before"))
        with plan.prepare():
            plan.callback("prepare", lambda: seen.append("prepare"))
        plan.callback("after", lambda: seen.append("after"))
    plan.seal()
    for _ in range(2):
        plan.run()
    assert seen == ["before", "prepare", "after"] * 2
    assert (version.count, plan.preparations) == (2, 0)
    plan.train(np.arange(3), np.zeros(0))
    assert version.count == 3  # one for all the steps of a call


def test_calls_that_prepare_depend_on_weights_alone() -> None:
    plan = _core.Plan(1)
    x, prepared = plan.input((4,)), plan.tensor((4,))
    with plan.prepare(), pytest.raises(StateError, match="activate_linear prepares weights, but reads"):
        _core.activate(plan, x, prepared, "linear")
    with plan.prepare():
        _core.fill(plan, prepared, 1.0)
    with pytest.raises(StateError, match="activate_linear writes a tensor that was prepared"):
        _core.activate(plan, x, prepared, "linear")
    with plan.backward(), plan.prepare(), pytest.raises(StateError, match="nest"), plan.update():
        pass


def test_a_copied_version_begins_anew() -> None:
    version = _core.Version()
    version.advance()
    assert version.count == 1
    shared = copy.deepcopy([version, version])
    assert shared[0] is shared[1]
    assert shared[0].count == pickle.loads(pickle.dumps(version)).count == 0


def test_transform_reads_rows_where_they_lie_and_then_the_plan_its_own_again() -> None:
    plan = _core.Plan(2)
    x, y = plan.input((2, 3)), plan.keep(plan.tensor((2, 3)))
    _core.activate(plan, x, y, "relu")
    plan.seal()
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    memory = bytearray(rows.nbytes + 1)
    askew = np.frombuffer(memory, np.float32, rows.size, 1).reshape(rows.shape)
    askew[...] = rows
    for source in (rows, askew):
        before, results = source.copy(), np.full_like(rows, 9)
        plan.transform(x, source, y, results)
        np.testing.assert_array_equal(results, np.maximum(rows, 0))
        np.testing.assert_array_equal(source, before)
    np.asarray(plan.array(x))[...] = 5
    plan.run("forward")
    np.testing.assert_array_equal(np.asarray(plan.array(y)), np.full((2, 3, 1, 1), 5))


def test_transform_gives_rows_to_callbacks_and_to_a_plan_without_calls() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    seen, results = [], np.zeros_like(rows)
    plan = _core.Plan(2)
    x, y = plan.input((2, 3)), plan.keep(plan.tensor((2, 3)))
    _core.activate(plan, x, y, "relu")
    plan.callback("look", lambda: seen.append(np.array(plan.array(x)).reshape(2, 3)), reads=[x])
    plan.seal()
    plan.transform(x, rows, y, results)
    np.testing.assert_array_equal(np.concatenate(seen), rows)
    np.testing.assert_array_equal(results, np.maximum(rows, 0))

    plan = _core.Plan(2)
    x = plan.keep(plan.input((2, 3)))
    plan.seal()
    plan.transform(x, rows, x, results)
    np.testing.assert_array_equal(results, rows)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_ctrl_c_comes_in_between_batches() -> None:
    batches, size = 4000, 512
    plan = _core.Plan(4)
    x, weight = plan.input((4, size)), plan.kept((size, size))
    y = x
    for _ in range(20):
        y, before = plan.tensor((4, size)), y
        _core.gemm(plan, before, weight, y)
    plan.keep(y)
    plan.seal()
    rows = np.zeros((4 * batches, size), np.float32)
    results = np.full_like(rows, 9)
    plan.feed(x, rows)
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for work in (
            lambda: plan.transform(x, rows, y, results),
            lambda: plan.train(np.arange(len(rows)), np.zeros(0)),
        ):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(KeyboardInterrupt):
                work()
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert (results[0] == 0).all()
    assert (results[-1] == 9).all()
    assert 0 < plan.counters[0] < batches
    plan.transform(x, rows[:8], y, results[-8:])
    assert (results[-8:] == 0).all()


def test_transform_fills_runs_and_reads_batch_by_batch() -> None:
    plan = _core.Plan(2)
    x, y = plan.input((2, 3)), plan.keep(plan.tensor((2, 3)))
    _core.activate(plan, x, y, "relu")
    with pytest.raises(StateError, match="before seal"):
        plan.transform(x, np.zeros((2, 3), np.float32), y, np.zeros((2, 3), np.float32))
    plan.seal()
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    results = np.full_like(rows, 9)
    plan.transform(x, rows, y, results)
    np.testing.assert_array_equal(results, np.maximum(rows, 0))
    plan.transform(x, rows[:0], y, results[:0])
    results[...] = 9
    plan.transform(x, rows[:5], y, results[:5])  # the last batch is rows 3 and 4
    np.testing.assert_array_equal(results, [*np.maximum(rows[:5], 0), [9, 9, 9]])
    for wrong, target in ((rows[:1], results[:1]), (rows, results[:4]), (rows.astype(np.float64)[:3], results)):
        with pytest.raises(ShapeError, match="no rows for batches of"):
            plan.transform(x, wrong, y, target)
    read_only = results.copy()
    read_only.flags.writeable = False
    for wrong, target in ((rows[:, ::-1], results), (rows, read_only)):
        with pytest.raises((ValueError, BufferError)):
            plan.transform(x, wrong, y, target)
