"""The IDX format of MNIST and its relatives: one array of up to 64 axes in a file.

::

    offset  size      meaning, all numbers big-endian
    0       2         0
    2       1         type of the elements, see ELEMENT_TYPES
    3       1         d, the number of axes
    4       4 d       length of each axis, uint32
    4+4d    the rest  the elements, the last axis running fastest

Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, "File formats".
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rn.datasets.source import DataSet
from rn.datasets.unpack import packed_limit, read_limited, unpack
from rn.errors import DtypeError, FileError, OptionError, flag

__all__ = ["load_images_and_labels", "read_idx"]

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
# What NumPy can hold.
MOST_AXES = 64

ImagesAndLabels = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def read_idx(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, max_bytes: int = 2**30
) -> npt.NDArray[Any]:
    """Return the array of an IDX file, given by its path or by its bytes, gzipped or plain.

    The array is the caller's own and has the file's element type (uint8, int8, int16, int32, float32 or float64) in the
    machine's byte order. Files of more than ``max_bytes`` unpacked bytes are refused before they fill the memory.

    Raises ``FileError`` for a file that cannot be read, is not IDX, is truncated or too long, or claims a size that it
    does not have; ``DtypeError`` if ``source`` is neither a path nor bytes.
    """
    if not isinstance(max_bytes, int) or max_bytes < 0:
        raise OptionError(f"max_bytes must be a whole number of bytes, got {max_bytes!r}")
    if isinstance(source, bytes | bytearray | memoryview):
        content, name = bytes(source), "the IDX data"
    elif isinstance(source, str | os.PathLike):
        content, name = read_limited(Path(source), packed_limit(max_bytes)), os.fspath(source)
    else:
        raise DtypeError(f"read_idx takes a path or bytes, got {type(source).__name__}")
    array = parse_idx(unpack(content, max_bytes, name), name)
    return array.astype(array.dtype.newbyteorder("="))


def parse_idx(content: bytes, name: str) -> npt.NDArray[Any]:
    """Return a read-only, big-endian view of the elements; ``FileError`` under ``name`` if ``content`` is not IDX."""
    if len(content) < 4:
        raise FileError(f"{name} is not an IDX file: {len(content)} bytes are too few for its header")
    zero, code, axes = struct.unpack_from(">HBB", content)
    if zero != 0 or code not in ELEMENT_TYPES:
        raise FileError(f"{name} is not an IDX file: it begins with the bytes {content[:4].hex(' ')}")
    if not 1 <= axes <= MOST_AXES:
        raise FileError(f"{name} has an IDX header of {axes} axes, expected 1 to {MOST_AXES}")
    start = 4 + 4 * axes
    if len(content) < start:
        raise FileError(f"{name} is truncated: {len(content)} bytes, its IDX header alone has {start}")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    dtype = ELEMENT_TYPES[code]
    # Python's integers do not overflow, whatever the header claims.
    claimed = start + math.prod(shape) * dtype.itemsize
    if len(content) != claimed:
        what = "is truncated" if len(content) < claimed else "has bytes after its end"
        raise FileError(
            f"{name} {what}: {len(content):,} bytes, its header claims {claimed:,} ({dtype.name} of shape {shape})"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def load_images_and_labels(
    data_set: DataSet, raw: bool, directory: str | os.PathLike[str] | None
) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    """Return ``((x, y), (xt, yt))`` of four IDX files: training images, training labels, test images, test labels.

    Images of shape (n, h, w) become x of shape (n, 1, h, w): float32 in [0, 1] or, with ``raw``, the uint8 of the file.
    """
    raw = flag("raw", raw)
    x, y, xt, yt = (parse_idx(data_set.read(file, directory), file.name) for file in data_set.files)
    return (as_images(x, raw), y.astype(np.int64)), (as_images(xt, raw), yt.astype(np.int64))


def as_images(pixels: npt.NDArray[Any], raw: bool) -> npt.NDArray[Any]:
    """Return (n, h, w) uint8 as (n, 1, h, w), with ``raw`` as it is, else as float32 in [0, 1]."""
    images = pixels[:, np.newaxis]
    return images.copy() if raw else np.divide(images, 255, dtype=np.float32)
