"""Optimizers: update rules, one a file. ``base.py`` is their contract."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.adam import Adam
from rn.optimizers.base import Optimizer
from rn.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "get"]


def get(value: str | Optimizer | type[Optimizer] | dict[str, Any]) -> Optimizer:
    """Return the optimizer that a name, class, description or object stands for."""
    return registry.create("optimizer", value, Optimizer)
