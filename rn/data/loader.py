"""Batches of a data set, shuffled and transformed anew in each epoch, the next one prepared in the background."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rn import _core
from rn.data.draws import Batch, Draws
from rn.data.split import as_samples
from rn.data.transforms.base import Compose, whole
from rn.errors import OptionError, ShapeError, flag, seed_number

__all__ = ["DataLoader"]

SHUFFLE = 2 << 24  # the purpose of the draws that order an epoch's samples, for a loader and for ``fit`` alike

Array = npt.NDArray[Any]


class DataLoader:
    """Gives the batches (x, y) of a data set, epoch by epoch; ``fit``, ``evaluate`` and ``predict`` take it as ``x``.

    ``x``, ``y``: n samples along axis 0; without y the second of each pair is None. ``batch_size``: samples a batch;
    the last one has what is left, or is left out with ``drop_last``. ``shuffle``: another order in each epoch, the one
    in which ``fit`` of a model with the same seed visits arrays.
    ``transforms``: one or several ``rn.data.transforms`` or functions transform(x, y, draws). ``seed``: of the order
    and of all transforms; drawn by chance and kept in ``loader.seed`` unless given.

    Batches depend on the data, the options, the seed and the epoch alone. Looping over a loader gives the batches of
    ``loader.epoch`` and counts it once the end is reached; ``batches(epoch)`` gives those of any epoch. ``fit`` asks
    for the epochs by the model's own count, so that a fit resumed sees what one never stopped does. While a batch is
    used, a background thread prepares the next one; an exception there is raised where the batch was asked for, with a
    note of the transform and of the sample in the data set that it fails for.

    Raises ``ShapeError`` if x has no samples or y another number; ``OptionError`` for options out of range.
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
        transforms: Callable[..., Batch] | Iterable[Callable[..., Batch]] = (),
        seed: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.x = as_samples("x", x)
        self.y = None if y is None else as_samples("y", y)
        if len(self.x) == 0:
            raise ShapeError(f"x is empty: it has shape {self.x.shape}, at least one sample is needed")
        if self.y is not None and len(self.y) != len(self.x):
            raise ShapeError(f"x and y must have as many samples, got {len(self.x)} and {len(self.y)}")
        self.batch_size = whole("batch_size", batch_size, 1)
        self.shuffle = flag("shuffle", shuffle)
        self.transforms = Compose(transforms if isinstance(transforms, Iterable) else [transforms])
        self.seed = int.from_bytes(os.urandom(8), "little") >> 1 if seed is None else seed_number("seed", seed)
        self.drop_last = flag("drop_last", drop_last)
        self.epoch = 0
        if len(self) == 0:
            raise OptionError(f"drop_last leaves no batch: {len(self.x)} samples, batch_size={batch_size}")

    @property
    def samples(self) -> int:
        """How many samples an epoch visits."""
        return len(self.x) - (len(self.x) % self.batch_size if self.drop_last else 0)

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of ``self.epoch``, then count it."""
        yield from self.batches(self.epoch)
        self.epoch += 1

    def set_epoch(self, epoch: int) -> None:
        """Let the next loop give the batches of ``epoch``."""
        self.epoch = whole("epoch", epoch, 0)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return where in the data the samples stand that ``epoch`` visits, in its order."""
        order = np.arange(len(self.x), dtype=np.int64)
        if self.shuffle:
            _core.shuffle(order, self.seed, SHUFFLE, epoch)
        return order[: self.samples]

    def batches(self, epoch: int) -> Generator[Batch, None, None]:
        """Yield the batches of ``epoch``; ``self.epoch`` is left as it is."""
        epoch = whole("epoch", epoch, 0)
        return self._prepared(self.order(epoch), epoch)

    def in_order(self, epoch: int = 0) -> Generator[Batch, None, None]:
        """Yield batches of all samples in the order of the data, as ``evaluate`` and ``predict`` take them."""
        epoch = whole("epoch", epoch, 0)
        return self._prepared(np.arange(len(self.x), dtype=np.int64), epoch)

    def batch(self, indices: npt.ArrayLike, epoch: int = 0) -> Batch:
        """Return (x, y) of the samples at ``indices``, a list of them, as the transforms leave them in ``epoch``."""
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            hint = "; of a mask, pass np.flatnonzero(mask)" if chosen.dtype.kind == "b" else ""
            raise OptionError(f"indices must be a list of whole numbers, got {indices!r:.80}{hint}")
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.x):
            raise OptionError(f"indices must go from 0 to {len(self.x) - 1}, the samples of x, got {indices!r:.80}")
        return self._batch(chosen.astype(np.int64), whole("epoch", epoch, 0))

    def _batch(self, chosen: npt.NDArray[np.int64], epoch: int) -> Batch:
        draws = Draws(self.seed, epoch, chosen, total=len(self.x), samples=self._raw)
        return self.transforms(*self._raw(chosen), draws)

    def _raw(self, indices: npt.NDArray[np.int64]) -> Batch:
        return self.x[indices], None if self.y is None else self.y[indices]

    def _prepared(self, order: npt.NDArray[np.int64], epoch: int) -> Generator[Batch, None, None]:
        """Yield the batches of ``order``, each prepared while the one before is used."""
        from concurrent.futures import ThreadPoolExecutor  # and with it logging: a fifth of what a model imports

        parts = [order[begin : begin + self.batch_size] for begin in range(0, len(order), self.batch_size)]
        # Leaving the block, also when a loop is broken off, waits for the batch at work and ends the thread.
        with ThreadPoolExecutor(1, thread_name_prefix="rn-loader") as background:
            ahead = background.submit(self._batch, parts[0], epoch)
            for part in parts[1:]:
                ready = ahead.result()
                ahead = background.submit(self._batch, part, epoch)
                yield ready
            yield ahead.result()
