"""Transforms that change the values of pixels where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rn import _core
from rn.data.draws import Batch, Draws
from rn.data.transforms.base import Array, Transform, images, number
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
        pixels = images(x, "Normalize")
        channels = pixels.shape[1]
        for values in (self.mean, self.deviation):
            if values.shape not in ((1,), (channels,)):
                raise ShapeError(f"Normalize has {values.size} numbers for images of {channels} channels")
        mean, deviation = (np.broadcast_to(values, channels).astype(float) for values in (self.mean, self.deviation))
        unit = 255.0 if pixels.dtype == np.uint8 else 1.0
        result = np.empty(pixels.shape, np.float32)
        scale, shift = (1 / (unit * deviation)).astype(np.float32), (-mean / deviation).astype(np.float32)
        _core.scale_images(pixels, result, scale, shift)
        return result, y


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
        pixels = images(x, "ColorJitter")
        if pixels.shape[1] not in (1, 3):
            raise ShapeError(f"ColorJitter takes images of 1 or 3 channels, got {pixels.shape[1]}")
        size = np.array([self.brightness, self.contrast, self.saturation])
        low = np.maximum(1 - size, 0)
        factors = low + draws.uniform(count=3) * (1 + size - low)
        result = np.empty_like(pixels)
        _core.jitter_images(pixels, result, factors.astype(np.float32))
        return result, y
