"""Matrix products, m × n × k: cubes, dense layers, convolutions seen as products."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows.row import Row
from benchmarks.work import Gemm

__all__ = ["SHAPES", "rows"]

SHAPES = (
    *((size, size, size) for size in (64, 128, 256, 512, 1024)),
    *((32, 128, 784), (128, 128, 9216), (64, 1024, 576), (24, 676, 9), (30, 121, 216), (64, 576, 288)),
)


def rows() -> Iterator[Row]:
    """Yield a row for each shape."""
    for m, n, k in SHAPES:
        yield Row(f"gemm/{m}x{n}x{k}", Gemm(m, n, k))
