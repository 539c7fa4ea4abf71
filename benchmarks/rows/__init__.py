"""The rows of the table, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from benchmarks.rows import conv, elementwise, gemm, images, nets
from benchmarks.rows.row import NOISE, Row

__all__ = ["NOISE", "Row", "chosen", "every"]


def every() -> Iterator[Row]:
    """Yield every row."""
    for group in (nets, gemm, conv, elementwise, images):
        yield from group.rows()


def chosen(patterns: Sequence[str]) -> list[Row]:
    """Return the rows whose name has a pattern in it, in which * stands for anything; all without patterns."""
    return [row for row in every() if not patterns or any(fnmatchcase(row.name, f"*{word}*") for word in patterns)]
