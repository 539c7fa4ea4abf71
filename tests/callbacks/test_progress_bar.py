"""ProgressBar: a moving bar on a terminal, plain lines elsewhere, and the terminal left clean however training ends."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from rn.callbacks import ProgressBar, progress_bar

VALUES = {"loss": 0.12344, "accuracy": 0.96118}
ALL_VALUES = {**VALUES, "val_loss": 0.05, "val_accuracy": 0.98}
LINE = (
    r"epoch {}/3  loss 0\.1234  accuracy 0\.9612  val_loss 0\.0500  val_accuracy 0\.9800"
    r"  [\d,.e+]+ samples/s  1\.2 s"
)


def train(bar: ProgressBar, *, first: int = 0, epochs: int = 3, samples: int = 1000) -> None:
    bar.begin(epochs, first, samples)
    for epoch in range(first, epochs):
        bar.epoch_begin(epoch)
        for done in (100, 400, samples):
            bar.update(done, VALUES)
        bar.epoch_end(epoch, ALL_VALUES, 1.2)
    bar.end()


class Screen:
    """A terminal of so many columns, and what stands on it: the slave is written to, the master collected."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        pty = pytest.importorskip("pty")
        import fcntl
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.file: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self.raw = b""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self.master, 4096)
            except OSError:  # how Linux says that the last writer is gone
                return
            if not part:
                return
            self.raw += part

    def close(self) -> str:
        """Return everything that was sent to the terminal."""
        self.file.close()
        self.reader.join(10)
        os.close(self.master)
        return self.raw.decode()


def shown(sent: str) -> list[str]:
    """Return the lines that stand on a terminal after ``sent``."""
    lines, row, column = [""], 0, 0
    for character in re.findall(r"\x1b\[A|.", sent, re.DOTALL):
        if character == "\x1b[A":
            row -= 1
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen(120)
    yield made
    if not made.file.closed:
        made.close()


class TestPlainLines:
    def test_one_line_per_epoch(self) -> None:
        out = io.StringIO()
        train(ProgressBar(out))
        lines = out.getvalue().split("\n")
        assert lines.pop() == ""
        assert len(lines) == 3
        for number, line in enumerate(lines, 1):
            assert re.fullmatch(LINE.format(number), line)

    def test_later_epochs_keep_their_numbers(self) -> None:
        out = io.StringIO()
        train(ProgressBar(out), first=9, epochs=12)
        assert re.findall(r"epoch [ \d]+/12", out.getvalue()) == ["epoch 10/12", "epoch 11/12", "epoch 12/12"]
        out = io.StringIO()
        train(ProgressBar(out), first=0, epochs=10)
        assert out.getvalue().startswith("epoch  1/10  ")

    def test_goes_to_standard_output_as_it_is_then(self, capsys: pytest.CaptureFixture[str]) -> None:
        bar = ProgressBar()
        train(bar)
        captured = capsys.readouterr()
        assert captured.out.count("\n") == 3
        assert captured.err == ""

    def test_rate_is_that_of_training_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([100.0, 101.0, 102.0])
        monkeypatch.setattr(progress_bar.time, "perf_counter", lambda: next(clock))
        out = io.StringIO()
        bar = ProgressBar(out)
        bar.begin(1, 0, 24_690)
        bar.epoch_begin(0)
        bar.update(10_000, VALUES)
        bar.update(24_690, VALUES)
        bar.epoch_end(0, VALUES, 60.0)
        assert out.getvalue() == "epoch 1/1  loss 0.1234  accuracy 0.9612  12,345 samples/s  1 min 00 s\n"

    def test_an_epoch_without_updates(self) -> None:
        out = io.StringIO()
        bar = ProgressBar(out)
        bar.begin(1, 0, 50)
        bar.epoch_begin(0)
        bar.epoch_end(0, {"loss": 1.0}, 0.5)
        bar.end()
        assert out.getvalue() == "epoch 1/1  loss 1.0000  100 samples/s  0.5 s\n"

    def test_a_pipe_gets_plain_lines_at_once_and_no_tqdm(self) -> None:
        program = """
            import sys
            from rn.callbacks import ProgressBar
            bar = ProgressBar()
            bar.begin(2, 0, 10)
            bar.epoch_begin(0)
            bar.update(10, {"loss": 0.5})
            bar.epoch_end(0, {"loss": 0.5}, 0.1)
            assert "tqdm" not in sys.modules
            sys.stdin.read()
        """
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline().startswith("epoch 1/2  loss 0.5000  ")  # while the child still runs
        assert child.communicate("")[0] == ""
        assert child.returncode == 0

    def test_no_standard_output_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", None)
        train(ProgressBar())

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0.0000"),
            (1.0, "1.0000"),
            (-0.5, "-0.5000"),
            (0.001, "0.0010"),
            (0.0001234, "1.234e-04"),
            (9999.5, "9999.5000"),
            (123456.0, "1.235e+05"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
        ],
    )
    def test_numbers(self, value: float, text: str) -> None:
        assert progress_bar._number(value) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.04, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 00 s"), (754.6, "12 min 35 s"), (7384.0, "2 h 03 min")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert progress_bar._duration(seconds) == text


class TestTerminal:
    def test_a_bar_moves_and_one_line_per_epoch_stays(self, screen: Screen) -> None:
        train(ProgressBar(screen.file))
        sent = screen.close()
        lines = shown(sent)
        assert lines.pop() == ""
        assert len(lines) == 3
        for number, line in enumerate(lines, 1):
            assert re.fullmatch(LINE.format(number), line)
        assert "epoch 2/3   0%|" in sent
        full = sent.index("epoch 2/3 100%|")
        assert re.match(
            r"epoch 2/3 100%\|█{20,}\| 00:00 left, .+ samples/s, loss 0\.1234  accuracy 0\.9612", sent[full:]
        )

    def test_what_stands_there_in_the_middle_of_an_epoch(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress_bar, "REDRAW_SECONDS", 0.0)
        bar = ProgressBar(screen.file)
        bar.begin(3, 0, 1000)
        bar.epoch_begin(0)
        bar.update(450, VALUES)
        bar.end()
        line = shown(screen.close())[0]
        assert line.startswith("epoch 1/3  45%|█████████")
        bars = line.split("|")[1]
        assert bars.rstrip(" ▏▎▍▌▋▊▉") == "█" * int(0.45 * len(bars))
        assert re.search(r"\| \d\d:\d\d left, [\d.kM]+ samples/s, loss 0\.1234  accuracy 0\.9612$", line)

    def test_frequent_updates_are_not_all_drawn(self, screen: Screen) -> None:
        bar = ProgressBar(screen.file)
        bar.begin(1, 0, 10_000)
        bar.epoch_begin(0)
        for done in range(1, 10_001):
            bar.update(done, VALUES)
        bar.epoch_end(0, VALUES, 1.0)
        bar.end()
        sent = screen.close()
        assert sent.count("\r") < 100
        assert "100%" in sent

    @pytest.mark.parametrize(("columns", "lines"), [(0, 0), (110, 0), (0, 24)])
    def test_a_terminal_that_does_not_know_its_size(
        self, columns: int, lines: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("COLUMNS", raising=False)
        screen = Screen(columns, lines)
        train(ProgressBar(screen.file))
        sent = screen.close()
        assert "epoch 1/3   0%|" in sent
        assert "epoch 3/3 100%|" in sent
        assert [line[:9] for line in shown(sent)] == ["epoch 1/3", "epoch 2/3", "epoch 3/3", ""]

    def test_eighty_columns_hold_the_loss_and_a_metric(self) -> None:
        screen = Screen(80)
        train(ProgressBar(screen.file))
        assert "accuracy 0.9612\r" in screen.close().replace("\x1b[A", "")

    @pytest.mark.parametrize("columns", [20, 60, 80, 250])
    def test_any_width(self, columns: int) -> None:
        screen = Screen(columns)
        train(ProgressBar(screen.file))
        sent = screen.close()
        assert [line[:9] for line in shown(sent)] == ["epoch 1/3", "epoch 2/3", "epoch 3/3", ""]
        drawn = [part for part in re.split(r"[\r\n]+", sent) if "%|" in part or "left" in part]
        assert all(len(part) <= columns for part in drawn)

    def test_broken_off_leaves_the_cursor_on_a_new_line(self, screen: Screen) -> None:
        bar = ProgressBar(screen.file)
        bar.begin(3, 0, 1000)
        bar.epoch_begin(0)
        bar.update(400, VALUES)
        bar.end()
        bar.end()  # a second time does no harm
        lines = shown(screen.close())
        assert lines[-1] == ""
        assert lines[0].startswith("epoch 1/3  40%|████████")
        assert len(lines) == 2

    def test_broken_off_in_validation_or_between_epochs(self, screen: Screen) -> None:
        bar = ProgressBar(screen.file)
        bar.begin(3, 0, 1000)
        bar.epoch_begin(0)
        bar.update(1000, VALUES)
        bar.end()
        bar.begin(3, 1, 1000)
        bar.end()
        lines = shown(screen.close())
        assert len(lines) == 2
        assert "100%" in lines[0]
        assert lines[1] == ""

    def test_serves_one_training_after_the_other(self, screen: Screen) -> None:
        bar = ProgressBar(screen.file)
        train(bar)
        bar.begin(1, 0, 10)  # this one is never ended
        bar.epoch_begin(0)
        train(bar)
        assert len(shown(screen.close())) == 8

    def test_below_a_bar_of_the_users_own_program(self, screen: Screen) -> None:
        from tqdm import tqdm

        with tqdm(total=2, file=screen.file, desc="folds", ncols=40) as folds:
            for _ in range(2):
                train(ProgressBar(screen.file))
                folds.update()
            folds.monitor.exit()
        lines = shown(screen.close())
        assert [line[:9] for line in lines[:6]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"] * 2
        assert lines[6].startswith("folds: 100%")
        assert not any(lines[7:])

    def test_starts_no_thread(self, screen: Screen) -> None:
        before = threading.active_count()
        bar = ProgressBar(screen.file)
        bar.begin(1, 0, 10)
        bar.epoch_begin(0)
        assert threading.active_count() == before
        bar.end()

    def test_plain_lines_on_a_terminal_if_asked_for(self, screen: Screen) -> None:
        train(ProgressBar(screen.file, live=False))
        sent = screen.close()
        assert "%" not in sent
        assert len(shown(sent)) == 4

    def test_a_bar_elsewhere_if_asked_for(self) -> None:
        out = io.StringIO()
        train(ProgressBar(out, live=True))
        assert "100%|" in out.getvalue()
