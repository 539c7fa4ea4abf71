"""Neural networks on the CPU: defined and trained in a few lines, computed by a small compiled core.

The names listed below are the library; the modules among them are namespaces, most imported when first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# The core comes first, so that where it is not built nothing else fails before it says how to build it.
from rn._core import Tensor4D  # isort: split

from rn import (
    activations,
    callbacks,
    errors,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    registry,
    regularizers,
    schedules,
    training,
)
from rn._config import get_winograd, set_winograd, show_config
from rn._threads import get_num_threads, set_num_threads, threads
from rn._version import __version__
from rn.models import RedeNeural, Sequencial, load
from rn.registry import register

if TYPE_CHECKING:
    from rn import cli, data, datasets, plotting, profiling, serialization
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

# The public modules that `import rn` leaves alone.
_IMPORTED_ON_USE = frozenset({"cli", "data", "datasets", "plotting", "profiling", "serialization"})


def __getattr__(name: str) -> Any:
    if name in _IMPORTED_ON_USE:
        from importlib import import_module

        return import_module(f"rn.{name}")
    if name == "profile":
        from rn.profiling import profile

        return profile
    raise AttributeError(f"module 'rn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_IMPORTED_ON_USE, "profile"})


_profiling = os.environ.get("RN_PROFILE") or "0"
if _profiling not in ("0", "1"):
    raise errors.OptionError(
        f"RN_PROFILE={_profiling}: must be 0, off, or 1, on; set one of them, or leave RN_PROFILE unset"
    )
if _profiling == "1":
    from rn.profiling import profile_program

    profile_program()
del _profiling
