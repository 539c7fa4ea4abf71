"""What the machine can do at best: arithmetic, and reading from each of its memories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral

from rn import _core
from rn.errors import OptionError

__all__ = ["Roofline", "roofline"]

# Working sets, in bytes, for a processor's own caches, the one that processors share, and the memory.
SIZES = (256 << 10, 8 << 20, 64 << 20)


@dataclass(frozen=True)
class Roofline:
    """The limits of work on ``threads`` threads.

    ``flops``: float32 operations a second, a multiplication with addition counting as two. ``reading``: bytes a second
    by the bytes of a working set that is read again and again. Source: Williams, Waterman and Patterson 2009.
    """

    threads: int
    flops: float
    reading: Mapping[int, float]

    def bandwidth(self, size: float) -> float:
        """Return the bytes a second of work on ``size`` bytes: those of the smallest measured set that holds them."""
        fitting = [measured for measured in self.reading if size <= measured]
        return self.reading[min(fitting) if fitting else max(self.reading)]

    def least_seconds(self, flops: float, size: float, calls: int) -> float:
        """Return the least time for ``flops`` operations on ``size`` bytes in ``calls`` calls alike.

        max(flops / peak, size / bandwidth(size / calls)): arithmetic and reading overlap.
        """
        return max(flops / self.flops, size / self.bandwidth(size / max(calls, 1)))


@cache
def roofline(threads: int) -> Roofline:
    """Measure this machine on ``threads`` threads; about 0.1 s at the first call in a process, then remembered.

    Raises ``OptionError`` for a number that is not from 1 to 1024.
    """
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads <= 1024:
        raise OptionError(f"a roofline is that of 1 to 1024 threads, got {threads!r}")
    return Roofline(
        threads=threads,
        flops=_core.measure_arithmetic(threads),
        reading={size: _core.measure_reading(size, threads) for size in SIZES},
    )
