"""Neural networks on the CPU: defined and trained in a few lines, computed by a small compiled core.

The names listed below are the library; the modules among them are namespaces, imported when first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# The core comes first, so that where it is not built nothing else fails before it says how to build it.
from rn._core import Tensor4D  # isort: split

from rn import errors, registry
from rn._config import get_winograd, set_winograd, show_config
from rn._threads import get_num_threads, set_num_threads, threads
from rn._version import __version__
from rn.registry import register

if TYPE_CHECKING:
    from rn import (
        activations,
        callbacks,
        cli,
        data,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        plotting,
        profiling,
        regularizers,
        schedules,
        serialization,
        training,
    )
    from rn.models import RedeNeural, Sequencial, load
    from rn.profiling import profile

__all__ = [
    "RedeNeural",
    "Sequencial",
    "Tensor4D",
    "__version__",
    "activations",
    "callbacks",
    "cli",
    "data",
    "datasets",
    "errors",
    "get_num_threads",
    "get_winograd",
    "initializers",
    "layers",
    "load",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plotting",
    "profile",
    "profiling",
    "register",
    "registry",
    "regularizers",
    "schedules",
    "serialization",
    "set_num_threads",
    "set_winograd",
    "show_config",
    "threads",
    "training",
]

# What `import rn` leaves alone: what belongs to a module, and modules.
_HOMES = {"RedeNeural": "rn.models", "Sequencial": "rn.models", "load": "rn.models", "profile": "rn.profiling"}
_MODULES = frozenset(__all__) - globals().keys() - _HOMES.keys()

if not TYPE_CHECKING:  # or any name whatever would pass a type checker

    def __getattr__(name: str) -> Any:
        """Import what is used for the first time."""
        from importlib import import_module

        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        if name in _MODULES:
            return import_module(f"rn.{name}")
        raise AttributeError(f"module 'rn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_profiling = os.environ.get("RN_PROFILE") or "0"
if _profiling not in ("0", "1"):
    raise errors.OptionError(
        f"RN_PROFILE={_profiling}: must be 0, off, or 1, on; set one of them, or leave RN_PROFILE unset"
    )
if _profiling == "1":
    from rn.profiling import profile_program

    profile_program()
del _profiling
