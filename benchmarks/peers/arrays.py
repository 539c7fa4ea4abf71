"""The operands of kernels, the same for every peer."""

from __future__ import annotations

import numpy as np

from benchmarks.nets import Array
from benchmarks.work import Conv, Elementwise, Gemm

__all__ = ["conv", "elementwise", "gemm"]


def gemm(work: Gemm) -> tuple[Array, Array]:
    """Return a (m, k) and b (k, n)."""
    rng = np.random.default_rng(0)
    return rng.random((work.m, work.k), np.float32), rng.random((work.k, work.n), np.float32)


def conv(work: Conv) -> tuple[Array, Array, Array]:
    """Return x, weight and dy."""
    rng = np.random.default_rng(0)
    x, weight, dy = (rng.random(shape, np.float32) for shape in (work.x_shape, work.weight_shape, work.y_shape))
    return x, weight, dy


def elementwise(work: Elementwise) -> tuple[Array, Array, Array]:
    """Return x and y of shape (16, 16, 4, size / 1024), and b (1, 16, 1, 1), all between 0.1 and 1."""
    rng = np.random.default_rng(0)
    shape = (16, 16, 4, work.size // 1024)
    x, y, b = (rng.uniform(0.1, 1.0, s).astype(np.float32) for s in (shape, shape, (1, 16, 1, 1)))
    return x, y, b
