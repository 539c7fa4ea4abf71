"""Measures how much longer `import rn` takes than `import numpy`: 60 processes each, taken in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

RUNS = 60  # of a machine that others share, the lowest of a few is chance
MOST_MILLISECONDS = 40.0

# As for most users, Python keeps the compiled form of what it imports.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(module: str) -> float:
    """Return the time of one process that imports ``module``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], env=ENVIRONMENT, check=True)
    return time.perf_counter() - began


def main() -> None:
    times: dict[str, list[float]] = {"numpy": [], "rn": []}
    for module in times:
        seconds(module)  # the first one reads the files from disk and compiles them
    for _ in range(RUNS):
        for module, taken in times.items():
            taken.append(seconds(module) * 1e3)
    more = []
    for name, pick in (("lowest", min), ("median", statistics.median)):
        numpy, rn = (pick(taken) for taken in times.values())
        more.append(rn - numpy)
        print(f"{name} of {RUNS}: import numpy {numpy:.1f} ms, import rn {rn:.1f} ms: {more[-1]:+.1f} ms")
    # Either may suffer from what else the machine is doing; both, only from what the import does.
    if min(more) > MOST_MILLISECONDS:
        raise SystemExit(f"import rn may take at most {MOST_MILLISECONDS:.0f} ms more than import numpy")


if __name__ == "__main__":
    main()
