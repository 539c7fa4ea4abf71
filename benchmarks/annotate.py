"""Where the compiled core still speaks to Python: ``python -m benchmarks.annotate``.

Cython marks each line of the core by how much of Python's C API it became. This writes that report, the page that
``cython -a`` makes, for all of the core at once (its parts are put together first, since Cython marks the main file
alone), and prints the lines inside loops and outside the GIL that are marked: these should be none.

``--profile`` counts instead how often each line of the core runs in three training steps of a small net, and how long
it takes, by Cython's own line tracing in a core built for that; the times are those of traced code.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.building import ROOT, build_core

__all__ = ["Line", "annotate", "inner_lines", "main"]

CORE = ROOT / "rn" / "_core"
INCLUDE = re.compile(r'include "(.+)"$')
MARKED = re.compile(r'<pre class="cython line score-(\d+)"[^>]*>[^<]*<span class="">(\d+)</span>')
LOOP = re.compile(r"(for .+ in range\((?!\d+\):|len\()|while )")  # over data, not over four axes or the items of a list
WITH_GIL = re.compile(r"with gil:")
# Python's own business: a turn for each tensor, phase or row, a user's function, where threads begin or wait.
ON_PURPOSE = (
    *("raise ", "return ", "number(function(", "row_of(", "plan.link(", "self.rows.append(", "numbers.append("),
    *("root = root.over", "slot = slot.base", "prange(", "sleep("),
)


@dataclass(frozen=True)
class Line:
    """A line of the core: ``file``, ``number`` in it, ``text``, and ``score``, how much of Python's C API it became."""

    file: str
    number: int
    text: str
    score: int = 0

    @property
    def indent(self) -> int:
        """Spaces before the text."""
        return len(self.text) - len(self.text.lstrip())


def joined(folder: Path, name: str = "core.pyx") -> Iterator[Line]:
    """Yield the lines of a file of the core, with those of the files that it includes in their place."""
    for number, text in enumerate((folder / name).read_text(encoding="utf-8").splitlines(), 1):
        if included := INCLUDE.match(text):
            yield from joined(folder, included[1])
        else:
            yield Line(name, number, text)


def annotate(target: Path, core: Path = CORE) -> list[Line]:
    """Write the report ``core.html`` into a folder and return the core's lines with their scores."""
    target.mkdir(parents=True, exist_ok=True)
    lines = list(joined(core))
    source = target / "core.pyx"
    source.write_text("".join(f"{line.text}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "cython", "-3", "--annotate", "-o", str(target / "core.c"), str(source)]
    subprocess.run(command, check=True)
    scores = {int(number): int(score) for score, number in MARKED.findall((target / "core.html").read_text("utf-8"))}
    return [Line(line.file, line.number, line.text, scores.get(place, 0)) for place, line in enumerate(lines, 1)]


def statements(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines of each statement, those inside brackets together."""
    statement: list[Line] = []
    depth = 0
    for line in lines:
        text = line.text.strip()
        if not text or text.startswith("#"):
            continue
        statement.append(line)
        depth += sum(text.count(mark) for mark in "([{") - sum(text.count(mark) for mark in ")]}")
        if depth <= 0:
            yield statement
            statement, depth = [], 0


def inner_lines(lines: Sequence[Line]) -> list[Line]:
    """Return the lines that must not speak to Python: bodies of loops over data, and what runs without the GIL."""
    inside: list[Line] = []
    blocks: list[tuple[int, bool]] = []  # around the statement at hand: indent of a loop (True) or of what has no GIL
    with_gil: int | None = None  # indent of a block that takes the GIL, outside of loops
    for statement in statements(lines):
        indent, text = statement[0].indent, " ".join(line.text.strip() for line in statement)
        while blocks and indent <= blocks[-1][0]:
            blocks.pop()
        if with_gil is not None and indent <= with_gil:
            with_gil = None
        if WITH_GIL.match(text) and not any(is_loop for _, is_loop in blocks):
            with_gil = indent
        if blocks and with_gil is None and not any(purpose in text for purpose in ON_PURPOSE):
            inside.extend(statement)
        if LOOP.match(text) or text.endswith("nogil:"):
            blocks.append((indent, bool(LOOP.match(text))))
    return inside


def trace_steps() -> dict[tuple[str, int], tuple[int, float]]:
    """Return how often each line of a traced core ran in three steps of a small net, and its seconds."""
    import numpy as np

    import rn

    model = rn.RedeNeural([4, 10, 3], seed=0)
    model.compile()
    x, y = np.zeros((32, 4), np.float32), np.zeros((32, 3), np.float32)
    model.train_on_batch(x, y)
    hits: dict[tuple[str, int], tuple[int, float]] = {}
    last, since = ("", 0), time.perf_counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal last, since
        now = time.perf_counter()
        count, seconds = hits.get(last, (0, 0.0))
        hits[last] = count, seconds + now - since
        if event == "line":
            last = (Path(frame.f_code.co_filename).name, frame.f_lineno)
            count, seconds = hits.get(last, (0, 0.0))
            hits[last] = count + 1, seconds
        since = time.perf_counter()
        return trace

    sys.settrace(trace)
    for _ in range(3):
        model.train_on_batch(x, y)
    sys.settrace(None)
    return {line: found for line, found in hits.items() if line[0].endswith((".pxi", ".pyx"))}


def print_hits(hits: dict[tuple[str, int], tuple[int, float]], most: int = 30) -> None:
    """Print the lines that took longest."""
    if not hits:
        sys.exit("this core does not tell of its lines: build it with RN_BUILD_LINETRACE=1")
    print(f"{'line':<32} {'times':>7} {'µs':>9}")
    for (file, number), (count, seconds) in sorted(hits.items(), key=lambda item: -item[1][1])[:most]:
        text = (CORE / file).read_text(encoding="utf-8").splitlines()[number - 1].strip()
        print(f"{f'{file}:{number}':<32} {count:7,} {1e6 * seconds:9.1f}  {text[:70]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report, and print what speaks to Python where it should not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotate", description=__doc__)
    parser.add_argument("--profile", action="store_true", help="how often each line runs, by Cython's line tracing")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)  # the child, with the traced core
    parser.add_argument("--output", metavar="FOLDER", default="build/annotate", help="default: build/annotate")
    options = parser.parse_args(arguments)
    if options.steps:
        print_hits(trace_steps())
        return
    if options.profile:
        with tempfile.TemporaryDirectory() as folder:
            traced = build_core(Path(folder), RN_BUILD_LINETRACE="1")
            path = os.pathsep.join([str(traced), str(ROOT)])
            command = [sys.executable, "-m", "benchmarks.annotate", "--steps"]
            subprocess.run(command, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": path})
        return
    lines = annotate(Path(options.output))
    inside = inner_lines(lines)
    marked = [line for line in inside if line.score]
    for line in marked:
        print(f"{line.file}:{line.number}: score {line.score}: {line.text.strip()}")
    print(f"{len(inside):,} lines in loops and outside the GIL, {len(marked)} of them speak to Python")
    print(f"report: {Path(options.output) / 'core.html'}")


if __name__ == "__main__":
    main()
