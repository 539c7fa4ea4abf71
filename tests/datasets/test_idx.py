"""The IDX reader: every element type and form of input, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rn.datasets import read_idx
from rn.errors import DtypeError, FileError, OptionError

from .conftest import idx_bytes

CODES = {np.uint8: 0x08, np.int8: 0x09, np.int16: 0x0B, np.int32: 0x0C, np.float32: 0x0D, np.float64: 0x0E}

# Two images of 1 x 3 pixels, byte by byte.
KNOWN = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 253, 254, 255])


# ---- known values


def test_known_bytes():
    array = read_idx(KNOWN)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, [[[1, 2, 3]], [[253, 254, 255]]])


def test_big_endian_numbers_come_in_the_machines_order():
    array = read_idx(bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 1, 2, 255, 254]))
    assert array.dtype == np.dtype("=i2")
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, [258, -2])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(kind):
    np.testing.assert_array_equal(read_idx(kind(KNOWN)), read_idx(KNOWN))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("as_path", [str, lambda path: path], ids=["str", "Path"])
def test_paths(tmp_path, pack, as_path):
    path = tmp_path / "images"
    path.write_bytes(pack(KNOWN))
    np.testing.assert_array_equal(read_idx(as_path(path)), read_idx(KNOWN))


def test_a_file_of_several_gzip_members():
    np.testing.assert_array_equal(read_idx(gzip.compress(KNOWN[:9]) + gzip.compress(KNOWN[9:])), read_idx(KNOWN))


def test_the_array_is_the_callers_own():
    content = bytearray(KNOWN)
    array = read_idx(content)
    array[...] = 7
    assert content == KNOWN


@given(data=st.data(), dtype=st.sampled_from(list(CODES)))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read(data, dtype):
    array = data.draw(arrays(dtype, array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)))
    read = read_idx(idx_bytes(array, CODES[dtype]))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()


# ---- edges


def test_no_elements():
    assert read_idx(idx_bytes(np.zeros((0, 28, 28), np.uint8))).shape == (0, 28, 28)


def test_as_many_axes_as_numpy_has():
    assert read_idx(idx_bytes(np.zeros((1,) * 64, np.uint8))).ndim == 64


def test_as_many_bytes_as_allowed():
    assert read_idx(KNOWN, max_bytes=len(KNOWN)).size == 6
    assert read_idx(gzip.compress(KNOWN), max_bytes=len(KNOWN)).size == 6


# ---- refusals


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


# Without the time of packing: names of tests are made of it, and must be the same in each process that collects them.
PACKED = gzip.compress(KNOWN, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is not an IDX file: 0 bytes are too few"),
        (b"\0\0\x08", r"is not an IDX file: 3 bytes"),
        (b"\x89PNG\r\n\x1a\n", r"is not an IDX file: it begins with the bytes 89 50 4e 47"),
        (b"\0\1\x08\1\0\0\0\0", r"is not an IDX file: it begins with the bytes 00 01 08 01"),
        (b"\0\0\x0a\1\0\0\0\0", r"is not an IDX file: it begins with the bytes 00 00 0a 01"),
        (b"\0\0\x08\0", r"has an IDX header of 0 axes, expected 1 to 64"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", r"has an IDX header of 255 axes"),
        (KNOWN[:4], r"is truncated: 4 bytes, its IDX header alone has 16"),
        (KNOWN[:15], r"is truncated: 15 bytes"),
        (KNOWN[:-1], r"is truncated: 21 bytes, its header claims 22 \(uint8 of shape \(2, 1, 3\)\)"),
        (KNOWN + b"\0", r"has bytes after its end: 23 bytes, its header claims 22"),
        (header(0x0E, 2**32 - 1), r"is truncated: 8 bytes, its header claims 34,359,738,368 "),
        (header(0x0E, *[2**32 - 1] * 64), r"is truncated: 260 bytes, its header claims [\d,]{600}"),
        (header(0x08, 2**31, 2**31, 4), r"is truncated: 16 bytes, its header claims 18,446,744,073,709,551,632"),
        (PACKED[:-1], r"is truncated: its gzip stream has no end"),
        (PACKED[:12], r"is truncated: its gzip stream has no end"),
        (PACKED[:-6] + b"\0" * 6, r"is damaged: (CRC|Incorrect)"),
        (b"\x1f\x8b\x08" + b"\xff" * 30, r"is (damaged|truncated): "),
        (PACKED + b"more", r"is damaged: Not a gzipped file"),
        (gzip.compress(PACKED, mtime=0), r"is not an IDX file: it begins with the bytes 1f 8b"),
    ],
)
def test_wrong_content_is_refused_by_name(tmp_path, content, message):
    with pytest.raises(FileError, match=r"^the IDX data " + message):
        read_idx(content)
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_unpacks_to_more_than_allowed_is_refused_where_it_passes_the_limit():
    bomb = gzip.compress(b"\0" * 2**26)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=r"holds more than the 1,000 bytes expected"):
            read_idx(bomb, max_bytes=1000)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_a_file_larger_than_allowed_is_not_read(tmp_path):
    path = tmp_path / "images"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(FileError, match=r"images is too large: it has more than the [\d,]+ bytes expected"):
        read_idx(path, max_bytes=2**20)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match=r"nowhere cannot be read: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r" cannot be read: "):
        read_idx(tmp_path)


@pytest.mark.parametrize("source", [None, 5, [0, 0, 8, 1], np.zeros(3)])
def test_neither_a_path_nor_bytes(source):
    with pytest.raises(DtypeError, match=r"read_idx takes a path or bytes, got "):
        read_idx(source)


@pytest.mark.parametrize("limit", [-1, 1.5, "1", None])
def test_a_limit_that_is_no_number_of_bytes(limit):
    with pytest.raises(OptionError, match=r"max_bytes must be a whole number of bytes, got "):
        read_idx(KNOWN, max_bytes=limit)
