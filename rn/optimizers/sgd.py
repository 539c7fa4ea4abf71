"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.errors import OptionError, flag
from rn.optimizers.base import Optimizer, fraction
from rn.schedules import Schedule

__all__ = ["SGD"]


@registry.register("optimizer", "sgd")
class SGD(Optimizer):
    """v ← μ v + g; θ ← θ - η v, or with Nesterov's form θ ← θ - η (g + μ v).

    Sutskever et al., 2013; the rule of torch.optim.SGD.

    η: ``learning_rate`` (0.01); μ: ``momentum`` (0). ``nesterov`` needs momentum. The other
    arguments: see ``Optimizer``.
    """

    rule = "sgd"

    def __init__(
        self,
        learning_rate: float | Schedule | dict[str, Any] = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        self.momentum = fraction("SGD: momentum", momentum)
        self.nesterov = flag("SGD: nesterov", nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise OptionError("SGD: nesterov needs a momentum above 0")

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def options(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "nesterov": self.nesterov}
