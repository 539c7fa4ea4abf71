"""Transforms that change targets: Mixup, LabelSmoothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rn import _core
from rn.data.draws import Batch, Draws
from rn.data.labels import one_hot
from rn.data.transforms.base import Array, Transform, number, whole
from rn.errors import LabelError, OptionError

__all__ = ["LabelSmoothing", "Mixup"]

TRIES = 4  # made at once


class Mixup(Transform):
    """Mixes each sample with another of the data set, chosen at random: m x + (1 - m) x', and the targets alike.

    m is drawn from Beta(``alpha``, ``alpha``), 0 < alpha <= 2. x' comes from the whole data set, not from the batch,
    and has passed the transforms before this one. x becomes float32; uint8 keeps its scale of 0 to 255. Integer
    labels become rows of ``classes`` numbers; other targets are mixed as they are.

    Raises ``LabelError`` for integer labels without ``classes``. Source: Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup:
    beyond empirical risk minimization".
    """

    def __init__(self, alpha: float = 0.2, classes: int | None = None) -> None:
        self.alpha = number("alpha of Mixup", alpha, 0, 2)
        if self.alpha == 0:
            raise OptionError("alpha of Mixup must be above 0")
        self.classes = classes if classes is None else whole("classes of Mixup", classes, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        other_x, other_y = draws.samples(draws.integers(0, draws.total)[:, 0])
        share = beta(self.alpha, draws)
        mixed = mix(x, other_x, share)
        if y is None or other_y is None:
            return mixed, y
        rows, other_rows = (as_rows(targets, self.classes, "Mixup") for targets in (y, other_y))
        return mixed, mix(rows, other_rows, share)


class LabelSmoothing(Transform):
    """Gives each class a part of the certainty: a target row t becomes (1 - s) t + s / classes, s = ``smoothing``.

    Integer labels become rows of ``classes`` numbers first; rows, such as ``Mixup`` gives, keep their width. Raises
    ``LabelError`` for integer labels without ``classes``. Source: Szegedy and others 2016, "Rethinking the Inception
    architecture for computer vision".
    """

    def __init__(self, smoothing: float = 0.1, classes: int | None = None) -> None:
        self.smoothing = number("smoothing of LabelSmoothing", smoothing, 0, 1)
        self.classes = classes if classes is None else whole("classes of LabelSmoothing", classes, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        if y is None:
            return x, y
        rows = as_rows(y, self.classes, "LabelSmoothing")
        if rows.ndim != 2:
            raise LabelError(f"LabelSmoothing takes integer labels (n,) or rows (n, classes), got shape {rows.shape}")
        return x, rows * np.float32(1 - self.smoothing) + np.float32(self.smoothing / rows.shape[1])


def as_rows(y: Array, classes: int | None, name: str) -> NDArray[np.float32]:
    """Return integer labels as rows of zeros and a one, other targets as float32."""
    if y.dtype.kind not in "fiub":
        raise LabelError(
            f"{name} takes integer labels or rows of numbers, got targets of dtype {y.dtype}; names become labels by "
            "names, labels = np.unique(y, return_inverse=True)"
        )
    if y.dtype.kind not in "iu" or y.ndim != 1:
        return y.astype(np.float32)
    if classes is None:
        raise LabelError(f"{name} needs to know how many classes integer labels have: {name}(classes=…)")
    return one_hot(y, classes)


def mix(a: Array, b: Array, share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 share a + (1 - share) b, one share a sample."""
    kept = np.uint8 if a.dtype == b.dtype == np.uint8 else np.float32
    mixed = np.empty(a.shape, np.float32)
    rows = mixed.reshape(len(a), -1) if len(a) else mixed.reshape(0, 0)
    _core.mix_rows(np.ascontiguousarray(a, kept), np.ascontiguousarray(b, kept), rows, share)
    return mixed


def beta(alpha: float, draws: Draws) -> NDArray[np.float32]:
    """Return a number of Beta(alpha, alpha) for each sample, by Jöhnk's method.

    Of u, v uniform, a = u^(1/alpha) and b = v^(1/alpha): where a + b <= 1, a / (a + b) is distributed so. Each sample
    tries its own numbers until they fit; how often others had to try is not seen in them. Logarithms keep a small
    alpha from giving 0 / 0.
    """
    share = np.full(len(draws.indices), np.nan)
    while (waiting := np.isnan(share)).any():
        # 1 - u is in (0, 1].
        a, b = np.log(1 - draws.uniform(count=2 * TRIES).astype(np.float64)).reshape(-1, TRIES, 2).T / alpha
        fits = np.logaddexp(a, b) <= 0
        first = fits.argmax(axis=0), np.arange(len(share))
        found = 1 / (1 + np.exp(np.minimum(b[first] - a[first], 700)))
        share = np.where(waiting & fits.any(axis=0), found, share)
    return share.astype(np.float32)
