"""1,797 handwritten digits of 8 × 8 pixels, bundled: enough to see a convolutional net learn in seconds, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rn.errors import flag

__all__ = ["CLASS_NAMES", "load_digits"]

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

FILE = Path(__file__).parent / "bundled" / "digits.csv.gz"
BRIGHTEST = 16


def load_digits(*, raw: bool = False) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return ``(x, y)``: images of shape (n, 1, 8, 8) and their digits of shape (n,), n = 1797.

    x is float32 in [0, 1]; with ``raw=True`` it is uint8 from 0 to 16, as the file has it. y is int64. The set has no
    test part of its own; ``rn.data.train_test_split(x, y, stratify=y)`` cuts one off.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49, CC BY 4.0.
    """
    raw = flag("raw", raw)
    table = np.loadtxt(FILE, dtype=np.uint8, delimiter=",", encoding="ascii")
    x = np.ascontiguousarray(table[:, :64]).reshape(-1, 1, 8, 8)
    y = table[:, 64].astype(np.int64)
    return (x if raw else np.divide(x, BRIGHTEST, dtype=np.float32)), y
