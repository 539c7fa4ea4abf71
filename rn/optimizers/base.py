"""The contract of optimizers.

One update rule over flat arrays of parameters, run by one kernel at the end of a step.
"""

from __future__ import annotations

import math
from typing import Any

from rn import _core
from rn.errors import OptionError

__all__ = ["Optimizer", "at_least", "fraction"]


class Optimizer:
    """One update rule. ``learning_rate`` can be set at any time and holds from the next step on."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """How far a step goes; at least 0."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = at_least(0.0, "learning_rate", value)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The arrays, each as long as the parameters and 0 at first, that the rule keeps between steps."""
        return ()

    def bind(
        self, plan: _core.Plan, parameters: _core.Slot, gradients: _core.Slot, state: dict[str, _core.Slot]
    ) -> None:
        """Record the update of ``parameters`` by ``gradients``.

        The step's learning rate and count are read as it runs.
        """
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


def at_least(low: float, name: str, value: Any) -> float:
    """Return ``value`` as a finite float of at least ``low``, or raise ``OptionError``."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= low) or isinstance(value, (bool, str)):
        raise OptionError(f"{name} must be a finite number of at least {low:g}, got {value!r}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return ``value`` as a float, 0 <= value < 1, or raise ``OptionError``."""
    number = at_least(0.0, name, value)
    if number >= 1:
        raise OptionError(f"{name} must be at least 0 and below 1, got {value!r}")
    return number
