"""Data sets to start with: digits, iris and diabetes are bundled, the others read from disk or downloaded once.

Three places are asked for the files of a data set that is not bundled, in this order:

1. the folder ``$RN_DATA_DIR/<data set>/``, such as ``$RN_DATA_DIR/mnist/``, which is only read; ``RN_DATA_DIR`` may
   also be the folder ``mnist`` itself;
2. the cache: ``RN_CACHE_DIR`` or the platform's own place, see ``rn.datasets.cache.cache_folder``;
3. the data set's mirrors; what they send is kept in the cache.

A file may be gzipped or not, but for Fashion-MNIST and CIFAR-10, which are read as published. Its bytes must have the
SHA-256 of the original.
"""

from __future__ import annotations

from rn.datasets.cifar10 import load_cifar10
from rn.datasets.diabetes import load_diabetes
from rn.datasets.digits import load_digits
from rn.datasets.fashion_mnist import load_fashion_mnist
from rn.datasets.idx import read_idx
from rn.datasets.iris import load_iris
from rn.datasets.mnist import load_mnist

__all__ = [
    "load_cifar10",
    "load_diabetes",
    "load_digits",
    "load_fashion_mnist",
    "load_iris",
    "load_mnist",
    "read_idx",
]
