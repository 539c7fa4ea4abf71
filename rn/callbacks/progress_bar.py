"""How training goes, on a terminal or in a log."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from rn.callbacks.base import Callback
from rn.errors import flag

__all__ = ["ProgressBar"]

REDRAW_SECONDS = 0.1


class ProgressBar(Callback):
    """Shows loss, metrics, samples per second and time left.

    file: where to, by default what sys.stdout is when training begins.
    live: whether to draw a bar that moves, by default where ``file`` is a terminal. Elsewhere, as in a log, there is
    nothing but one plain line after each epoch; on a terminal that line takes the place of the epoch's bar::

        epoch 1/3  loss 0.2291  accuracy 0.9304  val_loss 0.0587  val_accuracy 0.9810  15,210 samples/s  4.1 s

    ``fit(verbose=1)`` makes one by itself; one given among the callbacks takes its place. Samples per second are those
    of training alone, the time is that of the whole epoch with its validation.

    The training loop calls ``begin``, then for each epoch ``epoch_begin``, ``update`` and ``epoch_end``, and at last,
    however training ended, ``end``.
    """

    def __init__(self, file: TextIO | None = None, *, live: bool | None = None) -> None:
        self.file = file
        self.live = None if live is None else flag("ProgressBar: live", live)
        self._out: TextIO | None = None
        self._bar: Any = None
        self._draws = False
        self._epochs = self._samples = self._done = 0
        self._values: dict[str, float] = {}
        self._started = self._updated = self._drawn = 0.0

    def begin(self, epochs: int, first_epoch: int, samples: int) -> None:
        """Training begins at epoch ``first_epoch``, the first being 0, and ends before epoch ``epochs``."""
        self.end()
        self._out = self.file if self.file is not None else sys.stdout
        is_terminal = getattr(self._out, "isatty", lambda: False)
        self._draws = self._out is not None and (is_terminal() if self.live is None else self.live)
        self._epochs, self._samples = max(epochs, first_epoch), samples

    def epoch_begin(self, epoch: int) -> None:
        """An epoch begins: draw an empty bar."""
        self._started = self._updated = self._drawn = time.perf_counter()
        self._done, self._values = 0, {}
        if self._draws:
            self._bar = _new_bar(self._title(epoch), self._samples, self._out)

    def update(self, samples_done: int, values: dict[str, float]) -> None:
        """So many samples of the epoch are done, with these means so far; draws at most every ``REDRAW_SECONDS``."""
        now = time.perf_counter()
        self._done, self._values, self._updated = samples_done, values, now
        if now - self._drawn >= REDRAW_SECONDS or samples_done >= self._samples:
            self._drawn = now
            self._draw()

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """An epoch and its validation are over: put one line in the place of the bar."""
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()
            self._bar = None
        training = self._updated - self._started
        rate = self._done / training if training > 0.0 else self._samples / max(seconds, 1e-9)
        line = "  ".join([self._title(epoch), _listed(values), f"{_rate(rate)} samples/s", _duration(seconds)])
        if self._draws:
            from tqdm import tqdm

            tqdm.write(line, file=self._out)  # above the bars that the user's own program may be drawing
        elif self._out is not None:
            self._out.write(f"{line}\n")
        if self._out is not None:
            self._out.flush()

    def end(self) -> None:
        """Training is over: a bar that was broken off stays as it was, and the cursor goes to a line of its own."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(_listed(self._values), refresh=False)
            self._bar.update(self._done - self._bar.n)

    def _title(self, epoch: int) -> str:
        width = len(str(self._epochs))
        return f"epoch {epoch + 1:{width}d}/{self._epochs}"


def _new_bar(title: str, samples: int, file: TextIO | None) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread that watches over slow bars: training may fork

    return Bar(
        desc=title,
        total=samples,
        file=file,
        unit=" samples",
        unit_scale=True,
        mininterval=0.0,
        miniters=0,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {remaining} left, {rate_fmt}{postfix}",
        **_width(file),
    )


def _width(file: TextIO | None) -> dict[str, Any]:
    """Return how tqdm is to learn how wide the bar may be."""
    try:
        columns, lines = os.get_terminal_size(file.fileno() if file is not None else -1)
    except (AttributeError, OSError, ValueError):
        columns = lines = 0
    if columns and lines:
        return {"dynamic_ncols": True}  # asked anew for each drawing: windows change
    # Serial lines and pseudo-terminals often do not know their size, and then tqdm would draw nothing.
    import shutil  # for terminals alone

    return {"ncols": shutil.get_terminal_size((100, 24)).columns, "nrows": 24}


def _listed(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    """Return ``value`` in a width that hardly changes from epoch to epoch."""
    return f"{value:.4f}" if value == 0.0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10.0 else f"{value:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
