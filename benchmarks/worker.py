"""One library in a process of its own, which does what it is asked and waits in between.

A request is a pickled tuple on standard input: the name of one of ``Worker``'s methods and its arguments. The answer on
standard output is a pickled pair: "done" and the value, or "failed" and why. What the library itself prints goes to
standard error. The threads and processors are settled before the library is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import glob
import os
import pickle
import sys
import time
from itertools import repeat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from benchmarks.peers import Peer
    from benchmarks.work import Call, Work

WARM_UP = 0.03  # seconds at least that a call is repeated before it is timed
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RN_NUM_THREADS")
# What would hold a peer to other kernels than it chooses for this processor: none is measured with a hand tied.
RESTRAINTS = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "BLIS_ARCH_TYPE",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "NPY_DISABLE_CPU_FEATURES",
)


class Worker:
    """What a process can be asked."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.calls: dict[str, Call] = {}

    def versions(self) -> str:
        """Return what runs here."""
        return self.peer.versions()

    def prepare(self, work: Work) -> dict[str, float]:
        """Make the calls of ``work``, in place of former ones, and return roughly how many seconds each takes."""
        self.calls.clear()
        gc.collect()
        self.calls.update(self.peer.prepare(work))
        times = {}
        for variant, call in self.calls.items():
            call()
            start = time.perf_counter()
            once = seconds(call, 1)
            while time.perf_counter() - start < WARM_UP:
                once = min(once, seconds(call, 1))
            times[variant] = once
        return times

    def time(self, variant: str, calls: int) -> float:
        """Return the seconds of one call, the mean of ``calls``; one before them wakes threads and fills caches."""
        call = self.calls[variant]
        if calls > 1:
            call()
        return seconds(call, calls) / calls

    def memory(self, work: Work, variant: str, steps: int) -> int:
        """Return the bytes by which the peak of resident memory rises above what it is before ``work`` is made."""
        gc.collect()
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # the peak starts anew
        before = resident("VmRSS")
        call = self.peer.prepare(work)[variant]
        for _ in range(steps):
            call()
        return resident("VmHWM") - before


def seconds(call: Call, calls: int) -> float:
    """Return the seconds that ``calls`` calls take."""
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in repeat(None, calls):
            call()
        return time.perf_counter() - start
    finally:
        gc.enable()


def resident(field: str) -> int:
    """Return a field of the process's status in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def settle() -> None:
    """Wait until no thread of this process is busy; pools spin before they sleep, OpenBLAS's for 0.1 s."""
    for _ in range(400):
        before = busy_seconds()
        time.sleep(0.005)
        if busy_seconds() - before < 0.0005:
            return


def busy_seconds() -> float:
    """Return how long the threads of this process have run, up to now: the process's clock lags behind."""
    total = 0
    for path in glob.glob("/proc/self/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total * 1e-9 if total else time.process_time()


def serve(worker: Worker, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    while True:
        try:
            method, *arguments = pickle.load(requests)
        except EOFError:
            return
        answer: tuple[str, object]
        try:
            answer = "done", getattr(worker, method)(*arguments)
        except Exception as error:
            answer = "failed", f"{type(error).__name__}: {error}"
        settle()
        pickle.dump(answer, answers)
        answers.flush()


def main() -> None:
    """Settle threads and processors, load the library, serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--processors", type=int, nargs="*", default=[])
    options = parser.parse_args()
    if options.processors:
        os.sched_setaffinity(0, options.processors)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(options.threads)))
    for variable in RESTRAINTS:
        os.environ.pop(variable, None)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    from benchmarks import peers

    peer = peers.load(options.peer)
    peer.start(options.threads)
    serve(Worker(peer), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
