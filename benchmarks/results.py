"""What a row gave, and what follows from it: the opponent, the ratio, whether a limit holds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["PEAK", "Kind", "Limit", "Result", "Verdict", "ours"]

PEAK = "peak"  # the contender that does as many FLOPs in a loop of FMA on one core: no opponent, but a limit

Kind: TypeAlias = Literal["ratio", "gflops", "share", "microseconds"]


@dataclass(frozen=True)
class Limit:
    """What must hold: ``ratio``, ``gflops`` or ``share`` of the peak at least ``value``, or ``microseconds`` at most.

    ``against`` names the peer of the ratio; the best one unless given.
    """

    kind: Kind
    value: float
    against: str | None = None

    def __str__(self) -> str:
        number = f"{self.value:g}"
        return {
            "ratio": f"{number}" + (f" of {self.against}" if self.against else ""),
            "gflops": f"{number} GFLOP/s",
            "share": f"{self.value:.1%} of peak",
            "microseconds": f"≤ {number} µs",
        }[self.kind]


@dataclass(frozen=True)
class Verdict:
    """A limit, what was read for it, and whether it holds."""

    limit: Limit
    reading: float

    @property
    def holds(self) -> bool:
        """Whether the reading is within the limit."""
        return (
            self.reading <= self.limit.value if self.limit.kind == "microseconds" else self.reading >= self.limit.value
        )


def ours(contender: str) -> bool:
    """Return whether a contender is rn."""
    return contender.split(" ")[0] == "rn"


@dataclass
class Result:
    """The values of each round by contender: seconds of a call ("s"), or bytes ("B")."""

    name: str
    threads: int
    unit: Literal["s", "B"]
    flops: float | None = None
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """Return the contender's median over the rounds."""
        return statistics.median(self.values[contender])

    def minimum(self, contender: str) -> float:
        """Return the contender's best round."""
        return min(self.values[contender])

    @property
    def own(self) -> list[str]:
        """The contenders that are rn."""
        return [contender for contender in self.values if ours(contender)]

    def opponent(self, against: str | None = None) -> str | None:
        """Return the peer's contender of the smallest median, of those that are ``against`` where given."""
        rivals = [
            contender
            for contender in self.values
            if not ours(contender) and contender != PEAK and (against is None or contender.split(" ")[0] == against)
        ]
        return min(rivals, key=self.median, default=None)

    def ratio(self, contender: str = "rn", against: str | None = None) -> float | None:
        """Return the opponent's median over the contender's; None where there is no opponent."""
        opponent = self.opponent(against)
        return None if opponent is None else self.median(opponent) / self.median(contender)

    def gflops(self, contender: str) -> float | None:
        """Return the contender's rate, by its median."""
        return None if self.flops is None else self.flops / self.median(contender) / 1e9

    def share(self, contender: str, peak: float | None) -> float | None:
        """Return the contender's rate over one core's: that of the loop in turns with it, else ``peak`` in GFLOP/s."""
        if PEAK in self.values:
            return self.median(PEAK) / self.median(contender)
        rate = self.gflops(contender)
        return rate / peak if rate is not None and peak else None

    def verdicts(self, contender: str, limits: tuple[Limit, ...], peak: float | None) -> Iterator[Verdict]:
        """Yield a verdict for each limit that can be judged; ``peak`` is for ``share``."""
        for limit in limits:
            reading = {
                "ratio": self.ratio(contender, limit.against),
                "gflops": self.gflops(contender),
                "share": self.share(contender, peak),
                "microseconds": self.median(contender) * 1e6,
            }[limit.kind]
            if reading is not None:
                yield Verdict(limit, reading)
