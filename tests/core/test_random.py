"""Philox4x32-10 and what is drawn from it: dropout, uniform and normal numbers, orders."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

SIZES = (0, 1, 2, 3, 4, 5, 31, 32, 33, 127, 1000, 16384, 16385, 70001)


def dropped(x: np.ndarray, rate: float, purpose: int = 1, **step: int) -> np.ndarray:
    bench = Bench(**step)
    a, b = bench.put(x), bench.out(x.shape)
    _core.dropout(bench.plan, a, b, rate, purpose)
    return bench.run().get(b).reshape(x.shape)


def tensor(n: int) -> _core.Tensor4D:
    """A tensor of n elements that starts as NaN."""
    bench = Bench()
    slot = bench.out((1, n))
    return bench.run().plan.array(slot)


def uniform(n: int, *args: float, **named: int) -> np.ndarray:
    t = tensor(n)
    _core.random_uniform(t, *args, **named)
    return np.array(t).reshape(-1)


def normal(n: int, *args: float, **named: int) -> np.ndarray:
    t = tensor(n)
    _core.random_normal(t, *args, **named)
    return np.array(t).reshape(-1)


def shuffled(n: int, seed: int, purpose: int, step: int) -> np.ndarray:
    order = np.full(n, -1, np.int64)
    _core.shuffle(order, seed, purpose, step)
    return order


# known values: kat_vectors of Random123


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_published_answers(counter: str, key: str, words: str) -> None:
    low, high = (int(word, 16) for word in key.split())
    got = _core.philox([int(word, 16) for word in counter.split()], low | high << 32)
    assert " ".join(f"{word:08x}" for word in got) == words


def test_reference_has_the_published_answers() -> None:
    assert [f"{word:08x}" for word in reference.philox_words(4, 0, 0, 0)] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]
    expected = _core.philox([2, 0, 7, 9], 2**63 + 5)
    assert tuple(reference.philox_words(12, 2**63 + 5, 9, 7)[8:]) == expected


# reference


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.999999])
def test_dropout(n: int, rate: float) -> None:
    x = np.random.default_rng(n).normal(size=(1, n)).astype(np.float32)
    seed, step, purpose = 2**40 + 17, 2**33 + 5, 3
    kept = reference.dropout_mask(n, rate, seed, purpose, step & 0xFFFFFFFF)
    y = dropped(x, rate, purpose, seed=seed, step=step)
    np.testing.assert_array_equal(y != 0, kept[None])
    close(y, np.where(kept, x / (1.0 - rate), 0.0), tolerance=2e-7)


def test_dropout_keeps_the_share_it_should() -> None:
    x = np.ones((100, 10_000), np.float32)
    for rate in (0.1, 0.5, 0.9):
        share = np.count_nonzero(dropped(x, rate)) / x.size
        assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / x.size)


def test_dropout_differs_by_step_seed_and_purpose_and_repeats() -> None:
    x = np.ones((1, 1000), np.float32)
    masks = [dropped(x, 0.5, p, seed=s, step=t).tobytes() for s in (0, 1, 2**32) for t in (0, 1) for p in (1, 2)]
    assert len(set(masks)) == len(masks)
    assert dropped(x, 0.5, 1, seed=0, step=0).tobytes() == masks[0]


def test_dropout_of_nan_and_in_place() -> None:
    x = np.full((1, 64), np.nan, np.float32)
    kept = reference.dropout_mask(64, 0.5, 0, 1, 0)
    np.testing.assert_array_equal(np.isnan(dropped(x, 0.5))[0], kept)
    bench = Bench()
    a = bench.put(np.ones((1, 64)))
    _core.dropout(bench.plan, a, a, 0.5, 1)
    np.testing.assert_array_equal(bench.run().get(a).reshape(-1), 2.0 * kept)


@pytest.mark.parametrize("n", SIZES)
def test_uniform(n: int) -> None:
    close(uniform(n, -2.0, 3.0, 5, 6, step=7), reference.random_uniform(n, -2.0, 3.0, 5, 6, 7), 5.0, 2e-7)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("truncated", [False, True])
def test_normal(n: int, truncated: bool) -> None:
    expected = reference.random_normal(n, 0.5, 2.0, 5, 6, 7, truncated)
    close(normal(n, 0.5, 2.0, 5, 6, step=7, truncated=truncated), expected, 1.0 + np.abs(expected), 4e-6)


def test_distributions() -> None:
    u = uniform(1_000_000, 0.0, 1.0, 1, 1).astype(np.float64)
    assert u.min() >= 0.0
    assert u.max() < 1.0
    counts = np.bincount((u * 256).astype(int), minlength=256)
    chi_square = np.sum((counts - u.size / 256) ** 2) / (u.size / 256)
    assert abs(chi_square - 255) < 5 * np.sqrt(2 * 255)
    z = normal(1_000_000, 0.0, 1.0, 1, 1).astype(np.float64)
    assert abs(z.mean()) < 5e-3
    assert abs(z.std() - 1) < 5e-3
    assert abs(np.mean(np.abs(z) < 1) - 0.682689) < 5e-3
    assert abs(np.mean(z**4) - 3) < 0.05
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5e-3
    t = normal(1_000_000, 0.0, 1.0, 1, 1, truncated=True).astype(np.float64)
    assert np.abs(t).max() <= 2.0
    assert abs(t.std() - 0.879626) < 5e-3


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 5000])
def test_shuffle(n: int) -> None:
    order = shuffled(n, 2**50 + 3, 4, 2)
    np.testing.assert_array_equal(order, reference.shuffled(n, 2**50 + 3, 4, 2))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_every_order_is_as_likely() -> None:
    counts: dict[bytes, int] = {}
    for seed in range(24_000):
        key = shuffled(4, seed, 0, 0).tobytes()
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert abs(chi_square - 23) < 5 * np.sqrt(2 * 23)


# edges


def test_ranges_of_no_width() -> None:
    np.testing.assert_array_equal(uniform(9, 3.0, 3.0, 1, 1), np.full(9, 3.0))
    np.testing.assert_array_equal(normal(9, 3.0, 0.0, 1, 1), np.full(9, 3.0))


def test_seeds_of_any_size() -> None:
    np.testing.assert_array_equal(uniform(9, 0.0, 1.0, -1, 0), uniform(9, 0.0, 1.0, 2**64 - 1, 0))
    assert not np.array_equal(uniform(9, 0.0, 1.0, 1, 0), uniform(9, 0.0, 1.0, 1 + 2**32, 0))


# every instruction set and thread count

OTHER = """
import numpy as np, sys
sys.path[:0] = {path!r}
from tests.core.test_random import *
sys.stdout.write(dropped(np.ones((1, 5003), np.float32), 0.3, 5, seed=9, step=2).tobytes().hex())
sys.stdout.write(uniform(5003, -1.5, 0.7, 9, 2).tobytes().hex() + shuffled(500, 9, 2, 1).tobytes().hex())
"""


def test_same_bits_on_every_instruction_set() -> None:
    text = OTHER.format(path=[entry for entry in sys.path if entry])
    runs = {
        isa: subprocess.run(
            [sys.executable, "-c", text], env={**os.environ, "RN_ISA": isa}, capture_output=True, check=True
        ).stdout
        for isa in _core.instruction_sets()
    }
    assert runs["generic"]
    for isa, bits in runs.items():
        assert bits == runs["generic"], isa


@pytest.mark.parametrize("n", [33, 300_001])
def test_same_bits_on_any_number_of_threads(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(1, n)).astype(np.float32)
    results = with_threads(
        lambda: {
            "dropout": dropped(x, 0.4, 2, seed=3, step=4),
            "uniform": uniform(n, -1.0, 1.0, 3, 4),
            "normal": normal(n, 0.0, 1.0, 3, 4),
            "truncated": normal(n, 0.0, 1.0, 3, 4, truncated=True),
        }
    )
    assert all(np.any(value) for value in results.values())


def test_a_longer_tensor_begins_like_a_shorter_one() -> None:
    for draw in (uniform, normal):
        np.testing.assert_array_equal(draw(40_000, 0.0, 1.0, 1, 2)[:17], draw(17, 0.0, 1.0, 1, 2))


# refusals


@pytest.mark.parametrize("rate", [1.0, -0.1, 2.0, float("nan")])
def test_rates_refused(rate: float) -> None:
    with pytest.raises(errors.OptionError, match="dropout rate"):
        dropped(np.ones((1, 4), np.float32), rate)


def test_refusals() -> None:
    bench = Bench()
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.dropout(bench.plan, bench.out((2, 3)), bench.out((3, 2)), 0.5, 1)
    with pytest.raises(errors.OptionError, match="lower end"):
        uniform(4, 1.0, 0.0, 0, 0)
    with pytest.raises(errors.OptionError, match="finite"):
        uniform(4, 0.0, float("inf"), 0, 0)
    with pytest.raises(errors.OptionError, match="negative"):
        normal(4, 0.0, -1.0, 0, 0)
