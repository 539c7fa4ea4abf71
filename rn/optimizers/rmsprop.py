"""RMSProp."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, at_least, fraction
from rn.schedules import Schedule

__all__ = ["RMSProp"]


@registry.register("optimizer", "rmsprop")
class RMSProp(Optimizer):
    """s ← ρ s + (1 - ρ) g²; d = g / (√s + ε); θ ← θ - η d, or with momentum v ← μ v + d; θ ← θ - η v.

    Where ``centered``, s less the square of the gradient's running mean takes the place of s. Tieleman and Hinton,
    2012; centered: Graves, 2013; the rule of torch.optim.RMSprop.

    η: ``learning_rate`` (0.01); ρ: ``rho`` (0.99, PyTorch's alpha); μ: ``momentum`` (0); ε: ``epsilon`` (1e-8).
    The other arguments: see ``Optimizer``.
    """

    rule = "rmsprop"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.01,
        *,
        rho: float = 0.99,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
        centered: bool = False,
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
        self.rho = fraction("RMSProp: rho", rho)
        self.momentum = fraction("RMSProp: momentum", momentum)
        self.epsilon = at_least(0.0, "RMSProp: epsilon", epsilon)
        self.centered = bool(centered)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("variance", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0.0))

    def options(self) -> dict[str, Any]:
        return {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon}
