"""Transforms that move pixels: flips, crops, affine maps, holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rn import _core
from rn.data.draws import Batch, Draws
from rn.data.transforms.base import Array, Transform, images, number, pair, whole
from rn.errors import OptionError, ShapeError

__all__ = ["Cutout", "HorizontalFlip", "RandomAffine", "RandomCrop", "VerticalFlip"]


class HorizontalFlip(Transform):
    """Mirrors an image left to right with chance ``probability``."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = number("probability of HorizontalFlip", probability, 0, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        pixels = images(x, "HorizontalFlip")
        flipped = chosen(draws, self.probability)
        return window(pixels, pixels.shape[2:], mirror=flipped), y


class VerticalFlip(Transform):
    """Mirrors an image top to bottom with chance ``probability``."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = number("probability of VerticalFlip", probability, 0, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        pixels = images(x, "VerticalFlip")
        flipped = chosen(draws, self.probability)
        return window(pixels, pixels.shape[2:], upend=flipped), y


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
        pixels = images(x, "RandomCrop")
        h, w = pixels.shape[2:]
        room = (h + 2 * self.padding - self.size[0], w + 2 * self.padding - self.size[1])
        if min(room) < 0:
            raise ShapeError(f"RandomCrop(size={self.size}, padding={self.padding}) is larger than images of {(h, w)}")
        top, left = (draws.integers(0, space + 1)[:, 0] - self.padding for space in room)
        return window(pixels, self.size, top, left), y


class Cutout(Transform):
    """Sets a square of ``size`` × ``size`` pixels to 0, its centre on a random pixel; at the edges it is cut off.

    Source: DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """

    def __init__(self, size: int) -> None:
        self.size = whole("size of Cutout", size, 1)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        pixels = images(x, "Cutout")
        top, left = (draws.integers(0, length)[:, 0] - self.size // 2 for length in pixels.shape[2:])
        result = np.empty_like(pixels)
        _core.cut_images(pixels, result, top, left, self.size)
        return result, y


class RandomAffine(Transform):
    """Rotates, scales, shears and shifts an image about its centre, by bilinear interpolation; 0 comes from outside.

    ``degrees``: a turn from this range, counterclockwise; one number d means (-d, d). ``translate`` (dx, dy): shifts
    of at most these shares of width and height. ``scale`` (low, high): the image grows by a factor of this range.
    ``shear``: degrees by which the columns lean, a range as for ``degrees``.

    With a = angle, b = shear, s = scale, t = shift, and rows counted downwards, the pixel at offset q = (x, y) from the
    centre goes to s R(a) [[1, tan b], [0, 1]] q + t. Each pixel of the result is looked up by the inverse map. uint8
    images are rounded to the nearest value. A NaN or an infinity reaches every pixel that is looked up beside it.
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
        pixels = images(x, "RandomAffine")
        h, w = pixels.shape[2:]
        result = np.empty_like(pixels)
        _core.warp_images(pixels, result, self._maps(h, w, draws))
        return result, y

    def _maps(self, h: int, w: int, draws: Draws) -> NDArray[np.float32]:
        """Return (n, 6): row i makes of column and row in the result the column (m0, m1, m2) and the row in image i."""
        angle, lean, scale, dx, dy = self._changes(draws)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        # Of an offset (u, v) from the moved centre: turned back it is (cos u - sin v, sin u + cos v), then unsheared.
        by_column, by_row = (cos - lean * sin, -sin - lean * cos), (sin, cos)
        u, v = (w - 1) / 2 + dx * w, (h - 1) / 2 + dy * h
        column = (w - 1) / 2 - by_column[0] * u - by_column[1] * v
        row = (h - 1) / 2 - by_row[0] * u - by_row[1] * v
        return np.array([*by_column, column, *by_row, row], np.float32).T.copy()

    def _changes(self, draws: Draws) -> tuple[NDArray[np.float64], ...]:
        """Return angle in radians, slope of the columns, scale and shifts as shares of width and height, (n,) each."""
        (dx, dy), spans = self.translate, (self.degrees, self.shear, self.scale)
        low, high = np.array([*spans, (-dx, dx), (-dy, dy)]).T
        angle, lean, scale, right, down = (low + draws.uniform(count=5) * (high - low)).T
        return np.radians(angle), np.tan(np.radians(lean)), scale, right, down


def chosen(draws: Draws, probability: float) -> NDArray[np.uint8]:
    """Return 1 for each sample that is chosen with chance ``probability``, else 0."""
    return (draws.uniform()[:, 0] < probability).view(np.uint8)


def window(
    x: Array,
    size: tuple[int, ...],
    top: NDArray[np.int64] | None = None,
    left: NDArray[np.int64] | None = None,
    *,
    upend: NDArray[np.uint8] | None = None,
    mirror: NDArray[np.uint8] | None = None,
) -> Array:
    """Return windows (n, c, *size) of the images ``x``, zeros where they reach beyond, upended or mirrored."""
    result = np.empty((*x.shape[:2], *size), x.dtype)
    here, never = np.zeros(len(x), np.int64), np.zeros(len(x), np.uint8)
    _core.crop_images(
        x,
        result,
        here if top is None else top,
        here if left is None else left,
        never if upend is None else upend,
        never if mirror is None else mirror,
    )
    return result
