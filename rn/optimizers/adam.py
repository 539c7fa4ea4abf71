"""Adam."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.errors import flag
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["Adam"]


@registry.register("optimizer", "adam")
class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε) with running means of the gradient and of its square.

    m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at the t-th update.
    Kingma and Ba, 2015; the rule of torch.optim.Adam. ``amsgrad``: the largest v so far takes the place of v.

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
        amsgrad: bool = False,
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
        self.beta_1 = fraction("Adam: beta_1", beta_1)
        self.beta_2 = fraction("Adam: beta_2", beta_2)
        self.epsilon = at_least(0.0, "Adam: epsilon", epsilon)
        self.amsgrad = flag("Adam: amsgrad", amsgrad)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("mean", "variance", "largest") if self.amsgrad else ("mean", "variance")

    def options(self) -> dict[str, Any]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
