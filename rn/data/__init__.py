"""Preparing data: tables, test parts, labels, and batches with transforms on their way to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rn.data import transforms
from rn.data.draws import Draws
from rn.data.labels import one_hot
from rn.data.loader import DataLoader
from rn.data.split import train_test_split

if TYPE_CHECKING:
    from rn.data.table import Table, read_csv

__all__ = ["DataLoader", "Draws", "Table", "one_hot", "read_csv", "train_test_split", "transforms"]


def __getattr__(name: str) -> Any:
    if name in ("Table", "read_csv"):  # models need the loader, and leave tables alone
        from rn.data import table

        return getattr(table, name)
    raise AttributeError(f"module 'rn.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
