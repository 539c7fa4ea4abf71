"""Rows of a profile: calls of one kind, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Row", "by_kernel", "by_layer"]

# As the core has them: kernel, layer, phase, calls, seconds, worst, busy, FLOPs, bytes.
CoreRow = tuple[str, str, str, int, float, float, float, float, float]


@dataclass
class Row:
    """What calls of one kind took together.

    ``name``: of the kernel or of the layer; ``phase``: "forward", "backward", "update" or "prepare" of a layer, ""
    for a kernel; ``calls``; ``seconds`` in all; ``worst``: seconds of the longest call; ``busy``: seconds added up
    over the threads that took part; ``flops`` and ``bytes`` by the kernels' own formulas.
    """

    name: str
    phase: str = ""
    calls: int = 0
    seconds: float = 0.0
    worst: float = 0.0
    busy: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0

    @property
    def mean(self) -> float:
        """Seconds a call."""
        return self.seconds / self.calls if self.calls else 0.0

    @property
    def flops_per_second(self) -> float:
        """Float operations a second."""
        return self.flops / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes moved a second."""
        return self.bytes / self.seconds if self.seconds else 0.0

    def add(self, row: CoreRow) -> None:
        """Add what the core counted of one kernel in one phase of one layer."""
        _, _, _, calls, seconds, worst, busy, flops, moved = row
        self.calls += calls
        self.seconds += seconds
        self.worst = max(self.worst, worst)
        self.busy += busy
        self.flops += flops
        self.bytes += moved


def by_kernel(rows: Iterable[CoreRow]) -> list[Row]:
    """Return a row for each kernel, the slowest first."""
    return _added(rows, lambda row: (row[0], ""))


def by_layer(rows: Iterable[CoreRow]) -> list[Row]:
    """Return a row for each phase of each layer, the slowest first; what belongs to no layer is left out."""
    return _added((row for row in rows if row[1]), lambda row: (row[1], row[2]))


def _added(rows: Iterable[CoreRow], key: Callable[[CoreRow], tuple[str, str]]) -> list[Row]:
    sums: dict[tuple[str, str], Row] = {}
    for row in rows:
        name, phase = key(row)
        sums.setdefault((name, phase), Row(name, phase)).add(row)
    return sorted(sums.values(), key=lambda row: -row.seconds)
