"""One training step of the mnist net in rn and in PyTorch, side by side.

Each library runs in a process of its own, one at a time, taking turns over several rounds; the median round of each
counts. PyTorch runs eagerly in both memory layouts, and the better one is the opponent.

    python benchmarks/mnist_step.py [--threads 1 2] [--rounds 7]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

BATCH = 32
STEPS = 40
CONTESTANTS = ("rn", "torch", "torch channels_last")


def rn_step(threads: int) -> Callable[[], object]:
    """Return one training step of rn, NumPy arrays in."""
    import rn
    from rn.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D

    rn.set_num_threads(threads)
    layers = [Conv2D(18, 3, "relu"), MaxPool2D(2), Conv2D(20, 3, "relu"), MaxPool2D(2)]
    layers += [Flatten(), Dense(128, "relu"), Dropout(0.2), Dense(10, "softmax")]
    model = rn.Sequencial(layers, input_shape=(1, 28, 28), seed=0)
    model.compile("adam", "cross_entropy")
    x, y = samples()
    return lambda: model.train_on_batch(x, y)


def torch_step(threads: int, channels_last: bool) -> Callable[[], object]:
    """Return one training step of PyTorch, tensors in."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layers = [nn.Conv2d(1, 18, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(18, 20, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(500, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)]
    model = nn.Sequential(*layers)
    x, y = (torch.from_numpy(array) for array in samples())
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of images and labels."""
    rng = np.random.default_rng(0)
    return rng.random((BATCH, 1, 28, 28), np.float32), rng.integers(0, 10, BATCH)


def measure(contestant: str, threads: int) -> float:
    """Return the milliseconds of a step in this process, the mean of STEPS after a warm-up."""
    step = rn_step(threads) if contestant == "rn" else torch_step(threads, contestant.endswith("channels_last"))
    for _ in range(STEPS):
        step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS * 1e3


def in_own_process(contestant: str, threads: int) -> float:
    """Return what ``measure`` gives in a new process; one thread is pinned to one processor."""
    command = [sys.executable, __file__, "--measure", contestant, "--threads", str(threads)]
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        command = ["taskset", "-c", "0", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure, options.threads[0]))
        return

    print(f"{processor()}, {os.cpu_count()} processors; Python {platform.python_version()}")
    print(f"one training step, batch {BATCH}, Adam; median of {options.rounds} rounds, ms (lowest)")
    for threads in options.threads:
        times: dict[str, list[float]] = {contestant: [] for contestant in CONTESTANTS}
        for _ in range(options.rounds):
            for contestant in CONTESTANTS:
                times[contestant].append(in_own_process(contestant, threads))
        medians = {contestant: statistics.median(values) for contestant, values in times.items()}
        row = "  ".join(f"{name} {medians[name]:.2f} ({min(values):.2f})" for name, values in times.items())
        best = min(value for name, value in medians.items() if name != "rn")
        print(f"{threads} thread{'s' if threads > 1 else ''}: {row}  best peer / rn: {best / medians['rn']:.1f}")


def processor() -> str:
    """Return the processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
