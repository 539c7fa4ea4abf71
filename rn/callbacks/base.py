"""The contract of callbacks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rn import registry

__all__ = ["Callback"]


@registry.contract("callback")
class Callback:
    """Something that ``fit`` calls while it trains; a subclass overrides the methods it needs.

    ``model`` is the model in training. Epochs and batches are counted from 0, epochs over all ``fit`` calls of the
    model. ``logs`` maps names to numbers: ``"loss"`` and each metric, after an epoch also ``"val_loss"`` and the others
    on the validation data where there is any. To end training after the batch or epoch at hand, set
    ``model.stop_training = True``. An exception ends training at once; ``on_train_end`` is then not called.

    Attributes: ``wants_batches``, whether ``on_batch_end`` is to be called. Where no callback wants batches, training
    stays in the core for many of them at a stretch, which makes small networks much faster; hence False by default.

    Example::

        class Patience(rn.callbacks.Callback):
            def on_epoch_end(self, model, epoch, logs):
                model.stop_training = logs["val_accuracy"] > 0.99
    """

    wants_batches: bool = False

    def _refuse(self, names: Collection[str]) -> None:
        """Raise ``OptionError`` where the callback cannot work in a fit whose epochs report these names."""

    def on_train_begin(self, model: Any) -> None:
        """Run once, before the first epoch."""

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        """Run before each epoch."""

    def on_batch_end(self, model: Any, batch: int, logs: dict[str, float]) -> None:
        """Run after each batch if ``wants_batches``; ``logs`` holds the batch's own loss and metrics."""

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Run after each epoch and its validation; ``logs`` holds the epoch's means and the ``val_`` values."""

    def on_train_end(self, model: Any) -> None:
        """Run once, after the last epoch."""

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs, for a model that is saved while it is being fitted.

        Text, finite numbers, None, lists and dicts of them; float32 and int64 arrays as values of the outermost dict.
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where ``state()`` was taken; called after ``on_train_begin``."""
