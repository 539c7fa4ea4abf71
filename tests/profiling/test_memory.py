"""Memory by layer: against hand calculations, and against what the process really takes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rn
from rn.layers import Dense
from tests.profiling.nets import compiled, mnist_net, samples

LINE = 64  # every parameter begins a cache line


def test_weights_by_hand() -> None:
    model = compiled(
        rn.Sequencial(
            [Dense(32, activation="relu", name="a"), Dense(10, activation="softmax", name="b")],
            input_shape=(16,),
            seed=0,
        )
    )
    x, y = samples(8, 16)
    with rn.profile() as p:
        model.fit(x, y, batch_size=8, verbose=0)
    layers = {layer.name: layer for layer in p.memory().layers}
    assert layers["a"].weights == layers["a"].gradients == 4 * (16 * 32 + 32)
    assert layers["b"].weights == 4 * 320 + LINE  # the bias of 10 takes a line
    assert layers["a"].optimizer == 2 * layers["a"].weights  # Adam's two moments
    assert layers["a"].peak >= 4 * 8 * 32
    assert layers["a"].activations <= layers["a"].peak
    assert layers["a"].live == 4 * layers["a"].weights + layers["a"].activations + layers["a"].workspace


def test_the_parts_add_up_and_the_summary_foretells_them(capsys: pytest.CaptureFixture[str]) -> None:
    model = mnist_net()
    x, y = samples(32, 1, 28, 28)
    with rn.profile() as p:
        model.fit(x, y, batch_size=32, verbose=0)
    memory = p.memory()
    assert memory.live == sum(layer.live for layer in memory.layers) + memory.gaps
    assert memory.gaps < 0.05 * memory.live
    model.summary(batch_size=32)
    foretold = capsys.readouterr().out.splitlines()[-1].split(" = ")[-1]
    assert str(memory).splitlines()[-1].split()[-2:] == foretold.split()
    assert memory.to_dict()["live_bytes"] == memory.live
    assert all(entry["live"] >= 0 for entry in memory.to_dict()["layers"])


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the kernel tells what a process takes on Linux alone"
)
def test_it_is_what_the_process_takes() -> None:
    code = """
        import rn
        from tests.profiling.nets import cifar_net, samples

        def resident():
            text = open("/proc/self/status").read()
            return 1024 * int(text.split("VmRSS:")[1].split()[0])

        x, y = samples(128, 3, 32, 32)
        small = cifar_net()  # reads the code from disk, starts the threads
        small.fit(x[:2], y[:2], batch_size=2, verbose=0)
        del small
        before = resident()
        model = cifar_net()
        with rn.profile() as p:
            model.fit(x, y, batch_size=128, verbose=0)
        print(resident() - before, p.memory().live)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    grown, told = map(int, ran.stdout.split())
    assert grown == pytest.approx(told, rel=0.05)
