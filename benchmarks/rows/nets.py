"""Whole nets through the public API: steps, inference, how both grow with the batch, whole fits, memory."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.nets import NETS
from benchmarks.rows.row import Row
from benchmarks.work import Epochs, Step

__all__ = ["GROWTH", "rows"]

GROWTH = (1, 4, 16, 64, 256, 1024)


def rows() -> Iterator[Row]:
    """Yield the rows of the nets."""
    for net in NETS.values():
        yield Row(f"net/{net.name}/train-sgd", Step(net.name, "train", net.batch, "sgd"))
        yield Row(f"net/{net.name}/train-adam", Step(net.name, "train", net.batch, "adam"))
        yield Row(f"net/{net.name}/predict-batch", Step(net.name, "predict", net.batch))
        yield Row(f"net/{net.name}/predict-one", Step(net.name, "predict", 1))
    for sizes, batch in (((2, 8, 2), 4), ((4, 10, 10, 3), 16)):
        work = Epochs(sizes, batch)
        yield Row(f"fit/{'-'.join(map(str, sizes))}/batch-{batch}", work, threads=1, per_call=work.steps)
    for name in ("keras_mnist", "jnn_cifar"):
        yield Row(f"memory/{name}", Step(name, "train", NETS[name].batch), measure="memory", threads=1)
    for net in NETS.values():
        for mode in ("train", "predict"):
            for batch in GROWTH:
                yield Row(f"growth/{net.name}/{mode}/{batch}", Step(net.name, mode, batch), threads=1, brief=True)
