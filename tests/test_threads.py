"""The number of threads: how it is set, what it is by default, and that children of a fork can use theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rn
from rn import _core, _threads
from rn.errors import OptionError


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "RN_NUM_THREADS"}
    command = [sys.executable, "-W", "error", "-c", program]
    root = Path(__file__).parents[1]
    environment = inherited | environment
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)


# ---- setting


@pytest.mark.parametrize("n", [1, 2, 3, 8, 1024, np.int64(5)])
def test_a_setting_is_read_back(n):
    rn.set_num_threads(n)
    assert rn.get_num_threads() == n
    assert _core.get_num_threads() == n


@pytest.mark.parametrize("n", [0, -1, 1025, 2.0, "2", None, True, 2**70])
def test_any_other_number_is_refused_and_changes_nothing(n):
    before = rn.get_num_threads()
    with pytest.raises(OptionError, match=r"number of threads must be a whole number from 1 to 1024, got "):
        rn.set_num_threads(n)
    with pytest.raises(OptionError), rn.threads(n):
        pass
    assert rn.get_num_threads() == before


def test_a_block_restores_the_former_number_and_reason():
    rn.set_num_threads(5)
    reason = _threads.why()
    with rn.threads(2):
        with rn.threads(7):
            assert rn.get_num_threads() == 7
        assert rn.get_num_threads() == 2
    assert rn.get_num_threads() == 5
    assert _threads.why() == reason


def test_a_block_restores_after_an_exception():
    rn.set_num_threads(5)
    with pytest.raises(KeyError), rn.threads(2):
        raise KeyError
    assert rn.get_num_threads() == 5


def test_the_setting_is_the_whole_process_own():
    from threading import Thread

    seen = []
    with rn.threads(6):
        thread = Thread(target=lambda: seen.append(rn.get_num_threads()))
        thread.start()
        thread.join()
    assert seen == [6]


# ---- the environment


def test_the_environment_sets_the_number():
    done = run_python("import rn; print(rn.get_num_threads()); rn.show_config()", RN_NUM_THREADS="3")
    assert done.stdout.splitlines()[0] == "3"
    assert "3 (RN_NUM_THREADS is set)" in done.stdout


@pytest.mark.parametrize("value", ["0", "-2", "1.5", "many", "99999999999999999999", "٣"])
def test_a_bad_value_in_the_environment_is_refused_in_one_sentence(value):
    done = run_python("import rn", RN_NUM_THREADS=value, PYTHONIOENCODING="utf-8")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"rn.errors.OptionError: RN_NUM_THREADS must be a whole number from 1 to 1024, got {value!r}" or (
        value.lstrip("-").isdigit() and last.endswith(f"must be a whole number from 1 to 1024, got {value}")
    )


def test_an_empty_value_is_no_value():
    done = run_python("import rn; from rn import _threads; print(_threads.why())", RN_NUM_THREADS="")
    assert "RN_NUM_THREADS" not in done.stdout
    assert done.returncode == 0


# ---- the default


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_the_default_obeys_the_affinity_mask():
    one = min(os.sched_getaffinity(0))
    done = run_python(f"import os; os.sched_setaffinity(0, {{{one}}}); import rn; rn.show_config()")
    assert "1 (the affinity mask allows 1 of" in done.stdout


class Machine:
    """A root folder with the proc and sys files that tell of control groups."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/self/cgroup", "")
        self.write("proc/self/mountinfo", "")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def mount(self, kind: str, at: str, *, group: str = "/", options: str = "rw") -> None:
        with open(self.root / "proc/self/mountinfo", "a") as file:
            file.write(f"31 23 0:28 {group} {at} rw,relatime shared:9 - {kind} {kind} {options}\n")

    @property
    def quota(self) -> float | None:
        return _threads.cpu_quota(f"{self.root}/")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_no_control_groups_no_quota(machine, tmp_path):
    assert machine.quota is None
    assert _threads.cpu_quota(f"{tmp_path}/nowhere/") is None


def test_version_2(machine):
    machine.mount("cgroup2", "/sys/fs/cgroup")
    machine.write("proc/self/cgroup", "0::/user/job\n")
    machine.write("sys/fs/cgroup/user/job/cpu.max", "150000 100000\n")
    assert machine.quota == 1.5


def test_version_2_without_a_limit(machine):
    machine.mount("cgroup2", "/sys/fs/cgroup")
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/cpu.max", "max 100000\n")
    assert machine.quota is None


def test_a_group_above_may_grant_less(machine):
    machine.mount("cgroup2", "/sys/fs/cgroup")
    machine.write("proc/self/cgroup", "0::/a/b/c\n")
    machine.write("sys/fs/cgroup/a/cpu.max", "50000 100000\n")
    machine.write("sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n")
    assert machine.quota == 0.5


def test_version_1(machine):
    machine.mount("cgroup", "/sys/fs/cgroup/memory", options="rw,memory")
    machine.mount("cgroup", "/sys/fs/cgroup/cpu,cpuacct", options="rw,cpu,cpuacct")
    machine.write("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n")
    machine.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n")
    machine.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    assert machine.quota == 3.0


def test_version_1_without_a_limit(machine):
    machine.mount("cgroup", "/sys/fs/cgroup/cpu", options="rw,cpu")
    machine.write("proc/self/cgroup", "4:cpu:/\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert machine.quota is None


def test_in_a_container_the_mount_point_is_the_own_group(machine):
    machine.mount("cgroup", "/sys/fs/cgroup/cpu", group="/docker/1f", options="rw,cpu")
    machine.write("proc/self/cgroup", "4:cpu:/docker/1f\n")
    machine.write("sys/fs/cgroup/cpu/f/cpu.cfs_quota_us", "100000\n")
    machine.write("sys/fs/cgroup/cpu/f/cpu.cfs_period_us", "100000\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert machine.quota == 2.0
    machine.write("proc/self/cgroup", "4:cpu:/docker/1f/f\n")
    assert machine.quota == 1.0
    machine.write("proc/self/cgroup", "4:cpu:/docker/1ff\n")
    assert machine.quota == 2.0


@pytest.mark.parametrize("text", ["", "many\n", "100000\n", "100000 0\n", "0 100000\n", "\x00\xff"])
def test_nonsense_is_no_limit(machine, text):
    machine.mount("cgroup2", "/sys/fs/cgroup")
    machine.write("proc/self/cgroup", "0::/\nnonsense\n")
    machine.write("sys/fs/cgroup/cpu.max", text)
    assert machine.quota is None


def test_a_quota_is_rounded_up_and_named(machine, monkeypatch):
    machine.mount("cgroup2", "/sys/fs/cgroup")
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/cpu.max", "150000 100000\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert _threads.default_threads(f"{machine.root}/") == (2, "the cgroup quota grants the time of 1.5 processors")
    machine.write("sys/fs/cgroup/cpu.max", "1000 100000\n")
    assert _threads.default_threads(f"{machine.root}/")[0] == 1
    machine.write("sys/fs/cgroup/cpu.max", "800000 100000\n")
    assert _threads.default_threads(f"{machine.root}/")[0] == 8


# ---- forks

SHARED_WORK = """
import os, sys, threading, time, multiprocessing
import numpy as np
import rn
from rn import _core
from tests.forks import in_child

def work(value):
    plan = _core.Plan(1)
    y = plan.kept((1, 1_000_003))
    _core.fill(plan, y, value)
    plan.seal()
    for _ in range(20):
        plan.run()
    return float(np.asarray(plan.array(y)).max())

class Model(rn.Sequencial):
    def __init__(self):
        super().__init__([rn.layers.Dense(2)], input_shape=3)
        self.compile("sgd", "mse")

    def train(self, *callbacks):
        self.fit(np.ones((64, 3)), np.ones((64, 2)), verbose=0, callbacks=callbacks)

def come(threads):
    # Nobody waits for them, so they may come after the work is done.
    deadline = time.monotonic() + 20
    while os.path.isdir("/proc/self/task") and len(os.listdir("/proc/self/task")) != threads:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

rn.set_num_threads(3)
"""

FORKS = {
    "os.fork": """
def child():
    assert work(3.0) == 3.0
    assert come(4 if _core.openmp_version() else 1)
assert work(2.0) == 2.0
in_child(child)
assert work(4.0) == 4.0
""",
    "a child's child": """
def descend(depth):
    assert work(depth) == depth
    if depth < 3:
        in_child(lambda: descend(depth + 1))
descend(1)
""",
    "multiprocessing": """
assert work(2.0) == 2.0
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(work, [1.0, 2.0, 3.0, 4.0, 5.0]) == [1.0, 2.0, 3.0, 4.0, 5.0]
assert work(2.0) == 2.0
""",
    "beside a working thread": """
stop = threading.Event()
def keep_working():
    while not stop.is_set():
        work(9.0)
worker = threading.Thread(target=keep_working)
worker.start()
assert work(2.0) == 2.0
def child():
    assert work(value) == value
for value in range(1, 6):
    in_child(child)
stop.set()
worker.join()
""",
    "while another thread trains the model": """
model = Model()
trains, stop = threading.Event(), threading.Event()
def hold(*_):
    trains.set()
    stop.wait()
worker = threading.Thread(target=model.train, args=(hold,))
worker.start()
trains.wait()
in_child(lambda: (model.state_dict(), model.train()))
stop.set()
worker.join()
""",
    "in a callback, where the model is still being trained": """
from rn.errors import StateError
model = Model()
children = []
def fork(*_):
    children.append(os.fork())
    try:
        model.train()
    except StateError:
        children.append("refused")
model.train(fork)
assert children[1] == "refused"
if children[0] == 0:
    model.train()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("how", FORKS)
def test_a_forked_child_shares_work_over_threads(how):
    # From Python 3.12 on a fork beside a thread warns; that is the caller's affair.
    done = run_python("import warnings; warnings.simplefilter('ignore')" + SHARED_WORK + FORKS[how])
    assert done.returncode == 0, done.stderr
