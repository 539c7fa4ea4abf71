"""Whether a file can be written, asked before training begins: once an epoch is done, its work would be lost."""

from __future__ import annotations

import os

from rn.errors import OptionError

__all__ = ["refuse_unwritable"]


def refuse_unwritable(owner: str, path: str, *, replaces: bool) -> None:
    """Raise ``OptionError`` where no file can be written at ``path``: no such folder, or one that may not be written.

    ``replaces``: whether a new file is made in the folder for each, which takes the place of an old one; otherwise an
    old one is written into. What stands behind a name in braces, which an epoch fills in, is not known yet.
    """
    known, brace, _ = path.partition("{")
    folder = os.path.dirname(known if brace else os.path.realpath(path)) or os.curdir
    if not os.path.isdir(folder):
        raise OptionError(
            f"{owner}: {path!r} cannot be written, there is no folder {folder!r}: make it first, by os.makedirs"
        )
    if not brace and os.path.isdir(path):
        raise OptionError(f"{owner}: {path!r} is a folder; give the path of a file in it")
    target = folder if replaces or brace or not os.path.exists(path) else path
    if not os.access(target, os.W_OK):
        raise OptionError(f"{owner}: {path!r} cannot be written, {target!r} is read-only; choose another place")
