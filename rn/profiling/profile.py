"""The profile of a piece of work: what users open, read, print and save."""

from __future__ import annotations

import atexit
import json
import os
import sys
from types import TracebackType
from typing import Any, Self

from rn import _core
from rn.errors import StateError
from rn.profiling import report
from rn.profiling.memory import Memory, memory_of
from rn.profiling.roofline import Roofline, roofline
from rn.profiling.rows import Row, by_kernel, by_layer
from rn.profiling.trace import trace_events

__all__ = ["Profile", "profile", "profile_program"]


class Profile:
    """What the library computed inside a ``with`` block, on all threads: see ``rn.profile``.

    After the block: ``kernels`` and ``layers``, lists of ``Row``, the slowest first; ``wall_seconds`` from its
    beginning to its end, ``attributed_seconds`` during which a kernel or a layer written in Python ran, and
    ``threads``, how many kernels could use. All of these, and what is printed and saved, raise ``StateError`` before
    the block has ended.
    """

    def __init__(self) -> None:
        self._core = _core.Profile()
        self._threads = _core.get_num_threads()
        self._ended = False
        self._kernels: list[Row] = []
        self._layers: list[Row] = []
        self._memory = Memory()

    def __enter__(self) -> Self:
        self._threads = _core.get_num_threads()
        self._core.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.stop()
        self._memory = memory_of(self._core.plans)
        self._core.plans.clear()
        self._kernels, self._layers = by_kernel(self._core.rows), by_layer(self._core.rows)
        self._ended = True

    @property
    def kernels(self) -> list[Row]:
        """A row for each kernel."""
        self._need_end()
        return self._kernels

    @property
    def layers(self) -> list[Row]:
        """A row for each phase of each layer; the optimizer's update, one for all layers, is the layer "optimizer"."""
        self._need_end()
        return self._layers

    @property
    def wall_seconds(self) -> float:
        """Seconds from the block's beginning to its end."""
        self._need_end()
        return self._core.seconds

    @property
    def attributed_seconds(self) -> float:
        """Seconds of these during which a kernel ran; the others are Python's."""
        self._need_end()
        return self._core.covered

    @property
    def threads(self) -> int:
        """How many threads a kernel could use."""
        return self._threads

    @property
    def complete(self) -> bool:
        """Whether every call is in the trace, which has the first 262,144; the rows count all."""
        self._need_end()
        return self._core.complete

    def roofline(self) -> Roofline:
        """Return what this machine can do on the profile's threads, measured at the first call in a process."""
        return roofline(self._threads)

    def __str__(self) -> str:
        return report.report(self)

    def __repr__(self) -> str:
        if not self._ended:
            return "<Profile: its block has not ended>"
        return f"<Profile: {len(self._kernels)} kernels, {self.wall_seconds:.3f} s>"

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as JSON can hold it.

        ``wall_s`` and ``attributed_s`` in seconds, ``threads``, and the lists ``kernels`` and ``layers`` of rows with
        ``name calls seconds worst_seconds busy_seconds flops bytes``, those of layers with ``phase`` too.
        """
        return {
            "wall_s": self.wall_seconds,
            "attributed_s": self.attributed_seconds,
            "threads": self.threads,
            "kernels": [_row(row) for row in self.kernels],
            "layers": [{**_row(row), "phase": row.phase} for row in self.layers],
        }

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the calls one by one, for chrome://tracing or ui.perfetto.dev: a track for each thread, layers on top.

        JSON in Chrome's trace event format; the first 262,144 calls, fewer after a ``profile`` inside another.
        """
        self._need_end()
        about = {"wall_s": self.wall_seconds, "threads": self.threads, "complete": self.complete}
        with open(os.fspath(path), "w", encoding="utf-8") as file:
            json.dump({"traceEvents": trace_events(self._core), "displayTimeUnit": "ns", "otherData": about}, file)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the roofline of this machine with each kernel on it, and save it unless ``path`` is None.

        Returns the ``matplotlib.figure.Figure``. Raises ``MissingExtraError`` without matplotlib (extra ``[plot]``).
        """
        from rn.plotting import plot_roofline

        return plot_roofline(self, path)

    def memory(self) -> Memory:
        """Return the bytes of the models that ran, by layer; printed, it is a table."""
        self._need_end()
        return self._memory

    def _need_end(self) -> None:
        if not self._ended:
            raise StateError("a profile is read after its `with` block has ended")


def profile() -> Profile:
    """Return a context that counts what the library computes inside it: calls, time, FLOPs and bytes of every kernel.

    ``with rn.profile() as p: model.fit(x, y)``, then ``print(p)``, ``p.to_dict()``, ``p.save_trace("trace.json")``,
    ``p.plot("roofline.png")``, ``p.memory()``. Contexts may lie inside one another; each is used once. All threads of
    the process are counted.
    """
    return Profile()


def profile_program() -> None:
    """Profile the whole program from here on and print the report to stderr as it ends: what ``RN_PROFILE=1`` does."""
    program = Profile()
    program.__enter__()

    def end() -> None:
        try:
            program.__exit__(None, None, None)
        except StateError:  # a block inside was never left
            return
        print(program, file=sys.stderr)

    atexit.register(end)


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "calls": row.calls,
        "seconds": row.seconds,
        "worst_seconds": row.worst,
        "busy_seconds": row.busy,
        "flops": row.flops,
        "bytes": row.bytes,
    }
