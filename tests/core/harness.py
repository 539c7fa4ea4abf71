"""What the tests of kernels share: running one doorway on arrays, comparing with float64, bits across thread counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rn import _core

THREADS = (1, 2, 3, 8)


class Bench:
    """A plan of a few calls under test: ``put`` arrays in, record, ``run``, ``get`` arrays out."""

    def __init__(
        self, *, seed: int = 0, step: int = 0, update: int = 1, learning_rate: float = 0.01, training: bool = True
    ) -> None:
        self.plan = _core.Plan(1, training=training, seed=seed)
        self.plan.set_step(step, update, learning_rate)
        self.values: list[tuple[Any, np.ndarray]] = []

    def put(self, array: Any) -> Any:
        """Return a slot that holds ``array`` (float32, or int32 kept as bits) when the calls run."""
        array = np.ascontiguousarray(array)
        array = array.view(np.float32) if array.dtype == np.int32 else array.astype(np.float32)
        slot = self.plan.kept(array.shape)
        self.values.append((slot, array))
        return slot

    def out(self, shape: tuple[int, ...]) -> Any:
        """Return a slot for a result; it holds NaN before the calls run, so that what is not written shows."""
        return self.put(np.full(shape, np.nan, np.float32))

    def scalar(self) -> Any:
        """Return a slot for a float64."""
        return self.plan.kept((2,))

    def run(self, phase: str = "update") -> Bench:
        """Fill the slots and run every call once."""
        self.plan.seal()
        for slot, array in self.values:
            np.asarray(self.plan.array(slot)).reshape(-1)[...] = array.reshape(-1)
        self.plan.run(phase)
        return self

    def get(self, slot: Any) -> np.ndarray:
        """Return a copy of what ``slot`` holds."""
        return np.array(self.plan.array(slot))


def with_threads(function: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return ``function()``'s results after checking that they are the same bits on 1, 2, 3 and 8 threads."""
    before = _core.get_num_threads()
    results = []
    try:
        for threads in THREADS:
            _core.set_num_threads(threads)
            results.append(function())
    finally:
        _core.set_num_threads(before)
    for threads, result in zip(THREADS, results, strict=True):
        for name, value in results[0].items():
            assert np.asarray(value).tobytes() == np.asarray(result[name]).tobytes(), (
                f"{name} differs on {threads} threads"
            )
    return results[0]


def close(result: Any, expected: Any, terms: Any = None, tolerance: float = 1e-5) -> None:
    """Assert |result - expected| <= tolerance * terms, element by element; an all-zero result must not pass.

    ``terms`` is the sum of the absolute terms that made each element (default: |expected|).
    """
    result = np.asarray(result, np.float64).reshape(np.shape(expected))
    expected = np.asarray(expected, np.float64)
    terms = np.abs(expected) if terms is None else np.broadcast_to(terms, expected.shape)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    good = np.isfinite(expected)
    np.testing.assert_array_equal(result[~good], expected[~good])
    error = np.abs(result[good] - expected[good])
    bound = tolerance * terms[good] + 1e-38
    worst = np.argmax(error / bound) if error.size else 0
    assert np.all(error <= bound), (
        f"off by {error[worst]:.3g} at {worst}: {result[good][worst]} for {expected[good][worst]}"
    )
    if np.any(np.abs(expected[good]) > bound):
        assert np.any(result[good] != 0), "all zero"


def ulps(result: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return how far float32 results are from float64 values, in units of the last place of the value's float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.abs(expected).astype(np.float32)
        place = np.spacing(np.minimum(near, np.float32(3.4028235e38))).astype(np.float64)
        distance = np.abs(result.astype(np.float64) - expected) / place
        # an overflow is right where the value's nearest float32 is infinite
        same = (result == expected.astype(np.float32)) | (np.isnan(result) & np.isnan(expected))
    return np.where(same & ~np.isfinite(distance), 0.0, distance)
