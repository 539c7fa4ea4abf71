"""The contract of optimizers.

One update rule over flat arrays of parameters, run by one kernel at the end of a step.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rn import _core, registry
from rn.errors import OptionError, flag
from rn.schedules import Schedule, as_schedule

__all__ = ["Optimizer", "above_zero", "at_least", "fraction"]

FloatArray = NDArray[np.float32]


@registry.contract("optimizer")
class Optimizer(registry.Settled):
    """One update rule. ``learning_rate`` can be set at any time and holds from the next step on.

    The other settings of a built-in rule are fixed once a model is compiled with it: setting one raises ``StateError``.

    All rules take, beside their own arguments:

    ``learning_rate``: a number, or a schedule of ``rn.schedules``, asked anew for each update since ``compile``.
    ``clip_norm``: where the norm of all gradients together, as one vector, is larger, they are scaled down to it (0.5
    stands for Keras' global_clipnorm=0.5, PyTorch's clip_grad_norm_). ``clip_value``: each element of the gradients is
    held inside [-clip_value, clip_value]. Not both. ``weight_decay``: adds weight_decay θ to the gradient, after
    clipping: an L2 penalty. ``decoupled_weight_decay``: the decay is taken from the parameters themselves instead,
    θ ← θ - η weight_decay θ (Loshchilov and Hutter, 2019).

    A built-in rule names the core's ``rule``. A user's own writes ``update`` on NumPy arrays instead, and
    ``state_names`` where it keeps anything between steps. Its public attributes are the arguments of its constructor,
    which is what ``config`` gives.
    """

    rule: ClassVar[str] = ""
    _free = ("learning_rate",)
    _in_python = ("update",)
    _in_core = ("rule", "bind")
    decoupled_weight_decay: bool = False

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any],
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        name = type(self).__name__
        self.learning_rate = learning_rate
        self.weight_decay = at_least(0.0, f"{name}: weight_decay", weight_decay)
        if decoupled_weight_decay is not None:  # a rule that always decouples takes no such argument
            self.decoupled_weight_decay = flag(f"{name}: decoupled_weight_decay", decoupled_weight_decay)
        self.clip_norm = None if clip_norm is None else above_zero(f"{name}: clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else above_zero(f"{name}: clip_value", clip_value)
        if clip_norm is not None and clip_value is not None:
            raise OptionError(f"{name}: choose clip_norm or clip_value, not both")

    @property
    def in_python(self) -> bool:
        """Whether ``update`` computes it."""
        return not self.rule

    @property
    def learning_rate(self) -> float | Schedule:
        """How far a step goes: a number of at least 0, or a schedule of such numbers."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule | dict[str, Any]) -> None:
        made = as_schedule("learning_rate", value)
        self._learning_rate = at_least(0.0, "learning_rate", value) if made is None else made

    def rate(self, update: int) -> float:
        """Return the learning rate of the update number ``update``, counted from 0."""
        rate = self._learning_rate
        return at_least(0.0, f"{type(rate).__name__} at update {update}", rate(update)) if callable(rate) else rate

    def rates(self, first: int, count: int) -> NDArray[np.float64] | None:
        """Return the learning rates of ``count`` updates from number ``first`` on; None where none differs."""
        if not callable(self._learning_rate):
            return None
        return np.array([self.rate(update) for update in range(first, first + count)], np.float64)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The arrays, each as long as the parameters and 0 at first, that the rule keeps between steps."""
        return ()

    def bind(
        self,
        plan: _core.Plan,
        parameters: _core.Slot,
        gradients: _core.Slot,
        state: dict[str, _core.Slot],
        squares: _core.Slot | None = None,
    ) -> None:
        """Record the update of ``parameters`` by ``gradients``.

        ``squares``: the sum of the squares of all gradients of the model, where ``clip_norm`` asks for it. The step's
        learning rate and count are read as it runs.
        """
        if not self.rule:
            self._bind_python(plan, parameters, gradients, state, squares)
            return
        _core.update_parameters(
            plan,
            self.rule,
            parameters,
            gradients,
            state,
            squares=squares,
            clip_norm=self.clip_norm,
            clip_value=self.clip_value,
            weight_decay=self.weight_decay,
            decoupled=self.decoupled_weight_decay,
            **self.options(),
        )

    def options(self) -> dict[str, Any]:
        """Return the rule's own numbers as ``_core.update_parameters`` names them."""
        return {}

    def update(
        self, parameters: FloatArray, gradients: FloatArray, state: dict[str, FloatArray], learning_rate: float, t: int
    ) -> None:
        """Change ``parameters`` and ``state`` in place, given the gradients; for rules written in Python.

        All arrays are one-dimensional and equally long. ``gradients`` have been clipped and decayed already. ``t``: the
        number of the update, 1 at first.
        """
        raise NotImplementedError(f"{type(self).__name__} writes no update")

    def _bind_python(
        self,
        plan: _core.Plan,
        parameters: _core.Slot,
        gradients: _core.Slot,
        state: dict[str, _core.Slot],
        squares: _core.Slot | None,
    ) -> None:
        """Record ``update`` as a callback; see ``bind``."""

        def flat(slot: _core.Slot) -> FloatArray:
            return np.asarray(plan.array(slot)).reshape(-1)

        def run() -> None:
            p, g, rate = flat(parameters), flat(gradients).copy(), plan.learning_rate
            if squares is not None and self.clip_norm is not None:
                g *= np.float32(min(1.0, self.clip_norm / (math.sqrt(plan.scalar(squares)) + 1e-6)))
            if self.clip_value is not None:
                np.clip(g, -self.clip_value, self.clip_value, out=g)
            if self.decoupled_weight_decay:
                p -= np.float32(rate * self.weight_decay) * p
            else:
                g += np.float32(self.weight_decay) * p
            self.update(p, g, {name: flat(slot) for name, slot in state.items()}, rate, plan.counters[1])

        reads = [gradients] if squares is None else [gradients, squares]
        plan.callback(type(self).__name__, run, reads=reads, writes=[parameters, *state.values()])

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        rate = self._learning_rate
        described = registry.describe("schedule", rate) if isinstance(rate, Schedule) else rate
        return {"learning_rate": described, **super().config()}

    def __repr__(self) -> str:
        given = {"learning_rate": self.learning_rate, **super().config()}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def at_least(low: float, name: str, value: Any) -> float:
    """Return ``value`` as a finite float of at least ``low``, or raise ``OptionError``."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= low) or isinstance(value, (bool, str)):
        raise OptionError(f"{name} must be a finite number of at least {low:g}, got {value!r}")
    return number


def above_zero(name: str, value: Any) -> float:
    """Return ``value`` as a finite float above 0, or raise ``OptionError``."""
    number = at_least(0.0, name, value)
    if number == 0.0:
        raise OptionError(f"{name} must be above 0, got {value!r}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return ``value`` as a float, 0 <= value < 1, or raise ``OptionError``."""
    number = at_least(0.0, name, value)
    if number >= 1:
        raise OptionError(f"{name} must be at least 0 and below 1, got {value!r}")
    return number
