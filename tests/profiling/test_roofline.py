"""The machine's limits, as the core measures them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import rn
from rn.errors import OptionError, StateError
from rn.profiling import Roofline, roofline
from tests.profiling.nets import mnist_net, samples


def test_measured_once_and_within_a_second() -> None:
    roofline.cache_clear()
    start = time.perf_counter()
    one, two = roofline(1), roofline(2)
    assert time.perf_counter() - start < 1.0
    assert roofline(1) is one
    assert 1e9 < one.flops < 1e12
    assert one.flops < 1.2 * two.flops
    for found in (one, two):
        rates = [rate for _, rate in sorted(found.reading.items())]
        assert all(1e8 < rate < 1e13 for rate in rates)
        assert rates[0] > 0.8 * rates[-1]  # a cache is not slower than the memory
    with pytest.raises(OptionError, match="1 thread or more"):
        roofline(0)


def test_no_product_passes_the_peak() -> None:
    a = rn.Tensor4D.uniform((512, 512), seed=0)
    with rn.threads(1):
        best = 0.0
        for _ in range(5):
            with rn.profile() as p:
                a @ a
            (row,) = [row for row in p.kernels if row.name == "gemm"]
            best = max(best, row.flops_per_second)
    assert 0.3 * roofline(1).flops < best < 1.15 * roofline(1).flops


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
