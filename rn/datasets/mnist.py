"""MNIST: 70,000 handwritten digits of 28 × 28 pixels."""

from __future__ import annotations

import os

from rn.datasets.idx import ImagesAndLabels, load_images_and_labels
from rn.datasets.source import DataFile, DataSet

__all__ = ["CLASS_NAMES", "load_mnist"]

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

MNIST = DataSet(
    title="MNIST",
    folder="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        DataFile(
            "train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        DataFile("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        DataFile(
            "t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        DataFile("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
)


def load_mnist(
    *, raw: bool = False, directory: str | os.PathLike[str] | None = None
) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    """Return ``((x, y), (xt, yt))``: 60,000 training and 10,000 test images with their digits.

    x and xt have shape (n, 1, 28, 28) and are float32 in [0, 1]; with ``raw=True`` they are uint8 from 0 to 255, as the
    files have them. y and yt have shape (n,) and are int64 from 0 to 9 in both cases.

    The four files of the original, gzipped or not, are read from ``directory``, or from the folder ``mnist`` in it, if
    it is given and from nowhere else. Otherwise each is looked for in ``$RN_DATA_DIR/mnist/``, or in ``$RN_DATA_DIR``
    where that is a folder ``mnist`` itself, then in the cache (see ``rn.datasets.cache.cache_folder``), and is else
    downloaded (11 MB in all) and kept there unpacked.

    Raises ``FileError`` if a file in ``directory`` or ``RN_DATA_DIR`` is damaged, truncated or another one, or if
    ``directory`` lacks one; in the cache, such a file is downloaded again. Raises ``DownloadError`` if a file is
    neither on this machine nor reachable.

    Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, CC BY-SA 3.0.
    """
    return load_images_and_labels(MNIST, raw, directory)
