"""Normalisation of every feature or channel by the statistics of a data set, fixed before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, initializers, registry
from rn.errors import DtypeError, OptionError, ShapeError, StateError, refuse_masked
from rn.layers.base import Layer, Shape

__all__ = ["Normalization"]

Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]


@registry.register("layer", "normalization")
class Normalization(Layer):
    """y = (x - m) / √v, with m and v the mean and the variance of the feature, or channel, over a data set.

    x and y: (n, features) or (n, channels, h, w). ``adapt(data)`` computes m and v, the buffers ``mean`` and
    ``variance``, one number a feature or channel; they are saved with the model, so that it takes data as it comes. A
    feature that never changes has v = 1 and becomes 0, as in scikit-learn's ``StandardScaler``. Nothing here is
    trained. 8 FLOPs an element.

    Arguments: ``mean`` and ``variance``, numbers or one number a feature, in the place of ``adapt``, both or neither;
    ``name``. Raises ``OptionError`` for what are no finite numbers or for a negative variance, ``DtypeError`` for
    masked arrays; ``ShapeError`` in ``build`` for an input that is neither vector nor image, or of another number of
    features; ``StateError`` when the model is trained or predicts before the statistics are known.
    """

    def __init__(
        self, mean: ArrayLike | None = None, variance: ArrayLike | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if (mean is None) != (variance is None):
            raise OptionError("Normalization: give mean and variance, or neither and call adapt(data)")
        self.given = mean is not None
        self._statistics: Statistics | None = None
        if mean is not None and variance is not None:
            self._statistics = _numbers("mean", mean), _ones_for_zeros(_numbers("variance", variance))

    def adapt(self, data: ArrayLike | _core.Tensor4D | Iterable[Any]) -> None:
        """Take the mean and variance of ``data``, in float64: v = mean of (x - m)².

        ``data``: samples (n, features) or (n, channels, h, w), a ``Tensor4D`` of features as the model takes it, (n,
        features, 1, 1) or (1, 1, n, features); or an iterable of such batches, each alone or first in a tuple, such as
        a ``DataLoader`` or a list of arrays. Before or after the layer is part of a model. Raises ``ShapeError`` for
        samples of another shape than the layer's, and for no samples; ``DtypeError`` for what are no numbers;
        ``OptionError`` for NaN and infinities, and where mean or variance are beyond float32's range.
        """
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        for batch in _batches(data):
            x = self._samples(batch, None if count == 0 else len(mean))
            axes = (0, *range(2, x.ndim))
            size = x.size // max(x.shape[1], 1)
            if size == 0:
                continue
            own = x.mean(axis=axes)
            around = x - own.reshape(1, -1, *(1,) * (x.ndim - 2))
            own_squares = (around**2).sum(axis=axes)
            # Chan, Golub and LeVeque 1983: the moments of two sets together.
            away, total = own - mean, count + size
            mean = mean + away * (size / total)
            squares = squares + own_squares + away**2 * (count * size / total)
            count = total
        if count == 0:
            raise ShapeError(f"layer {self._title()} adapts to samples, but there are none")
        variance = squares / count
        # What rounding leaves of a feature that never changes: Chan, Golub and LeVeque's bound, as in scikit-learn.
        noise = (count * np.finfo(np.float64).eps * mean) ** 2
        variance = _ones_for_zeros(np.where(variance <= noise, 0.0, variance))
        if self.output_shape is not None:
            self.set(mean=mean, variance=variance)
        self._statistics = mean, variance

    def _samples(self, batch: Any, features: int | None) -> NDArray[np.float64]:
        samples = batch[0] if isinstance(batch, tuple) and len(batch) else batch
        refuse_masked("data", samples)
        try:
            x = np.asarray(samples)
        except ValueError:
            raise ShapeError(f"layer {self._title()} adapts to samples of one shape, got several") from None
        if x.dtype.kind not in "fiub":
            raise DtypeError(f"layer {self._title()} adapts to numbers, got dtype {x.dtype}")
        if isinstance(samples, _core.Tensor4D) and (self.input_shape is None or len(self.input_shape) == 1):
            matrix = x.shape[:2] == (1, 1)
            x = x[0, 0] if matrix else x[:, :, 0, 0] if x.shape[2:] == (1, 1) else x
        if x.ndim not in (2, 4):
            raise ShapeError(
                f"layer {self._title()} adapts to samples (n, features) or (n, channels, height, width), got shape "
                f"{x.shape}"
            )
        if self.input_shape is not None and x.shape[1:] != self.input_shape:
            raise ShapeError(f"layer {self._title()} takes samples of shape {self.input_shape}, got {x.shape[1:]}")
        if features is not None and x.shape[1] != features:
            raise ShapeError(f"layer {self._title()}: batches of {features} and of {x.shape[1]} features")
        if not np.isfinite(x).all():
            raise OptionError(f"layer {self._title()} adapts to finite numbers, got NaN or an infinity")
        return x.astype(np.float64)

    def _title(self) -> str:
        return repr(self.name or "normalization")

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        if len(input_shape) not in (1, 3):
            raise ShapeError(
                f"layer {self.name!r} takes vectors (features,) or images (channels, height, width), but without the "
                f"batch axis its input has shape {input_shape}"
            )
        channels = input_shape[0]
        # NaN until the layer is adapted: what reads them says so.
        mean, variance = (np.full(channels, np.nan),) * 2 if self._statistics is None else self._statistics
        for what, numbers in (("mean", mean), ("variance", variance)):
            if numbers.size not in (1, channels):
                raise ShapeError(
                    f"layer {self.name!r} has {numbers.size} numbers as its {what}, but its input has {channels} "
                    "features"
                )
            self.add_buffer(what, np.broadcast_to(numbers, (channels,)))
        return input_shape

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        if np.isnan(self._buffers["mean"]).any():
            raise StateError(
                f"layer {self.name!r} is not adapted yet: call layer.adapt(x) with the training samples, before the "
                "model is trained or predicts"
            )
        y = self.output_slot(plan)
        options: dict[str, Any] = {"by_batch": False}
        saved = _core.batch_norm(
            plan, x, y, self.buffer_slot(plan, "mean"), self.buffer_slot(plan, "variance"), epsilon=0.0, **options
        )
        if plan.wants_gradient(x):
            with plan.backward():
                _core.batch_norm_gradient(plan, x, plan.gradient(y), saved, plan.gradient(x), **options)
        return y

    def config(self) -> dict[str, Any]:
        if not self.given or self._statistics is None:
            return {}
        mean, variance = self._statistics
        return {"mean": mean.tolist(), "variance": variance.tolist()}


def _batches(data: Any) -> Iterator[Any]:
    """Yield the batches of ``data``, which may be one itself."""
    if isinstance(data, list) and data and _is_batch(data[0]):
        yield from data
    elif isinstance(data, (_core.Tensor4D, np.ndarray, list)) or hasattr(data, "__array__"):
        yield data
    elif isinstance(data, Iterable):
        yield from data
    else:
        raise DtypeError(f"Normalization adapts to an array of samples or to batches, got {type(data).__name__}")


def _is_batch(item: Any) -> bool:
    """Whether the first item of a list is a batch, alone or first in a tuple, rather than a sample."""
    first = item[0] if isinstance(item, tuple) and len(item) else item
    return isinstance(first, _core.Tensor4D) or getattr(first, "ndim", 0) in (2, 4)


def _numbers(what: str, given: ArrayLike) -> NDArray[np.float64]:
    refuse_masked(what, given, "Normalization: ")
    try:
        numbers = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError):
        raise OptionError(f"Normalization: {what} must be numbers, got {given!r:.80}") from None
    if (
        numbers.ndim != 1
        or not numbers.size
        or not np.isfinite(numbers).all()
        or (what == "variance" and numbers.min() < 0)
    ):
        least = ", none below 0" if what == "variance" else ""
        raise OptionError(f"Normalization: {what} must be finite numbers, one a feature{least}; got {given!r:.80}")
    return numbers


def _ones_for_zeros(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return variances with 1 for those of features that never change (as float32 has it)."""
    return np.where(np.minimum(variance, 1.0).astype(np.float32) > 0.0, variance, 1.0)
