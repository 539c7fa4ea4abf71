"""Learning rates that change as training goes on: ``SGD(schedules.Cosine(0.1, steps=1000))``.

A schedule takes the place of an optimizer's number and is asked anew before each update. It counts updates since
``compile``, the first being number 0; for one by epochs, multiply by the batches of an epoch. A schedule is a function
of that number alone, and the number is part of the model and its file: a run that is stopped and resumed goes on where
it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rn import registry
from rn.errors import OptionError, is_real

__all__ = ["Cosine", "Exponential", "OneCycle", "Polynomial", "Schedule", "Step", "Warmup"]


@registry.contract("schedule")
class Schedule:
    """The contract: ``schedule(update)`` is the learning rate of update number 0, 1, 2 and so on.

    A user's own writes ``__call__``; its public attributes are the arguments of its constructor.
    """

    def __call__(self, update: int) -> float:
        """Return the learning rate of the update number ``update``."""
        raise NotImplementedError(f"{type(self).__name__} writes no __call__")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            name: registry.describe("schedule", value) if isinstance(value, Schedule) else value
            for name, value in vars(self).items()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


@registry.register("schedule", "step")
class Step(Schedule):
    """η · factor^k, k the number of steps taken: one after each ``steps`` updates, or one at each of several.

    As torch.optim.lr_scheduler.StepLR, and MultiStepLR for a list. ``learning_rate``: η, the first rate.
    """

    def __init__(self, learning_rate: float, steps: int | Sequence[int], factor: float = 0.1) -> None:
        self.learning_rate = _number("Step: learning_rate", learning_rate)
        self.steps: int | list[int]
        if not isinstance(steps, (int, np.integer, list, tuple)):
            raise OptionError(f"Step: steps must be a whole number or a list of them, got {steps!r:.80}")
        if isinstance(steps, (list, tuple)):
            self.steps = [_count("Step: each of steps", step) for step in steps]
        else:
            self.steps = _count("Step: steps", steps)
        self.factor = _number("Step: factor", factor)

    def __call__(self, update: int) -> float:
        taken = update // self.steps if isinstance(self.steps, int) else sum(step <= update for step in self.steps)
        return _grown(self, update, taken)


@registry.register("schedule", "exponential")
class Exponential(Schedule):
    """η · factor^(update / steps): ``factor`` for each ``steps`` updates, without stairs.

    As torch.optim.lr_scheduler.ExponentialLR where ``steps`` is 1. ``learning_rate``: η, the first rate.
    """

    def __init__(self, learning_rate: float, factor: float, steps: int = 1) -> None:
        self.learning_rate = _number("Exponential: learning_rate", learning_rate)
        self.factor = _number("Exponential: factor", factor)
        self.steps = _count("Exponential: steps", steps)

    def __call__(self, update: int) -> float:
        return _grown(self, update, update / self.steps)


@registry.register("schedule", "cosine")
class Cosine(Schedule):
    """From η down to ``minimum`` over ``steps`` updates, along half a wave of the cosine; it stays there.

    Loshchilov and Hutter, 2017; as torch.optim.lr_scheduler.CosineAnnealingLR, which goes up again afterwards.
    """

    def __init__(self, learning_rate: float, steps: int, minimum: float = 0.0) -> None:
        self.learning_rate = _number("Cosine: learning_rate", learning_rate)
        self.steps = _count("Cosine: steps", steps)
        self.minimum = _number("Cosine: minimum", minimum)

    def __call__(self, update: int) -> float:
        return _along_cosine(self.learning_rate, self.minimum, update / self.steps)


@registry.register("schedule", "one_cycle")
class OneCycle(Schedule):
    """Up from ``maximum`` / ``start_divisor`` to ``maximum``, then down to the start / ``end_divisor``.

    Both ways along half a wave of the cosine; the way up takes ``rising``, a share of the ``steps`` updates. Smith and
    Topin, 2018; as torch.optim.lr_scheduler.OneCycleLR with cycle_momentum=False.
    """

    def __init__(
        self,
        maximum: float,
        steps: int,
        *,
        rising: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 1e4,
    ) -> None:
        self.maximum = _number("OneCycle: maximum", maximum)
        self.steps = _count("OneCycle: steps", steps)
        self.rising = _number("OneCycle: rising", rising)
        self.start_divisor = _number("OneCycle: start_divisor", start_divisor)
        self.end_divisor = _number("OneCycle: end_divisor", end_divisor)
        if not 0.0 < self.rising < 1.0 or self.start_divisor == 0.0 or self.end_divisor == 0.0:
            raise OptionError(
                "OneCycle: rising must lie between 0 and 1, and the divisors must be above 0; got "
                f"{rising!r}, {start_divisor!r} and {end_divisor!r}"
            )

    def __call__(self, update: int) -> float:
        start = self.maximum / self.start_divisor
        top, end = self.rising * self.steps - 1.0, self.steps - 1.0
        if update <= top:
            return _along_cosine(start, self.maximum, update / top if top > 0.0 else 1.0)
        return _along_cosine(self.maximum, start / self.end_divisor, (update - top) / (end - top))


@registry.register("schedule", "polynomial")
class Polynomial(Schedule):
    """end + (η - end) (1 - update / steps)^power, and ``end`` from ``steps`` on; a straight line where ``power`` is 1.

    As torch.optim.lr_scheduler.PolynomialLR, whose end is 0.
    """

    def __init__(self, learning_rate: float, steps: int, power: float = 1.0, end: float = 0.0) -> None:
        self.learning_rate = _number("Polynomial: learning_rate", learning_rate)
        self.steps = _count("Polynomial: steps", steps)
        self.power = _number("Polynomial: power", power)
        self.end = _number("Polynomial: end", end)

    def __call__(self, update: int) -> float:
        if update >= self.steps:
            return self.end
        left = 1.0 - update / self.steps
        return float(self.end + (self.learning_rate - self.end) * left**self.power)


@registry.register("schedule", "warmup")
class Warmup(Schedule):
    """A straight line over ``steps`` updates from ``start`` times the first rate of ``after`` up to it; then ``after``.

    ``after``: a number, or any schedule, which begins its count where warming up ends:
    ``Warmup(500, Cosine(0.1, steps=9500))``. As torch.optim.lr_scheduler.LinearLR and what follows in a SequentialLR.
    """

    def __init__(self, steps: int, after: float | Schedule | dict[str, Any], start: float = 0.0) -> None:
        self.steps = _count("Warmup: steps", steps)
        made = as_schedule("Warmup: after", after)
        self.after = _number("Warmup: after", after) if made is None else made
        self.start = _number("Warmup: start", start)

    def __call__(self, update: int) -> float:
        later = max(update - self.steps, 0)
        rate = self.after(later) if isinstance(self.after, Schedule) else self.after
        return rate * (self.start + (1.0 - self.start) * min(update / self.steps, 1.0))


def _grown(schedule: Step | Exponential, update: int, power: float) -> float:
    """Return η · factor^power; ``OptionError`` where that is beyond the largest float."""
    try:
        return float(schedule.learning_rate * schedule.factor**power)
    except OverflowError:
        raise OptionError(f"{schedule!r} has no finite learning rate at update {update}") from None


def _along_cosine(start: float, end: float, share: float) -> float:
    """Return the rate at ``share`` of the way from ``start`` to ``end``, along half a wave."""
    return end + (start - end) * (1.0 + math.cos(math.pi * min(share, 1.0))) / 2.0


def as_schedule(name: str, value: Any) -> Schedule | None:
    """Return the schedule that ``value`` is or describes, None where it may be a number; else ``OptionError``."""
    if isinstance(value, (Schedule, dict)):
        made: Schedule = registry.create("schedule", value, Schedule)
        return made
    if callable(value):
        raise OptionError(
            f"{name} must be a number or a schedule, got {value!r:.80}; rn.schedules has some, and a class of your own "
            "with __call__ derives from rn.schedules.Schedule"
        )
    return None


def _number(name: str, value: Any) -> float:
    if is_real(value) and 0 <= value < math.inf:
        return float(value)
    raise OptionError(f"{name} must be a finite number of at least 0, got {value!r}")


def _count(name: str, value: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return int(value)
    raise OptionError(f"{name} must be a whole number of at least 1, got {value!r}")
