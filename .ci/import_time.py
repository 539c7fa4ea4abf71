"""Measures how much longer `import rn` takes than `import numpy`, and what the first model adds.

60 processes each, taken in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

RUNS = 60  # of a machine that others share, the lowest of a few is chance
MOST_MILLISECONDS = 40.0
NUMPY, RN, MODEL = "import numpy", "import rn", "import rn; rn.Sequencial"

# As for most users, Python keeps the compiled form of what it imports.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def milliseconds(program: str) -> float:
    """Return the time of one process that runs ``program``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=True)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    times: dict[str, list[float]] = {NUMPY: [], RN: [], MODEL: []}
    for program in times:
        milliseconds(program)  # the first one reads the files from disk and compiles them
    for _ in range(RUNS):
        for program, taken in times.items():
            taken.append(milliseconds(program))
    more = []
    for name, pick in (("lowest", min), ("median", statistics.median)):
        numpy, rn, model = (pick(taken) for taken in times.values())
        more.append(rn - numpy)
        print(
            f"{name} of {RUNS}: {NUMPY} {numpy:.1f} ms, {RN} {rn:.1f} ms: {more[-1]:+.1f} ms; "
            f"with a model's parts {model:.1f} ms: {model - numpy:+.1f} ms"
        )
    # Either may suffer from what else the machine is doing; both, only from what the import does.
    if min(more) > MOST_MILLISECONDS:
        raise SystemExit(f"{RN} may take at most {MOST_MILLISECONDS:.0f} ms more than {NUMPY}")


if __name__ == "__main__":
    main()
