"""The plans of a model: bound once for each use and batch size, kept, and lent to one thread at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core

__all__ = ["BoundPlan", "Loan", "PlanPool"]

KEPT = 16  # kinds of plans (use, batch size) that a model keeps
SMALL_BYTES = 2 << 20  # of a plan that is kept at hand, for all threads together
KEPT_BYTES = 256 << 20  # how much memory they may hold together; the one used last is kept whatever it holds


class BoundPlan:
    """A sealed plan and, by name, the slots that its user fills and reads.

    "x", "y" (the output), "target", "weights", …
    """

    def __init__(self, plan: _core.Plan, slots: Mapping[str, _core.Slot]) -> None:
        self.plan = plan
        self._slots = dict(slots)
        self.small = plan.arena_bytes * _core.get_num_threads() <= SMALL_BYTES

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

    def transform(self, rows: NDArray[np.float32], results: NDArray[np.float32]) -> None:
        """Write the output for all ``rows``, a batch or more, into ``results``; both are contiguous."""
        self.plan.transform(self._slots["x"], rows, self._slots["y"], results)

    def learn(self, x: NDArray[np.float32], y: NDArray[Any], classes: int) -> list[float] | None:
        """Do one training step; see ``Plan.learn``."""
        return self.plan.learn(self._slots["x"], x, self._slots["target"], y, classes)

    def feed(self, x: NDArray[np.float32], y: NDArray[Any], factors: NDArray[np.float32] | None) -> None:
        """Let the plan pick its batches from these samples."""
        for name, rows in (("x", x), ("target", y), ("weights", factors)):
            if rows is not None:
                self.plan.feed(self._slots[name], rows)


# The plans of a pool live until a change of the model drops all of them: a generation. It is known by the dict in which
# its small plans lie at hand, one a key: no other thread comes between what dict.pop and setdefault do, and they take a
# quarter of a lock's time.
Generation = dict[Hashable, BoundPlan]


class PlanPool:
    """Idle plans by key.

    A second thread that wants a key in use gets a plan of its own. Of too many, or too large ones, those that were used
    longest ago are dropped.
    """

    def __init__(self) -> None:
        self._idle: OrderedDict[Hashable, list[BoundPlan]] = OrderedDict()
        self._lock = threading.Lock()
        self._held = 0  # bytes of the idle plans
        self.generation: Generation = {}

    def borrow(self, key: Hashable) -> tuple[BoundPlan | None, Generation]:
        """Return an idle plan for ``key``, if there is one, and the generation that it is of."""
        generation = self.generation
        bound = generation.pop(key, None)
        if bound is not None:
            return bound, generation
        with self._lock:
            idle = self._idle.get(key)
            if not idle:
                return None, self.generation
            bound = idle.pop()
            self._held -= bound.plan.bytes
            return bound, self.generation

    def give_back(self, key: Hashable, bound: BoundPlan, generation: Generation) -> None:
        """Take a lent plan back; one of an older generation is dropped."""
        bound.plan.unfeed()
        if generation is not self.generation:
            return
        if bound.small and generation.setdefault(key, bound) is bound:
            if len(generation) > KEPT:
                for oldest in list(generation)[:-KEPT]:
                    generation.pop(oldest, None)
            if generation is not self.generation:  # since the question above
                generation.clear()
            return
        with self._lock:
            if generation is not self.generation:
                return
            self._idle.setdefault(key, []).append(bound)
            self._idle.move_to_end(key)
            self._held += bound.plan.bytes
            while len(self._idle) > KEPT or self._held > KEPT_BYTES:
                oldest, plans = next(iter(self._idle.items()))
                if plans[:1] == [bound]:  # it is alone, and stays whatever it holds
                    break
                if plans:
                    self._held -= plans.pop(0).plan.bytes
                else:
                    del self._idle[oldest]

    def clear(self) -> None:
        """Drop every plan; those lent out are not taken back."""
        with self._lock:
            old, self.generation = self.generation, {}
            old.clear()  # who remembers a generation does not keep its plans
            self._idle.clear()
            self._held = 0


class Loan:
    """The plan for ``key`` for the length of a ``with`` block, made by ``make(key)`` where none is idle."""

    # A class, since entering and leaving a generator's context takes longer than a small net.
    __slots__ = ("_bound", "_generation", "_key", "_make", "_pool")

    def __init__(self, pool: PlanPool, key: Any, make: Callable[[Any], BoundPlan]) -> None:
        self._pool, self._key, self._make = pool, key, make

    def __enter__(self) -> BoundPlan:
        bound, self._generation = self._pool.borrow(self._key)
        self._bound = self._make(self._key) if bound is None else bound
        return self._bound

    def __exit__(self, *exception: object) -> None:
        self._pool.give_back(self._key, self._bound, self._generation)
