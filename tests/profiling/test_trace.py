"""The trace: valid in Chrome's trace event format, layers above kernels, a track for each thread."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import rn
from tests.profiling.nets import mnist_net, samples

Event = dict[str, Any]


@pytest.fixture
def trace(tmp_path: Path) -> tuple[rn.profiling.Profile, list[Event]]:
    model = mnist_net()
    x, y = samples(96, 1, 28, 28)
    model.fit(x, y, verbose=0)
    with rn.threads(2), rn.profile() as p:
        model.fit(x, y, verbose=0)
    p.save_trace(tmp_path / "trace.json")
    return p, json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_events_have_the_fields_of_the_format(trace: tuple[rn.profiling.Profile, list[Event]]) -> None:
    p, events = trace
    assert {event["ph"] for event in events} == {"X", "M"}
    tracks = {event["tid"] for event in events if event["ph"] == "M" and event["name"] == "thread_name"}
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert event["tid"] in tracks
            assert 0.0 <= event["ts"] <= event["ts"] + event["dur"] <= 1e6 * p.wall_seconds
    assert len(tracks) == 2


def test_every_call_is_there(trace: tuple[rn.profiling.Profile, list[Event]]) -> None:
    p, events = trace
    main = [event for event in events if event["ph"] == "X" and event["tid"] == 0 and event["cat"] == "kernel"]
    assert p.complete
    for row in p.kernels:
        mine = [event for event in main if event["name"] == row.name]
        assert len(mine) == row.calls
        assert sum(event["dur"] for event in mine) == pytest.approx(1e6 * row.seconds, abs=0.01 * row.calls)


def test_spans_of_a_track_lie_inside_or_beside_each_other(trace: tuple[rn.profiling.Profile, list[Event]]) -> None:
    _, events = trace
    for track in {event["tid"] for event in events}:
        spans = [event for event in events if event["ph"] == "X" and event["tid"] == track]
        spans.sort(key=lambda event: (event["ts"], -event["dur"]))
        open_ends: list[float] = []
        for event in spans:
            begin, end = event["ts"], event["ts"] + event["dur"]
            while open_ends and open_ends[-1] <= begin + 1e-3:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1] + 1e-3
            open_ends.append(end)


def test_layers_enclose_their_kernels(trace: tuple[rn.profiling.Profile, list[Event]]) -> None:
    p, events = trace
    layers = [event for event in events if event["ph"] == "X" and event["cat"] == "layer"]
    assert {event["name"] for event in layers} == {f"{row.name} {row.phase}" for row in p.layers}
    kernels = [event for event in events if event["ph"] == "X" and event["tid"] == 0 and event["args"].get("layer")]
    assert kernels
    for kernel in kernels:
        name = f"{kernel['args']['layer']} {kernel['args']['phase']}"
        assert any(
            layer["name"] == name
            and layer["ts"] <= kernel["ts"] + 1e-3
            and kernel["ts"] + kernel["dur"] <= layer["ts"] + layer["dur"] + 1e-3
            for layer in layers
        )


def test_helpers_work_while_their_caller_waits(trace: tuple[rn.profiling.Profile, list[Event]]) -> None:
    _, events = trace
    kernels = [event for event in events if event["ph"] == "X" and event["cat"] == "kernel"]
    helped = [event for event in kernels if event["tid"] != 0]
    assert helped
    for event in helped:
        assert any(
            call["tid"] == 0
            and call["name"] == event["name"]
            and call["ts"] <= event["ts"]
            and event["ts"] + event["dur"] <= call["ts"] + call["dur"] + 1e-3
            for call in kernels
        )


def test_a_profile_inside_another_has_its_own_calls_only(tmp_path: Path) -> None:
    t = rn.Tensor4D.uniform((300, 300), seed=0)
    with rn.threads(2), rn.profile() as outer:
        t @ t
        with rn.profile() as inner:
            t @ t
            t.sum()
    for p, calls in ((inner, 2), (outer, 3)):
        p.save_trace(tmp_path / "trace.json")
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        mine = [event for event in events if event["ph"] == "X" and event["tid"] == 0]
        assert len(mine) == calls
        assert all(0.0 <= event["ts"] <= 1e6 * p.wall_seconds for event in events if event["ph"] == "X")


def test_a_profile_ends_while_others_compute(tmp_path: Path) -> None:
    stop = threading.Event()

    def compute() -> None:
        t = rn.Tensor4D.uniform((80, 80), seed=0)
        while not stop.is_set():
            t @ t

    workers = [threading.Thread(target=compute) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(30):
            with rn.profile() as p:
                rn.Tensor4D.ones((40, 40)).exp()
            p.save_trace(tmp_path / "trace.json")
            events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
            assert all(event["ts"] >= 0.0 and event["dur"] >= 0.0 for event in events if event["ph"] == "X")
            assert p.attributed_seconds <= p.wall_seconds
            assert [row.calls for row in p.kernels if row.name == "activate"] == [1]
    finally:
        stop.set()
        for worker in workers:
            worker.join()
