"""Pillow: transforms image by image, from the array of a batch to the array of a batch, NumPy for what Pillow lacks.

Pillow has images of three channels in bytes only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.nets import Array
from benchmarks.peers import arrays, one_image
from benchmarks.work import Calls, Images, Work

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Last = Callable[[Array, np.random.Generator], Array]


def versions() -> str:
    return f"Pillow {PIL.__version__}"


def start(threads: int) -> None:
    """Pillow has one thread."""


def prepare(work: Work) -> Calls:
    if not isinstance(work, Images) or work.dtype != "uint8" or work.transform not in CHANGES:
        return {}
    x, _ = arrays.images(work)
    changes, rng = CHANGES[work.transform], np.random.default_rng(0)
    last = one_image.normalize if work.transform == "all" else None
    return {"pillow": lambda: batch(x, changes, rng, last)}


def batch(x: Array, changes: list[Change], rng: np.random.Generator, last: Last | None) -> Array:
    """Return the images of ``x``, each changed by itself."""
    result = np.empty(x.shape, np.float32 if last else x.dtype)
    for i, pixels in enumerate(x):
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        for change in changes:
            image = change(image, rng)
        changed = np.asarray(image).transpose(2, 0, 1)
        result[i] = last(changed, rng) if last else changed
    return result


def flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    margin = one_image.MARGIN
    top, left = rng.integers(0, 2 * margin + 1, 2)
    return ImageOps.expand(image, margin).crop((left, top, left + image.width, top + image.height))


def affine(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    coefficients = one_image.affine_map(image.height, image.width, rng)
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def jitter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.6, 1.4))
    return image


def cutout(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    top, left = int(rng.integers(image.height)) - 4, int(rng.integers(image.width)) - 4
    image.paste(0, (left, top, left + 8, top + 8))
    return image


CHANGES: dict[str, list[Change]] = {
    "flip": [flip],
    "crop": [crop],
    "affine": [affine],
    "jitter": [jitter],
    "cutout": [cutout],
    "all": [crop, flip, affine, jitter, cutout],
}
