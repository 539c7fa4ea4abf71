"""Tensor4D under random calls: a result or an exception comes out, and the memory of others stays whole."""

from __future__ import annotations

import gc
import operator
import pickle
import random

import numpy as np
import pytest

from rn import _core
from rn.errors import RnError

Tensor4D = _core.Tensor4D

# What a call may raise: rn's own exceptions, and Python's where the language or NumPy asks for them.
EXPECTED = (RnError, TypeError, IndexError, MemoryError, BufferError, ValueError)


def read_only():
    values = np.ones((2, 3), np.float32)
    values.flags.writeable = False
    return Tensor4D.wrap(values)


def raising(*arguments):
    raise ValueError(arguments)


class Odd:
    """Claims to be a number, an index, a sequence and an array, and is none."""

    def __float__(self):
        raise ValueError("no number")

    def __index__(self):
        raise ValueError("no index")

    def __len__(self):
        return -1

    def __array__(self, dtype=None, copy=None):
        return "no array"

    def __dlpack__(self, **options):
        return "no capsule"


MAKERS = [
    lambda: Tensor4D(np.arange(6).reshape(2, 3)),
    lambda: Tensor4D.zeros((2, 3, 4, 5)),
    lambda: Tensor4D.ones((0, 3)),
    lambda: Tensor4D.zeros((0, 0, 0, 0)),
    lambda: Tensor4D(1.5),
    lambda: Tensor4D.normal((1, 7, 9, 33), seed=1),
    lambda: Tensor4D.normal((3, 1, 1, 5000), seed=2),
    lambda: Tensor4D.wrap(np.zeros((4, 4), np.float32)),
    read_only,
    lambda: Tensor4D.__new__(Tensor4D),
    lambda: Tensor4D.zeros((2, 3, 4, 5)).reshape(-1, 2),
]
VALUES = [
    *[
        lambda x=x: x
        for x in [None, True, 0, 1, 2, 3, -1, -4, 4, 7, 2**40, -(2**63), 2**63, 2**200, 0.5, -2.5, 1e300, 1j]
    ],
    *[
        lambda x=x: x
        for x in [float("nan"), float("inf"), "", "same", "valid", b"ab", ..., slice(None), slice(3, None, -2)]
    ],
    *[
        lambda x=x: x
        for x in [(), (2, 3), (-1, 6), (0, 1, 2, 3), (3, 2, 1, 0), (0, 0), (1, 2, 3, 4, 5), ((1, 1), (0, 2))]
    ],
    *[lambda x=x: x for x in [[], [1, 2], [[1, 2], [3]], [[[[[1]]]]], ["a"], {}, {1}, int, len, abs, raising]],
    lambda: (..., slice(None, None, 2), -1),
    lambda: np.ones((2, 3)),
    lambda: np.ones((2, 3, 4, 5), np.float32)[:, ::-1],
    lambda: np.arange(12, dtype=">i2").reshape(3, 4),
    lambda: np.array([None, 1], object),
    lambda: np.zeros((2, 0), bool),
    lambda: np.zeros(3, "V0"),
    lambda: np.float32(3),
    lambda: memoryview(bytearray(24)).cast("f"),
    lambda: bytearray(b"\0" * 12),
    lambda: np.add,
    Odd,
    *MAKERS,
]
NAMES = sorted(name for name in dir(Tensor4D) if not name.startswith("_"))
SPECIAL = ["__array__", "__dlpack__", "__getitem__", "__setitem__", "__iter__", "__init__"]
OPERATORS = [
    *[
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.matmul,
        operator.lt,
        operator.eq,
    ],
    *[
        operator.iadd,
        operator.isub,
        operator.imul,
        operator.itruediv,
        operator.ipow,
        operator.ge,
        operator.ne,
        operator.mod,
    ],
]
KEYWORDS = [
    "axis",
    "strides",
    "padding",
    "dilation",
    "groups",
    "seed",
    "step",
    "copy",
    "dtype",
    "low",
    "value",
    "max_version",
]


def call_anything(rng: random.Random) -> object:
    """Make one random call and return its result."""
    tensor = rng.choice(MAKERS)()
    kind = rng.random()
    if kind < 0.3:
        left, right = tensor, rng.choice(VALUES)()
        if rng.random() < 0.5:
            left, right = right, left
        return rng.choice(OPERATORS)(left, right)
    if kind < 0.35:
        return rng.choice([repr, bool, float, len, list, bytes, hash, pickle.dumps, np.exp, np.add.reduce])(tensor)
    if kind < 0.45:
        return rng.choice([Tensor4D, Tensor4D.wrap, Tensor4D.from_dlpack])(rng.choice(VALUES)())
    arguments = [rng.choice(VALUES)() for _ in range(rng.randrange(4))]
    options = {rng.choice(KEYWORDS): rng.choice(VALUES)() for _ in range(rng.choice([0, 0, 0, 1, 2]))}
    thing = getattr(tensor, rng.choice(NAMES if rng.random() < 0.8 else SPECIAL))
    return thing(*arguments, **options) if callable(thing) else thing


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("ignore")
def test_random_calls(seed):
    rng = random.Random(seed)
    kept = []
    for _ in range(2500):
        try:
            result = call_anything(rng)
        except EXPECTED:
            continue
        if isinstance(result, Tensor4D):
            assert np.asarray(result).shape == result.shape
            assert np.asarray(result).sum(dtype=np.float64) is not None
        kept = [*kept[-20:], result]
        if rng.random() < 0.02:
            gc.collect()
