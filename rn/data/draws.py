"""Random numbers for transforms: a sample's numbers depend on the seed, the epoch, its index and the transform's place.

They are the words of Philox4x32-10 (``rn._core.philox``). The counter is (index, place and block, epoch, purpose), the
key is the seed: nothing of it knows of batches or threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core
from rn.errors import OptionError

__all__ = ["Draws"]

TRANSFORM = 5 << 24  # the purpose of transforms' draws
BLOCKS = 1 << 16  # how many blocks of four words a transform may draw for one sample; places count above them

Batch = tuple[NDArray[Any], NDArray[Any] | None]
Words = NDArray[np.uint32]


class Draws:
    """The random numbers that one transform may use for the samples of one batch.

    ``indices``: int64 (n,), where the samples stand in the data set. ``total``: how many samples the data set has.
    ``samples(indices)``: other samples of the data set, (x, y), after the transforms that come before this one.
    Each call of ``uniform`` or ``integers`` gives new numbers; sample i gets the same ones in whatever batch it comes.
    """

    def __init__(
        self,
        seed: int,
        epoch: int,
        indices: NDArray[np.int64],
        *,
        place: int = 0,
        total: int | None = None,
        samples: Callable[[NDArray[np.int64]], Batch] | None = None,
    ) -> None:
        self.seed = seed
        self.epoch = epoch
        self.indices = np.ascontiguousarray(indices, np.int64)
        self.place = place
        self.total = int(self.indices.max(initial=-1)) + 1 if total is None else total
        self._samples = samples
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0, count: int = 1) -> NDArray[np.float32]:
        """Return float32 (n, count), evenly spread over [low, high)."""
        share = (self._words(count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
        return np.float32(low) + share * np.float32(high - low)

    def integers(self, low: int, high: int, count: int = 1) -> NDArray[np.int64]:
        """Return int64 (n, count), whole numbers of low, low + 1, …, high - 1, all as likely (to within 2^-32)."""
        return low + ((self._words(count) * np.uint64(high - low)) >> np.uint64(32)).astype(np.int64)

    def samples(self, indices: NDArray[np.int64]) -> Batch:
        """Return (x, y) of these samples of the data set, as the transforms before this one leave them."""
        if self._samples is None:
            raise OptionError("these draws know of no data set: a transform that mixes samples needs a DataLoader")
        return self._samples(indices)

    def of(self, indices: NDArray[np.int64]) -> Draws:
        """Return the draws of the same transform for other samples."""
        return Draws(self.seed, self.epoch, indices, place=self.place, total=self.total, samples=self._samples)

    def at(self, place: int, samples: Callable[[NDArray[np.int64]], Batch] | None) -> Draws:
        """Return the draws of the transform at ``place`` for the same samples."""
        return Draws(self.seed, self.epoch, self.indices, place=place, total=self.total, samples=samples)

    def _words(self, count: int) -> Words:
        blocks = -(-count // 4)
        if self._next + blocks > BLOCKS:
            raise OptionError(f"a transform may draw {4 * BLOCKS:,} numbers for a sample, and wants more")
        words = np.empty((len(self.indices), 4 * blocks), np.uint32)
        _core.draw_words(words, self.indices, self.place * BLOCKS + self._next, self.seed, TRANSFORM, self.epoch)
        self._next += blocks
        return words[:, :count]
