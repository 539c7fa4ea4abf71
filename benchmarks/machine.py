"""Where a run took place: processor, system, versions, and the peak of one core."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.turns import processors

__all__ = ["describe", "fma_peak", "processor"]

# Twelve sums that do not wait for one another keep every unit busy; the compiler makes each line an FMA.
PEAK_SOURCE = """
#include <stdio.h>
#include <time.h>
#ifdef __AVX512F__
enum { BYTES = 64 };
#elif defined __AVX__
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
typedef float vector __attribute__((vector_size(BYTES)));
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
int main(int count, char **words) {
    (void)words;
    const long turns = 4000000;
    double best = 0;
    for (int round = 0; round < 15; round++) {
        vector s[12], a, b;
        for (int i = 0; i < (int)(BYTES / sizeof(float)); i++) a[i] = 1.0f - 1e-7f * count, b[i] = 1e-7f * count;
        for (int i = 0; i < 12; i++) s[i] = b * (float)i;
        double start = now();
        for (long turn = 0; turn < turns; turn++) {
#define STEP(i) s[i] = s[i] * a + b;
            STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
        }
        double rate = 2.0 * 12 * (BYTES / sizeof(float)) * turns / (now() - start) / 1e9;
        for (int i = 1; i < 12; i++) s[0] += s[i];
        if (s[0][0] == 0.5f) puts("");  /* the sums are used */
        if (rate > best) best = rate;
    }
    printf("%.2f\\n", best);
    return 0;
}
"""


def fma_peak() -> float | None:
    """Return the GFLOP/s of a loop of FMA in float32 on one core; None where no C compiler can build it.

    The best of 15 rounds: a peak is what the core can do, not what it does while others use it.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "peak.c"), Path(folder, "peak")
        source.write_text(PEAK_SOURCE, encoding="utf-8")
        flags = ["-O2", "-march=native", "-ffp-contract=fast", "-o", str(program)]
        try:
            subprocess.run([compiler, str(source), *flags], check=True, capture_output=True)
            pinned = subprocess.run([program], check=True, capture_output=True, text=True, preexec_fn=_pin())
        except (OSError, subprocess.CalledProcessError):
            return None
    return float(pinned.stdout)


def _pin() -> Callable[[], None] | None:
    """Return what pins a new process to the processor of the one-thread rows."""
    chosen = processors(1)
    return (lambda: os.sched_setaffinity(0, chosen)) if chosen else None


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
