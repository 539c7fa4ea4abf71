"""Calls one by one, as the trace event format of Chrome's and Perfetto's viewers has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core

__all__ = ["trace_events"]

EVENT = np.dtype([(name, np.int64) for name in ("row", "caller", "begin", "end", "spans", "threads")])
SPAN = np.dtype([("begin", np.int64), ("end", np.int64)])
PROCESS = 1
HELPERS = 100  # the track of helper k of caller c is c + HELPERS k


def trace_events(core: _core.Profile) -> list[dict[str, Any]]:
    """Return the events of a stopped profile.

    On the track of each thread that called, a layer's phase lies above the kernels that ran in it; what other threads
    did of a kernel lies on tracks of their own. Times are microseconds since the profile's start. Source: the "Trace
    Event Format" document of the Chromium project.
    """
    events = np.frombuffer(core.events, EVENT)
    spans = np.frombuffer(core.spans, SPAN)
    first_span = int(events["spans"][0]) if len(events) else 0
    events = events[events["begin"] >= core.begin]  # other threads may have been in a call already
    events = events[np.argsort(events["begin"], kind="stable")]
    callers = list(dict.fromkeys(events["caller"].tolist()))
    found = [_name("process_name", 0, "rn")]
    helpers: set[tuple[int, int]] = set()
    for track, caller in enumerate(callers):
        found.append(_name("thread_name", track, "main thread" if track == 0 else f"thread {track}"))
        mine = events[events["caller"] == caller]
        found.extend(_layers(core, mine, track))
        for event in mine:
            kernel, layer, phase = core.keys[int(event["row"])]
            where = {"layer": layer, "phase": phase} if layer else {}
            found.append(_span(core, kernel, "kernel", track, event["begin"], event["end"], where))
            begin = int(event["spans"]) - first_span
            for number, part in enumerate(spans[begin : begin + int(event["threads"])]):
                if number > 0 and part["begin"] > 0:
                    helpers.add((track, number))
                    found.append(
                        _span(core, kernel, "kernel", track + HELPERS * number, part["begin"], part["end"], where)
                    )
    for track, number in sorted(helpers):
        found.append(_name("thread_name", track + HELPERS * number, f"helper {number} of thread {track}"))
    return found


def _layers(core: _core.Profile, events: NDArray[Any], track: int) -> Iterator[dict[str, Any]]:
    """Yield one span for each row of calls that belong to one phase of one layer."""
    begin = end = 0
    current = ("", "")
    for event in events:
        key = core.keys[int(event["row"])][1:]
        if event["end"] <= end and not key[0]:
            continue  # inside a layer written in Python
        if key != current:
            if current[0]:
                yield _span(core, " ".join(current), "layer", track, begin, end, {})
            current, begin = key, event["begin"]
        end = event["end"]
    if current[0]:
        yield _span(core, " ".join(current), "layer", track, begin, end, {})


def _span(
    core: _core.Profile, name: str, kind: str, track: int, begin: Any, end: Any, about: dict[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": (int(begin) - core.begin) / 1e3,
        "dur": (int(end) - int(begin)) / 1e3,
        "pid": PROCESS,
        "tid": track,
        "args": about,
    }


def _name(what: str, track: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": track, "args": {"name": name}}
