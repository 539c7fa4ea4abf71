"""No library: a loop of FMA in float32, the most that a core can do.

It takes turns with the products that are held to a share of it, for a shared core does less at one moment than at
another; its call does as many FLOPs as the product, on one core.
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.building import build_library
from benchmarks.limits import held_to_peak
from benchmarks.results import PEAK
from benchmarks.work import Calls, Gemm, Work

# Twelve sums that do not wait for one another keep every unit busy; the compiler makes each line an FMA.
SOURCE = """
#ifdef __AVX512F__
enum { BYTES = 64 };
#elif defined __AVX__
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
enum { LANES = BYTES / sizeof(float), SUMS = 12 };
typedef float vector __attribute__((vector_size(BYTES)));
double flops_of_turn(void) { return 2.0 * SUMS * LANES; }
float turn(long turns, float small) { /* which the compiler does not know */
    /* Whole vectors: one filled lane by lane was read from memory by every FMA, at half their speed on some AVX-512. */
    const vector none = {0}, a = none + (1.0f - small), b = none + small;
    vector s[SUMS];
    for (int i = 0; i < SUMS; i++) s[i] = b * (float)i;
    for (long i = 0; i < turns; i++) {
#define STEP(i) s[i] = s[i] * a + b;
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
    }
    for (int i = 1; i < SUMS; i++) s[0] += s[i];
    return s[0][0];
}
"""


@cache
def library() -> ctypes.CDLL:
    """Return the loop, compiled for this processor; ``OSError`` where no C compiler can do it."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ("-O2", "-march=native", "-ffp-contract=fast")
        loop = ctypes.CDLL(str(build_library(Path(folder), "peak", SOURCE, *flags)))
    loop.turn.argtypes, loop.turn.restype = [ctypes.c_long, ctypes.c_float], ctypes.c_float
    loop.flops_of_turn.restype = ctypes.c_double
    return loop


def versions() -> str:
    return "a loop of FMA on one core"


def start(threads: int) -> None:
    """Whatever the number of threads: the loop is one core's."""


def prepare(work: Work) -> Calls:
    if not (isinstance(work, Gemm) and held_to_peak(work)):
        return {}
    loop = library()
    turns = round(work.flops / loop.flops_of_turn())
    return {PEAK: lambda: loop.turn(turns, 1e-7)}
