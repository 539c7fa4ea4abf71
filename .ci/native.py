"""What native tools see of the core: ``python .ci/native.py``, with a core built by ``RN_BUILD_PROFILE=1``.

Each check runs a tool on a small program and fails where it does not name kernels, C lines or Python frames. A tool
that is not there, or that this machine does not let look, is named, and only ``--all`` makes that a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rn import _core

WORK = str(Path(__file__).with_name("native_work.py"))
KERNEL = r"rn_\w+_(avx512|avx2|generic)"
# Events that count float operations, by the processor's vendor, and how many one of them stands for.
# AMD: "retired SSE/AVX FLOPs", PMCx003; Intel: FP_ARITH_INST_RETIRED of single precision, by the width of vectors.
FLOP_EVENTS = {
    "AuthenticAMD": {"cpu/event=0x03,umask=0x1f/": 1},
    "GenuineIntel": {f"cpu/event=0xc7,umask={mask:#x}/": each for mask, each in ((2, 1), (8, 4), (32, 8), (128, 16))},
}


class MissingToolError(Exception):
    """A tool is not installed, or must not look."""


def run(*command: str, folder: str, any_status: bool = False, **environment: str) -> str:
    """Run a tool and return all that it printed; MissingToolError where there is none."""
    if shutil.which(command[0]) is None:
        raise MissingToolError(f"{command[0]} is not installed")
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, text=True, errors="replace", capture_output=True
    )
    text = done.stdout + done.stderr
    if re.search(r"operation not permitted|permission denied|perf_event_paranoid", text, re.IGNORECASE):
        raise MissingToolError(f"{command[0]} may not look here: {text.strip().splitlines()[-1]}")
    assert any_status or done.returncode == 0, text
    return text


def need(pattern: str, text: str, what: str) -> str:
    """Return what a pattern finds in a tool's output; fail where it finds nothing."""
    found = re.search(pattern, text)
    assert found, f"{what}: {pattern!r} is not in\n{text[-3000:]}"
    return found[0]


def check_perf(folder: str) -> str:
    """Perf record: kernels by name, and above them the core's own functions and the interpreter's."""
    record = ("perf", "record", "-e", "cpu-clock", "-F", "499", "-g", "-o", "perf.data")
    run(*record, sys.executable, WORK, "train", "2", folder=folder, RN_NUM_THREADS="1")
    script = run("perf", "script", "-i", "perf.data", folder=folder)
    stacks = [stack for stack in script.split("\n\n") if re.search(KERNEL, stack)]
    whole = [stack for stack in stacks if "Plan" in stack and re.search(r"_?PyEval|PyObject_Vectorcall|py::", stack)]
    assert len(stacks) > 50, f"perf: {len(stacks)} samples in kernels"
    assert whole, f"perf: no interpreter above a kernel:\n{stacks[0]}"
    return f"{len(stacks)} samples in kernels, {len(whole)} of them with the interpreter above"


def check_py_spy(folder: str) -> str:
    """What py-spy --native shows: lines of Python, then of the core, then of a kernel in C, in one stack."""
    command = (
        "py-spy",
        "record",
        "--native",
        "--rate",
        "200",
        "--duration",
        "3",
        "--format",
        "raw",
        "-o",
        "spy.txt",
        "--",
    )
    run(*command, sys.executable, WORK, "train", "5", folder=folder)
    text = Path(folder, "spy.txt").read_text(encoding="utf-8")
    return need(rf"step \(native_work\.py:\d+\);.*plan\.pxi:\d+.*{KERNEL} \([\w./]+\.[ch]:\d+\)", text, "py-spy")[-120:]


def check_callgrind(folder: str) -> str:
    """What callgrind shows: instructions by C function and by line of a kernel's body."""
    output = "--callgrind-out-file=counts"
    isa = "avx2" if "avx2" in _core.instruction_sets() else "generic"  # valgrind knows no AVX-512
    command = ("valgrind", "--tool=callgrind", output, sys.executable, WORK, "train", "0")
    run(*command, folder=folder, RN_ISA=isa, RN_NUM_THREADS="1")
    text = run("callgrind_annotate", "--auto=yes", "--threshold=99.9", "counts", str(Path.cwd()), folder=folder)
    need(KERNEL, text, "callgrind")
    return need(r"-- Auto-annotated source: \S*body_\w+\.h", text, "callgrind")


def check_gdb(folder: str) -> str:
    """What gdb does: it stops in a kernel, shows where it was called from, and steps to another line of it."""
    kernel = f"rn_convolve_{_core.instruction_set()}"
    orders = ("set breakpoint pending on", f"break {kernel}", "run", "backtrace 30", "next", "next", "kill")
    options = [part for order in orders for part in ("-ex", order)]
    command = ("gdb", "-batch", "-nx", *options, "--args", sys.executable, WORK, "train", "0")
    text = run(*command, folder=folder, RN_NUM_THREADS="1", DEBUGINFOD_URLS="")
    need(rf"Breakpoint 1, {kernel} \(arguments=", text, "gdb")
    need(r"#\d+ .*Plan__replay", text, "gdb")
    need(r"#\d+ .*PyEval", text, "gdb")
    return need(r"body_conv\.h:\d+", text, "gdb")


def check_counted_flops(folder: str) -> str:
    """Perf stat: the processor's own count of float operations is within 3 % of the formulas'."""
    cpuinfo = Path("/proc/cpuinfo")
    vendor = re.search(r"vendor_id\s*: (\w+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else None
    events = FLOP_EVENTS.get(vendor[1] if vendor else "")
    if events is None:
        raise MissingToolError("no event is known that counts float operations on this processor")
    chosen = ("perf", "stat", "-x;", *[part for event in events for part in ("-e", event)])
    if re.search("not supported|not counted|error", run(*chosen, "true", folder=folder, any_status=True)):
        raise MissingToolError("this machine has no counter of float operations")
    program = (sys.executable, WORK, "product", "200")
    told = float(run(*program, folder=folder).split()[-1])
    counts = re.findall(r"^(\d+);.*?;(cpu/[^;]+/)", run(*chosen, *program, folder=folder), re.MULTILINE)
    counted = sum(float(count) * events[event] for count, event in counts)
    assert abs(counted / told - 1.0) < 0.03, f"{counted:.4g} float operations counted, {told:.4g} by formula"
    return f"{counted:.4g} float operations counted, {told:.4g} by formula: {counted / told - 1.0:+.2%}"


CHECKS: tuple[Callable[[str], str], ...] = (
    check_perf,
    check_py_spy,
    check_callgrind,
    check_gdb,
    check_counted_flops,
)


def main() -> int:
    """Run all checks, print what each found, and return the process's status."""
    assert _core.debug_symbols(), "this core has no debug symbols: build it with RN_BUILD_PROFILE=1"
    missing = 0
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = check(folder)
            except MissingToolError as reason:
                missing += 1
                found = f"not checked: {reason}"
        print(f"{check.__name__.removeprefix('check_')}: {found}", flush=True)
    return int(missing > 0 and "--all" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
