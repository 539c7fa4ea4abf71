"""Cutting a test part off a data set, at random or so that each class keeps its share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rn import _core
from rn.errors import DtypeError, LabelError, OptionError, ShapeError, is_real, refuse_masked, seed_number

__all__ = ["train_test_split"]

SPLIT = 4 << 24  # the purpose of the draw that orders the samples of a split

Array = npt.NDArray[Any]


def train_test_split(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    test_size: float = 0.25,
    stratify: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Return ``(x_train, x_test, y_train, y_test)``: the n samples in random order, some of them kept for testing.

    x and y are arrays of n samples along axis 0, of any type and further axes; the parts are copies. A ``test_size``
    between 0 and 1 is a share, of which ceil(n test_size) samples come; a whole number is the number of samples.

    With ``stratify``, n class labels (usually y itself), each class gives its exact share of the test samples, rounded
    up or down, and has at least one sample in either part. The split depends on ``seed``, n, ``test_size`` and
    ``stratify`` only; it is the same on every machine.

    Raises ``ShapeError`` if lengths differ, ``OptionError`` if a part would be empty or would lack a class and unless
    0 <= seed < 2^64, ``LabelError`` if a class has one sample only, ``DtypeError`` if labels are neither numbers nor
    strings.
    """
    x, y = as_samples("x", x), as_samples("y", y)
    n = len(x)
    if len(y) != n:
        raise ShapeError(f"x and y must have as many samples, got {n} and {len(y)}")
    tests = samples_for_testing(n, test_size)
    order = np.empty(n, dtype=np.int64)
    _core.shuffle(order, seed_number("seed", seed), SPLIT)
    if stratify is None:
        test, train = order[:tests], order[tests:]
    else:
        chosen = first_of_each_class(class_indices(stratify, n)[order], tests)
        test, train = order[chosen], order[~chosen]
    return x[train], x[test], y[train], y[test]


def as_samples(name: str, values: npt.ArrayLike) -> Array:
    """Return ``values`` as an array with an axis of samples; raise under ``name`` if they are none, or masked."""
    refuse_masked(name, values)
    try:
        array = np.asarray(values)
    except ValueError as error:
        pair = "; give x and y as two arguments" if isinstance(values, tuple) and len(values) == 2 else ""
        raise ShapeError(f"{name} is not an array: {error}{pair}") from error
    except (TypeError, RuntimeError) as error:
        raise DtypeError(f"{name} cannot be read as an array of numbers: {error}") from error
    if array.ndim == 0 and isinstance(values, Iterable) and array.dtype.kind == "O":
        raise DtypeError(f"{name} must be an array or a list of samples, got {type(values).__name__}")
    if array.ndim == 0:
        raise ShapeError(f"{name} must have an axis of samples, got the single value {values!r:.80}")
    return array


def samples_for_testing(n: int, test_size: float) -> int:
    """Return how many of n samples are for testing; ``OptionError`` if that leaves a part without any."""
    if not is_real(test_size):
        raise OptionError(f"test_size must be a share between 0 and 1 or a number of samples, got {test_size!r}")
    if isinstance(test_size, int | np.integer):
        tests = int(test_size)
    elif 0 < test_size < 1:
        tests = math.ceil(n * float(test_size))
    else:
        raise OptionError(f"test_size as a share must be above 0 and below 1, got {test_size}")
    if not 0 < tests < n:
        raise OptionError(
            f"test_size={test_size} of {n} samples leaves {max(n - tests, 0)} for training and {tests} for testing: "
            "both need at least one"
        )
    return tests


def class_indices(stratify: npt.ArrayLike, n: int) -> npt.NDArray[np.intp]:
    """Return the class of each sample, numbered 0, 1, … in the order of the sorted labels."""
    refuse_masked("stratify", stratify)
    labels = np.asarray(stratify)
    if labels.shape != (n,):
        raise ShapeError(f"stratify must have one label for each of the {n} samples, got shape {labels.shape}")
    if labels.dtype.kind not in "biufUS":
        raise DtypeError(f"stratify must hold numbers or strings, got {labels.dtype}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise LabelError(f"stratify has NaN as the label of sample {int(np.isnan(labels).argmax())}")
    names, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise LabelError(
            f"stratify has one sample only of class {names[counts.argmin()]}: a class needs one to train, one to test"
        )
    return classes


def first_of_each_class(classes: npt.NDArray[np.intp], tests: int) -> npt.NDArray[np.bool_]:
    """Return which samples are for testing: of each class the first ones, as many as is its share of ``tests``."""
    counts = np.bincount(classes)
    by_class = np.argsort(classes, kind="stable")
    rank_in_class = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.empty(len(classes), dtype=np.bool_)
    chosen[by_class] = rank_in_class < np.repeat(class_shares(counts, tests), counts)
    return chosen


def class_shares(counts: npt.NDArray[np.intp], tests: int) -> npt.NDArray[np.intp]:
    """Return how many of ``tests`` come from each class of ``counts`` samples: the largest remainders are rounded up.

    A class is never left without a sample for either part; ``OptionError`` where that cannot be done by rounding.
    """
    n = int(counts.sum())
    # The exact share of a class is counts * tests / n, computed in whole numbers.
    down, remainder = np.divmod(counts * tests, n)
    least = np.maximum(down, 1)
    most = np.minimum(down + (remainder > 0), counts - 1)
    more = tests - int(least.sum())
    if not 0 <= more <= int((most - least).sum()):
        raise OptionError(
            f"{n - tests} samples for training and {tests} for testing are too uneven for {len(counts)} classes, the "
            f"smallest of {counts.min()} samples: a class would be missing from a part"
        )
    shares = least
    can_grow = np.flatnonzero(least < most)
    shares[can_grow[np.argsort(-remainder[can_grow], kind="stable")[:more]]] += 1
    return shares
