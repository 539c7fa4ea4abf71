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

    An exception in a transform carries a note that names it and the sample of the data set that it fails for. Raises
    ``OptionError`` for what cannot be called, ``DtypeError`` and ``ShapeError`` for what a transform must not return.
    """

    def __init__(self, transforms: Iterable[Callable[[Array, Array | None, Draws], Batch]]) -> None:
        self.transforms: list[Callable[[Array, Array | None, Draws], Batch]] = []
        for one in transforms:
            if not callable(one) or isinstance(one, type):
                raise OptionError(f"transforms must be objects or functions transform(x, y, draws), got {one!r:.80}")
            self.transforms += one.transforms if isinstance(one, Compose) else [one]

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        for place, one in enumerate(self.transforms):
            own = draws.at(place, self._before(place, draws))
            try:
                x, y = checked_batch(one, one(x, y, own), x, y)
            except Exception as error:
                where = f"in transform {place} of {len(self.transforms)}, {one!r}, epoch {draws.epoch}"
                error.add_note(f"{where}, {_failing(one, x, y, own)}")
                raise
        return x, y

    def _before(self, place: int, draws: Draws) -> Callable[[NDArray[np.int64]], Batch]:
        """Return the function that gives samples of the data set as the transforms before ``place`` leave them."""
        earlier = Compose(self.transforms[:place])
        return lambda indices: earlier.transform(*draws.samples(indices), draws.of(indices))


def checked_batch(transform: Any, made: Any, x: Array, y: Array | None) -> Batch:
    """Return what ``transform`` made of (x, y), as arrays, if it is as many rows; else raise, naming the transform."""
    name = getattr(transform, "__name__", type(transform).__name__)
    if not isinstance(made, (tuple, list)) or len(made) != 2 or made[0] is None:
        raise DtypeError(f"the transform {name} must return (x, y), two arrays or an array and None, got {made!r:.80}")
    arrays = np.asarray(made[0]), None if made[1] is None else np.asarray(made[1])
    for what, array, before in (("x", arrays[0], x), ("y", arrays[1], y)):
        if array is None:
            continue
        if array.shape[:1] != (len(x),):
            count = len(array) if array.ndim else "no"
            raise ShapeError(f"the transform {name} was given {len(x)} samples and returned {count} rows of {what}")
        if array.dtype.kind not in "fiub" and before is not None and before.dtype.kind in "fiub":
            raise DtypeError(f"the transform {name} was given numbers and returned {what} of dtype {array.dtype}")
    return arrays


def _failing(transform: Callable[..., Any], x: Array, y: Array | None, draws: Draws) -> str:
    """Return which sample it is that ``transform`` fails for, trying them one by one.

    All of them, where none fails alone or each does.
    """
    failing: list[int] = []
    for row, index in enumerate(draws.indices):
        at = slice(row, row + 1)
        try:
            part = x[at], None if y is None else y[at]
            checked_batch(transform, transform(*part, draws.of(draws.indices[at])), *part)
        except Exception:
            failing.append(index)
        if 0 < len(failing) <= row:  # one fails and another does not
            return f"sample {failing[0]} of the data set"
    return f"samples {', '.join(map(str, draws.indices))} of the data set"


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
