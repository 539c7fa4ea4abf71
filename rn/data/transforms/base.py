"""The contract of transforms, and several of them in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn.data.draws import Batch, Draws
from rn.errors import DtypeError, OptionError, ShapeError

__all__ = ["Compose", "Transform"]

Array = NDArray[Any]


class Transform:
    """Changes a batch of samples. Subclass it, or give any object or function with this signature.

    ``transform(x, y, draws)`` returns the new (x, y). x is an array of n samples, images as (n, c, h, w) of uint8 or
    float32; y their targets, n rows, or None. The arrays must not be written into: copy what changes. All randomness
    comes from ``draws`` (see ``rn.data.Draws``), whose numbers belong to a sample and not to its batch; then a sample
    comes out the same in a batch of any size, on any thread.
    """

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        """Return the transformed (x, y)."""
        raise NotImplementedError(f"{type(self).__name__} has no method transform(x, y, draws)")

    def __call__(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        """Return the transformed (x, y)."""
        return self.transform(x, y, draws)

    def __repr__(self) -> str:
        options = ", ".join(
            f"{name}={value.tolist() if isinstance(value, np.ndarray) else value!r}"
            for name, value in vars(self).items()
        )
        return f"{type(self).__name__}({options})"


class Compose(Transform):
    """Applies transforms one after the other; those of a ``Compose`` among them count as its own.

    An exception in a transform carries a note that names it. Raises ``OptionError`` for what cannot be called.
    """

    def __init__(self, transforms: Iterable[Callable[[Array, Array | None, Draws], Batch]]) -> None:
        self.transforms: list[Callable[[Array, Array | None, Draws], Batch]] = []
        for one in transforms:
            if not callable(one) or isinstance(one, type):
                raise OptionError(f"transforms must be objects or functions transform(x, y, draws), got {one!r:.80}")
            self.transforms += one.transforms if isinstance(one, Compose) else [one]

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        for place, one in enumerate(self.transforms):
            try:
                x, y = one(x, y, draws.at(place, self._before(place, draws)))
                check_rows(x, y, len(draws.indices))
            except Exception as error:
                error.add_note(f"in transform {place} of {len(self.transforms)}, {one!r}, epoch {draws.epoch}")
                raise
        return x, y

    def _before(self, place: int, draws: Draws) -> Callable[[NDArray[np.int64]], Batch]:
        """Return the function that gives samples of the data set as the transforms before ``place`` leave them."""
        earlier = Compose(self.transforms[:place])
        return lambda indices: earlier.transform(*draws.samples(indices), draws.of(indices))


def check_rows(x: Array, y: Array | None, samples: int) -> None:
    """Raise ``ShapeError`` where a transform has lost samples or added some."""
    for name, rows in (("x", x), ("y", y)):
        if rows is not None and len(rows) != samples:
            raise ShapeError(f"the transform was given {samples} samples and returned {len(rows)} rows of {name}")


def images(x: Array, name: str) -> Array:
    """Return ``x``, C-contiguous, if it is images that a transform called ``name`` can work on; raise if not."""
    if x.ndim != 4:
        raise ShapeError(f"{name} takes images of shape (n, channels, height, width), got {x.shape}")
    if x.dtype not in (np.uint8, np.float32):
        raise DtypeError(f"{name} takes uint8 or float32 images, got {x.dtype}")
    return np.ascontiguousarray(x)


def number(name: str, value: Any, low: float, high: float = np.inf) -> float:
    """Return ``value`` as a float from ``low`` to ``high``; ``OptionError`` under ``name`` if it is not that."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= float(value) <= high:
        raise OptionError(f"{name} must be a number from {low} to {high}, got {value!r}")
    return float(value)


def whole(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int of at least ``low``; ``OptionError`` under ``name`` if it is not that."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise OptionError(f"{name} must be a whole number of at least {low}, got {value!r}")
    return int(value)


def pair(name: str, value: Any) -> tuple[float, float]:
    """Return the range ``value``: (low, high), or for one number v the range (-v, v)."""
    if isinstance(value, tuple | list) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
        if low <= high:
            return low, high
    elif not isinstance(value, tuple | list):
        size = number(name, value, 0)
        return -size, size
    raise OptionError(f"{name} must be a number, or a pair (low, high) with low <= high, got {value!r}")
