"""The float64 twin of every kernel, in plain NumPy: what the kernel computes, written to be read.

Each twin of a sum also gives ``terms``, the sum of the absolute values of what was added: what rounding errors are measured by.
"""

from __future__ import annotations

import numpy as np

# ---- activations that products can end with


def activate(x: np.ndarray, name: str, alpha: float = 0.0) -> np.ndarray:
    """Return act(x)."""
    return {
        "linear": lambda: x,
        "relu": lambda: np.maximum(x, 0.0),
        "leaky_relu": lambda: np.where(x < 0, alpha * x, x),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
    }[name]()


# ---- matrix products


def gemm(
    a,
    b,
    c=None,
    *,
    transpose_a=False,
    transpose_b=False,
    bias=None,
    bias_axis="columns",
    activation="linear",
    alpha=0.0,
):
    """Return act(op(a) op(b) [+ c] + bias) and the terms of the sum."""
    a = np.asarray(a, np.float64).T if transpose_a else np.asarray(a, np.float64)
    b = np.asarray(b, np.float64).T if transpose_b else np.asarray(b, np.float64)
    total, terms = a @ b, np.abs(a) @ np.abs(b)
    if c is not None:
        total, terms = total + c, terms + np.abs(c)
    if bias is not None:
        bias = np.asarray(bias, np.float64).reshape((1, -1) if bias_axis == "columns" else (-1, 1))
        total, terms = total + bias, terms + np.abs(bias)
    return activate(total, activation, alpha), terms


def sum_rows(x, total=None):
    """Return sum_i x[i, j] [+ total[j]] and the terms of the sum."""
    x = np.asarray(x, np.float64)
    start = np.zeros(x.shape[1]) if total is None else np.asarray(total, np.float64)
    return start + x.sum(0), np.abs(start) + np.abs(x).sum(0)
