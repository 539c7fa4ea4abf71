"""Tables for standard output, whose encoding may not have their lines and signs."""

from __future__ import annotations

import sys

__all__ = ["for_stdout"]

PLAIN = str.maketrans({"─": "-", "…": "~", "µ": "u"})


def for_stdout(text: str) -> str:
    """Return ``text``; where standard output cannot encode it, with ASCII for lines and signs, and "?" for the rest."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text
