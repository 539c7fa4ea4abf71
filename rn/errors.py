"""The exceptions that rn raises, each also the built-in error that a caller would expect.

Every message says which layer or argument is meant, what came, what was expected and, where it helps, what to do.
``flag``, ``entries``, ``is_real``, ``seed_number``, ``refuse_masked``, ``read_only``, ``naming`` and ``returned`` guard
what several modules take from users and lend them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DownloadError",
    "DtypeError",
    "FileError",
    "LabelError",
    "MissingExtraError",
    "OptionError",
    "RnError",
    "ShapeError",
    "StateError",
]


class RnError(Exception):
    """The base of every exception that rn raises on purpose."""


class ShapeError(RnError, ValueError):
    """An array has the wrong number of axes, channels, features or rows."""


class DtypeError(RnError, TypeError):
    """A value has a type that cannot be used, such as an array of Python objects."""


class LabelError(RnError, ValueError):
    """Labels or targets do not fit the loss: out of range, of the wrong kind, or not a number."""


class OptionError(RnError, ValueError):
    """An argument has an unknown name or a value outside its range."""


class StateError(RnError, RuntimeError):
    """A method was called at the wrong time, such as ``fit`` before ``compile``."""


class FileError(RnError, ValueError):
    """A file is damaged, foreign, truncated or absurdly large; nothing of it was used."""


class DownloadError(RnError, RuntimeError):
    """A data set is neither on disk nor reachable."""


class MissingExtraError(RnError, RuntimeError):
    """An optional package is not installed; the message names the extra that brings it."""


def flag(what: str, value: Any) -> bool:
    """Return ``value``, True or False, NumPy's too, 1 or 0, as a bool; ``OptionError`` for all else, such as "no"."""
    if isinstance(value, (bool, int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise OptionError(f"{what} must be True or False, got {value!r:.80}")


def entries(what: str, given: Any, *wanted: str) -> list[Any]:
    """Return those entries of ``given``, a dict as ``config()`` gives it; ``DtypeError`` where it is no such dict."""
    taken = f"{what} must be a dict as config() gives it"
    if not isinstance(given, Mapping):
        raise DtypeError(f"{taken}, got {type(given).__name__}")
    missing = [key for key in wanted if key not in given]
    if missing:
        raise DtypeError(f"{taken}; this one has no {missing[0]!r}")
    return [given[key] for key in wanted]


def is_real(value: Any) -> bool:
    """Whether ``value`` is a whole or floating number of Python's or NumPy's, and no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def seed_number(what: str, value: Any) -> int:
    """Return ``value`` as an int from 0 to 2^64 - 1, the seeds that differ; ``OptionError`` for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
        raise OptionError(f"{what} must be a whole number from 0 to 2**64 - 1, got {value!r:.80}")
    return int(value)


def refuse_masked(name: str, values: Any, owner: str = "") -> None:
    """Raise ``DtypeError`` for a masked array or a list of such: plain ones would show the numbers that masks hide."""
    ma = sys.modules.get("numpy.ma")  # which NumPy imports when it is used
    if ma is None:
        return
    if isinstance(values, ma.MaskedArray):
        raise DtypeError(
            f"{owner}{name} is a masked array, whose hidden numbers would be taken for data: "
            f"pass {name}.filled(value), or leave out the samples that are masked"
        )
    if isinstance(values, (list, tuple)) and _holds(values, ma.MaskedArray):
        raise DtypeError(
            f"{owner}{name} holds masked arrays, whose hidden numbers would be taken for data: "
            "fill them (array.filled(value)), or leave out the samples that are masked"
        )


def _holds(values: Sequence[Any], kind: type) -> bool:
    """Whether lists in lists hold a ``kind``; rows that begin with a number are taken for numbers."""
    seen, left = set(), [values]  # a list may hold itself
    while left:
        row = left.pop()
        if id(row) in seen or not row or is_real(row[0]):
            continue
        seen.add(id(row))
        for value in row:
            if isinstance(value, kind):
                return True
            if isinstance(value, (list, tuple)):
                left.append(value)
    return False


def read_only(tensor: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return ``tensor`` as an array of ``shape`` that a user's own method cannot write into."""
    array = np.asarray(tensor).reshape(shape)
    array.flags.writeable = False
    return array


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Add a line that says ``where`` to an exception that leaves the block, below its own words."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised in {where}")
        raise


def returned(method: str, made: Any, shape: tuple[int, ...], what: str = "") -> NDArray[Any]:
    """Return what a user's own ``method`` made as an array of numbers of ``shape``; if it is none, say what came."""
    wanted = f"expected {what}{shape}"
    try:
        array = np.asarray(made)
    except ValueError:
        raise ShapeError(f"{method} returned rows of different lengths, {wanted}") from None
    if array.dtype.kind not in "fiub":
        came = f"dtype {array.dtype}" if array.ndim else type(made).__name__
        raise DtypeError(f"{method} returned {came}, not numbers, {wanted}")
    if array.shape != shape:
        raise ShapeError(f"{method} returned shape {array.shape}, {wanted}")
    return array
