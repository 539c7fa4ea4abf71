"""Tables of comma-separated values as the arrays that a model takes."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn.errors import FileError, OptionError, flag

__all__ = ["Table", "read_csv"]

# What stands for a value that nobody knows, whatever its case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
TOO_LARGE = (2 - 2**-24) * 2.0**127  # the least number that is not rounded to a finite float32
NAMED = 10  # how many missing values a message names

Rows = list[list[str]]


@dataclass(frozen=True)
class Table:
    """What ``read_csv`` has read.

    ``x``: float32 (n, features). ``y``: the target of each row, int64 classes or float32 numbers, (n,); None without a
    target. ``feature_names``: of the columns of x; ``target_name``: of y. ``class_names``: what the classes 0, 1, … of
    y are called in the file, in sorted order; None where y holds no classes. ``missing``: (row, column name) of each
    missing value of the file; rows count from 1, the header is none.
    """

    x: NDArray[np.float32]
    y: NDArray[Any] | None
    feature_names: tuple[str, ...]
    target_name: str | None
    class_names: tuple[str, ...] | None
    missing: tuple[tuple[int, str], ...]


def read_csv(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    header: bool = True,
    delimiter: str = ",",
    missing: str = "refuse",
    classes: bool | None = None,
) -> Table:
    """Read a table of numbers, one row a sample, and return it as a ``Table``.

    ``target``: the column to predict, by name or by number from 0 (-1 is the last); all others become x. ``header``:
    whether the first row names the columns; without one they are called "0", "1" and so on. ``classes``: whether the
    target holds class labels; unless given it does where one of its values is not a number. Labels that are numbers are
    compared as numbers: 1 and 1.0 are one class. A column of x must hold finite numbers alone.

    Missing values (an empty cell, NA, N/A, NaN, null, None or ?) make ``missing="refuse"`` raise ``FileError``, which
    names their rows and columns. With ``"drop"`` such rows are left out; with ``"nan"`` a feature becomes NaN, and only
    a missing target is refused.

    Raises ``FileError`` for a file that cannot be read, has no rows, rows of different lengths, one column name twice,
    text among the numbers or one beyond float32; ``OptionError`` for an unknown target or option. Files are read as
    UTF-8.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise OptionError(f"path must be the name of a file, got {path!r:.80}")
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise OptionError(f"delimiter must be one character, got {delimiter!r:.80}")
    if missing not in ("refuse", "drop", "nan"):
        raise OptionError(f'missing must be "refuse", "drop" or "nan", got {missing!r}')
    classes = None if classes is None else flag("classes", classes)
    names, rows = read_rows(path, flag("header", header), delimiter)
    column = target_column(target, names)
    gaps = [(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell.lower() in MISSING]
    refused = gaps if missing == "refuse" else [] if missing == "drop" else [gap for gap in gaps if gap[1] == column]
    if refused:
        raise FileError(f"{os.fspath(path)} has {described(refused, names)}")
    with_gaps = {i for i, _ in gaps} if missing == "drop" else set()
    kept = [i for i in range(len(rows)) if i not in with_gaps]
    if not kept:
        raise FileError(f"{os.fspath(path)} has no row without a missing value")
    features = [j for j in range(len(names)) if j != column]
    x = np.empty((len(kept), len(features)), np.float32)
    for k, j in enumerate(features):
        x[:, k] = numbers(rows, kept, j, names[j], path)
    y, class_names = (None, None) if column is None else targets(rows, kept, column, names[column], path, classes)
    return Table(
        x,
        y,
        tuple(names[j] for j in features),
        None if column is None else names[column],
        class_names,
        tuple((i + 1, names[j]) for i, j in gaps),
    )


def read_rows(path: str | os.PathLike[str], header: bool, delimiter: str) -> tuple[list[str], Rows]:
    """Return the names of the columns and the rows of stripped cells, all of one length; blank lines are skipped."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter) if row]
    except OSError as error:
        raise FileError(f"{os.fspath(path)} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileError(f"{os.fspath(path)} is not a table of comma-separated values in UTF-8: {error}") from error
    except ValueError as error:
        raise OptionError(f"{os.fspath(path)!r} cannot be read with the delimiter {delimiter!r}: {error}") from error
    rows = table[1:] if header else table
    if not rows:
        raise FileError(f"{os.fspath(path)} has no rows of values")
    names = table[0] if header else [str(j) for j in range(len(rows[0]))]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise FileError(f"{os.fspath(path)} has {len(row)} cells in row {i + 1}, expected {len(names)}")
    for name in names:
        if names.count(name) > 1:
            raise FileError(f"{os.fspath(path)} has more than one column called {name!r}")
    return names, rows


def target_column(target: str | int | None, names: list[str]) -> int | None:
    """Return the number of the column called or numbered ``target``; ``OptionError`` if there is none."""
    if target is None:
        return None
    if isinstance(target, str) and target in names:
        return names.index(target)
    if isinstance(target, Integral) and not isinstance(target, bool) and -len(names) <= target < len(names):
        return int(target) % len(names)
    raise OptionError(f"target {target!r} is not a column; there are {', '.join(map(repr, names))}")


def described(gaps: list[tuple[int, int]], names: list[str]) -> str:
    """Return in words where values are missing."""
    places = "; ".join(f"row {i + 1}, column {names[j]!r}" for i, j in gaps[:NAMED])
    more = f" and {len(gaps) - NAMED} more" if len(gaps) > NAMED else ""
    return f"{len(gaps)} missing {'value' if len(gaps) == 1 else 'values'}: {places}{more}"


def numbers(rows: Rows, kept: list[int], j: int, name: str, path: str | os.PathLike[str]) -> list[float]:
    """Return column ``j`` of the rows ``kept`` as numbers, NaN for missing ones.

    ``FileError`` where one is text or beyond float32.
    """
    values = []
    for i in kept:
        cell = rows[i][j]
        missing = cell.lower() in MISSING
        if not missing and not is_number(cell):
            raise FileError(f"{os.fspath(path)} has {cell!r} in row {i + 1}, column {name!r}, expected a number")
        value = math.nan if missing else float(cell)
        if abs(value) >= TOO_LARGE:
            raise FileError(
                f"{os.fspath(path)} has {cell!r} in row {i + 1}, column {name!r}, beyond 3.4e38, the end of float32"
            )
        values.append(value)
    return values


def targets(
    rows: Rows, kept: list[int], j: int, name: str, path: str | os.PathLike[str], classes: bool | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the targets in column ``j`` and, where they are classes, the names of these."""
    from decimal import Decimal  # for tables alone

    cells = [rows[i][j] for i in kept]
    if classes is None:
        classes = not all(map(is_number, cells))
    if not classes:
        return np.array(numbers(rows, kept, j, name, path), np.float32), None
    # Labels that are numbers keep their order as numbers, 2 before 10; of 1 and 1.0 the shortest names the class.
    label: Callable[[str], Any] = Decimal if all(map(is_number, cells)) else str
    shortest_last = sorted(set(cells), key=lambda cell: (-len(cell), cell))
    names = dict(sorted({label(cell): cell for cell in shortest_last}.items()))
    order = {value: number for number, value in enumerate(names)}
    return np.array([order[label(cell)] for cell in cells], np.int64), tuple(names.values())


def is_number(cell: str) -> bool:
    """Whether ``cell`` is written as a number."""
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False
