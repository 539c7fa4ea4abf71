"""Preparing data: tables, test parts, labels, and batches with transforms on their way to a model."""

from __future__ import annotations

from rn.data import transforms
from rn.data.draws import Draws
from rn.data.labels import one_hot
from rn.data.loader import DataLoader
from rn.data.split import train_test_split
from rn.data.table import Table, read_csv

__all__ = ["DataLoader", "Draws", "Table", "one_hot", "read_csv", "train_test_split", "transforms"]
