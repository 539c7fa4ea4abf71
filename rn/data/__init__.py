"""Preparing data: tables, test parts, labels, and batches with transforms on their way to a model."""

from __future__ import annotations

from rn.data import transforms
from rn.data.draws import Draws
from rn.data.labels import one_hot
from rn.data.loader import DataLoader
from rn.data.split import train_test_split

__all__ = ["DataLoader", "Draws", "one_hot", "train_test_split", "transforms"]
