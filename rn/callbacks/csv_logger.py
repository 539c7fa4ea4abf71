"""Each epoch's values as a line of a CSV file."""

from __future__ import annotations

import csv
import os
from typing import IO, Any

from rn.callbacks.base import Callback
from rn.callbacks.paths import refuse_unwritable
from rn.errors import OptionError, flag

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Writes each epoch's number, counted from 0, loss and metrics to ``path``, with a line of names before the first.

    ``append``: go on behind what is in the file, whose names must be the same; else it begins anew with each fit.
    ``separator``: between the values. Each line is on the disk before the next epoch begins. ``OptionError`` before
    training where the file cannot be written, as its folder is missing.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], *, separator: str = ",", append: bool = False) -> None:
        self.path = os.fsdecode(path)
        if not isinstance(separator, str) or len(separator) != 1:
            raise OptionError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.separator, self.append = separator, flag("CSVLogger: append", append)
        self._names: list[str] = []

    def on_train_begin(self, model: Any) -> None:
        """Learn what the file holds, or that it is to begin anew: at the first epoch's end, should another refuse."""
        refuse_unwritable("CSVLogger", self.path, replaces=False)
        self._names = []
        if self.append and os.path.exists(self.path):
            with self._open("r") as file:
                self._names = next(csv.reader(file, delimiter=self.separator), [])

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Write the line of this epoch."""
        names = ["epoch", *logs]
        with self._open("a" if self._names or self.append else "w") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if not self._names:
                self._names = names
                writer.writerow(names)
            if self._names != names:
                raise OptionError(
                    f"CSVLogger: {self.path!r} has the columns {', '.join(self._names)}, but this fit reports "
                    f"{', '.join(names)}"
                )
            writer.writerow([epoch, *logs.values()])

    def _open(self, mode: str) -> IO[str]:
        return open(self.path, mode, newline="", encoding="utf-8")
