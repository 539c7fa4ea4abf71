"""Optimizers: update rules, one a file. ``base.py`` is their contract."""

from __future__ import annotations

from typing import Any

from rn import registry
from rn.optimizers.adadelta import Adadelta
from rn.optimizers.adagrad import Adagrad
from rn.optimizers.adam import Adam
from rn.optimizers.adamw import AdamW
from rn.optimizers.amsgrad import AMSGrad
from rn.optimizers.base import Optimizer
from rn.optimizers.lion import Lion
from rn.optimizers.nadam import Nadam
from rn.optimizers.rmsprop import RMSProp
from rn.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSProp",
    "get",
]


def get(value: str | Optimizer | type[Optimizer] | dict[str, Any]) -> Optimizer:
    """Return the optimizer that a name, class, description or object stands for."""
    return registry.create("optimizer", value, Optimizer)
