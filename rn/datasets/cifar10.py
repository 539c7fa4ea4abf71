"""CIFAR-10: 60,000 colour photographs of 32 × 32 pixels in ten classes.

Read from the binary version, a gzipped tar of six files. A record of 3,073 bytes is a label and 1,024 bytes each of
red, green and blue, row by row.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import Any

import numpy as np
import numpy.typing as npt

from rn.datasets.source import DataFile, DataSet
from rn.errors import FileError, flag

__all__ = ["CLASS_NAMES", "load_cifar10"]

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR10 = DataSet(
    title="CIFAR-10",
    folder="cifar10",
    mirrors=("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
    files=(
        DataFile(
            "cifar-10-binary.tar",
            2**28,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            packed=True,
        ),
    ),
)

FOLDER = "cifar-10-batches-bin"
TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32

Part = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def load_cifar10(*, raw: bool = False, directory: str | os.PathLike[str] | None = None) -> tuple[Part, Part]:
    """Return ``((x, y), (xt, yt))``: 50,000 training and 10,000 test photographs with their classes.

    x and xt have shape (n, 3, 32, 32), red, green and blue, and are float32 in [0, 1]; with ``raw=True`` they are uint8
    from 0 to 255, a quarter of the memory. y and yt are int64 of shape (n,); ``rn.datasets.cifar10.CLASS_NAMES`` names
    the classes 0 to 9.

    The archive ``cifar-10-binary.tar.gz`` is read from ``directory``, or from the folder ``cifar10`` in it, if it is
    given and from nowhere else. Otherwise it is looked for in ``$RN_DATA_DIR/cifar10/``, or in ``$RN_DATA_DIR`` where
    that is a folder ``cifar10`` itself, then in the cache, and is else downloaded (170 MB) and kept there unpacked.
    Raises ``FileError`` and ``DownloadError`` as ``load_mnist`` does.

    Source: A. Krizhevsky 2009, "Learning multiple layers of features from tiny images",
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    raw = flag("raw", raw)
    archive = CIFAR10.read(CIFAR10.files[0], directory)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            return read_part(tar, TRAINING, raw), read_part(tar, TEST, raw)
    except tarfile.TarError as error:
        raise FileError(f"{CIFAR10.files[0].name} is not a tar archive: {error}") from error


def read_part(tar: tarfile.TarFile, names: tuple[str, ...], raw: bool) -> Part:
    """Return the images and labels of these files of the archive, one file after the other."""
    records = np.concatenate([read_records(tar, name) for name in names])
    images = np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE)
    return images if raw else np.divide(images, 255, dtype=np.float32), records[:, 0].astype(np.int64)


def read_records(tar: tarfile.TarFile, name: str) -> npt.NDArray[np.uint8]:
    """Return the records (n, 3073) of one file; ``FileError`` where it is missing or has a part of a record."""
    try:
        file = tar.extractfile(f"{FOLDER}/{name}")
    except KeyError:
        file = None
    if file is None:
        raise FileError(f"{CIFAR10.files[0].name} has no file {FOLDER}/{name}")
    content = file.read()
    if len(content) % RECORD:
        raise FileError(f"{FOLDER}/{name} has {len(content):,} bytes, not a multiple of {RECORD:,}")
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)
