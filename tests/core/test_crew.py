"""Crews: every tile of a shared call is worked once, whoever comes to help, and nobody is waited for who does not."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import rn
from rn import _core

ROWS, COLUMNS, TERMS = 96, 256, 64  # a product that is worth sharing, in more tiles than there are threads


class Sums:
    """c += a b, of whole numbers, so that c tells how often each tile was worked."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.plan = _core.Plan(1)
        a, b = self.plan.kept((ROWS, TERMS)), self.plan.kept((TERMS, COLUMNS))
        c = self.plan.kept((ROWS, COLUMNS))
        _core.gemm(self.plan, a, b, c, accumulate=True)
        self.plan.seal()
        self.c = np.asarray(self.plan.array(c)).reshape(ROWS, COLUMNS)
        for slot in (a, b):
            array = np.asarray(self.plan.array(slot))
            array[...] = rng.integers(1, 4, size=array.shape)
        self.product = np.asarray(self.plan.array(a)).reshape(ROWS, TERMS).astype(np.float64)
        self.product = self.product @ np.asarray(self.plan.array(b)).reshape(TERMS, COLUMNS)
        self.rounds = 0

    def run(self, rounds: int) -> None:
        for _ in range(rounds):
            self.plan.run()
        self.rounds += rounds

    def check(self) -> None:
        np.testing.assert_array_equal(self.c, self.rounds * self.product)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_tile_is_worked_once(threads):
    sums = Sums(threads)
    with rn.threads(threads):
        sums.run(400)
    sums.check()


def test_the_number_of_threads_may_change_between_runs():
    sums = Sums(0)
    for threads in (2, 5, 3, 1, 9, 2):
        with rn.threads(threads):
            sums.run(20)
        sums.check()


def test_many_callers_at_once_have_crews_of_their_own():
    every = [Sums(seed) for seed in range(5)]
    with rn.threads(3):
        callers = [threading.Thread(target=sums.run, args=(150,)) for sums in every]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    for sums in every:
        sums.check()


def test_a_call_outside_any_plan_is_shared_too():
    a = rn.Tensor4D(np.arange(3 * 65_537, dtype=np.float32).reshape(3, 65_537) % 7)
    with rn.threads(3):
        for _ in range(50):
            np.testing.assert_array_equal(np.asarray(a + a), 2 * np.asarray(a))


WORK = """
import sys, threading, time
from tests.core.test_crew import Sums
import rn
from rn._core import core
rn.set_num_threads(3)

def refuse(*_):
    raise RuntimeError("can't start new thread")

"""

PROGRAMS = {
    "helpers never come": "core.start_new_thread = lambda *_: None; sums = Sums(1); sums.run(50); sums.check()",
    "no thread can be started": "core.start_new_thread = refuse; sums = Sums(1); sums.run(50); sums.check()",
    "helpers come late": """
start = core.start_new_thread
core.start_new_thread = lambda *of: threading.Timer(0.01, start, of).start()
sums = Sums(1)
for _ in range(100):
    sums.run(20)
    sums.check()
    time.sleep(0.001)
""",
    "helpers sleep between two runs": """
sums = Sums(1)
for _ in range(100):
    sums.run(1)
    sums.check()
    time.sleep(0.004)
""",
    "the program ends in the midst": """
threading.Thread(target=Sums(2).run, args=(10**9,), daemon=True).start()
sums = Sums(1)
sums.run(50)
sums.check()
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_nobody_is_waited_for(program):
    code = WORK + PROGRAMS[program] + "\nprint('all right')\n"
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all right\n", "")
