"""The bundled sets: their shapes, types and a few values known from elsewhere; with `peers` every value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rn.datasets
from rn.datasets import diabetes, digits, iris, load_diabetes, load_digits, load_iris
from rn.errors import OptionError


def test_digits():
    x, y = load_digits()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1797, 1, 8, 8), np.float32, (1797,), np.int64)
    assert (x.min(), x.max()) == (0, 1)
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(np.bincount(y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(y[:10], range(10))
    np.testing.assert_array_equal(x[0, 0, 0] * 16, [0, 0, 5, 13, 9, 1, 0, 0])
    np.testing.assert_array_equal(x[-1, 0, -1] * 16, [0, 1, 8, 12, 14, 12, 1, 0])


def test_raw_digits():
    x, y = load_digits(raw=True)
    assert (x.shape, x.dtype, y.dtype, x.max()) == ((1797, 1, 8, 8), np.uint8, np.int64, 16)
    scaled, same = load_digits()
    np.testing.assert_array_equal(scaled, x.astype(np.float32) / 16)
    np.testing.assert_array_equal(same, y)
    assert x.flags.c_contiguous


@pytest.mark.parametrize(
    "load", [load_digits, rn.datasets.load_mnist, rn.datasets.load_fashion_mnist, rn.datasets.load_cifar10]
)
def test_raw_is_yes_or_no(load, tmp_path, monkeypatch):
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path))
    with pytest.raises(OptionError, match="raw must be True or False, got 'no'"):
        load(raw="no")


def test_iris():
    x, y = load_iris()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((150, 4), np.float32, (150,), np.int64)
    np.testing.assert_array_equal(np.bincount(y), [50, 50, 50])
    np.testing.assert_array_equal(x[0], np.float32([5.1, 3.5, 1.4, 0.2]))
    np.testing.assert_array_equal(x[149], np.float32([5.9, 3.0, 5.1, 1.8]))
    # The means that Fisher's table gives; UCI's copy differs in two flowers.
    np.testing.assert_allclose(x[:50].mean(axis=0), [5.006, 3.428, 1.462, 0.246], rtol=1e-6)


def test_diabetes():
    x, y = load_diabetes()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((442, 10), np.float32, (442,), np.float32)
    np.testing.assert_array_equal(x[0], np.float32([59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]))
    np.testing.assert_array_equal(np.unique(x[:, 1]), [1, 2])
    # The mean and range that the paper's page gives.
    assert (y.min(), y.max(), y[0], y[-1]) == (25, 346, 151, 57)
    assert y.mean(dtype=float) == pytest.approx(152.13, abs=0.01)
    assert all(array.flags.c_contiguous for array in (x, y))


def test_names_fit_the_data():
    assert len(digits.CLASS_NAMES) == 10
    assert (len(iris.CLASS_NAMES), len(iris.FEATURE_NAMES)) == (3, 4)
    first = diabetes.FILE.read_text("ascii").splitlines()[0]
    assert tuple(first.split(",")) == (*diabetes.FEATURE_NAMES, "progression")
    first = iris.FILE.read_text("ascii").splitlines()[0]
    assert tuple(first.split(",")) == (*iris.FEATURE_NAMES, "class")


def test_the_arrays_are_the_callers_own():
    for load in (load_diabetes, load_digits, load_iris):
        for array in load():
            array[...] = 0
        assert all(array.any() for array in load())


def test_each_file_has_its_licence_note():
    folder = Path(rn.datasets.__file__).parent / "bundled"
    note = (folder / "README.md").read_text("utf-8")
    assert "CC BY 4.0" in note
    for path in folder.iterdir():
        assert path.name in note or path.name == "README.md"


def test_bundled_sets_need_no_network_code():
    program = (
        "import sys, rn\n"
        "rn.datasets.load_digits(); rn.datasets.load_iris()\n"
        "assert not {'urllib.request', 'tqdm', 'ssl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.peers
def test_every_value_is_scikit_learns():
    from sklearn import datasets as peer

    x, y = load_digits(raw=True)
    np.testing.assert_array_equal(x[:, 0], peer.load_digits().images)
    np.testing.assert_array_equal(y, peer.load_digits().target)
    x, y = load_diabetes()
    theirs = peer.load_diabetes(scaled=False)
    np.testing.assert_array_equal(x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(y, theirs.target.astype(np.float32))
    x, y = load_iris()
    np.testing.assert_array_equal(x, peer.load_iris().data.astype(np.float32))
    np.testing.assert_array_equal(y, peer.load_iris().target)
    assert tuple(peer.load_iris().target_names) == iris.CLASS_NAMES
    assert tuple(peer.load_iris().feature_names) == iris.FEATURE_NAMES
