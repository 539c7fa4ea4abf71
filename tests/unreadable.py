"""What NumPy cannot read: as a tensor of another library in a type that NumPy does not know."""

from __future__ import annotations

from typing import NoReturn


class Unreadable:
    """Refuses to become an array, as tensors of bfloat16 do (``TypeError``), or ones whose gradient is tracked."""

    def __init__(self, error: type[Exception] = TypeError) -> None:
        self.error = error

    def __array__(self, dtype: object = None, copy: object = None) -> NoReturn:
        raise self.error("there is no bfloat16 here")
