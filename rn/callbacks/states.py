"""What the callbacks of a fit know, from a model that is saved in the middle of it to the fit that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rn.callbacks.base import Callback

__all__ = ["Restoring", "states"]

States = dict[str, dict[str, Any]]


def _keyed(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Return the callbacks by class and count: "EarlyStopping 1", "EarlyStopping 2"."""
    keyed: dict[str, Callback] = {}
    counts: dict[str, int] = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        keyed[f"{name} {counts[name]}"] = callback
    return keyed


def states(callbacks: Sequence[Callback]) -> States:
    """Return the state of each callback that has any."""
    found = {key: callback.state() for key, callback in _keyed(callbacks).items()}
    return {key: state for key, state in found.items() if state}


class Restoring(Callback):
    """Hands saved states on to the callbacks of the same classes, once all of them have begun."""

    def __init__(self, callbacks: Sequence[Callback], saved: Mapping[str, dict[str, Any]]) -> None:
        self.callbacks, self.saved = callbacks, saved

    def on_train_begin(self, model: Any) -> None:
        """Restore; a state whose callback is not there any more is dropped."""
        for key, callback in _keyed(self.callbacks).items():
            if key in self.saved:
                callback.restore(self.saved[key])
