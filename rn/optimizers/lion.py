"""Lion."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, fraction
from rn.schedules import Schedule

__all__ = ["Lion"]


@registry.register("optimizer", "lion")
class Lion(Optimizer):
    """θ ← θ - η (sign(β₁ m + (1 - β₁) g) + λ θ); m ← β₂ m + (1 - β₂) g.

    Every parameter moves by η, in the direction of momentum: rates are to be three to ten times smaller than Adam's.
    Chen et al., 2023, and its defaults.

    η: ``learning_rate`` (0.0001); ``beta_1`` (0.9); ``beta_2`` (0.99); λ: ``weight_decay`` (0), always decoupled.
    The other arguments: see ``Optimizer``.
    """

    rule = "lion"
    decoupled_weight_decay = True

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.0001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            clip_value=clip_value,
        )
        self.beta_1 = fraction("Lion: beta_1", beta_1)
        self.beta_2 = fraction("Lion: beta_2", beta_2)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("mean",)

    def options(self) -> dict[str, Any]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2}
