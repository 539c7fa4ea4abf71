"""Operations of ``Tensor4D`` on 4,096, 1 million and 4 million elements; one thread, as NumPy has for them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows.row import Row
from benchmarks.work import Elementwise

__all__ = ["OPERATIONS", "SIZES", "rows"]

SIZES = (4096, 1048576, 4194304)
OPERATIONS = (
    *("copy", "negative", "abs", "add", "add in place", "add channels", "multiply", "multiply by number", "divide"),
    *("square", "power", "less", "clip", "relu", "sqrt", "exp", "log", "tanh", "sigmoid", "softmax"),
    *("sum", "sum channels", "mean", "var", "norm", "max", "argmax", "transpose", "pad", "slice"),
)


def rows() -> Iterator[Row]:
    """Yield a row for each operation and size."""
    for size in SIZES:
        for operation in OPERATIONS:
            yield Row(f"elementwise/{operation}/{size}", Elementwise(operation, size), threads=1)
