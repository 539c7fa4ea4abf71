"""Losses: what training makes small. Each is a mean over batch and outputs; the cross-entropies are means over samples.

A loss says what targets it takes, and records the kernel that computes its value and, in training, d loss / d
prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rn import _core, registry

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Loss", "MeanAbsoluteError", "MeanSquaredError", "get"]


class Loss:
    """The contract.

    ``takes_classes``: whether integer labels mean classes; if not, targets are arrays shaped as the prediction.
    """

    takes_classes: ClassVar[bool] = False
    from_logits: bool = False

    def doorway(self) -> Callable[..., None]:
        """Return the core's doorway that records this loss.

        It takes (plan, prediction, target, loss) and by name ``gradient`` and ``weights``; where ``takes_classes``,
        ``target_classes`` as well.
        """
        raise NotImplementedError

    def bind(
        self,
        plan: _core.Plan,
        prediction: _core.Slot,
        target: _core.Slot,
        *,
        target_classes: bool,
        gradient: _core.Slot | None,
        weights: _core.Slot | None,
    ) -> _core.Slot:
        """Record the loss of a batch and, where ``gradient`` is given, its gradient; return the float64 scalar's slot.

        ``target``: (n,) classes as int32 where ``target_classes``, else shaped as ``prediction``. ``weights``: (n,)
        factors of the samples; the loss is the sum of w_i l_i over n.
        """
        loss = plan.kept((2,))
        classes = {"target_classes": target_classes} if self.takes_classes else {}
        self.doorway()(plan, prediction, target, loss, gradient=gradient, weights=weights, **classes)
        return loss

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return dict(vars(self))


@registry.register("loss", "mse")
class MeanSquaredError(Loss):
    """L = mean (p - t)²; dL/dp = 2 (p - t) / (n outputs)."""

    def doorway(self) -> Callable[..., None]:
        return _core.mse


@registry.register("loss", "mae")
class MeanAbsoluteError(Loss):
    """L = mean |p - t|; dL/dp = sign(p - t) / (n outputs), 0 where p = t."""

    def doorway(self) -> Callable[..., None]:
        return _core.mae


@registry.register("loss", "cross_entropy")
class CrossEntropy(Loss):
    """L = -mean_i log p_i[t_i] for classes t, or -mean_i Σ_j t_ij log p_ij for rows of probabilities t.

    Takes probabilities, clamped to at least 1e-7; after a softmax both are computed together from the logits x, stable
    for any finite x, with the gradient (softmax(x) - t) / n. ``from_logits``: the prediction is logits, and the softmax
    is part of the loss.
    """

    takes_classes = True

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def doorway(self) -> Callable[..., None]:
        return _core.softmax_cross_entropy if self.from_logits else _core.cross_entropy


@registry.register("loss", "binary_cross_entropy")
class BinaryCrossEntropy(Loss):
    """L = -mean (t log p + (1 - t) log (1 - p)) over batch and outputs.

    Takes probabilities, clamped to [1e-7, 1 - 1e-7]; after a sigmoid both are computed together from the logits x,
    stable for any finite x, with the gradient (sigmoid(x) - t) / (n outputs). ``from_logits``: the prediction is
    logits, and the sigmoid is part of the loss.
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def doorway(self) -> Callable[..., None]:
        return _core.sigmoid_binary_cross_entropy if self.from_logits else _core.binary_cross_entropy


def get(value: str | Loss | type[Loss] | dict[str, Any]) -> Loss:
    """Return the loss that a name, class, description or object stands for."""
    return registry.create("loss", value, Loss)
