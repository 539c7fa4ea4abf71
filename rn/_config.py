"""What this installation of rn is made of and how it runs: the first thing to ask when two machines differ."""

from __future__ import annotations

import os
import platform

import numpy as np

from rn import _core, _threads
from rn._core import get_winograd, set_winograd
from rn._version import __version__

__all__ = ["config", "get_winograd", "set_winograd", "show_config"]

# OpenMP tells its version as the date of the specification.
OPENMP_VERSIONS = {
    200203: "2.0",
    200505: "2.5",
    200805: "3.0",
    201107: "3.1",
    201307: "4.0",
    201511: "4.5",
    201811: "5.0",
    202011: "5.1",
    202111: "5.2",
    202411: "6.0",
}


def config() -> dict[str, str]:
    """Return what ``show_config`` prints, by name."""
    openmp = _core.openmp_version()
    isa = "RN_ISA is set" if os.environ.get("RN_ISA") else "the best this machine runs"
    machine = f"{platform.system()} {platform.machine()}"
    threads = f"{_threads.get_num_threads()} ({_threads.why()})"
    return {
        "rn": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {machine})",
        "NumPy": np.__version__,
        "compiler": _core.compiler() + (", frame pointers and debug symbols" if _core.debug_symbols() else ""),
        "instruction set": f"{_core.instruction_set()} ({isa})",
        "Winograd": "on" if get_winograd() else "off",
        "OpenMP": OPENMP_VERSIONS.get(openmp, f"of {openmp}") if openmp else "no: serial build",
        "threads": threads if openmp else f"1 (serial build; else {threads})",
    }


def show_config() -> None:
    """Print the versions of rn, Python and NumPy, the core's compiler, instruction set, OpenMP, the threads and why."""
    for name, value in config().items():
        print(f"{name:15} {value}")
