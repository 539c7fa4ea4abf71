"""Fisher's 150 iris flowers, bundled: four lengths tell three species apart, two of them only just."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["CLASS_NAMES", "FEATURE_NAMES", "load_iris"]

CLASS_NAMES = ("setosa", "versicolor", "virginica")
FEATURE_NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")

FILE = Path(__file__).parent / "bundled" / "iris.csv"


def load_iris() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return ``(x, y)``: lengths in centimetres, float32 of shape (150, 4), and species, int64 of shape (150,).

    ``rn.datasets.iris.FEATURE_NAMES`` names the columns of x and ``rn.datasets.iris.CLASS_NAMES`` the classes of y:
    50 flowers of each, in this order. ``rn.data.train_test_split(x, y, stratify=y)`` cuts off a test part.

    Source: R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936), by way
    of the UCI Machine Learning Repository, https://doi.org/10.24432/C56C76, CC BY 4.0.
    """
    table = np.loadtxt(FILE, dtype=str, delimiter=",", skiprows=1, encoding="ascii")
    x = table[:, :4].astype(np.float32)
    y = np.array([CLASS_NAMES.index(name) for name in table[:, 4]], dtype=np.int64)
    return x, y
