"""Splitting: every sample is in one part, classes keep their shares, and the seed alone decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import rn
from rn.data import train_test_split
from rn.data.split import class_shares
from rn.errors import DtypeError, LabelError, OptionError, ShapeError
from tests.unreadable import Unreadable


def split_rows(n: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the samples in the training and in the test part."""
    train, test, same_train, same_test = train_test_split(np.arange(n), np.arange(n), **options)
    np.testing.assert_array_equal(train, same_train)
    np.testing.assert_array_equal(test, same_test)
    return train, test


# ---- known values


def test_a_split_is_the_same_everywhere():
    train, test = split_rows(10, test_size=0.3, seed=7)
    np.testing.assert_array_equal(test, [2, 6, 7])
    np.testing.assert_array_equal(train, [8, 4, 1, 0, 9, 3, 5])


def test_iris():
    x, y = rn.datasets.load_iris()
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, seed=3)
    assert (x_train.shape, x_test.shape, y_train.shape, y_test.shape) == ((112, 4), (38, 4), (112,), (38,))
    assert (x_train.dtype, y_test.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(np.bincount(y_test), [13, 13, 12])
    np.testing.assert_array_equal(np.bincount(y_train), [37, 37, 38])


@pytest.mark.parametrize(
    ("counts", "tests", "expected"),
    [
        ([50, 50, 50], 38, [13, 13, 12]),
        ([10, 10], 5, [3, 2]),
        ([90, 10], 10, [9, 1]),
        ([80, 17, 3], 10, [8, 1, 1]),  # exact: 8, 1.7, 0.3
        ([96, 2, 2], 50, [48, 1, 1]),
        ([2, 2], 2, [1, 1]),
        ([97, 3], 90, [88, 2]),  # exact: 87.3, 2.7
        ([5], 2, [2]),
        ([2**40, 3 * 2**40], 2**20, [2**18, 3 * 2**18]),
    ],
)
def test_shares_of_classes(counts, tests, expected):
    np.testing.assert_array_equal(class_shares(np.array(counts), tests), expected)


# ---- what always holds

sizes = st.integers(2, 80).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1)))


@given(sizes, st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_each_sample_is_in_one_part(size, seed):
    n, tests = size
    train, test = split_rows(n, test_size=tests, seed=seed)
    assert len(test) == tests
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n))


@given(st.lists(st.integers(2, 40), min_size=1, max_size=8), st.floats(0.02, 0.98), st.integers(0, 2**40))
@example([2, 2, 96], 0.5, 0)
@settings(max_examples=200, deadline=None)
def test_classes_keep_their_shares(counts, test_size, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(labels)
    try:
        train, test = split_rows(n, test_size=test_size, stratify=labels, seed=seed)
    except OptionError:
        # Only where some class has to be left out, or one part has to have more than its rounded share.
        exact = np.array(counts) * math.ceil(n * test_size) / n
        assert (exact < 1).any() or (exact > np.array(counts) - 1).any()
        assume(False)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n))
    exact = np.array(counts) * len(test) / n
    got = np.bincount(labels[test], minlength=len(counts))
    assert (np.abs(got - exact) < 1).all()
    assert (got > 0).all()
    assert (got < counts).all()


@pytest.mark.parametrize("stratify", [None, np.arange(200) % 3])
def test_the_seed_decides(stratify):
    def split(seed):
        return np.concatenate(split_rows(200, stratify=stratify, seed=seed))

    np.testing.assert_array_equal(split(1), split(1))
    np.testing.assert_array_equal(split(np.int64(1)), split(1))
    assert not np.array_equal(split(1), split(2))


@pytest.mark.parametrize("stratify", [None, np.arange(1000) // 500])
def test_the_parts_are_shuffled_and_fair(stratify):
    often = np.zeros(1000)
    for seed in range(400):
        train, test = split_rows(1000, test_size=0.25, stratify=stratify, seed=seed)
        often[test] += 1
        for part in (train, test):
            assert abs(np.corrcoef(part, np.arange(len(part)))[0, 1]) < 0.35
    # Each sample is for testing in a quarter of the splits: 100 of 400, with a deviation of 8.7.
    assert often.min() > 55
    assert often.max() < 145
    assert abs(often[:500].mean() - 100) < 1.5


def test_labels_of_any_kind():
    numbers = np.arange(60) % 3
    expected = split_rows(60, stratify=numbers)
    for labels in (numbers.tolist(), numbers * 10 - 5, numbers / 2, np.array(["a", "b", "c"])[numbers]):
        for part, same in zip(split_rows(60, stratify=labels), expected, strict=True):
            np.testing.assert_array_equal(part, same)


def test_the_parts_are_copies_of_the_same_type():
    x, y = np.zeros((8, 1, 2, 2), np.uint8), ["one", "two"] * 4
    x_train, x_test, y_train, y_test = train_test_split(x, y)
    assert (x_train.shape, x_test.shape, x_test.dtype) == ((6, 1, 2, 2), (2, 1, 2, 2), np.uint8)
    assert (len(y_train), len(y_test), y_test.dtype.kind) == (6, 2, "U")
    assert not np.shares_memory(x, x_train)
    assert x_train.flags.c_contiguous


@pytest.mark.parametrize(
    ("n", "test_size", "tests"),
    [(10, 0.25, 3), (10, 0.2, 2), (3, 0.01, 1), (10, 9, 9), (10, np.int8(1), 1), (2, 0.5, 1)],
)
def test_sizes(n, test_size, tests):
    train, test = split_rows(n, test_size=test_size)
    assert (len(train), len(test)) == (n - tests, tests)


# ---- against scikit-learn


@pytest.mark.peers
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("test_size", [0.1, 0.25, 0.5, 40])
def test_as_many_samples_as_scikit_learn_takes(test_size, stratified):
    from sklearn.model_selection import train_test_split as peer

    x, y = rn.datasets.load_digits()
    labels = y if stratified else None
    ours = train_test_split(x, y, test_size=test_size, stratify=labels)
    theirs = peer(x, y, test_size=test_size, stratify=labels)
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    if stratified:
        assert np.abs(np.bincount(ours[3]) - np.bincount(theirs[3])).max() <= 1


# ---- refusals


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        (range(9), range(10), {}, ShapeError, r"^x and y must have as many samples, got 9 and 10$"),
        (5, range(10), {}, ShapeError, r"^x must have an axis of samples, got the single value 5$"),
        (range(10), None, {}, ShapeError, r"^y must have an axis of samples, got the single value None$"),
        ([[1], [2, 3]], range(2), {}, ShapeError, r"^x is not an array: "),
        (([[1], [2]], [3, 4]), None, {}, ShapeError, r"; give x and y as two arguments$"),
        (Unreadable(), range(2), {}, DtypeError, r"^x cannot be read as an array of numbers: there is no bfloat16"),
        ([Unreadable(RuntimeError)] * 2, range(2), {}, DtypeError, r"^x cannot be read as .*: there is no bfloat16"),
        ([], [], {}, OptionError, r"^test_size=0\.25 of 0 samples leaves 0 for training and 0 for testing: both need"),
        ([1], [1], {}, OptionError, r"^test_size=0\.25 of 1 samples leaves 0 for training and 1 for testing"),
        (range(10), range(10), {"test_size": 10}, OptionError, r"^test_size=10 of 10 samples leaves 0 for training"),
        (range(10), range(10), {"test_size": 0}, OptionError, r"leaves 10 for training and 0 for testing"),
        (range(10), range(10), {"test_size": 2**70}, OptionError, r"leaves 0 for training"),
        (range(10), range(10), {"test_size": -1}, OptionError, r"leaves 11 for training and -1 for testing"),
        (range(10), range(10), {"test_size": 0.95}, OptionError, r"leaves 0 for training"),
        (range(10), range(10), {"test_size": 1.0}, OptionError, r"as a share must be above 0 and below 1, got 1\.0$"),
        (range(10), range(10), {"test_size": 0.0}, OptionError, r"as a share must be above 0"),
        (range(10), range(10), {"test_size": math.nan}, OptionError, r"as a share must be above 0 .* got nan$"),
        (range(10), range(10), {"test_size": "a"}, OptionError, r"a share .* or a number of samples, got 'a'$"),
        (range(10), range(10), {"test_size": None}, OptionError, r"a share .* or a number of samples, got None$"),
        (range(10), range(10), {"test_size": True}, OptionError, r"a share .* or a number of samples, got True$"),
        (range(10), range(10), {"seed": None}, OptionError, r"^seed must be a whole number from 0 to .*, got None$"),
        (range(10), range(10), {"seed": 1.0}, OptionError, r"^seed must be a whole number from 0 to .*, got 1\.0$"),
        (range(10), range(10), {"seed": -1}, OptionError, r"^seed must be a whole number from 0 to .*, got -1$"),
        (range(10), range(10), {"seed": 2**64}, OptionError, r"^seed must be a whole number from 0 to .*, got 18\d+$"),
        (range(4), range(4), {"stratify": [0, 1, 0]}, ShapeError, r"one label for each of the 4 .* got shape \(3,\)$"),
        (range(4), range(4), {"stratify": True}, ShapeError, r"got shape \(\)$"),
        (range(4), range(4), {"stratify": np.eye(4)}, ShapeError, r"got shape \(4, 4\)$"),
        (
            range(4),
            range(4),
            {"stratify": [0, 1, 0, 0]},
            LabelError,
            r"one sample only of class 1: a class needs one to",
        ),
        (range(4), range(4), {"stratify": [0, 0, math.nan, 1]}, LabelError, r"NaN as the label of sample 2$"),
        (range(4), range(4), {"stratify": np.array([0, None] * 2)}, DtypeError, r"numbers or strings, got object$"),
        (
            range(9),
            range(9),
            {"stratify": [0, 1, 2] * 3, "test_size": 2},
            OptionError,
            r"^7 .* and 2 for testing are too",
        ),
        (range(9), range(9), {"stratify": [0, 1, 2] * 3, "test_size": 7}, OptionError, r"missing from a part$"),
    ],
)
def test_refusals(x, y, options, error, message):
    with pytest.raises(error, match=message):
        train_test_split(x, y, **options)
