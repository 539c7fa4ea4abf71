"""Nadam."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["Nadam"]


@registry.register("optimizer", "nadam")
class Nadam(Optimizer):
    """Adam with Nesterov's momentum: m̂ = μₜ₊₁ m / (1 - Πμₜ₊₁) + (1 - μₜ) g / (1 - Πμₜ), Πμₜ = μ₁ … μₜ.

    m and v as in ``Adam``; μₜ = β₁ (1 - 0.96^(t ψ) / 2); θ ← θ - η m̂ / (√v̂ + ε). Dozat, 2016; the rule of
    torch.optim.NAdam.

    η: ``learning_rate`` (0.002); ``beta_1`` (0.9); ``beta_2`` (0.999); ``epsilon`` (1e-8);
    ψ: ``momentum_decay`` (0.004). The other arguments: see ``Optimizer``.
    """

    rule = "nadam"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.002,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
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
        self.beta_1 = fraction("Nadam: beta_1", beta_1)
        self.beta_2 = fraction("Nadam: beta_2", beta_2)
        self.epsilon = at_least(0.0, "Nadam: epsilon", epsilon)
        self.momentum_decay = at_least(0.0, "Nadam: momentum_decay", momentum_decay)

    @property
    def state_names(self) -> tuple[str, ...]:
        return "mean", "variance"

    def options(self) -> dict[str, Any]:
        return {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "momentum_decay": self.momentum_decay,
        }
