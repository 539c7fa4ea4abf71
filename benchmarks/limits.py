"""What must hold on which row, as data."""

from __future__ import annotations

from benchmarks.results import Limit
from benchmarks.rows import Row
from benchmarks.work import Conv, Elementwise, Epochs, Gemm, Images, Step

__all__ = ["NETS", "held_to_peak", "limits"]

# Ratios of the nets: training on 1 and 2 threads, inference of the batch on 1 and 2, of one on 1 and 2.
NETS = {
    "xor": (4.0, 3.5, 1.5, 1.5, 1.5, 1.5),
    "mlp": (1.6, 1.7, 1.2, 1.3, 1.4, 1.3),
    "jnn_mnist": (3.5, 3.5, 1.3, 1.4, 1.4, 1.4),
    "keras_mnist": (2.0, 2.0, 1.5, 1.5, 1.2, 1.1),
    "jnn_cifar": (1.7, 1.7, 1.9, 1.8, 1.4, 1.4),
}
# Products that must be this many times as fast as OpenBLAS; the others 0.97.
GEMM_AGAINST_OPENBLAS = {(64, 64, 64): 1.3, (24, 676, 9): 1.3, (30, 121, 216): 1.3}
GEMM_SHARE = 0.93  # of the peak on one thread, from 256³ to 1024³
GEMM_SPEED_UP = 1.8  # of two threads
CONV_GFLOPS = 76.0  # forward, from 27 products an output
CONV_BY_WEIGHTS = 1.3  # from 24 channels
FIT_MICROSECONDS = {(2, 8, 2): 3.0, (4, 10, 10, 3): 6.0}
MEMORY = 2.0
IMAGE_BY_IMAGE = 20.0
BY_PILLOW = ("flip", "crop", "affine", "jitter", "cutout")


def limits(row: Row, threads: int) -> tuple[Limit, ...]:
    """Return what must hold on ``row`` with ``threads`` threads."""
    work = row.work
    if isinstance(work, Gemm):
        return _gemm(work, threads)
    if isinstance(work, Conv):
        return _conv(work, row.name.split("/")[1])
    if isinstance(work, Elementwise):
        return (Limit("ratio", 1.0),)
    if isinstance(work, Images):
        return _images(work)
    if isinstance(work, Epochs):
        return (Limit("microseconds", FIT_MICROSECONDS[work.sizes]),)
    return _step(row, work, threads)


def held_to_peak(work: Gemm) -> bool:
    """Return whether a product must reach a share of what a core can do."""
    return work.m == work.n == work.k and 256 <= work.m <= 1024


def _gemm(work: Gemm, threads: int) -> tuple[Limit, ...]:
    shape = (work.m, work.n, work.k)
    against = Limit("ratio", GEMM_AGAINST_OPENBLAS.get(shape, 0.97), "numpy")
    if not held_to_peak(work) or threads > 2:
        return (against,)
    share = GEMM_SHARE * (GEMM_SPEED_UP if threads == 2 else 1.0)
    return against, Limit("share", share)


def _conv(work: Conv, kind: str) -> tuple[Limit, ...]:
    if kind not in ("3x3", "direct"):
        return (Limit("ratio", 1.0),)
    if work.part == "forward" and work.taps >= 27:
        return (Limit("gflops", CONV_GFLOPS),)
    if work.part == "weights" and work.channels >= 24:
        return (Limit("ratio", CONV_BY_WEIGHTS, "torch"),)
    return ()


def _images(work: Images) -> tuple[Limit, ...]:
    if work.transform == "all":
        return (Limit("ratio", IMAGE_BY_IMAGE),)
    if work.dtype == "uint8" and work.transform in BY_PILLOW:
        return (Limit("ratio", IMAGE_BY_IMAGE, "pillow"),)
    return (Limit("ratio", 1.0),)  # a copy at the memory's speed, for one image as for many


def _step(row: Row, work: Step, threads: int) -> tuple[Limit, ...]:
    if row.measure == "memory":
        return (Limit("ratio", MEMORY, "torch"),)
    if row.group != "net" or threads > 2:
        return ()
    first = 0 if work.mode == "train" else 4 if work.batch == 1 else 2
    return (Limit("ratio", NETS[work.net][first + threads - 1]),)
