"""Training ends where the loss is no number any more."""

from __future__ import annotations

import math
import warnings
from typing import Any

from rn.callbacks.base import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Ends training after the first batch whose loss is NaN or infinite, with a ``RuntimeWarning`` that says which.

    It looks at every batch, which keeps a small network from staying in the core for many of them.
    """

    wants_batches = True

    def __init__(self) -> None:
        self._epoch = 0

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        """Learn the epoch's number."""
        self._epoch = epoch

    def on_batch_end(self, model: Any, batch: int, logs: dict[str, float]) -> None:
        """End training where this batch's loss is not finite."""
        if not math.isfinite(logs["loss"]):
            warnings.warn(
                f"the loss of batch {batch} of epoch {self._epoch} is {logs['loss']}: training ends here",
                RuntimeWarning,
                stacklevel=2,
            )
            model.stop_training = True
