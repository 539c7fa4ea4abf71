"""The operands of kernels, the same for every peer."""

from __future__ import annotations

import numpy as np

from benchmarks.nets import Array
from benchmarks.work import Conv, Elementwise, Gemm, Images

__all__ = ["conv", "elementwise", "gemm", "images"]


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


def images(work: Images) -> tuple[Array, Array]:
    """Return images (batch, 3, 32, 32), and as many others."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, work.batch, 3, 32, 32), np.uint8)
    x, others = pixels if work.dtype == "uint8" else (pixels / 255).astype(np.float32)
    return x, others
