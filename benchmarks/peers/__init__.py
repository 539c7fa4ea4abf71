"""The libraries that are timed, and the most that a core can do: a module each, with the same three functions.

``versions()`` names what runs; ``start(threads)`` sets the number of threads; ``prepare(work)`` returns the calls of
the variants in which the library can do the work, none where it cannot. A call returns what it computed.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from benchmarks.work import Calls, Work

__all__ = ["DEFAULT", "MODULES", "PACKAGES", "Peer", "load", "missing"]

MODULES = {
    "rn": "rn_",
    "peak": "peak",
    "numpy": "numpy_",
    "torch": "torch_",
    "torch-compile": "torch_compile",
    "jax": "jax_",
    "onnxruntime": "onnx_",
    "sklearn": "sklearn_",
    "pillow": "pillow_",
}
# What each peer imports; where one of them is missing, the peer is left out.
PACKAGES: dict[str, list[str]] = {
    "peak": [],
    "numpy": ["numpy"],
    "torch": ["torch"],
    "torch-compile": ["torch"],
    "jax": ["jax"],
    "onnxruntime": ["onnxruntime", "onnx"],
    "sklearn": ["sklearn"],
    "pillow": ["PIL"],
}
# torch-compile takes longer to compile a net than all others to be measured on it.
DEFAULT = [name for name in PACKAGES if name != "torch-compile"]


class Peer(Protocol):
    """A module of this package."""

    def versions(self) -> str:
        """Return the library's name and version and what it computes with."""

    def start(self, threads: int) -> None:
        """Set the number of threads; called once, first."""

    def prepare(self, work: Work) -> Calls:
        """Return a call for each variant in which the library can do ``work``."""


def load(name: str) -> Peer:
    """Return the peer's module, which imports the library."""
    return cast(Peer, import_module(f"benchmarks.peers.{MODULES[name]}"))


def missing(name: str) -> list[str]:
    """Return the packages that peer ``name`` needs and that are not installed."""
    return [package for package in PACKAGES[name] if find_spec(package) is None]
