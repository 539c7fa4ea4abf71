"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from rn import _core, registry
from rn.errors import OptionError
from rn.optimizers.base import Optimizer, at_least, fraction

__all__ = ["SGD"]


@registry.register("optimizer", "sgd")
class SGD(Optimizer):
    """v ← μ v + g; θ ← θ - η v, or with Nesterov's form θ ← θ - η (g + μ v).

    Sutskever et al., 2013; the rule of torch.optim.SGD.

    η: ``learning_rate`` (0.01); μ: ``momentum`` (0); g: the gradient plus ``weight_decay`` θ (0: an L2 penalty).
    ``nesterov`` needs momentum.
    """

    def __init__(
        self, learning_rate: float = 0.01, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("SGD: momentum", momentum)
        self.nesterov = bool(nesterov)
        self.weight_decay = at_least(0.0, "SGD: weight_decay", weight_decay)
        if self.nesterov and self.momentum == 0.0:
            raise OptionError("SGD: nesterov needs a momentum above 0")

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def bind(
        self, plan: _core.Plan, parameters: _core.Slot, gradients: _core.Slot, state: dict[str, _core.Slot]
    ) -> None:
        _core.sgd(
            plan,
            parameters,
            gradients,
            state.get("velocity"),
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )

    def config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.weight_decay,
        }
