"""Adam."""

from __future__ import annotations

from typing import Any

from rn import _core, registry
from rn.optimizers.base import Optimizer, at_least, fraction

__all__ = ["Adam"]


@registry.register("optimizer", "adam")
class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε) with running means of the gradient and of its square.

    m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at the t-th update.
    Kingma and Ba, 2015; the rule of torch.optim.Adam.

    η: ``learning_rate`` (0.001); ``beta_1`` (0.9); ``beta_2`` (0.999); ``epsilon`` (1e-8); g: the gradient plus
    ``weight_decay`` θ (0: an L2 penalty).
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate)
        self.beta_1 = fraction("Adam: beta_1", beta_1)
        self.beta_2 = fraction("Adam: beta_2", beta_2)
        self.epsilon = at_least(0.0, "Adam: epsilon", epsilon)
        self.weight_decay = at_least(0.0, "Adam: weight_decay", weight_decay)

    @property
    def state_names(self) -> tuple[str, ...]:
        return "mean", "variance"

    def bind(
        self, plan: _core.Plan, parameters: _core.Slot, gradients: _core.Slot, state: dict[str, _core.Slot]
    ) -> None:
        _core.adam(
            plan,
            parameters,
            gradients,
            state["mean"],
            state["variance"],
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )

    def config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay,
        }
