"""NumPy: matrix products by its BLAS, elementwise operations making a contiguous result, transforms image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.nets import Array
from benchmarks.peers import arrays, one_image
from benchmarks.work import Call, Calls, Elementwise, Gemm, Images, Work


def versions() -> str:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return f"NumPy {np.__version__}"
    blas = ", ".join(
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".rstrip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    return f"NumPy {np.__version__} ({blas or 'no BLAS known'})"


def start(threads: int) -> None:
    """Leave the BLAS with OMP_NUM_THREADS, which it read when it was loaded."""


def prepare(work: Work) -> Calls:
    if isinstance(work, Gemm):
        return {"numpy": gemm(work)}
    if isinstance(work, Elementwise):
        return {"numpy": elementwise(work)}
    if isinstance(work, Images):
        return {"numpy": images(work)}
    return {}


def gemm(work: Gemm) -> Call:
    a, b = arrays.gemm(work)
    c = np.empty((work.m, work.n), np.float32)
    return lambda: np.matmul(a, b, out=c)


def softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max(1, keepdims=True))
    e /= e.sum(1, keepdims=True)
    return e


def sigmoid(x: Array) -> Array:
    y: Array = np.exp(-x)
    y += 1
    return np.reciprocal(y, out=y)


def pad(x: Array) -> Array:
    n, c, h, w = x.shape
    y = np.zeros((n, c, h + 2, w + 2), np.float32)
    y[:, :, 1:-1, 1:-1] = x
    return y


OPERATIONS: dict[str, Callable[[Array, Array, Array], object]] = {
    "copy": lambda x, y, b: x.copy(),
    "negative": lambda x, y, b: -x,
    "abs": lambda x, y, b: abs(x),
    "add": lambda x, y, b: x + y,
    "add in place": lambda x, y, b: np.add(x, y, out=x),
    "add channels": lambda x, y, b: x + b,
    "multiply": lambda x, y, b: x * y,
    "multiply by number": lambda x, y, b: x * 1.5,
    "divide": lambda x, y, b: x / y,
    "square": lambda x, y, b: np.square(x),
    "power": lambda x, y, b: x**1.7,
    "less": lambda x, y, b: x < y,
    "clip": lambda x, y, b: x.clip(0.2, 0.8),
    "relu": lambda x, y, b: np.maximum(x, 0),
    "sqrt": lambda x, y, b: np.sqrt(x),
    "exp": lambda x, y, b: np.exp(x),
    "log": lambda x, y, b: np.log(x),
    "tanh": lambda x, y, b: np.tanh(x),
    "sigmoid": lambda x, y, b: sigmoid(x),
    "softmax": lambda x, y, b: softmax(x),
    "sum": lambda x, y, b: x.sum(),
    "sum channels": lambda x, y, b: x.sum((0, 2, 3), keepdims=True),
    "mean": lambda x, y, b: x.mean(),
    "var": lambda x, y, b: x.var(),
    "norm": lambda x, y, b: np.sqrt(np.dot(x.ravel(), x.ravel())),
    "max": lambda x, y, b: x.max(),
    "argmax": lambda x, y, b: x.argmax(),
    "transpose": lambda x, y, b: np.ascontiguousarray(x.transpose((0, 2, 3, 1))),
    "pad": lambda x, y, b: pad(x),
    "slice": lambda x, y, b: np.ascontiguousarray(x[2:14, :, 1:3, 1:]),
}


def elementwise(work: Elementwise) -> Call:
    x, y, b = arrays.elementwise(work)
    operation = OPERATIONS[work.operation]
    return lambda: operation(x, y, b)


def images(work: Images) -> Call:
    """Return the transform image by image, from the array of a batch to the array of a batch."""
    x, other = arrays.images(work)
    rng = np.random.default_rng(0)

    def one(i: int) -> Array:
        if work.transform == "mixup":
            return one_image.mixup(x[i], other[i], rng)
        image: Array = x[i]
        for change in one_image.CHANGES[work.transform]:
            image = change(image, rng)
        return image

    result = np.empty(x.shape, one(0).dtype)

    def call() -> Array:
        for i in range(len(x)):
            result[i] = one(i)
        return result

    return call
