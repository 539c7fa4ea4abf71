"""Preparing data: cutting off a test part, class numbers as rows of zeros and a one."""

from __future__ import annotations

from rn.data.labels import one_hot
from rn.data.split import train_test_split

__all__ = ["one_hot", "train_test_split"]
