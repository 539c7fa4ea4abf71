"""What the profiler costs: ``python -m benchmarks.profiler_cost``.

Off, in instructions of a training step of the mnist net, counted by callgrind in this core and in one built without the
profiler (``RN_BUILD_PROFILER=0``); the program fails where they differ by 0.1 % or more. On, in time: the same steps
with the profiler on and off, in turns. Takes about two minutes, for a core is built.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import rn
from benchmarks.building import build_core
from benchmarks.instructions import HASH_SEED, compile_requests
from rn import _core
from rn.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D

__all__ = ["main"]

MOST = 0.001  # of the instructions
ROOT = Path(__file__).parents[1]
BATCH, ROUNDS = 32, 41


def mnist_net() -> rn.Sequencial:
    """Return the net of the README, compiled."""
    net = rn.Sequencial(
        [
            *(Conv2D(18, 3, activation="relu"), MaxPool2D(2), Conv2D(20, 3, activation="relu"), MaxPool2D(2)),
            *(Flatten(), Dense(128, activation="relu"), Dropout(0.2), Dense(10, activation="softmax")),
        ],
        input_shape=(1, 28, 28),
        seed=0,
    )
    net.compile("adam", "cross_entropy", ["accuracy"])
    return net


def run_step(library: str) -> None:
    """Do training steps of which one is counted; the child's part."""
    requests = ctypes.CDLL(library)
    rng = np.random.default_rng(0)
    x, y = rng.random((BATCH, 1, 28, 28), np.float32), rng.integers(0, 10, BATCH)
    net = mnist_net()
    for _ in range(3):
        net.train_on_batch(x, y)
    requests.begin()
    net.train_on_batch(x, y)
    requests.end(b"step")


def instructions(sources: Path, folder: Path) -> int:
    """Return the instructions of one step, everything in the process counted, with the rn in ``sources``."""
    isa = "avx2" if "avx2" in _core.instruction_sets() else "generic"
    settings = {"RN_ISA": isa, "RN_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": HASH_SEED}
    settings["PYTHONPATH"] = os.pathsep.join([str(sources), str(ROOT)])
    counts = folder / f"counts-{sources.name}"
    command = [
        *("valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", f"--callgrind-out-file={counts}"),
        *(sys.executable, "-m", "benchmarks.profiler_cost", "--step", str(compile_requests(folder))),
    ]
    subprocess.run(command, check=True, env={**os.environ, **settings}, cwd=folder)
    (dump,) = folder.glob(f"{counts.name}.*")
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        sys.exit(f"callgrind wrote no sum into {dump}")
    return int(found[1])


def times() -> tuple[float, float]:
    """Return the medians of the seconds of a step with the profiler off and on, taken in turns."""
    rng = np.random.default_rng(0)
    x, y = rng.random((BATCH * 50, 1, 28, 28), np.float32), rng.integers(0, 10, BATCH * 50)
    net = mnist_net()
    net.fit(x, y, batch_size=BATCH, verbose=0)
    off, on = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        net.fit(x, y, batch_size=BATCH, verbose=0)
        off.append((time.perf_counter() - start) / 50)
        with rn.profile():
            start = time.perf_counter()
            net.fit(x, y, batch_size=BATCH, verbose=0)
            on.append((time.perf_counter() - start) / 50)
    return statistics.median(off), statistics.median(on)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and fail where the profiler costs instructions while it is off."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiler_cost", description=__doc__)
    parser.add_argument("--step", metavar="LIBRARY", help=argparse.SUPPRESS)  # the child under callgrind
    options = parser.parse_args(arguments)
    if options.step:
        run_step(options.step)
        return
    off, on = times()
    threads = rn.get_num_threads()
    print(f"a step of the mnist net, batch {BATCH}, {threads} threads: {1e3 * off:.3f} ms off, {1e3 * on:.3f} ms on")
    print(f"on: {on / off - 1:+.2%} (medians of {ROUNDS} rounds)")
    with tempfile.TemporaryDirectory() as folder:
        counted = instructions(ROOT, Path(folder))
        bare = instructions(build_core(Path(folder) / "without", RN_BUILD_PROFILER="0"), Path(folder))
    change = counted / bare - 1
    print(f"off: {counted:,} instructions with the profiler, {bare:,} built without it: {change:+.4%}")
    if abs(change) >= MOST:
        sys.exit(f"the profiler costs {change:+.3%} of the instructions while it is off; at most {MOST:.1%} is allowed")


if __name__ == "__main__":
    main()
