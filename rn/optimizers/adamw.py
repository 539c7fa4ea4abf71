"""AdamW."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.errors import flag
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["AdamW"]


@registry.register("optimizer", "adamw")
class AdamW(Optimizer):
    """Adam with decoupled weight decay: θ ← θ - η λ θ - η m̂ / (√v̂ + ε), m̂ and v̂ as in ``Adam``.

    Loshchilov and Hutter, 2019; the rule of torch.optim.AdamW. ``amsgrad``: as in ``Adam``.

    η: ``learning_rate`` (0.001); ``beta_1`` (0.9); ``beta_2`` (0.999); ``epsilon`` (1e-8);
    λ: ``weight_decay`` (0.01). The other arguments: see ``Optimizer``.
    """

    rule = "adam"
    decoupled_weight_decay = True

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            clip_value=clip_value,
        )
        self.beta_1 = fraction("AdamW: beta_1", beta_1)
        self.beta_2 = fraction("AdamW: beta_2", beta_2)
        self.epsilon = at_least(0.0, "AdamW: epsilon", epsilon)
        self.amsgrad = flag("AdamW: amsgrad", amsgrad)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("mean", "variance", "largest") if self.amsgrad else ("mean", "variance")

    def options(self) -> dict[str, Any]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
