"""Instructions that rn's kernels execute, counted by callgrind: exact, and the same on a busy machine.

``python -m benchmarks.instructions`` counts and compares with ``benchmarks/instructions.json``; it fails where a row
takes more than 3 % above what the file says. ``--write`` writes the file instead. Only what runs inside kernels counts,
functions called rn_<kernel>_<instruction set>: the interpreter, NumPy and this program do not. The counts belong to a
compiler and an instruction set; where these are others than the file's, nothing is compared, and the program says so.

One thread, a fixed PYTHONHASHSEED, and AVX2 at most: valgrind knows no AVX-512. A small C library is compiled that
tells callgrind when to begin and to write down what it counted, so one process does all rows.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from benchmarks import building, rows
from benchmarks.rows import Row
from benchmarks.work import Conv, Step
from rn import _core

__all__ = ["COUNTS", "Comparison", "compare", "compile_requests", "counted_rows", "main", "parse_dump"]

COUNTS = Path(__file__).with_name("instructions.json")
MOST = 1.03  # times the instructions in the file
HASH_SEED = "0"
# Callgrind is a hundred times slower than the machine; which kernels run depends on the shape of one sample.
CONV_BATCH = 1
STEP_BATCH = {"jnn_mnist": 4, "keras_mnist": 2, "jnn_cifar": 2}
CHOSEN = (
    *("net/*/train-sgd", "net/mlp/train-adam", "net/*/predict-one"),
    *("gemm/256x256x256", "gemm/24x676x9", "gemm/32x128x784"),
    *("conv/3x3/1x28x28-32/", "conv/3x3/24x13x13-30/", "conv/3x3/32x32x32-64/"),
    *("conv/strided/", "conv/1x1/", "conv/5x5/", "conv/dilated/", "conv/depthwise/"),
    *(f"elementwise/{name}/4096" for name in ("add", "exp", "tanh", "softmax", "sum", "transpose")),
)

# What a program under callgrind says to it. Compiled, since it is a sequence of instructions, no function.
REQUESTS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
"""

# "fn=(number) name", the name at its first mention only, or "place count"; cfn is the function called.
DUMP_LINE = re.compile(r"^(?:(c?fn)=(\(\d+\))(?: (.+))?|[-+*\d]\S* (\d+))$", re.MULTILINE)

# Row -> kernel -> instructions, those of the functions that a kernel calls included.
Counts: TypeAlias = dict[str, dict[str, int]]


def counted_rows() -> list[Row]:
    """Return the rows whose instructions are counted, with small batches where they take long."""
    return [_small(row) for row in rows.chosen(CHOSEN)]


def _small(row: Row) -> Row:
    work = row.work
    if isinstance(work, Conv):
        return replace(row, work=replace(work, batch=CONV_BATCH))
    if isinstance(work, Step) and work.mode == "train":
        return replace(row, work=replace(work, batch=STEP_BATCH.get(work.net, work.batch)))
    return row


# ---- inside callgrind


def run_rows(library: str) -> None:
    """Do the work of every row, once to warm up and once counted; the child's part."""
    from benchmarks.peers import rn_

    requests = ctypes.CDLL(library)
    rn_.start(1)
    for row in counted_rows():
        call = rn_.prepare(row.work).get("rn")
        if call is None:  # rn lacks a layer of it
            continue
        call()
        requests.begin()
        call()
        requests.end(row.name.encode())


# ---- around callgrind


def count() -> tuple[Counts, dict[str, str]]:
    """Return the counts of every row, and the compiler and instruction set that they belong to."""
    isa = "avx2" if "avx2" in _core.instruction_sets() else "generic"
    settings = {"RN_ISA": isa, "RN_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": HASH_SEED}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", f"--toggle-collect=rn_*_{isa}"),
            f"--callgrind-out-file={folder}/counts",
            *(sys.executable, "-m", "benchmarks.instructions", "--rows", str(compile_requests(Path(folder)))),
        ]
        subprocess.run(command, check=True, env={**os.environ, **settings}, cwd=Path(__file__).parents[1])
        files = (path.read_text(encoding="utf-8") for path in Path(folder).glob("counts.*"))
        dumps = dict(parse_dump(text, isa) for text in files)
    counts = {row.name: dumps[row.name] for row in counted_rows() if row.name in dumps}
    return counts, {"compiler": _core.compiler(), "instruction set": isa, "PYTHONHASHSEED": HASH_SEED}


def compile_requests(folder: Path) -> Path:
    """Compile the library that speaks to callgrind and return its path."""
    if building.compiler() is None or shutil.which("valgrind") is None:
        sys.exit(
            "counting instructions needs valgrind with its headers and a C compiler: "
            "apt-get install valgrind gcc (Debian)"
        )
    return building.build_library(folder, "requests", REQUESTS, "-O1")


def parse_dump(text: str, isa: str) -> tuple[str, dict[str, int]]:
    """Return the row's name and the instructions by kernel, in what callgrind wrote; no name where no row was counted.

    The format: https://valgrind.org/docs/manual/cl-format.html. A ``fn=`` line opens a function's costs; each line of
    them is a place and a count, those after a ``calls=`` line the cost of what was called, which counts as well.
    """
    row = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
    names: dict[str, str] = {}  # a name is written once, then its number stands for it
    costs: dict[str, int] = defaultdict(int)
    function = ""
    for kind, number, name, cost in DUMP_LINE.findall(text):
        if cost:
            costs[function] += int(cost)
            continue
        if name:
            names[number] = name
        if kind == "fn":
            function = names[number]
    kernels = {name: count for name, count in sorted(costs.items()) if name.startswith("rn_") and name.endswith(isa)}
    return (row[1] if row else ""), kernels


# ---- comparison


@dataclass(frozen=True)
class Comparison:
    """The instructions of a row here and in the file; None where one of them lacks the row."""

    name: str
    counted: int | None
    recorded: int | None

    @property
    def ratio(self) -> float | None:
        """The count here over the recorded one."""
        return self.counted / self.recorded if self.counted and self.recorded else None

    @property
    def holds(self) -> bool:
        """Whether both have the row, and here it takes no more instructions than allowed."""
        return self.ratio is not None and self.ratio <= MOST

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.name}: {'not in the file' if self.recorded is None else 'in the file, but not counted'}"
        return f"{self.name}: {self.counted:,} instructions, {self.ratio - 1:+.2%}"


def compare(counts: Counts, recorded: Counts) -> list[Comparison]:
    """Return a comparison for each row of either."""
    return [
        Comparison(name, *(sum(side[name].values()) if name in side else None for side in (counts, recorded)))
        for name in {**counts, **recorded}
    ]


def judge(counts: Counts, about: dict[str, str], path: Path) -> None:
    """Print how the counts compare with the file's; exit with an error where one is too high or missing."""
    known = json.loads(path.read_text(encoding="utf-8"))
    if known["about"] != about:
        print(f"not compared: counted with {about}, the file with {known['about']}")
        return
    comparisons = compare(counts, known["rows"])
    print("\n".join(map(str, comparisons)))
    if failed := [comparison for comparison in comparisons if not comparison.holds]:
        sys.exit(
            f"more than {MOST - 1:.0%} above {path.name}, or not the same rows:\n"
            + "\n".join(f"  {comparison}" for comparison in failed)
            + "\nwhere this is meant: python -m benchmarks.instructions --write"
        )
    print(f"{len(comparisons)} rows, none more than {MOST - 1:.0%} above {path.name}")


def write(counts: Counts, about: dict[str, str], path: Path) -> None:
    """Write the counts, a row a line."""
    rows_ = ",\n".join(f"  {json.dumps(name)}: {json.dumps(kernels)}" for name, kernels in counts.items())
    path.write_text(f'{{\n "about": {json.dumps(about)},\n "rows": {{\n{rows_}\n }}\n}}\n', encoding="utf-8")
    print(f"written: {path}, {len(counts)} rows")


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, then compare or write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description="Count the instructions of rn's kernels by callgrind."
    )
    parser.add_argument("--write", action="store_true", help=f"write {COUNTS.name} in place of comparing with it")
    parser.add_argument("--rows", metavar="LIBRARY", help=argparse.SUPPRESS)  # the child under callgrind
    options = parser.parse_args(arguments)
    if options.rows:
        run_rows(options.rows)
        return
    counts, about = count()
    (write if options.write else judge)(counts, about, COUNTS)


if __name__ == "__main__":
    main()
