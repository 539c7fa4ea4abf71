"""Transforms beside loops over single images and pixels; a sample comes out the same in any batch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn import _core
from rn.data import DataLoader, Draws, one_hot
from rn.data.draws import BLOCKS, TRANSFORM
from rn.data.transforms import (
    ColorJitter,
    Compose,
    Cutout,
    HorizontalFlip,
    LabelSmoothing,
    Mixup,
    Normalize,
    RandomAffine,
    RandomCrop,
    Transform,
    VerticalFlip,
)
from rn.data.transforms.mixing import beta
from rn.errors import DtypeError, LabelError, OptionError, ShapeError

N = 40


def pictures(dtype, shape=(N, 3, 7, 9)):
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    return pixels if dtype == np.uint8 else pixels.astype(np.float32) / 255


def draws(place=0):
    return Draws(11, 2, np.arange(N), place=place)


# ---- random numbers


def test_words_are_those_of_the_core():
    indices = np.array([0, 3, 2**32 - 1])
    for key in (0, 7, 2**63 + 12345):
        some = Draws(key, 9, indices, place=2)
        some.uniform(count=4)  # the first block
        share = some.uniform(count=6)
        for i, index in enumerate(indices):
            words = [
                word for block in (1, 2) for word in _core.philox((int(index), 2 * BLOCKS + block, 9, TRANSFORM), key)
            ]
            assert share[i].tolist() == [(word >> 8) * 2**-24 for word in words[:6]]


def test_numbers_are_spread_evenly_and_belong_to_the_sample():
    many = Draws(1, 0, np.arange(20000))
    uniform, numbers = many.uniform(2, 4, count=3), many.integers(-1, 4)
    assert uniform.dtype == np.float32
    assert 2 <= uniform.min() < 2.001 < 3.999 < uniform.max() < 4
    np.testing.assert_allclose(uniform.mean(axis=0), 3, atol=0.02)
    assert np.abs(np.corrcoef(uniform.T)[0, 1:]).max() < 0.03
    np.testing.assert_allclose(np.bincount(numbers[:, 0] + 1), [4000] * 5, rtol=0.06)
    few = Draws(1, 0, np.array([17, 3]))
    np.testing.assert_array_equal(few.uniform(2, 4, count=3), uniform[[17, 3]])
    np.testing.assert_array_equal(few.integers(-1, 4), numbers[[17, 3]])
    for other in (Draws(2, 0, [17]), Draws(1, 1, [17]), Draws(1, 0, [17], place=1)):
        assert not np.array_equal(other.uniform(2, 4, count=3), uniform[17:18])


# ---- each transform beside a loop


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("flip", "axis"), [(HorizontalFlip, 2), (VerticalFlip, 1)])
def test_flips(dtype, flip, axis):
    x = pictures(dtype)
    got, y = flip(0.3)(x, None, draws())
    chance = draws().uniform()[:, 0]
    assert 0 < (chance < 0.3).sum() < N
    for i in range(N):
        np.testing.assert_array_equal(got[i], np.flip(x[i], axis) if chance[i] < 0.3 else x[i])
    assert (got.dtype, y) == (dtype, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("size", "padding"), [((7, 9), 2), (5, 0), ((9, 3), 1)])
def test_crops(dtype, size, padding):
    x = pictures(dtype)
    got, _ = RandomCrop(size, padding)(x, None, draws())
    height, width = size if isinstance(size, tuple) else (size, size)
    same = draws()
    top = same.integers(0, 7 + 2 * padding - height + 1)[:, 0]
    left = same.integers(0, 9 + 2 * padding - width + 1)[:, 0]
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 3
    for i in range(N):
        padded = np.pad(x[i], ((0, 0), (padding, padding), (padding, padding)))
        np.testing.assert_array_equal(got[i], padded[:, top[i] : top[i] + height, left[i] : left[i] + width])
    assert got.dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_cutout(dtype):
    x = np.maximum(pictures(dtype), np.asarray(0.5 if dtype == np.float32 else 1, dtype))
    got, _ = Cutout(4)(x, None, draws())
    same = draws()
    rows, columns = same.integers(0, 7)[:, 0], same.integers(0, 9)[:, 0]
    for i in range(N):
        expected = x[i].copy()
        top, left = rows[i] - 2, columns[i] - 2
        expected[:, max(top, 0) : top + 4, max(left, 0) : left + 4] = 0
        np.testing.assert_array_equal(got[i], expected)
    assert got.dtype == dtype


def affine_reference(image, angle, lean, scale, dx, dy):
    """One image, one pixel at a time: where the pixel comes from, by the inverse of the documented matrix."""
    c, h, w = image.shape
    a, b = math.radians(angle), math.tan(math.radians(lean))
    # Rows count downwards, so that a counterclockwise turn is this one.
    turn = np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    inverse = np.linalg.inv(scale * turn @ np.array([[1, b], [0, 1]]))
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    result = np.zeros((c, h, w))
    for row in range(h):
        for column in range(w):
            x, y = inverse @ (np.array([column, row]) - centre - [dx, dy]) + centre
            for r in (math.floor(y), math.floor(y) + 1):
                for k in (math.floor(x), math.floor(x) + 1):
                    if 0 <= r < h and 0 <= k < w:
                        result[:, row, column] += (1 - abs(y - r)) * (1 - abs(x - k)) * image[:, r, k]
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"degrees": 30},
        {"translate": (0.3, 0.2)},
        {"scale": (0.5, 2)},
        {"shear": (10, 40)},
        {"degrees": (20, 90), "translate": (0.1, 0.6), "scale": (0.7, 1.1), "shear": 20},
    ],
)
def test_affine(dtype, options):
    x = pictures(dtype)
    one = RandomAffine(**options)
    got, _ = one(x, None, draws())
    same = draws()
    share = iter(same.uniform(count=5).astype(float).T)
    angle, lean, scale = (low + next(share) * (high - low) for low, high in (one.degrees, one.shear, one.scale))
    dx = (2 * next(share) - 1) * one.translate[0] * 9
    dy = (2 * next(share) - 1) * one.translate[1] * 7
    assert got.dtype == dtype
    for i in range(0, N, 4):
        expected = affine_reference(x[i], angle[i], lean[i], scale[i], dx[i], dy[i])
        np.testing.assert_allclose(got[i], expected, rtol=0, atol=0.51 if dtype == np.uint8 else 1e-5)


def test_a_quarter_turn_and_no_change_are_exact():
    x = pictures(np.uint8, (N, 3, 6, 6))
    np.testing.assert_array_equal(RandomAffine()(x, None, draws())[0], x)
    np.testing.assert_array_equal(RandomAffine((90, 90))(x, None, draws())[0], np.rot90(x, axes=(2, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_normalize(dtype):
    x = pictures(dtype)
    got, _ = Normalize([0.5, 0.4, 0.3], [0.2, 0.1, 0.3])(x, None, draws())
    assert got.dtype == np.float32
    for i in range(N):
        unit = x[i] / 255 if dtype == np.uint8 else x[i].astype(float)
        for channel, (mean, deviation) in enumerate(((0.5, 0.2), (0.4, 0.1), (0.3, 0.3))):
            np.testing.assert_allclose(got[i, channel], (unit[channel] - mean) / deviation, rtol=1e-4, atol=1e-5)
    one, _ = Normalize(0.5, 0.25)(x, None, draws())
    np.testing.assert_allclose(one, ((x / 255 if dtype == np.uint8 else x) - 0.5) / 0.25, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(0.4, 0, 0), (0, 0.4, 0), (0, 0, 0.4)])
def test_color_jitter_hides_no_nan(sizes):
    x = pictures(np.float32)[:, :3]
    x[1, 0, 2, 3] = np.nan
    got, _ = ColorJitter(*sizes)(x, None, draws())
    assert np.isnan(got[1, 0, 2, 3])
    assert np.isfinite(np.delete(got, 1, axis=0)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_color_jitter(dtype, channels):
    x = pictures(dtype)[:, :channels]
    got, _ = ColorJitter(0.4, 0.5, 1.5)(x, None, draws())
    same = draws()
    share = same.uniform(count=3).astype(float).T
    factors = [
        max(0, 1 - size) + u * (1 + size - max(0, 1 - size)) for u, size in zip(share, (0.4, 0.5, 1.5), strict=True)
    ]
    highest = 255 if dtype == np.uint8 else 1
    grey = np.array([0.299, 0.587, 0.114] if channels == 3 else [1.0])[:, None, None]
    assert got.dtype == dtype
    for i in range(N):
        image = np.clip(x[i] * factors[0][i], 0, highest)
        mean = (grey * image).sum(axis=0).mean()
        image = np.clip(mean + (image - mean) * factors[1][i], 0, highest)
        if channels == 3:
            own = (grey * image).sum(axis=0)
            image = np.clip(own + (image - own) * factors[2][i], 0, highest)
        np.testing.assert_allclose(got[i], image, rtol=0, atol=0.51 if dtype == np.uint8 else 1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mixup_takes_partners_that_have_passed_what_came_before(dtype):
    x, y = pictures(dtype), np.arange(N) % 5
    before = HorizontalFlip()
    loader = DataLoader(x, y, seed=4, transforms=[before, Mixup(0.4, classes=5)])
    chosen = np.array([30, 2, 8])
    got_x, got_y = loader.batch(chosen, epoch=3)
    flipped, _ = before(x, y, Draws(4, 3, np.arange(N), place=0))
    same = Draws(4, 3, chosen, place=1)
    partner, share = same.integers(0, N)[:, 0], beta(0.4, same)
    assert (got_x.dtype, got_y.dtype) == (np.float32, np.float32)
    assert ((share > 0) & (share < 1)).any()
    rows = one_hot(y, 5)
    for i, (index, other) in enumerate(zip(chosen, partner, strict=True)):
        expected = share[i] * flipped[index].astype(float) + (1 - share[i]) * flipped[other]
        np.testing.assert_allclose(got_x[i], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got_y[i], share[i] * rows[index] + (1 - share[i]) * rows[other], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 2.0])
def test_beta_has_its_moments(alpha):
    shares = beta(alpha, Draws(5, 0, np.arange(20000))).astype(float)
    assert 0 <= shares.min() < shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.012)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)


def test_label_smoothing():
    x = pictures(np.uint8)
    same, rows = LabelSmoothing(0.2, classes=4)(x, np.arange(N) % 4, draws())
    assert same is x
    np.testing.assert_allclose(rows[1], [0.05, 0.85, 0.05, 0.05], rtol=1e-6)
    _, again = LabelSmoothing(0.1)(x, np.full((N, 2), 0.5, np.float32), draws())
    np.testing.assert_allclose(again, 0.5)
    assert LabelSmoothing(0.1)(x, None, draws()) == (x, None)


# ---- all of them

ALL = [
    HorizontalFlip(),
    VerticalFlip(),
    RandomCrop((7, 9), 2),
    RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10),
    ColorJitter(0.3, 0.3, 0.3),
    Cutout(3),
    Normalize(0.5, 0.25),
    Mixup(0.3, classes=3),
    LabelSmoothing(0.1),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("chosen", [[one] for one in ALL] + [ALL], ids=lambda chosen: type(chosen[-1]).__name__)
def test_a_sample_does_not_depend_on_its_batch(dtype, chosen):
    x, y = pictures(dtype), one_hot(np.arange(N) % 3)
    kept = x.copy(), y.copy()
    loader = DataLoader(x, y, transforms=chosen, seed=9)
    whole = loader.batch(np.arange(N), epoch=1)
    for i in (0, 13, N - 1):
        for got, expected in zip(loader.batch([i], epoch=1), whole, strict=True):
            np.testing.assert_array_equal(got[0], expected[i])
    for got, expected in zip(loader.batch(np.arange(5, 12)[::-1], epoch=1), whole, strict=True):
        np.testing.assert_array_equal(got, expected[5:12][::-1])
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


@pytest.mark.parametrize("one", ALL, ids=lambda one: type(one).__name__)
def test_another_epoch_or_seed_changes_what_is_random(one):
    x, y = pictures(np.float32), one_hot(np.arange(N) % 3)
    first = DataLoader(x, y, transforms=one, seed=9).batch(np.arange(N), 0)[0]
    for seed, epoch in ((9, 1), (10, 0)):
        other = DataLoader(x, y, transforms=one, seed=seed).batch(np.arange(N), epoch)[0]
        assert np.array_equal(first, other) == isinstance(one, Normalize | LabelSmoothing)


def test_compose_in_compose_and_a_users_own():
    class Shift(Transform):
        def __init__(self, by):
            self.by = by

        def transform(self, x, y, draws):
            return x + np.float32(self.by), y

    def double(x, y, draws):
        return x * 2, y

    x = pictures(np.float32)
    both = Compose([Shift(1), Compose([double, Shift(3)])])
    assert len(both.transforms) == 3
    np.testing.assert_allclose(both(x, None, draws())[0], (x + 1) * 2 + 3)
    assert repr(both.transforms[0]) == "Shift(by=1)"


# ---- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HorizontalFlip(1.5), "probability of HorizontalFlip must be a number from 0 to 1, got 1.5"),
        (lambda: RandomCrop(0), "size of RandomCrop must be a whole number of at least 1, got 0"),
        (lambda: RandomCrop(3, -1), "padding of RandomCrop"),
        (lambda: RandomAffine((3, 1)), "degrees of RandomAffine must be a number, or a pair"),
        (lambda: RandomAffine(scale=(0, 1)), "scale of RandomAffine must be above 0"),
        (lambda: RandomAffine(shear=90), "shear of RandomAffine must lie between"),
        (lambda: ColorJitter(-1), "brightness of ColorJitter"),
        (lambda: Cutout(2.5), "size of Cutout"),
        (lambda: Mixup(0), "alpha of Mixup must be above 0"),
        (lambda: Mixup(3), "alpha of Mixup must be a number from 0 to 2"),
        (lambda: LabelSmoothing(2), "smoothing of LabelSmoothing"),
        (lambda: Normalize(0, 0), "deviation of Normalize must be above 0"),
        (lambda: Compose([HorizontalFlip]), "transforms must be objects or functions"),
    ],
)
def test_refused_options(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_refused_samples():
    x, y = pictures(np.uint8), np.arange(N) % 3
    with pytest.raises(ShapeError, match=r"HorizontalFlip takes images of shape .*, got \(40, 5\)"):
        HorizontalFlip()(np.zeros((N, 5), np.float32), None, draws())
    with pytest.raises(DtypeError, match="Cutout takes uint8 or float32 images, got float64"):
        Cutout(2)(x.astype(float), None, draws())
    with pytest.raises(ShapeError, match="is larger than images of"):
        RandomCrop(10)(x, None, draws())
    with pytest.raises(ShapeError, match="Normalize has 2 numbers for images of 3 channels"):
        Normalize([1, 2], 1)(x, None, draws())
    with pytest.raises(ShapeError, match="1 or 3 channels, got 2"):
        ColorJitter(0.1)(x[:, :2], None, draws())
    with pytest.raises(LabelError, match=r"LabelSmoothing\(classes=…\)"):
        LabelSmoothing()(x, y, draws())
    with pytest.raises(OptionError, match="needs a DataLoader"):
        Mixup()(x, y, draws())
    names = DataLoader(x, np.array(list("abc"))[y], transforms=Mixup(classes=3))
    with pytest.raises(LabelError, match="Mixup takes integer labels or rows of numbers, got targets of dtype <U1"):
        names.batch([0])
