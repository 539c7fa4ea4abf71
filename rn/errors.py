"""The exceptions that rn raises, each also the built-in error that a caller would expect.

Every message says which layer or argument is meant, what came, what was expected and, where it helps, what to do.
"""

from __future__ import annotations

__all__ = [
    "DownloadError",
    "DtypeError",
    "FileError",
    "LabelError",
    "MissingExtraError",
    "OptionError",
    "RnError",
    "ShapeError",
    "StateError",
]


class RnError(Exception):
    """The base of every exception that rn raises on purpose."""


class ShapeError(RnError, ValueError):
    """An array has the wrong number of axes, channels, features or rows."""


class DtypeError(RnError, TypeError):
    """A value has a type that cannot be used, such as an array of Python objects."""


class LabelError(RnError, ValueError):
    """Labels or targets do not fit the loss: out of range, of the wrong kind, or not a number."""


class OptionError(RnError, ValueError):
    """An argument has an unknown name or a value outside its range."""


class StateError(RnError, RuntimeError):
    """A method was called at the wrong time, such as ``fit`` before ``compile``."""


class FileError(RnError, ValueError):
    """A file is damaged, foreign, truncated or absurdly large; nothing of it was used."""


class DownloadError(RnError, RuntimeError):
    """A data set is neither on disk nor reachable."""


class MissingExtraError(RnError, RuntimeError):
    """An optional package is not installed; the message names the extra that brings it."""
