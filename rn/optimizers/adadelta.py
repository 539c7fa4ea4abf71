"""Adadelta."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["Adadelta"]


@registry.register("optimizer", "adadelta")
class Adadelta(Optimizer):
    """s ← ρ s + (1 - ρ) g²; d = g √(c + ε) / √(s + ε); c ← ρ c + (1 - ρ) d²; θ ← θ - η d.

    Zeiler, 2012; the rule of torch.optim.Adadelta.

    η: ``learning_rate`` (1); ρ: ``rho`` (0.9); ε: ``epsilon`` (1e-6). The other arguments: see ``Optimizer``.
    """

    rule = "adadelta"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 1.0,
        *,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            clip_norm=clip_norm,
            clip_value=clip_value,
        )
        self.rho = fraction("Adadelta: rho", rho)
        self.epsilon = at_least(0.0, "Adadelta: epsilon", epsilon)

    @property
    def state_names(self) -> tuple[str, ...]:
        return "variance", "changes"

    def options(self) -> dict[str, Any]:
        return {"rho": self.rho, "epsilon": self.epsilon}
