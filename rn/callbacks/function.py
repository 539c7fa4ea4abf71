"""Plain functions as callbacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from rn.callbacks.base import Callback
from rn.errors import DtypeError

__all__ = ["BatchEnd", "EpochEnd", "as_callbacks", "refuse_unreported"]


class EpochEnd(Callback):
    """Calls ``function(epoch, logs)`` after each epoch; ``fit`` takes the bare function for the same.

    Example: ``model.fit(x, y, callbacks=[lambda epoch, logs: print(epoch, logs["loss"])])``.
    """

    def __init__(self, function: Callable[[int, dict[str, float]], Any]) -> None:
        self.function = _checked("EpochEnd", function)

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Call the function; what it returns is ignored."""
        self.function(epoch, logs)


class BatchEnd(Callback):
    """Calls ``function(batch, logs)`` after each batch; ``batch`` starts at 0 in every epoch.

    Example: ``losses = []; model.fit(x, y, callbacks=[BatchEnd(lambda batch, logs: losses.append(logs["loss"]))])``.
    """

    wants_batches = True

    def __init__(self, function: Callable[[int, dict[str, float]], Any]) -> None:
        self.function = _checked("BatchEnd", function)

    def on_batch_end(self, model: Any, batch: int, logs: dict[str, float]) -> None:
        """Call the function; what it returns is ignored."""
        self.function(batch, logs)


def as_callbacks(callbacks: Any) -> list[Callback]:
    """Return the ``callbacks`` argument of ``fit`` as a list: None, one callback or function, or several of them.

    A function becomes an ``EpochEnd``. Raises ``DtypeError`` for anything else.
    """
    if callbacks is None:
        return []
    single = isinstance(callbacks, Callback | str | bytes) or callable(callbacks)
    if single or not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    return [_as_callback(value) for value in callbacks]


def _as_callback(value: Any) -> Callback:
    if isinstance(value, Callback):
        return value
    if isinstance(value, type):
        raise DtypeError(f"callbacks: got the class {value.__name__}; give an instance, {value.__name__}(...)")
    if callable(value):
        return EpochEnd(value)
    raise DtypeError(f"callbacks: expected a Callback or a function of (epoch, logs), got {value!r:.80}")


def refuse_unreported(callbacks: Iterable[Callback], names: Collection[str]) -> None:
    """Raise ``OptionError`` where a callback of rn's cannot work in a fit whose epochs report these names.

    Not for those after a user's own, which may add to the logs that they are shown.
    """
    for callback in callbacks:
        if isinstance(callback, EpochEnd) or not type(callback).__module__.startswith("rn."):
            return
        callback._refuse(names)


def _checked(where: str, function: Any) -> Callable[[int, dict[str, float]], Any]:
    if not callable(function):
        raise DtypeError(f"{where} takes a function, got {function!r:.80}")
    checked: Callable[[int, dict[str, float]], Any] = function
    return checked
