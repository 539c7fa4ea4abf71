"""Transforms of one image (3, h, w) of bytes or of float32 in NumPy, as they are written where a loop calls them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchmarks.nets import Array

__all__ = ["CHANGES", "DEGREES", "DEVIATION", "MARGIN", "MEAN", "SHIFT", "affine_map", "mixup", "normalize"]

MARGIN = 4
DEGREES = 15.0
SHIFT = 0.1
MEAN, DEVIATION = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
CENTRE, SPREAD = (np.array(values, np.float32)[:, None, None] for values in (MEAN, DEVIATION))
WEIGHTS = np.array([[[0.299]], [[0.587]], [[0.114]]], np.float32)

Change = Callable[[Array, np.random.Generator], Array]


def flip(image: Array, rng: np.random.Generator) -> Array:
    return image[:, :, ::-1] if rng.random() < 0.5 else image


def crop(image: Array, rng: np.random.Generator) -> Array:
    _, h, w = image.shape
    padded = np.zeros((3, h + 2 * MARGIN, w + 2 * MARGIN), image.dtype)
    padded[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = image
    top, left = rng.integers(0, 2 * MARGIN + 1, 2)
    return padded[:, top : top + h, left : left + w]


def affine_map(h: int, w: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Return what makes of a column and a row of the result those of the image: (m0, m1, m2, m3, m4, m5)."""
    angle, scale = math.radians(rng.uniform(-DEGREES, DEGREES)), rng.uniform(0.9, 1.1)
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    x, y = (w - 1) / 2, (h - 1) / 2
    u, v = x + rng.uniform(-SHIFT, SHIFT) * w, y + rng.uniform(-SHIFT, SHIFT) * h
    return cos, -sin, x - cos * u + sin * v, sin, cos, y - sin * u - cos * v


def affine(image: Array, rng: np.random.Generator) -> Array:
    _, h, w = image.shape
    m = affine_map(h, w, rng)
    r, s = np.ogrid[:h, :w]
    column = np.clip(m[0] * s + m[1] * r + m[2], -1, w) + 1
    row = np.clip(m[3] * s + m[4] * r + m[5], -1, h) + 1
    framed = np.zeros((3, h + 3, w + 3), np.float32)
    framed[:, 1:-2, 1:-2] = image
    j, i = column.astype(int), row.astype(int)
    u, v = (column - j).astype(np.float32), (row - i).astype(np.float32)
    upper = framed[:, i, j] * (1 - u) + framed[:, i, j + 1] * u
    lower = framed[:, i + 1, j] * (1 - u) + framed[:, i + 1, j + 1] * u
    return like(image, upper * (1 - v) + lower * v)


def jitter(image: Array, rng: np.random.Generator) -> Array:
    highest = 255 if image.dtype == np.uint8 else 1
    brightness, contrast, saturation = rng.uniform(0.6, 1.4, 3).astype(np.float32)
    pixels = np.clip(image * brightness, 0, highest)
    mean = (WEIGHTS * pixels).sum(0).mean()
    pixels = np.clip((pixels - mean) * contrast + mean, 0, highest)
    grey = (WEIGHTS * pixels).sum(0)
    return like(image, np.clip((pixels - grey) * saturation + grey, 0, highest))


def cutout(image: Array, rng: np.random.Generator) -> Array:
    _, h, w = image.shape
    image = image.copy()
    top, left = rng.integers(0, h) - 4, rng.integers(0, w) - 4
    image[:, max(top, 0) : top + 8, max(left, 0) : left + 8] = 0
    return image


def normalize(image: Array, rng: np.random.Generator) -> Array:
    pixels: Array = image / np.float32(255) if image.dtype == np.uint8 else image
    return (pixels - CENTRE) / SPREAD


def mixup(image: Array, other: Array, rng: np.random.Generator) -> Array:
    share = np.float32(rng.beta(0.2, 0.2))
    return share * image + (1 - share) * other


def like(image: Array, pixels: Array) -> Array:
    """Return ``pixels`` in the type of ``image``."""
    return np.rint(pixels).astype(np.uint8) if image.dtype == np.uint8 else pixels


CHANGES: dict[str, list[Change]] = {
    "flip": [flip],
    "crop": [crop],
    "affine": [affine],
    "jitter": [jitter],
    "cutout": [cutout],
    "normalize": [normalize],
    "all": [crop, flip, affine, jitter, cutout, normalize],
}
