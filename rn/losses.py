"""Losses: what training makes small.

Each is a mean over batch and outputs; those that compare distributions over classes, ``cross_entropy`` and
``kl_divergence``, are means over samples.

A loss says what targets it takes, and records the kernel that computes its value and, in training, d loss / d
prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, registry
from rn.errors import OptionError, flag, read_only, returned

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "KLDivergence",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
    "get",
]

# What the numbers of a target may be: any finite ones, at least 0, in [0, 1], rows that sum to 1, or -1 and 1.
TargetRange = Literal["any", "not negative", "share", "probabilities", "signs"]


@registry.contract("loss")
class Loss(registry.Settled):
    """The contract.

    ``takes_classes``: whether integer labels mean classes; if not, targets are arrays shaped as the prediction.
    ``target_range``: what the numbers of such arrays may be. ``threshold``: where each output is a yes or no of its
    own, above which number it, or its target, means yes: metrics of classes go by it; else None.
    ``mean_over_samples``: whether a batch's loss is the mean of its samples', so that the gradients of a batch's parts
    add up to its own.
    """

    takes_classes: ClassVar[bool] = False
    target_range: ClassVar[TargetRange] = "any"
    threshold: ClassVar[float | None] = None
    mean_over_samples: ClassVar[bool] = True
    from_logits: bool = False
    _in_python = ("value", "gradient")
    _in_core = ("doorway", "bind")

    def value(self, prediction: NDArray[np.float32], target: NDArray[Any]) -> ArrayLike:
        """Return the loss of each sample, (n,); for losses written in Python, which have no ``doorway``.

        ``prediction``: (n, outputs), or (n, c, h, w) of images. ``target``: the same shape, or int32 classes (n,) where
        the loss takes classes and got some. Both can be read only. Means and samples' weights are the base class's
        business.
        """
        raise NotImplementedError(f"{type(self).__name__} writes neither doorway nor value")

    def gradient(self, prediction: NDArray[np.float32], target: NDArray[Any]) -> ArrayLike:
        """Return the derivative of each sample's ``value`` by its prediction, shaped as the prediction.

        Over n, what is beyond float32's range becomes an infinity.
        """
        raise NotImplementedError(f"{type(self).__name__} writes no gradient, so it cannot be trained with")

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
        if self.in_python:
            return self._bind_python(plan, prediction, target, target_classes, gradient, weights)
        loss = plan.kept((2,))
        options = self.options()
        classes = {"target_classes": target_classes} if self.takes_classes else {}
        self.doorway()(plan, prediction, target, loss, gradient=gradient, weights=weights, **classes, **options)
        return loss

    def options(self) -> dict[str, Any]:
        """Return what the doorway takes beside the tensors, by name."""
        return {}

    def finish(self, mean: float) -> float:
        """Return the loss of any number of samples, given the mean over them of what ``bind`` recorded."""
        return mean

    def _bind_python(
        self,
        plan: _core.Plan,
        prediction: _core.Slot,
        target: _core.Slot,
        target_classes: bool,
        gradient: _core.Slot | None,
        weights: _core.Slot | None,
    ) -> _core.Slot:
        """Record ``value`` and ``gradient`` as a callback; see ``bind``."""
        loss, n = plan.kept((2,)), plan.batch
        shape = prediction.shape if prediction.shape[2:] != (1, 1) else prediction.shape[:2]

        def run() -> None:
            p = read_only(plan.array(prediction), shape)
            t = read_only(plan.array(target), (-1,) if target_classes else shape)
            t = t.view(np.int32) if target_classes else t
            w = np.ones(n, np.float32) if weights is None else np.asarray(plan.array(weights)).reshape(-1)
            values = self._checked("value", self.value(p, t), (n,))
            # Worked out before anything is written: the prediction may end here.
            slopes = None if gradient is None else self._checked("gradient", self.gradient(p, t), shape)
            np.asarray(plan.array(loss)).reshape(-1).view(np.float64)[0] = values @ w.astype(np.float64) / n
            if gradient is not None and slopes is not None:
                factors = (w / np.float32(n)).reshape(-1, *[1] * (len(shape) - 1))
                into = np.asarray(plan.array(gradient)).reshape(shape)
                with np.errstate(over="ignore"):
                    np.multiply(slopes, factors, out=into, casting="same_kind")

        reads = [prediction, target] if weights is None else [prediction, target, weights]
        plan.callback(type(self).__name__, run, reads=reads, writes=[loss] if gradient is None else [loss, gradient])
        return loss

    def _checked(self, method: str, made: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return returned(f"{type(self).__name__}.{method}", made, shape).astype(np.float64, copy=False)

    @property
    def in_python(self) -> bool:
        """Whether ``value`` computes it."""
        return type(self).doorway is Loss.doorway


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


@registry.register("loss", "msle")
class MeanSquaredLogarithmicError(Loss):
    """L = mean (log(1 + p) - log(1 + t))², of targets of at least 0.

    A prediction below 0 is taken for 0, in the derivative too: its gradient still points to the target.
    """

    target_range = "not negative"

    def doorway(self) -> Callable[..., None]:
        return _core.msle


@registry.register("loss", "rmse")
class RootMeanSquaredError(Loss):
    """L = √(mean (p - t)²); dL/dp = (p - t) / (n outputs L), 0 where L = 0.

    Training takes the root of each batch; what is reported is the root of the mean over all samples.
    """

    mean_over_samples = False

    def doorway(self) -> Callable[..., None]:
        return _core.rmse

    def finish(self, mean: float) -> float:
        return math.sqrt(mean) if mean >= 0.0 else math.nan


@registry.register("loss", "huber")
class Huber(Loss):
    """L = mean h(p - t), h(d) = d² / 2 for |d| up to ``delta``, beyond it delta (|d| - delta / 2) (Huber, 1964).

    As ``torch.nn.HuberLoss``. ``delta`` is above 0, 1 unless given.
    """

    def __init__(self, delta: float = 1.0) -> None:
        if isinstance(delta, bool) or not isinstance(delta, Real) or not 0 < delta < math.inf:
            raise OptionError(f"huber: delta must be a number above 0, got {delta!r}")
        self.delta: float = float(delta)

    def doorway(self) -> Callable[..., None]:
        return _core.huber

    def options(self) -> dict[str, Any]:
        return {"delta": self.delta}


@registry.register("loss", "hinge")
class Hinge(Loss):
    """L = mean max(0, 1 - t p) for targets t of -1 or 1; dL/dp = -t / (n outputs) where t p < 1, else 0."""

    target_range = "signs"
    threshold = 0.0

    def doorway(self) -> Callable[..., None]:
        return _core.hinge


@registry.register("loss", "kl_divergence")
class KLDivergence(Loss):
    """L = mean_i Σ_j t_ij log(t_ij / p_ij) for rows of probabilities p and t; 0 log 0 is 0.

    The mean over samples, as ``cross_entropy``, of which it is what the target's own entropy leaves, and as PyTorch's
    "batchmean". Takes probabilities, clamped to at least 1e-7; after a softmax both are computed together from the
    logits, stable for any finite ones. ``from_logits``: the prediction is logits, and the softmax is part of the loss.
    """

    target_range = "probabilities"

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = flag(f"{type(self).__name__}: from_logits", from_logits)

    def doorway(self) -> Callable[..., None]:
        return _core.softmax_kl_divergence if self.from_logits else _core.kl_divergence


@registry.register("loss", "cross_entropy")
class CrossEntropy(Loss):
    """L = -mean_i log p_i[t_i] for classes t, or -mean_i Σ_j t_ij log p_ij for rows of probabilities t.

    Takes probabilities, clamped to at least 1e-7; after a softmax both are computed together from the logits x, stable
    for any finite x, with the gradient (softmax(x) - t) / n. ``from_logits``: the prediction is logits, and the softmax
    is part of the loss.
    """

    takes_classes = True
    target_range = "probabilities"

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = flag(f"{type(self).__name__}: from_logits", from_logits)

    def doorway(self) -> Callable[..., None]:
        return _core.softmax_cross_entropy if self.from_logits else _core.cross_entropy


@registry.register("loss", "binary_cross_entropy")
class BinaryCrossEntropy(Loss):
    """L = -mean (t log p + (1 - t) log (1 - p)) over batch and outputs.

    Takes probabilities, clamped to [1e-7, 1 - 1e-7]; after a sigmoid both are computed together from the logits x,
    stable for any finite x, with the gradient (sigmoid(x) - t) / (n outputs). ``from_logits``: the prediction is
    logits, and the sigmoid is part of the loss.
    """

    target_range = "share"
    threshold = 0.5  # of probabilities, which metrics see also where the loss takes logits

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = flag(f"{type(self).__name__}: from_logits", from_logits)

    def doorway(self) -> Callable[..., None]:
        return _core.sigmoid_binary_cross_entropy if self.from_logits else _core.binary_cross_entropy


def get(value: str | Loss | type[Loss] | dict[str, Any]) -> Loss:
    """Return the loss that a name, class, description or object stands for."""
    return registry.create("loss", value, Loss)
