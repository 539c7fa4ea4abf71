"""Reading tables: names, targets, classes, and where values are missing."""

from __future__ import annotations

import numpy as np
import pytest

import rn
from rn.data import read_csv
from rn.errors import FileError, OptionError

FLOWERS = "length,width, kind\n1.5,2,rose\n\n3,4e0,aster\n5,6,rose\n"


@pytest.fixture
def file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_text(text, encoding)
        return path

    return write


def test_text_labels_become_classes(file):
    table = read_csv(file(FLOWERS), "kind")
    assert (table.x.dtype, table.y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(table.x, [[1.5, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(table.y, [1, 0, 1])
    assert table.class_names == ("aster", "rose")
    assert (table.feature_names, table.target_name, table.missing) == (("length", "width"), "kind", ())


def test_numbers_as_targets_and_as_classes(file):
    path = file("a;b;c\n1;10;3\n2;2;4\n3;10;5\n")
    table = read_csv(path, "b", delimiter=";")
    assert (table.y.dtype, table.class_names) == (np.float32, None)
    np.testing.assert_array_equal(table.y, [10, 2, 10])
    np.testing.assert_array_equal(table.x, [[1, 3], [2, 4], [3, 5]])
    table = read_csv(path, 1, delimiter=";", classes=True)
    assert table.class_names == ("2", "10")
    np.testing.assert_array_equal(table.y, [1, 0, 1])


def test_without_header_or_target(file):
    path = file("1,2\n3,4\n", "utf-8-sig")
    table = read_csv(path, header=False)
    assert (table.y, table.target_name, table.feature_names) == (None, None, ("0", "1"))
    np.testing.assert_array_equal(table.x, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_csv(path, -1, header=False).y, [2, 4])


def test_quotes_and_the_bundled_tables(file):
    table = read_csv(file('"a, b",c\n"1","x, y"\n2,"z"\n'), "c")
    assert (table.feature_names, table.class_names) == (("a, b",), ("x, y", "z"))
    table = read_csv(rn.datasets.iris.FILE, "class")
    assert (table.feature_names, table.class_names) == (rn.datasets.iris.FEATURE_NAMES, rn.datasets.iris.CLASS_NAMES)
    for got, expected in zip((table.x, table.y), rn.datasets.load_iris(), strict=True):
        np.testing.assert_array_equal(got, expected)


GAPS = "a,b,c\n1,,x\n2,3,y\nNA,5,?\n4,6,x\n"


def test_missing_values_are_named(file):
    message = "has 3 missing values: row 1, column 'b'; row 3, column 'a'; row 3, column 'c'$"
    with pytest.raises(FileError, match=message):
        read_csv(file(GAPS), "c")
    with pytest.raises(FileError, match=r"has 12 missing values: row 1, column 'a'; .* row 10, column 'a' and 2 more"):
        read_csv(file("a\n" + "nan\n" * 12))


def test_missing_values_dropped_or_kept(file):
    where = ((1, "b"), (3, "a"), (3, "c"))
    table = read_csv(file(GAPS), "c", missing="drop")
    np.testing.assert_array_equal(table.x, [[2, 3], [4, 6]])
    assert (table.y.tolist(), table.class_names, table.missing) == ([1, 0], ("x", "y"), where)
    with pytest.raises(FileError, match="has 1 missing value: row 3, column 'c'"):
        read_csv(file(GAPS), "c", missing="nan")
    table = read_csv(file(GAPS.replace("?", "y")), "c", missing="nan")
    np.testing.assert_array_equal(table.x, [[1, np.nan], [2, 3], [np.nan, 5], [4, 6]])


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("a,b\n1,2\n3\n", {}, FileError, "has 1 cells in row 2, expected 2"),
        ("a,a\n1,2\n", {}, FileError, "more than one column called 'a'"),
        ("a,b\n", {}, FileError, "has no rows of values"),
        ("", {}, FileError, "has no rows of values"),
        ("a,b\n1,2\n3,red\n", {"target": "a"}, FileError, "has 'red' in row 2, column 'b', expected a number"),
        ("a,b\n1,red\n", {"target": "b", "classes": False}, FileError, "'red' in row 1, column 'b'"),
        ("a,b\n1,\n", {"missing": "drop"}, FileError, "no row without a missing value"),
        (
            FLOWERS,
            {"target": "colour"},
            OptionError,
            "target 'colour' is not a column; there are 'length', 'width', 'k",
        ),
        (FLOWERS, {"target": 3}, OptionError, "target 3 is not a column"),
        (FLOWERS, {"missing": "guess"}, OptionError, 'missing must be "refuse", "drop" or "nan", got \'guess\''),
        (FLOWERS, {"target": True}, OptionError, "target True is not a column"),
        ("a,b\n1,2\n1e300,3\n", {}, FileError, "has '1e300' in row 2, column 'a', beyond 3.4e38, the end of float32"),
        ("a,b\n1,2\n1,-inf\n", {"target": "b"}, FileError, "has '-inf' in row 2, column 'b', beyond 3.4e38"),
        ("a,b\n1,-nan\n", {}, FileError, "has '-nan' in row 1, column 'b', expected a number"),
        (FLOWERS, {"delimiter": "--"}, OptionError, "delimiter must be one character, got '--'"),
    ],
)
def test_refusals(file, text, options, error, message):
    with pytest.raises(error, match=message):
        read_csv(file(text), **options)


def test_the_largest_float32_is_read(file):
    assert read_csv(file("a\n3.4028235e+38\n")).x == np.finfo(np.float32).max


def test_labels_that_are_numbers_are_compared_as_numbers(file):
    table = read_csv(file("a,y\n0,1.0\n0,10\n0,2\n0,1\n0,2.00\n"), np.int64(-1), classes=True)
    assert (table.y.tolist(), table.class_names) == ([0, 2, 1, 0, 1], ("1", "2", "10"))
    large = read_csv(file("a,y\n0,9007199254740993\n0,9007199254740992\n"), "y", classes=True)
    assert large.y.tolist() == [1, 0]


def test_files_that_are_none(tmp_path):
    with pytest.raises(OptionError, match="path must be the name of a file, got None"):
        read_csv(None)
    with pytest.raises(FileError, match=r"none\.csv cannot be read: No such file"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"a\n\xe9\n")
    with pytest.raises(FileError, match=r"latin\.csv is not a table of comma-separated values in UTF-8"):
        read_csv(tmp_path / "latin.csv")
