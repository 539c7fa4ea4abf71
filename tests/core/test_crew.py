"""Crews: every tile of a shared call is worked once, whoever comes to help, and nobody is waited for who does not."""

from __future__ import annotations

import os
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
import os, sys, threading, time
from tests.core.test_crew import Sums
from tests.forks import in_child
import rn
from rn import _core
rn.set_num_threads(3)

def work(rounds=20):
    sums = Sums(1)
    sums.run(rounds)
    sums.check()

"""

PROGRAMS = {
    "helpers sleep between two runs": """
for _ in range(100):
    work(1)
    time.sleep(0.004)
""",
    "helpers never come": """
work()
rn.set_num_threads(5)
work()
""",
    "no thread can be started": """
threading.stack_size(1 << 47)
work()
""",
    "the program ends in the midst": """
threading.Thread(target=Sums(2).run, args=(10**9,), daemon=True).start()
work()
""",
    "work while the program ends": """
class Last:
    def __del__(self, work=work, rn=rn):
        work()
        rn.set_num_threads(5)
        work()
last = Last()
sys.last = last
""",
    "a callback forks": """
plan = _core.Plan(1)
y = plan.kept((1, 1_000_003))
forked = []
def fork():
    if not forked:
        forked.append(os.fork())
_core.fill(plan, y, 2.0)
plan.callback("fork", fork)
_core.fill(plan, y, 3.0)
plan.seal()
plan.run()
assert (plan.array(y) == 3.0).all()
work()
if forked[0] == 0:
    in_child(work)
    rn.set_num_threads(5)
    work()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]) == 0
""",
    "a thread ends its run while another forks": """
other = threading.Thread(target=work)
os.register_at_fork(before=lambda: (other.start(), other.join()) if other.ident is None else None)
work()
in_child(lambda: (work(), in_child(work)))
work()
""",
}
ENVIRONMENTS = {"helpers never come": {"OMP_THREAD_LIMIT": "1", "KMP_WARNINGS": "0"}}


def run_program(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", WORK + program]
    root = Path(__file__).parents[2]
    environment = os.environ | environment
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_nobody_is_waited_for(program):
    if "fork" in program and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    code = PROGRAMS[program] + "\nprint('all right', flush=True)\n"
    done = run_program(code, ENVIRONMENTS.get(program, {}))
    assert (done.returncode, done.stdout, done.stderr) == (0, "all right\n", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list threads")
def test_crews_of_callers_that_ended_do_not_pile_up():
    code = """
def alive():
    return len(os.listdir("/proc/self/task"))

before = alive()
every = [threading.Thread(target=work, args=(50,)) for _ in range(40)]
for caller in every:
    caller.start()
for caller in every:
    caller.join()
time.sleep(0.2)
print(alive() - before)
"""
    done = run_program(code, {})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 8 * 3  # eight crews are kept
