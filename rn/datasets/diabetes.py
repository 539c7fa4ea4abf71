"""442 diabetes patients, bundled: ten measurements, and how far the disease had come a year later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["FEATURE_NAMES", "load_diabetes"]

FEATURE_NAMES = (
    "age",
    "sex",
    "body mass index",
    "blood pressure",
    "total cholesterol",
    "ldl",
    "hdl",
    "total cholesterol / hdl",
    "log of triglycerides",
    "glucose",
)

FILE = Path(__file__).parent / "bundled" / "diabetes.csv"


def load_diabetes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return ``(x, y)``: ten measurements, float32 of shape (442, 10), and the progression, float32 of shape (442,).

    x is in the units of the original: age in years, sex as 1 and 2, body mass index in kg/m², average blood pressure,
    six measurements of blood serum. ``rn.datasets.diabetes.FEATURE_NAMES`` names them. y is a
    measure, 25 to 346, of how far the disease had come one year later.

    Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani 2004, "Least angle regression", Annals of Statistics 32,
    https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html.
    """
    table = np.loadtxt(FILE, dtype=np.float64, delimiter=",", skiprows=1, encoding="ascii").astype(np.float32)
    return np.ascontiguousarray(table[:, :10]), np.ascontiguousarray(table[:, 10])
