"""Where a run took place: processor, system, versions, and the peak of one core."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from benchmarks.results import PEAK
from benchmarks.turns import Process, WorkerError, processors
from benchmarks.work import Gemm

__all__ = ["describe", "fma_peak", "processor"]

PRODUCT = Gemm(256, 256, 256)
ROUNDS, CALLS = 15, 300


def fma_peak() -> float | None:
    """Return the GFLOP/s of a loop of FMA in float32 on one core; None where no C compiler can build it.

    The best of some rounds: a peak is what the core can do, not what it does while others use it.
    """
    worker = Process("peak", 1)
    try:
        worker.ask("prepare", PRODUCT)
        seconds: list[float] = [worker.ask("time", PEAK, CALLS) for _ in range(ROUNDS)]
    except WorkerError:
        return None
    finally:
        worker.close()
    return PRODUCT.flops / min(seconds) / 1e9


def describe() -> dict[str, str | int]:
    """Return what to know about the machine, Python, the sources and the day."""
    usable = processors(os.cpu_count() or 1)
    return {
        "processor": processor(),
        "processors": os.cpu_count() or 1,
        "usable": len(usable) or os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "python": platform.python_version(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def commit() -> str:
    """Return the commit of the sources, with "+" where they were changed since; "unknown" where git cannot say."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
