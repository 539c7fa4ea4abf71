"""Transforms of batches of 128 small images beside the same done image by image; one thread, as rn has for them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows.row import Row
from benchmarks.work import Images

__all__ = ["rows"]


def rows() -> Iterator[Row]:
    """Yield a row for each transform and type, and one for all of them in a row."""
    for dtype in ("uint8", "float32"):
        for transform in ("flip", "crop", "affine", "jitter", "cutout", "normalize", "mixup", "all"):
            yield Row(f"images/{transform}/{dtype}", Images(transform, dtype), threads=1, brief=True)
