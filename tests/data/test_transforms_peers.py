"""Transforms beside Pillow and SciPy, image by image, with the numbers that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from rn.data import Draws
from rn.data.transforms import ColorJitter, Cutout, HorizontalFlip, RandomAffine, RandomCrop, VerticalFlip

pytestmark = pytest.mark.peers
N = 24


def pictures():
    """Smooth pictures, whose edges tell how a pixel's place is rounded."""
    rng = np.random.default_rng(8)
    rows, columns = np.mgrid[:20, :26] / 6
    wave = rng.uniform(0.5, 1.5, (4, N, 3, 1, 1))
    x = 127 + 60 * np.sin(wave[0] * rows + 6 * wave[1]) + 60 * np.cos(wave[2] * columns + 6 * wave[3])
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def draws():
    return Draws(5, 1, np.arange(N))


def by_pillow(pixels, change):
    image = pytest.importorskip("PIL.Image")
    return np.asarray(change(image.fromarray(pixels.transpose(1, 2, 0)))).transpose(2, 0, 1)


def test_flips_and_crops():
    from PIL import Image, ImageOps

    x, chosen = pictures(), draws().uniform()[:, 0] < 0.5
    for flip, method in ((HorizontalFlip, "FLIP_LEFT_RIGHT"), (VerticalFlip, "FLIP_TOP_BOTTOM")):
        got, _ = flip()(x, None, draws())
        for i in range(N):
            turned = by_pillow(x[i], lambda image: image.transpose(Image.Transpose[method]))  # noqa: B023
            np.testing.assert_array_equal(got[i], turned if chosen[i] else x[i])
    got, _ = RandomCrop((18, 30), 4)(x, None, draws())
    same = draws()
    top, left = same.integers(0, 11)[:, 0], same.integers(0, 5)[:, 0]
    for i in range(N):
        box = (left[i], top[i], left[i] + 30, top[i] + 18)
        cut = by_pillow(x[i], lambda image: ImageOps.expand(image, 4).crop(box))  # noqa: B023
        np.testing.assert_array_equal(got[i], cut)


def test_cutout():
    x = pictures()
    got, _ = Cutout(6)(x, None, draws())
    same = draws()
    top, left = same.integers(0, 20)[:, 0] - 3, same.integers(0, 26)[:, 0] - 3
    for i in range(N):

        def hole(image, box=(left[i], top[i], left[i] + 6, top[i] + 6)):
            image.paste(0, tuple(map(int, box)))
            return image

        np.testing.assert_array_equal(got[i], by_pillow(x[i], hole))


@pytest.mark.parametrize(("place", "name"), [(0, "Brightness"), (1, "Contrast"), (2, "Color")])
def test_colours(place, name):
    """Pillow rounds the grey it works with, and contrast's mean, to whole numbers."""
    from PIL import ImageEnhance

    x, size = pictures(), [0.0, 0.0, 0.0]
    size[place] = 0.6
    got, _ = ColorJitter(*size)(x, None, draws())
    factor = 0.4 + draws().uniform(count=3)[:, place].astype(float) * 1.2
    for i in range(N):
        enhanced = by_pillow(x[i], lambda image: getattr(ImageEnhance, name)(image).enhance(factor[i]))  # noqa: B023
        assert np.abs(got[i].astype(int) - enhanced).max() <= 2
        assert np.abs(enhanced.astype(int) - x[i]).max() > 4 or abs(factor[i] - 1) < 0.1


def test_affine():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = pictures().astype(np.float32) / 255
    one = RandomAffine((-40, 70), (0.2, 0.3), (0.7, 1.4), (-15, 20))
    got, _ = one(x, None, draws())
    share = draws().uniform(count=5).astype(float)
    spans = np.array([one.degrees, one.shear, one.scale, (-0.2, 0.2), (-0.3, 0.3)])
    centre = np.array([(20 - 1) / 2, (26 - 1) / 2])
    for i in range(N):
        degrees, shear, scale, dx, dy = spans[:, 0] + share[i] * (spans[:, 1] - spans[:, 0])
        a, b = np.radians(degrees), np.tan(np.radians(shear))
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ [[1, b], [0, 1]] * scale
        back = np.linalg.inv(turn)[::-1, ::-1]  # (row, column) as SciPy has them
        offset = centre - back @ (centre + np.array([dy * 20, dx * 26]))
        for channel in range(3):
            # a border of zeros, to which SciPy interpolates as rn does
            framed = np.pad(x[i, channel].astype(float), 2)
            moved = ndimage.affine_transform(
                framed, back, offset + 2 - back @ [2, 2], framed.shape, order=1, mode="constant"
            )
            np.testing.assert_allclose(got[i, channel], moved[2:-2, 2:-2], rtol=0, atol=2e-5)
