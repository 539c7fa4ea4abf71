"""The plans of a model: bound once for each use and batch size, kept, and lent to one thread at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core

__all__ = ["BoundPlan", "PlanPool"]

KEPT = 16  # kinds of plans (use, batch size) that a model keeps
KEPT_BYTES = 256 << 20  # how much memory they may hold together; the one used last is kept whatever it holds


class BoundPlan:
    """A sealed plan and, by name, the slots that its user fills and reads.

    "x", "y" (the output), "target", "weights", …
    """

    def __init__(self, plan: _core.Plan, slots: Mapping[str, _core.Slot]) -> None:
        self.plan = plan
        self._slots = dict(slots)

    def array(self, name: str) -> NDArray[np.float32]:
        """Return a view of a slot's memory, four axes; valid until the plan is given back."""
        return np.asarray(self.plan.array(self._slots[name]))

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Fill a slot with as many numbers, float32 or int32."""
        view = self.array(name)
        view[...] = values.view(np.float32).reshape(view.shape)

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a copy of a slot's numbers as ``shape``."""
        return self.array(name).reshape(shape).copy()

    def feed(self, x: NDArray[np.float32], y: NDArray[Any], factors: NDArray[np.float32] | None) -> None:
        """Let the plan pick its batches from these samples."""
        for name, rows in (("x", x), ("target", y), ("weights", factors)):
            if rows is not None:
                self.plan.feed(self._slots[name], rows)


class PlanPool:
    """Idle plans by key.

    A second thread that wants a key in use gets a plan of its own. Of too many, or too large ones, the keys that were
    used longest ago are dropped.
    """

    def __init__(self) -> None:
        self._idle: OrderedDict[Hashable, list[BoundPlan]] = OrderedDict()
        self._lock = threading.Lock()
        self._generation = 0

    @contextmanager
    def take(self, key: Hashable, make: Callable[[], BoundPlan]) -> Iterator[BoundPlan]:
        """Lend the plan for ``key``, made by ``make`` where none is idle, until the ``with`` block ends."""
        with self._lock:
            generation = self._generation
            idle = self._idle.get(key)
            bound = idle.pop() if idle else None
        if bound is None:
            bound = make()
        try:
            yield bound
        finally:
            bound.plan.unfeed()
            with self._lock:
                if generation == self._generation:
                    self._idle.setdefault(key, []).append(bound)
                    self._idle.move_to_end(key)
                    while len(self._idle) > 1 and (len(self._idle) > KEPT or self._held() > KEPT_BYTES):
                        self._idle.popitem(last=False)

    def _held(self) -> int:
        return sum(bound.plan.arena_bytes for idle in self._idle.values() for bound in idle)

    def clear(self) -> None:
        """Drop every plan; those lent out are not taken back."""
        with self._lock:
            self._generation += 1
            self._idle.clear()
