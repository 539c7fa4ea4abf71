"""What a profile counts: against hand calculations, against the clock, and across threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import rn
from rn.errors import StateError
from rn.layers import Conv2D, Dense, Layer
from rn.profiling import Profile, Row
from rn.profiling.trace import EVENT, SPAN
from tests.profiling.nets import cifar_net, compiled, mnist_net, samples


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {f"{row.name} {row.phase}".strip(): row for row in rows}


def test_products_and_sums_of_tensors() -> None:
    a, b = rn.Tensor4D.uniform((2, 1, 30, 121), seed=0), rn.Tensor4D.uniform((1, 1, 121, 216), seed=1)
    with rn.profile() as p:
        total = ((a @ b) + 1.0).sum()
    assert np.isfinite(total)
    rows = by_name(p.kernels)
    assert p.layers == []
    assert rows["gemm"].calls == 1  # both images' rows against the one matrix
    assert rows["gemm"].flops == 2 * 60 * 121 * 216
    assert rows["gemm"].bytes == 4 * (60 * 121 + 121 * 216 + 60 * 216)
    assert (rows["add"].calls, rows["add"].flops) == (1, 2 * 30 * 216)
    assert rows["reduce_sum"].calls == 1


def test_flops_and_bytes_of_a_step_by_hand() -> None:
    n, steps = 16, 5
    x, y = samples(n * steps, 1, 12, 12)
    model = compiled(
        rn.Sequencial(
            [Conv2D(8, 5, activation="relu"), rn.layers.Flatten(), Dense(10, activation="softmax")],
            input_shape=(1, 12, 12),
            seed=0,
        )
    )
    with rn.profile() as p:
        model.fit(x, y, batch_size=n, verbose=0)
    layers = by_name(p.layers)
    convolution = 2 * n * 8 * (8 * 8) * 25
    assert layers["conv2d_1 forward"].flops == steps * convolution
    assert layers["conv2d_1 forward"].bytes == steps * 4 * (n * 144 + 8 * 25 + n * 8 * 64)
    product = 2 * n * 10 * 512
    assert layers["dense_1 forward"].flops == steps * product
    backward = layers["dense_1 backward"]
    assert backward.flops == steps * (2 * product + n * 10)  # by weights, by input, and the sum for the bias
    assert layers["dense_1 forward"].calls == layers["optimizer update"].calls == steps
    # No gradient by input of the first layer: forward and by weights alone, with a few sums.
    assert convolution * steps <= layers["conv2d_1 backward"].flops < 1.1 * convolution * steps


@pytest.mark.parametrize("net", [mnist_net, cifar_net])
def test_a_fit_is_attributed(net: Any) -> None:
    model = net()
    count = 64 if net is cifar_net else 3200
    x, y = samples(count, *model.network.input_shape)
    model.fit(x, y, verbose=0)
    shares = []
    for _ in range(4):
        with rn.profile() as p:
            model.fit(x, y, epochs=2, verbose=0)
        assert p.attributed_seconds <= p.wall_seconds
        assert sum(row.seconds for row in p.kernels) == pytest.approx(p.attributed_seconds, rel=0.01)
        in_layers = sum(row.seconds for row in p.layers)
        assert 0.95 * p.attributed_seconds < in_layers <= p.attributed_seconds
        shares.append(p.attributed_seconds / p.wall_seconds)
    assert max(shares) >= 0.97, shares


def test_times_fit_each_other() -> None:
    model = mnist_net()
    x, y = samples(320, 1, 28, 28)
    with rn.threads(2), rn.profile() as p:
        model.fit(x, y, verbose=0)
    assert p.threads == 2
    for row in [*p.kernels, *p.layers]:
        assert 0.0 < row.mean <= row.worst <= row.seconds
        assert 0.0 < row.busy <= 2.02 * row.seconds
    # Two threads share each call, and both their times count: the caller's, and the other's where it came in time.
    events = np.frombuffer(p._core.events, EVENT)
    calls = events[[p._core.keys[row][0] == "conv2d_winograd_pooled" for row in events["row"]]]
    shared = by_name(p.kernels)["conv2d_winograd_pooled"]
    assert len(calls) == shared.calls
    assert (calls["threads"] == 2).all()
    spans = np.frombuffer(p._core.spans, SPAN)
    parts = spans[calls["spans"][:, None] - events["spans"][0] + [0, 1]]
    took = parts["end"] - parts["begin"]
    assert (took[:, 0] > 0).all()
    assert (took[:, 1] >= 0).all()
    assert (parts["begin"] >= calls["begin"][:, None]).all()
    assert (parts["end"] <= calls["end"][:, None]).all()
    assert shared.busy == pytest.approx(1e-9 * took.sum())
    with rn.threads(1), rn.profile() as p:
        model.fit(x, y, verbose=0)
    assert all(row.busy == pytest.approx(row.seconds) for row in p.kernels)


def test_bits_do_not_depend_on_the_profiler() -> None:
    x, y = samples(96, 1, 28, 28)
    plain, watched = mnist_net(), mnist_net()
    plain.fit(x, y, verbose=0)
    with rn.profile():
        watched.fit(x, y, verbose=0)
    for key, value in plain.state_dict().items():
        np.testing.assert_array_equal(value, watched.state_dict()[key])


def test_nothing_is_counted_outside() -> None:
    t = rn.Tensor4D.ones((4, 4))
    t.exp()
    with rn.profile() as p:
        t.tanh()
    t.exp()
    assert [row.calls for row in p.kernels] == [1]


def test_profiles_nest() -> None:
    t = rn.Tensor4D.uniform((64, 64), seed=0)
    with rn.profile() as outer:
        t.sum()
        with rn.profile() as inner:
            t.sum()
            t.sum()
        t.sum()
    assert by_name(inner.kernels)["reduce_sum"].calls == 2
    found = by_name(outer.kernels)["reduce_sum"]
    assert found.calls == 4
    assert found.worst >= by_name(inner.kernels)["reduce_sum"].worst
    assert found.flops == 2 * by_name(inner.kernels)["reduce_sum"].flops
    assert inner.attributed_seconds < outer.attributed_seconds


def test_what_is_asked_too_early_or_twice_is_refused() -> None:
    p = rn.profile()
    for read in (
        lambda: p.kernels,
        lambda: p.to_dict(),
        lambda: print(p),
        lambda: p.memory(),
        lambda: p.save_trace("nowhere.json"),
        lambda: p.plot("nowhere.png"),
    ):
        with pytest.raises(StateError, match="after its `with` block"):
            read()
    assert "not ended" in repr(p)
    with p:
        pass
    with pytest.raises(StateError, match="used once"), p:
        pass
    with pytest.raises(StateError, match="opposite order"):
        p.__exit__(None, None, None)
    first, second = rn.profile(), rn.profile()
    with first:
        second.__enter__()
        with pytest.raises(StateError, match="opposite order"):
            first.__exit__(None, None, None)
        second.__exit__(None, None, None)


def test_an_exception_ends_the_profile() -> None:
    p = rn.profile()
    with suppress(ZeroDivisionError), p:
        rn.Tensor4D.ones((2, 2)).sum()
        raise ZeroDivisionError
    assert by_name(p.kernels)["reduce_sum"].calls == 1
    with rn.profile() as other:
        pass
    assert other.kernels == []


def test_threads_of_python_are_counted_together() -> None:
    model = mnist_net()
    x, _ = samples(64, 1, 28, 28)
    model.predict(x)
    with rn.profile() as p:
        workers = [
            threading.Thread(target=lambda: [model.predict(x, batch_size=64) for _ in range(10)]) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert by_name(p.kernels)["softmax"].calls == 30
    assert p.attributed_seconds <= p.wall_seconds


class Doubled(Layer):
    """A layer in Python that calculates with tensors of its own."""

    def build(self, input_shape: tuple[int, ...], rng: Any) -> tuple[int, ...]:
        return input_shape

    def forward(self, x: Any, training: bool) -> Any:
        return np.asarray(rn.Tensor4D(np.ascontiguousarray(x).reshape(1, 1, len(x), -1)) * 2.0).reshape(x.shape)

    def backward(self, grad: Any, input_gradient: bool = True) -> Any:
        return 2.0 * grad


def test_calls_of_threads_side_by_side_add_up_to_the_time_that_passed() -> None:
    model = rn.Sequencial([Conv2D(16, 3), rn.layers.Flatten(), Dense(10)], input_shape=(8, 30, 30), seed=0)
    x, _ = samples(64, 8, 30, 30)
    with rn.threads(2):
        model.predict(x)
        with rn.profile() as p:
            model.predict(x)
    rows = by_name(p.layers)
    for name, layer in (("conv2d_1", 16 * 28 * 28 * 8 * 9), ("dense_1", 10 * 16 * 28 * 28)):
        row = rows[f"{name} forward"]
        assert row.calls % 2 == 0  # each thread has batches of its own
        assert row.flops == 2 * 64 * layer
        assert 0 < row.seconds <= row.calls * row.worst / 2 + 1e-6
        np.testing.assert_allclose(row.busy, 2 * row.seconds, rtol=1e-3)
    assert sum(row.seconds for row in p.layers) <= 1.05 * p.wall_seconds


def test_layers_in_python_are_rows_without_what_they_call() -> None:
    model = compiled(rn.Sequencial([Doubled(name="mine"), Dense(10, activation="softmax")], input_shape=(4,), seed=0))
    x, y = samples(64, 4)
    with rn.profile() as p:
        model.fit(x, y, batch_size=32, verbose=0)
    layers = by_name(p.layers)
    assert layers["mine forward"].calls == 2
    assert by_name(p.kernels)["multiply"].calls == 2
    assert sum(row.seconds for row in p.kernels) == pytest.approx(p.attributed_seconds, rel=0.01)


def test_transforms_are_counted() -> None:
    x, y = samples(32, 3, 16, 16)
    loader = rn.data.DataLoader(x, y, batch_size=32, transforms=[rn.data.transforms.RandomAffine(10.0)])
    with rn.profile() as p:
        list(loader)
    row = by_name(p.kernels)["warp_images"]
    assert row.calls >= 1
    assert row.flops == 12 * x.size


def test_the_dict_has_what_the_table_has() -> None:
    model = mnist_net()
    x, y = samples(64, 1, 28, 28)
    with rn.profile() as p:
        model.fit(x, y, verbose=0)
    found = p.to_dict()
    assert found["wall_s"] == p.wall_seconds
    assert found["attributed_s"] == p.attributed_seconds
    assert found["threads"] == rn.get_num_threads()
    for name, rows in (("kernels", p.kernels), ("layers", p.layers)):
        assert len(found[name]) == len(rows)
        for entry, row in zip(found[name], rows, strict=True):
            assert entry["name"] == row.name
            assert entry["calls"] == row.calls
            assert entry["seconds"] == row.seconds
            assert (entry["flops"], entry["bytes"]) == (row.flops, row.bytes)
            assert entry.get("phase") == (row.phase if name == "layers" else None)


def test_the_table_fits_its_columns() -> None:
    model = mnist_net()
    x, y = samples(64, 1, 28, 28)
    with rn.profile() as p:
        model.fit(x, y, verbose=0)
    lines = str(p).splitlines()
    assert max(map(len, lines)) <= 100
    for row in p.kernels:
        name = row.name if len(row.name) <= 31 else f"{row.name[:15]}…{row.name[-15:]}"
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert f"{row.calls:,}" in line
    (python,) = [line for line in lines if line.startswith("Python")]
    share = 100.0 * (1.0 - p.attributed_seconds / p.wall_seconds)
    assert python.endswith(f"{share:.1f} %")


def test_a_whole_program() -> None:
    code = "import rn; a = rn.Tensor4D.ones((8, 8)); print((a @ a).sum())"
    for setting, shown in (("1", True), ("0", False), ("", False)):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "RN_PROFILE": setting}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == "512.0\n"
        assert ("gemm" in ran.stderr and "Python" in ran.stderr) == shown
    for setting in ("no", "off", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "RN_PROFILE": setting}, capture_output=True, text=True
        )
        assert f"RN_PROFILE={setting}: must be 0, off, or 1, on" in ran.stderr
        assert ran.returncode != 0


def test_every_call_is_counted_past_the_end_of_the_trace() -> None:
    model = rn.RedeNeural([2, 8, 2], seed=0)
    model.compile()
    x, y = np.zeros((40_000, 2), np.float32), np.zeros((40_000, 2), np.float32)
    with rn.profile() as p:
        model.fit(x, y, batch_size=1, verbose=0)
    assert isinstance(p, Profile)
    assert not p.complete
    assert by_name(p.layers)["optimizer update"].calls == 40_000
