"""The machine's limits, as the core measures them."""

from __future__ import annotations

from pathlib import Path

import pytest

import rn
from rn import _core
from rn.errors import OptionError, StateError
from rn.profiling import Roofline, roofline
from rn.profiling.roofline import SIZES
from tests.profiling.nets import mnist_net, samples


def test_everything_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(_core, "measure_arithmetic", lambda threads: asked.append(threads) or 1e9 * threads)
    monkeypatch.setattr(_core, "measure_reading", lambda size, threads: asked.append((size, threads)) or 1e3 * size)
    roofline.cache_clear()
    try:
        one, two = roofline(1), roofline(2)
        assert roofline(1) is one
    finally:
        roofline.cache_clear()
    assert asked == [1, *((size, 1) for size in SIZES), 2, *((size, 2) for size in SIZES)]
    assert one == Roofline(threads=1, flops=1e9, reading={size: 1e3 * size for size in SIZES})
    assert (two.threads, two.flops) == (2, 2e9)
    with pytest.raises(OptionError, match="1 to 1024 threads"):
        roofline(0)
    with pytest.raises(OptionError, match="1 to 1024 threads, got '2'"):
        roofline("2")  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_measured_is_what_a_machine_may_have(threads: int) -> None:
    found = roofline(threads)
    assert 1e8 < found.flops < 1e12 * threads
    assert sorted(found.reading) == sorted(SIZES)
    assert all(1e7 < rate < 1e13 for rate in found.reading.values())


def test_no_product_passes_the_peak() -> None:
    """Both are the best of rounds in turns, as many as a busy machine takes: each may be disturbed, hardly always."""
    a = rn.Tensor4D.uniform((512, 512), seed=0)
    best = peak = 0.0
    with rn.threads(1):
        for _ in range(40):
            with rn.profile() as p:
                a @ a
            (row,) = [row for row in p.kernels if row.name == "gemm"]
            best, peak = max(best, row.flops_per_second), max(peak, _core.measure_arithmetic(1))
            if 0.3 * peak < best < 1.15 * peak:
                break
    assert 0.3 * peak < best < 1.15 * peak


def test_the_least_time() -> None:
    roof = Roofline(threads=1, flops=100.0, reading={10: 50.0, 1000: 5.0})
    assert roof.bandwidth(10) == 50.0
    assert roof.bandwidth(11) == roof.bandwidth(1e9) == 5.0
    assert roof.least_seconds(flops=200.0, size=10.0, calls=1) == 2.0
    assert roof.least_seconds(flops=1.0, size=100.0, calls=10) == 2.0
    assert roof.least_seconds(flops=1.0, size=100.0, calls=1) == 20.0


def test_the_picture_names_every_kernel_that_calculates(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = mnist_net()
    x, y = samples(64, 1, 28, 28)
    with rn.profile() as p:
        model.fit(x, y, verbose=0)
    path = tmp_path / "roofline.png"
    figure = p.plot(path)
    assert path.stat().st_size > 10_000
    (panel,) = figure.axes
    drawn = {text.get_text() for text in panel.texts}
    named = [row for row in p.kernels if row.flops]
    assert {row.name for row in named} <= drawn
    (points,) = panel.collections
    for (across, up), row in zip(points.get_offsets(), named, strict=True):
        assert across == pytest.approx(row.flops / row.bytes)
        assert up == pytest.approx(row.flops / row.seconds / 1e9)
    with rn.profile() as nothing:
        pass
    with pytest.raises(StateError, match="nothing to draw"):
        nothing.plot()
