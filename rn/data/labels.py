"""Class numbers as rows of zeros and a one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rn.errors import LabelError, OptionError, ShapeError, refuse_masked

__all__ = ["one_hot"]


def one_hot(labels: npt.ArrayLike, classes: int | None = None) -> npt.NDArray[np.float32]:
    """Return float32 rows of shape (n, classes): row i is 1 in column ``labels[i]`` and 0 elsewhere.

    ``labels`` are n whole numbers from 0 to ``classes`` - 1, of shape (n,). Without ``classes`` there is a column for
    each number up to the largest label: where a part of the data may lack the last class, say how many there are.

    Raises ``ShapeError`` unless ``labels`` has one axis; ``LabelError`` if they are not of an integer type, negative,
    too large for ``classes``, or empty with no ``classes`` given; ``OptionError`` unless ``classes`` is a whole number
    above 0.
    """
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 1):
        raise OptionError(f"classes must be a whole number above 0, got {classes!r}")
    numbers = class_numbers(labels)
    if numbers.size == 0:
        if classes is None:
            raise LabelError("no labels, from which the number of classes could be told: pass classes")
        return np.zeros((0, int(classes)), dtype=np.float32)
    lowest, highest = int(numbers.min()), int(numbers.max())
    if lowest < 0:
        raise LabelError(f"labels must be 0 or above, got {lowest} in row {int(numbers.argmin())}")
    if classes is None:
        classes = highest + 1
    elif highest >= classes:
        raise LabelError(
            f"labels must be below the number of classes, {classes}, got {highest} in row {int(numbers.argmax())}"
        )
    rows = np.zeros((numbers.size, int(classes)), dtype=np.float32)
    rows[np.arange(numbers.size), numbers] = 1
    return rows


def class_numbers(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return ``labels`` as an array of one axis and an integer type, or say why they are not that."""
    refuse_masked("labels", labels)
    try:
        numbers = np.asarray(labels)
    except ValueError:
        raise ShapeError("labels must have shape (n,), got rows of different lengths") from None
    if numbers.ndim != 1:
        raise ShapeError(f"labels must have shape (n,), got {numbers.shape}")
    if numbers.size > 0 and numbers.dtype.kind not in "iu":
        raise LabelError(f"labels must be whole numbers of an integer type, got {numbers.dtype}")
    return numbers
