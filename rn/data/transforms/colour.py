"""Transforms that change the values of pixels where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rn.data.draws import Batch, Draws
from rn.data.transforms.base import Array, Transform, images, number, to_bytes
from rn.errors import OptionError, ShapeError

__all__ = ["ColorJitter", "Normalize"]


class Normalize(Transform):
    """Gives (x - mean) / deviation as float32, one ``mean`` and ``deviation`` a channel, or one of each for all.

    uint8 images are brought to [0, 1] first, by division by 255. Raises ``ShapeError`` where the channels do not agree.
    """

    def __init__(self, mean: float | Sequence[float], deviation: float | Sequence[float]) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, np.float32))
        self.deviation = np.atleast_1d(np.asarray(deviation, np.float32))
        if not (self.deviation > 0).all():
            raise OptionError(f"deviation of Normalize must be above 0, got {deviation!r}")

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        channels = images(x, "Normalize").shape[1]
        for values in (self.mean, self.deviation):
            if values.shape not in ((1,), (channels,)):
                raise ShapeError(f"Normalize has {values.size} numbers for images of {channels} channels")
        pixels = x.astype(np.float32)
        if x.dtype == np.uint8:
            pixels /= 255
        pixels -= self.mean[:, None, None]
        pixels /= self.deviation[:, None, None]
        return pixels, y


class ColorJitter(Transform):
    """Changes brightness, contrast and saturation, in this order, each by a factor from [1 - v, 1 + v], at least 0.

    Brightness multiplies the pixels; contrast moves them from the image's mean grey, saturation from each pixel's own
    grey, 0.299 red + 0.587 green + 0.114 blue. After each step values are clipped to what the type holds: 0 to 255 for
    uint8, 0 to 1 for float32; use it before ``Normalize``. Images of one channel are their own grey; others than 1
    and 3 channels are refused with ``ShapeError``.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.brightness = number("brightness of ColorJitter", brightness, 0)
        self.contrast = number("contrast of ColorJitter", contrast, 0)
        self.saturation = number("saturation of ColorJitter", saturation, 0)

    def transform(self, x: Array, y: Array | None, draws: Draws) -> Batch:
        channels = images(x, "ColorJitter").shape[1]
        if channels not in (1, 3):
            raise ShapeError(f"ColorJitter takes images of 1 or 3 channels, got {channels}")
        highest = np.float32(255 if x.dtype == np.uint8 else 1)
        brightness, contrast, saturation = (
            draws.uniform(max(0.0, 1 - size), 1 + size)[:, :, None, None]
            for size in (self.brightness, self.contrast, self.saturation)
        )
        # A step of size 0 is left out: its factor is 1 and would only cost time.
        pixels = x.astype(np.float32)
        if self.brightness:
            pixels *= brightness
            np.clip(pixels, 0, highest, out=pixels)
        if self.contrast:
            mean = grey(pixels).reshape(len(x), -1).mean(axis=1)[:, None, None, None]
            pixels -= mean
            pixels *= contrast
            pixels += mean
            np.clip(pixels, 0, highest, out=pixels)
        if self.saturation and channels == 3:
            own = grey(pixels)
            pixels -= own
            pixels *= saturation
            pixels += own
            np.clip(pixels, 0, highest, out=pixels)
        return (to_bytes(pixels) if x.dtype == np.uint8 else pixels), y


def grey(pixels: Array) -> Array:
    """Return the luma (n, 1, h, w) of images of 1 or 3 channels, ITU-R BT.601."""
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = (pixels[:, i : i + 1] for i in range(3))
    luma: Array = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return luma
