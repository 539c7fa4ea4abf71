"""Threads that take batches of their own in `Plan.transform`: the same bits, the plan's weights, no Python."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import rn
from rn import _core

SIZE, BATCH = 320, 8  # a batch takes longer than waking a thread


@dataclass
class Net:
    """Products of three square weights, packed in `prepare`, on batches of BATCH rows."""

    plan: _core.Plan
    version: _core.Version
    weights: list[_core.Tensor4D]
    x: _core.Slot
    y: _core.Slot

    def rows(self, rows: np.ndarray, threads: int) -> np.ndarray:
        results = np.full((len(rows), SIZE), np.nan, np.float32)
        with rn.threads(threads):
            self.plan.transform(self.x, rows, self.y, results)
        return results

    def expected(self, rows: np.ndarray) -> np.ndarray:
        y = rows.astype(np.float64)
        for weight in self.weights:
            y = y @ np.asarray(weight).reshape(SIZE, SIZE).T.astype(np.float64)
        return y


def net(callback: Callable[[], object] | None = None) -> Net:
    rng = np.random.default_rng(0)
    version = _core.Version()
    plan = _core.Plan(BATCH, version=version)
    weights = []
    x = y = plan.input((BATCH, SIZE))
    for _ in range(3):
        weights.append(_core.Tensor4D(rng.normal(size=(SIZE, SIZE, 1, 1)).astype(np.float32) / 8))
        y, before = plan.tensor((BATCH, SIZE)), y
        _core.gemm(plan, before, plan.bound(weights[-1]), y, transpose_b=True)
    if callback is not None:
        plan.callback("look", callback, reads=[y], writes=[y])
    plan.keep(y)
    plan.seal()
    return Net(plan, version, weights, x, y)


def random_rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, SIZE)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 9, 24, 40])
@pytest.mark.parametrize("left", [0, 1, 7])
def test_the_bits_are_those_of_one_thread(count: int, left: int) -> None:
    rows = random_rows(count * BATCH + left)
    one = net().rows(rows, 1)
    for threads in (2, 3, 8):
        made = net()
        for _ in range(2):
            np.testing.assert_array_equal(made.rows(rows, threads), one)
    terms = np.abs(rows.astype(np.float64))
    for weight in net().weights:
        terms = terms @ np.abs(np.asarray(weight).reshape(SIZE, SIZE).T)
    assert (np.abs(one - net().expected(rows)) <= 1e-5 * terms).all()


def test_threads_take_batches_of_their_own_where_there_is_one_for_each() -> None:
    def bytes_of(count: int, threads: int) -> int:
        made = net()
        with rn.threads(3):
            made.plan.run("forward")  # the same room for kernels, whatever comes
        made.rows(random_rows(count * BATCH), threads)
        return made.plan.scratch_bytes

    alone = bytes_of(24, 1)
    for count, threads, lanes in ((24, 2, 1), (24, 3, 2), (3, 3, 2), (2, 3, 0), (4, 3, 0), (13, 3, 2)):
        more = bytes_of(count, threads) - alone
        assert lanes * 4 * BATCH * SIZE <= more <= lanes * 16 * BATCH * SIZE, (count, threads)


def test_all_lanes_see_weights_that_were_written() -> None:
    made, rows = net(), random_rows(24 * BATCH)
    first = made.rows(rows, 3)
    for weight in made.weights:
        np.asarray(weight)[...] *= 2
    made.version.advance()
    np.testing.assert_array_equal(made.rows(rows, 3), 8 * first)
    assert made.plan.preparations == 2


def test_a_plan_reads_its_own_rows_afterwards() -> None:
    made, rows = net(), random_rows(24 * BATCH)
    results = made.rows(rows, 2)
    rows[...] = np.nan
    np.asarray(made.plan.array(made.x)).reshape(BATCH, SIZE)[...] = random_rows(24 * BATCH)[:BATCH]
    made.plan.run("forward")
    np.testing.assert_array_equal(np.asarray(made.plan.array(made.y)).reshape(BATCH, SIZE), results[:BATCH])


def test_rows_that_lie_askew() -> None:
    rows = random_rows(24 * BATCH)
    memory = bytearray(rows.nbytes + 1)
    askew = np.frombuffer(memory, np.float32, rows.size, 1).reshape(rows.shape)
    askew[...] = rows
    made = net()
    np.testing.assert_array_equal(made.rows(askew, 3), net().rows(rows, 1))
    np.testing.assert_array_equal(made.rows(rows, 3), net().rows(rows, 1))


def test_python_runs_on_the_thread_that_called() -> None:
    seen = []
    made = net(callback=lambda: seen.append(threading.get_ident()))
    rows = random_rows(24 * BATCH)
    np.testing.assert_array_equal(made.rows(rows, 3), net().rows(rows, 1))
    assert seen == [threading.get_ident()] * 24


def test_a_plan_without_calls_copies_rows() -> None:
    plan = _core.Plan(1)
    x = plan.keep(plan.input((1, 3)))
    plan.seal()
    rows, results = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 3), np.float32)
    with rn.threads(2):
        plan.transform(x, rows, x, results)
    np.testing.assert_array_equal(results, rows)


def test_other_ends_of_a_plan_get_lanes_of_their_own() -> None:
    plan = _core.Plan(BATCH)
    x, hidden, y = (
        plan.input((BATCH, SIZE)),
        plan.keep(plan.tensor((BATCH, SIZE))),
        plan.keep(plan.tensor((BATCH, SIZE))),
    )
    weight = plan.bound(_core.Tensor4D(np.eye(SIZE, dtype=np.float32).reshape(SIZE, SIZE, 1, 1) * 3))
    _core.gemm(plan, x, weight, hidden)
    _core.gemm(plan, hidden, weight, y)
    plan.seal()
    rows, results = random_rows(64 * BATCH), np.zeros((64 * BATCH, SIZE), np.float32)
    with rn.threads(2):
        for slot, factor in ((y, 9), (hidden, 3), (y, 9)):
            plan.transform(x, rows, slot, results)
            np.testing.assert_allclose(results, factor * rows, rtol=1e-6)


def test_calls_that_leave_something_behind_run_one_after_the_other() -> None:
    rows = random_rows(24 * BATCH)
    plan = _core.Plan(BATCH)
    x, total = plan.input((BATCH, SIZE)), plan.kept((1, SIZE))
    weight, y = plan.kept((SIZE, SIZE)), plan.keep(plan.tensor((BATCH, SIZE)))
    _core.gemm(plan, x, weight, y)
    _core.sum_rows(plan, x, total, accumulate=True)
    plan.seal()
    np.asarray(plan.array(weight))[...] = np.eye(SIZE).reshape(SIZE, SIZE, 1, 1)
    results = np.zeros_like(rows)
    with rn.threads(3):
        plan.transform(x, rows, y, results)
    np.testing.assert_array_equal(results, rows)
    np.testing.assert_allclose(np.asarray(plan.array(total)).ravel(), rows.sum(axis=0, dtype=np.float64), atol=1e-4)


def test_lanes_read_what_the_plan_keeps() -> None:
    rows = random_rows(24 * BATCH)
    plan = _core.Plan(BATCH)
    x, weight, y = plan.input((BATCH, SIZE)), plan.kept((SIZE, SIZE)), plan.keep(plan.tensor((BATCH, SIZE)))
    _core.gemm(plan, x, weight, y)
    plan.seal()
    np.asarray(plan.array(weight))[...] = 2 * np.eye(SIZE).reshape(SIZE, SIZE, 1, 1)
    results = np.zeros_like(rows)
    with rn.threads(3):
        plan.transform(x, rows, y, results)
    np.testing.assert_array_equal(results, 2 * rows)


def test_rows_that_lie_askew_for_an_x_of_somebody_else() -> None:
    plan = _core.Plan(BATCH)
    x, y = plan.bound(_core.Tensor4D.zeros((BATCH, SIZE, 1, 1))), plan.keep(plan.tensor((BATCH, SIZE)))
    weight = plan.bound(_core.Tensor4D(np.eye(SIZE, dtype=np.float32).reshape(SIZE, SIZE, 1, 1)))
    _core.gemm(plan, x, weight, y)
    plan.seal()
    rows = random_rows(24 * BATCH)
    askew = np.frombuffer(bytearray(rows.nbytes + 1), np.float32, rows.size, 1).reshape(rows.shape)
    askew[...] = rows
    results = np.zeros_like(rows)
    with rn.threads(3):
        plan.transform(x, askew, y, results)
    np.testing.assert_array_equal(results, rows)


@pytest.mark.parametrize("threads", range(1, 65))
def test_lanes_find_a_batch_for_three_quarters_of_their_time(threads: int) -> None:
    for batches in range(1, 4 * threads):
        rounds = -(-batches // threads)
        lanes = _core.lanes(threads, batches)
        assert lanes == (min(threads, batches) if batches > 1 and batches / (rounds * threads) >= 0.75 else 1)


LITTLE_MEMORY = """
import os, resource, time
import numpy as np
import rn
from rn import _core

n = 4096
plan = _core.Plan(n)
x, y = plan.input((n, 512)), plan.keep(plan.tensor((n, 512)))
_core.activate(plan, x, y, "relu")
plan.seal()
rows = np.random.default_rng(0).normal(size=(2 * n, 512)).astype(np.float32)
results = np.empty_like(rows)
_core.set_num_threads(2)
alone, begin = len(os.listdir("/proc/self/task")), time.monotonic()
while len(os.listdir("/proc/self/task")) < alone + 2 and time.monotonic() - begin < 60:
    plan.run("forward")  # then the crew's two threads are there, at last on a busy machine too, and their memory
_core.set_num_threads(1)
plan.transform(x, rows, y, results)
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before, _ = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (room + (1 << 20), before))
_core.set_num_threads(2)
for _ in range(2):
    results[...] = 9
    plan.transform(x, rows, y, results)
resource.setrlimit(resource.RLIMIT_AS, (before, before))
assert (results == np.maximum(rows, 0)).all()
assert plan.scratch_bytes < 1 << 20
plan.transform(x, rows, y, results)
assert (results == np.maximum(rows, 0)).all()
assert plan.scratch_bytes >= 16 << 20
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory as Linux does")
def test_where_memory_is_for_one_lane_alone_threads_share_each_call() -> None:
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
