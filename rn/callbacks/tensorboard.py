"""Curves in TensorBoard."""

from __future__ import annotations

import os
from typing import Any

from rn.callbacks.base import Callback
from rn.errors import MissingExtraError, OptionError

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes each epoch's loss, metrics and learning rate to ``folder``, for ``tensorboard --logdir folder``.

    Curves of training and of validation have one name and are told apart by their run, "train" and "validation". Raises
    ``MissingExtraError`` where tensorboard is not installed, and ``OptionError`` before training where the folder
    cannot be made.
    """

    def __init__(self, folder: str | bytes | os.PathLike[str]) -> None:
        self.folder = os.fsdecode(folder)
        _writer_class()
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, model: Any) -> None:
        """Make the folder."""
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise OptionError(
                f"TensorBoard: {self.folder!r} cannot be made a folder ({error.strerror}); choose another place"
            ) from None

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Write one point of each curve."""
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            self._writer(run).add_scalar(name.removeprefix("val_"), value, epoch)
        self._writer("train").add_scalar("learning_rate", model.learning_rate, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, model: Any) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_writers": {}}

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = _writer_class()(os.path.join(self.folder, run))
        return self._writers[run]


def _writer_class() -> Any:
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise MissingExtraError(
            'TensorBoard needs the package tensorboard: run `pip install ".[tensorboard]"` beside setup.py'
        ) from None
    return Writer
