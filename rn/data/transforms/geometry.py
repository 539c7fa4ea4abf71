"""Transforms that move pixels: flips, crops, affine maps, holes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn.data.draws import Batch, Draws
from rn.data.transforms.base import Array, Transform, images, number, pair, to_bytes, whole
from rn.errors import OptionError, ShapeError

__all__ = ["Cutout", "HorizontalFlip", "RandomAffine", "RandomCrop", "VerticalFlip"]

# How many images are interpolated at once: their intermediate arrays should stay in the cache.
TOGETHER = 8


class HorizontalFlip(Transform):
    """Mirrors an image left to right with chance ``probability``."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = number("probability of HorizontalFlip", probability, 0, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        images(x, "HorizontalFlip")
        flipped = draws.uniform()[:, 0] < self.probability
        result = x.copy()
        result[flipped] = x[flipped, :, :, ::-1]
        return result, y


class VerticalFlip(Transform):
    """Mirrors an image top to bottom with chance ``probability``."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = number("probability of VerticalFlip", probability, 0, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        images(x, "VerticalFlip")
        flipped = draws.uniform()[:, 0] < self.probability
        result = x.copy()
        result[flipped] = x[flipped, :, ::-1]
        return result, y


class RandomCrop(Transform):
    """Cuts a window of ``size`` = height and width, or (height, width), out of an image at a random place.

    The image first gets a margin of ``padding`` zeros on all sides. (n, c, h, w) becomes (n, c, *size). Raises
    ``ShapeError`` where the padded image is smaller than the window.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0) -> None:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        self.size = (whole("size of RandomCrop", height, 1), whole("size of RandomCrop", width, 1))
        self.padding = whole("padding of RandomCrop", padding, 0)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        n, c, h, w = images(x, "RandomCrop").shape
        p = self.padding
        padded = np.zeros((n, c, h + 2 * p, w + 2 * p), x.dtype)
        padded[:, :, p : p + h, p : p + w] = x
        room = (padded.shape[2] - self.size[0], padded.shape[3] - self.size[1])
        if min(room) < 0:
            raise ShapeError(f"RandomCrop(size={self.size}, padding={p}) is larger than images of {(h, w)}")
        top, left = draws.integers(0, room[0] + 1)[:, 0], draws.integers(0, room[1] + 1)[:, 0]
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=(2, 3))
        return windows[np.arange(n), :, top, left], y


class Cutout(Transform):
    """Sets a square of ``size`` × ``size`` pixels to 0, its centre on a random pixel; at the edges it is cut off.

    Source: DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """

    def __init__(self, size: int) -> None:
        self.size = whole("size of Cutout", size, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        h, w = images(x, "Cutout").shape[2:]
        rows, columns = self._inside(draws.integers(0, h), h), self._inside(draws.integers(0, w), w)
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        # A product is several times faster than a choice by mask.
        return x * (~hole).astype(x.dtype), y

    def _inside(self, centre: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
        begin = centre - self.size // 2
        at = np.arange(length)
        return (at >= begin) & (at < begin + self.size)


class RandomAffine(Transform):
    """Rotates, scales, shears and shifts an image about its centre, by bilinear interpolation; 0 comes from outside.

    ``degrees``: a turn from this range, counterclockwise; one number d means (-d, d). ``translate`` (dx, dy): shifts
    of at most these shares of width and height. ``scale`` (low, high): the image grows by a factor of this range.
    ``shear``: degrees by which the columns lean, a range as for ``degrees``.

    With a = angle, b = shear, s = scale, t = shift, and rows counted downwards, the pixel at offset q = (x, y) from the
    centre goes to s R(a) [[1, tan b], [0, 1]] q + t. Each pixel of the result is looked up by the inverse map. uint8
    images are rounded to the nearest value.
    """

    def __init__(
        self,
        degrees: float | tuple[float, float] = 0.0,
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | tuple[float, float] = 0.0,
    ) -> None:
        self.degrees = pair("degrees of RandomAffine", degrees)
        dx, dy = translate or (0.0, 0.0)
        self.translate = (number("translate of RandomAffine", dx, 0, 1), number("translate of RandomAffine", dy, 0, 1))
        self.scale = pair("scale of RandomAffine", scale or (1.0, 1.0))
        if self.scale[0] <= 0:
            raise OptionError(f"scale of RandomAffine must be above 0, got {scale!r}")
        self.shear = pair("shear of RandomAffine", shear)
        if max(map(abs, self.shear)) >= 90:
            raise OptionError(f"shear of RandomAffine must lie between -90 and 90 degrees, got {shear!r}")

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        h, w = images(x, "RandomAffine").shape[2:]
        columns, rows = self._sources(h, w, draws)
        moved = np.empty(x.shape, np.float32)
        for at in range(0, len(x), TOGETHER):
            part = slice(at, at + TOGETHER)
            moved[part] = bilinear(x[part], rows[part], columns[part])
        return (to_bytes(moved) if x.dtype == np.uint8 else moved), y

    def _sources(self, h: int, w: int, draws: Draws) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return column and row, (n, h, w) each, at which every pixel of the result looks into its image."""
        angle = np.radians(draws.uniform(*self.degrees))
        lean = np.tan(np.radians(draws.uniform(*self.shear)))
        scale = draws.uniform(*self.scale)
        dx = draws.uniform(-self.translate[0], self.translate[0]) * np.float32(w)
        dy = draws.uniform(-self.translate[1], self.translate[1]) * np.float32(h)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        u = np.arange(w, dtype=np.float32) - np.float32((w - 1) / 2) - dx  # (n, w): offsets before turning back
        v = np.arange(h, dtype=np.float32) - np.float32((h - 1) / 2) - dy
        rows = (sin * u)[:, None, :] + (cos * v)[:, :, None]
        columns = (cos * u)[:, None, :] - (sin * v)[:, :, None] - lean[:, :, None] * rows
        return columns + np.float32((w - 1) / 2), rows + np.float32((h - 1) / 2)


def bilinear(x: Array, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Return float32 (n, c, h, w): each image of ``x`` at the places ``rows`` and ``columns``, (n, h, w), 0 outside."""
    n, c, h, w = x.shape
    # A frame of zeros two pixels wide: every place outside is moved onto it, and none is left without neighbours.
    framed = np.zeros((n, c, h + 4, w + 4), np.float32)
    framed[:, :, 2:-2, 2:-2] = x.astype(np.float32, copy=False)
    row = np.clip(rows, -2, h)[:, None] + np.float32(2)
    column = np.clip(columns, -2, w)[:, None] + np.float32(2)
    top, left = row.astype(np.int32), column.astype(np.int32)
    below, right = row - top.astype(np.float32), column - left.astype(np.float32)
    plane = np.arange(n * c, dtype=np.intp).reshape(n, c, 1, 1) * ((h + 4) * (w + 4))
    first = plane + (top * (w + 4) + left)
    flat = framed.ravel()
    corner = [np.take(flat[shift:], first, mode="clip") for shift in (0, 1, w + 4, w + 5)]
    upper = corner[0] + (corner[1] - corner[0]) * right
    lower = corner[2] + (corner[3] - corner[2]) * right
    moved: NDArray[Any] = upper + (lower - upper) * below
    return moved
