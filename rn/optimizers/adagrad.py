"""Adagrad."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.base import Optimizer, at_least
from rn.schedules import Schedule

__all__ = ["Adagrad"]


@registry.register("optimizer", "adagrad")
class Adagrad(Optimizer):
    """s ← s + g²; θ ← θ - η g / (√s + ε): each parameter's rate shrinks with the squares of its gradients so far.

    Duchi et al., 2011; the rule of torch.optim.Adagrad (without lr_decay, for which there are schedules, and with s
    beginning at 0).

    η: ``learning_rate`` (0.01); ε: ``epsilon`` (1e-10). The other arguments: see ``Optimizer``.
    """

    rule = "adagrad"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.01,
        *,
        epsilon: float = 1e-10,
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
        self.epsilon = at_least(0.0, "Adagrad: epsilon", epsilon)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("variance",)

    def options(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}
