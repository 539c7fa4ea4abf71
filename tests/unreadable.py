"""What NumPy cannot read: as a tensor of another library in a type that NumPy does not know."""

from __future__ import annotations

from typing import NoReturn


class Unreadable:
    """Refuses to become an array."""

    def __array__(self, dtype: object = None, copy: object = None) -> NoReturn:
        raise TypeError("there is no bfloat16 here")
