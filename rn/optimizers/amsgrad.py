"""AMSGrad."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["AMSGrad"]


@registry.register("optimizer", "amsgrad")
class AMSGrad(Optimizer):
    """Adam with the largest v so far in the place of v: θ ← θ - η m̂ / (√(max v / (1 - β₂ᵗ)) + ε).

    Reddi et al., 2018; the rule of torch.optim.Adam with amsgrad.

    η: ``learning_rate`` (0.001); ``beta_1`` (0.9); ``beta_2`` (0.999); ``epsilon`` (1e-8). The other
    arguments: see ``Optimizer``.
    """

    rule = "adam"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
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
        self.beta_1 = fraction("AMSGrad: beta_1", beta_1)
        self.beta_2 = fraction("AMSGrad: beta_2", beta_2)
        self.epsilon = at_least(0.0, "AMSGrad: epsilon", epsilon)

    @property
    def state_names(self) -> tuple[str, ...]:
        return "mean", "variance", "largest"

    def options(self) -> dict[str, Any]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
