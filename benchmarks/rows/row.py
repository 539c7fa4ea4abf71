"""A row of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.work import Step, Work

__all__ = ["NOISE", "Measure", "Row"]

Measure = Literal["time", "memory"]


@dataclass(frozen=True)
class Row:
    """Some work, what is measured of it, and on which numbers of threads it makes sense (None: on any).

    ``name`` is "group/case/…". ``per_call`` counts what the time is given of: the steps of a ``fit``, say. ``brief``
    rows get few rounds.
    """

    name: str
    work: Work
    measure: Measure = "time"
    threads: int | None = None
    per_call: int = 1
    brief: bool = False

    def fits(self, threads: int) -> bool:
        """Whether the row makes sense on this number of threads."""
        return self.threads in (None, threads)

    @property
    def group(self) -> str:
        """The first part of the name."""
        return self.name.split("/", 1)[0]


# What two processes of rn do before anything counts: steps of a few milliseconds, long beside the waking of a thread.
NOISE = Row("noise/rn against rn", Step("jnn_mnist", "train", 32))
