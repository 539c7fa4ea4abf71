"""Fashion-MNIST: 70,000 pictures of clothes, 28 × 28 pixels, shaped as MNIST and harder to tell apart."""

from __future__ import annotations

import os

from rn.datasets.idx import ImagesAndLabels, load_images_and_labels
from rn.datasets.source import DataFile, DataSet

__all__ = ["CLASS_NAMES", "load_fashion_mnist"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# The checksums are those of the gzipped files, as they are published.
FASHION_MNIST = DataSet(
    title="Fashion-MNIST",
    folder="fashion_mnist",
    mirrors=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    files=(
        DataFile(
            "train-images-idx3-ubyte",
            47_040_016,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            packed=True,
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            60_008,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            packed=True,
        ),
        DataFile(
            "t10k-images-idx3-ubyte",
            7_840_016,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            packed=True,
        ),
        DataFile(
            "t10k-labels-idx1-ubyte",
            10_008,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            packed=True,
        ),
    ),
)


def load_fashion_mnist(
    *, raw: bool = False, directory: str | os.PathLike[str] | None = None
) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    """Return ``((x, y), (xt, yt))``: 60,000 training and 10,000 test pictures with the class of the piece of clothing.

    x and xt have shape (n, 1, 28, 28) and are float32 in [0, 1]; with ``raw=True`` they are uint8 from 0 to 255. y and
    yt are int64 of shape (n,); ``rn.datasets.fashion_mnist.CLASS_NAMES`` names the classes 0 to 9.

    The four gzipped files are read from ``directory``, or from the folder ``fashion_mnist`` in it, if it is given and
    from nowhere else. Otherwise each is looked for in ``$RN_DATA_DIR/fashion_mnist/``, or in ``$RN_DATA_DIR`` where
    that is a folder ``fashion_mnist`` itself, then in the cache, and is else downloaded (31 MB in all) and kept there
    unpacked. Raises ``FileError`` and ``DownloadError`` as ``load_mnist`` does.

    Source: H. Xiao, K. Rasul and R. Vollgraf 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", Zalando SE, MIT licence.
    """
    return load_images_and_labels(FASHION_MNIST, raw, directory)
