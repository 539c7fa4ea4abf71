"""Saving an example's pictures where matplotlib is installed, and saying how to get it where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rn

FOLDER = Path("pictures")


def save_picture(name: str, draw: Callable[[Path], Any]) -> None:
    """Call ``draw(path)`` for ``pictures/<name>`` and say where the picture is."""
    path = FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    try:
        draw(path)
    except rn.errors.MissingExtraError as error:
        print(f"no picture: {error}")
    else:
        print(f"picture: {path}")
