"""Class numbers as rows of zeros and a one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn.data import one_hot
from rn.errors import LabelError, OptionError, ShapeError


def test_known_rows():
    rows = one_hot([1, 0, 3], 4)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.uint64, ">i4"])
def test_every_integer_type(dtype):
    labels = np.array([2, 0, 1, 2], dtype)
    np.testing.assert_array_equal(one_hot(labels), np.eye(3)[[2, 0, 1, 2]])


def test_as_many_classes_as_labels_reach():
    assert one_hot([0, 4]).shape == (2, 5)
    assert one_hot([0, 0]).shape == (2, 1)


@pytest.mark.parametrize("classes", [3, np.int64(3)])
def test_no_labels(classes):
    for labels in ([], np.array([], np.int64)):
        rows = one_hot(labels, classes)
        assert (rows.shape, rows.dtype) == ((0, 3), np.float32)


def test_labels_that_are_a_view():
    labels = np.arange(10)[::-3]
    np.testing.assert_array_equal(one_hot(labels, 10).argmax(axis=1), [9, 6, 3, 0])


@pytest.mark.peers
def test_scikit_learns_rows():
    from sklearn.preprocessing import OneHotEncoder

    labels = np.random.default_rng(0).integers(0, 7, 200)
    np.testing.assert_array_equal(
        one_hot(labels, 7), OneHotEncoder(sparse_output=False, categories=[range(7)]).fit_transform(labels[:, None])
    )


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, -1, 2], None, LabelError, r"^labels must be 0 or above, got -1 in row 1$"),
        ([0, 1, 3], 3, LabelError, r"^labels must be below the number of classes, 3, got 3 in row 2$"),
        ([255], 255, LabelError, r"below the number of classes, 255, got 255 in row 0$"),
        ([2**63], 4, LabelError, r"got 9223372036854775808 in row 0$"),
        ([0.0, 1.0], 2, LabelError, r"^labels must be whole numbers of an integer type, got float64$"),
        ([0.0, math.nan], 2, LabelError, r"got float64$"),
        ([True, False], 2, LabelError, r"got bool$"),
        (["0", "1"], 2, LabelError, r"got <U1$"),
        (np.array([0, None]), 2, LabelError, r"got object$"),
        ([], None, LabelError, r"^no labels, from which the number of classes could be told: pass classes$"),
        ([[0, 1]], 2, ShapeError, r"^labels must have shape \(n,\), got \(1, 2\)$"),
        ([[0], [1]], 2, ShapeError, r"got \(2, 1\)$"),
        (1, 2, ShapeError, r"got \(\)$"),
        ([[0], [1, 2]], 2, ShapeError, r"^labels must have shape \(n,\), got rows of different lengths$"),
        ([0], 0, OptionError, r"^classes must be a whole number above 0, got 0$"),
        ([0], -2, OptionError, r"got -2$"),
        ([0], 2.0, OptionError, r"got 2\.0$"),
        ([0], True, OptionError, r"got True$"),
        ([0], "2", OptionError, r"got '2'$"),
    ],
)
def test_refusals(labels, classes, error, message):
    with pytest.raises(error, match=message):
        one_hot(labels, classes)
