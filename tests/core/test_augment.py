"""Kernels that change images on their way into a model, beside NumPy; the same bits on every instruction set."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rn import _core
from rn.errors import DtypeError, ShapeError
from tests.core.test_bounds import guarded

SHAPES = [(1, 1, 1, 1), (3, 3, 5, 4), (2, 1, 9, 33), (2, 3, 32, 32), (1, 6, 17, 130), (0, 3, 4, 4), (2, 3, 0, 4)]
TYPES = [np.uint8, np.float32]


def images(shape, dtype):
    pixels = np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)
    return pixels if dtype == np.uint8 else pixels.astype(np.float32) / np.float32(255)


def made(function, x, *arguments, shape=None, dtype=None):
    """Return what ``function`` writes over what was there, the same for arrays between forbidden pages."""
    y = np.full(shape or x.shape, 77, dtype or x.dtype)
    function(x, y, *arguments)
    for side in ("begin", "end"):
        if x.size and y.size and x.dtype == y.dtype == np.float32:
            again = guarded(np.full_like(y, 77), side)
            function(guarded(x, side), again, *arguments)
            np.testing.assert_array_equal(again, y)
    return y


def in_type(pixels, dtype):
    return np.rint(pixels).astype(np.uint8) if dtype == np.uint8 else pixels.astype(np.float32)


# ---- beside NumPy


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_windows(shape, dtype):
    x, (n, c, h, w) = images(shape, dtype), shape
    rng = np.random.default_rng(1)
    for oh, ow in ((h, w), (h + 3, max(w - 2, 1)), (1, 2 * w + 1)):
        top, left = (rng.integers(-length - 2, length + 3, n) for length in (h, w))
        upend, mirror = (rng.integers(0, 2, n).astype(np.uint8) for _ in range(2))
        got = made(_core.crop_images, x, top, left, upend, mirror, shape=(n, c, oh, ow))
        expected = np.zeros((n, c, oh, ow), dtype)
        for i in range(n):
            for r in range(oh):
                for s in range(ow):
                    row = top[i] + (oh - 1 - r if upend[i] else r)
                    column = left[i] + (ow - 1 - s if mirror[i] else s)
                    if 0 <= row < h and 0 <= column < w:
                        expected[i, :, r, s] = x[i, :, row, column]
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_holes(shape, dtype):
    x, (n, _, h, w) = images(shape, dtype), shape
    for size in (0, 1, 4, 200):
        top, left = (np.random.default_rng(size).integers(-5, length + 2, n) for length in (h, w))
        expected = x.copy()
        for i in range(n):
            rows = slice(max(top[i], 0), max(top[i] + size, 0))
            expected[i, :, rows, max(left[i], 0) : max(left[i] + size, 0)] = 0
        np.testing.assert_array_equal(made(_core.cut_images, x, top, left, size), expected)


def warped(x, maps):
    """Every pixel by itself, in float64; a coordinate that is no number looks at row or column -1."""
    n, c, h, w = x.shape
    framed = np.pad(x.astype(float), ((0, 0), (0, 0), (1, 2), (1, 2)))
    y = np.zeros(x.shape)
    for i in range(n):
        r, s = np.meshgrid(np.arange(h, dtype=np.float32), np.arange(w, dtype=np.float32), indexing="ij")
        m = maps[i]
        with np.errstate(all="ignore"):
            column, row = m[0] * s + (m[1] * r + m[2]), m[3] * s + (m[4] * r + m[5])
        column = np.clip(np.nan_to_num(column, nan=-1), -1, w) + np.float32(1)
        row = np.clip(np.nan_to_num(row, nan=-1), -1, h) + np.float32(1)
        j, k = column.astype(int), row.astype(int)
        u, v = column - j, row - k
        for channel in range(c):
            at = framed[i, channel]
            upper = at[k, j] * (1 - u) + at[k, j + 1] * u
            lower = at[k + 1, j] * (1 - u) + at[k + 1, j + 1] * u
            y[i, channel] = upper * (1 - v) + lower * v
    return y


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps(shape, dtype):
    x, (n, _, h, w) = images(shape, dtype), shape
    same = np.tile(np.float32([1, 0, 0, 0, 1, 0]), (n, 1))
    np.testing.assert_array_equal(made(_core.warp_images, x, same), x)
    rng = np.random.default_rng(2)
    turned = same + rng.normal(0, 0.4, (n, 6)) * [1, 1, w, 1, 1, h]
    for maps in (turned.astype(np.float32), np.full((n, 6), np.inf, np.float32), same * np.float32(-1e30)):
        got, expected = made(_core.warp_images, x, maps), warped(x, maps)
        np.testing.assert_allclose(got, expected, rtol=0, atol=0.502 if dtype == np.uint8 else 1e-6)


def grey(p):
    red, green, blue = (p[:, i] for i in range(3))
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] in (1, 3) and min(shape)])
def test_colours(shape, dtype):
    x = images(shape, dtype)
    factors = np.random.default_rng(4).uniform(0, 2, (len(x), 3)).astype(np.float32)
    factors[1:2, :2] = 1  # a step left out
    highest = np.float32(255 if dtype == np.uint8 else 1)
    b, s, t = (factors[:, i].reshape(-1, 1, 1, 1) for i in range(3))
    p = np.clip(x * b, 0, highest)
    mean = (grey(p) if shape[1] == 3 else p).astype(float).reshape(len(x), -1).mean(1).reshape(-1, 1, 1, 1)
    p = np.clip((p - mean) * s + mean, 0, highest)
    if shape[1] == 3:
        own = grey(p)[:, None]
        p = np.clip((p - own) * t + own, 0, highest)
    tolerance = 0.501 if dtype == np.uint8 else 1e-6
    np.testing.assert_allclose(made(_core.jitter_images, x, factors), p, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_scales_and_mixtures(shape, dtype):
    x, other = images(shape, dtype), images(shape, dtype)[::-1].copy()
    rng = np.random.default_rng(5)
    scale, shift = (rng.normal(size=shape[1]).astype(np.float32) for _ in range(2))
    expected = x.astype(np.float32) * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_array_equal(made(_core.scale_images, x, scale, shift, dtype=np.float32), expected)
    share = rng.uniform(size=len(x)).astype(np.float32)
    if x.size:
        mixed = np.full((len(x), x[0].size), 77, np.float32)
        _core.mix_rows(x, other, mixed, share)
        a = share.reshape(-1, 1, 1, 1)
        np.testing.assert_array_equal(
            mixed.reshape(shape), a * x.astype(np.float32) + (1 - a) * other.astype(np.float32)
        )


# ---- every instruction set

BITS = """
import hashlib, sys
import numpy as np
from rn import _core
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for dtype in (np.uint8, np.float32):
    x = rng.integers(0, 256, (5, 3, 19, 23)).astype(dtype)
    x = x / np.float32(255) if dtype == np.float32 else x
    maps = (np.float32([1, 0, 0, 0, 1, 0]) + rng.normal(0, 0.3, (5, 6))).astype(np.float32)
    y = np.empty_like(x)
    _core.warp_images(x, y, maps)
    digest.update(y.tobytes())
    _core.jitter_images(x, y, rng.uniform(0, 2, (5, 3)).astype(np.float32))
    digest.update(y.tobytes())
    z = np.empty(x.shape, np.float32)
    _core.scale_images(x, z, *rng.normal(size=(2, 3)).astype(np.float32))
    digest.update(z.tobytes())
    _core.mix_rows(x, y, z.reshape(5, -1), rng.uniform(size=5).astype(np.float32))
    digest.update(z.tobytes())
print(_core.instruction_set(), digest.hexdigest())
"""


def test_bits_are_the_same_on_every_instruction_set(monkeypatch):
    found = {}
    for name in _core.instruction_sets():
        monkeypatch.setenv("RN_ISA", name)
        run = subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, check=True)
        used, found[name] = run.stdout.split()
        assert used == name
    assert len(set(found.values())) == 1, found


# ---- refusals


def test_refused_arrays():
    x, at, no = images((2, 3, 5, 4), np.uint8), np.zeros(2, np.int64), np.zeros(2, np.uint8)
    with pytest.raises(DtypeError, match="x must be an array of uint8 or float32, got format 'd'"):
        _core.cut_images(x.astype(float), x.copy(), at, at, 1)
    with pytest.raises(
        ShapeError, match=r"x and y must be n images of c channels, got \(2, 3, 5, 4\) and \(2, 1, 5, 4\)"
    ):
        _core.crop_images(x, x[:, :1].copy(), at, at, no, no)
    with pytest.raises(ShapeError, match="there must be 2 places and choices, one an image, got 1"):
        _core.crop_images(x, x.copy(), at, at[:1], no, no)
    with pytest.raises(ShapeError, match="x and y must be of one type"):
        _core.warp_images(x, x.astype(np.float32), np.zeros((2, 6), np.float32))
    with pytest.raises(ShapeError, match=r"map must be \(2, 6\)"):
        _core.warp_images(x, x.copy(), np.zeros((2, 5), np.float32))
    with pytest.raises(ShapeError, match="1 or 3 channels, got 2"):
        _core.jitter_images(x[:, :2].copy(), x[:, :2].copy(), np.ones((2, 3), np.float32))
    with pytest.raises(ShapeError, match="there must be 3 scales and shifts"):
        _core.scale_images(x, np.empty(x.shape, np.float32), np.ones(1, np.float32), np.ones(3, np.float32))
    with pytest.raises(ShapeError, match="y must be 2 rows with the elements of x"):
        _core.mix_rows(x, x, np.empty((2, 59), np.float32), np.ones(2, np.float32))
    with pytest.raises(ShapeError, match=r"words must be \(2, 4 k\), got \(2, 3\)"):
        _core.draw_words(np.empty((2, 3), np.uint32), at, 0, 1, 2)
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _core.cut_images(x, frozen, at, at, 1)
