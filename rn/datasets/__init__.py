"""Data sets to start with: digits and iris are bundled, MNIST is read from disk or downloaded once into a cache.

Three places are asked for the files of a data set that is not bundled, in this order:

1. the folder ``$RN_DATA_DIR/<data set>/``, such as ``$RN_DATA_DIR/mnist/``, which is only read;
2. the cache: ``RN_CACHE_DIR`` or the platform's own place, see ``rn.datasets.cache.cache_folder``;
3. the data set's mirrors; what they send is kept in the cache.

A file may be gzipped or not. Its unpacked bytes must have the size and the SHA-256 of the original.
"""

from __future__ import annotations

from rn.datasets.digits import load_digits
from rn.datasets.idx import read_idx
from rn.datasets.iris import load_iris
from rn.datasets.mnist import load_mnist

__all__ = ["load_digits", "load_iris", "load_mnist", "read_idx"]
