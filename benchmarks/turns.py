"""Measuring a row: each library's process is asked in turn, over several rounds, while the others wait."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Result
from benchmarks.rows import Row

__all__ = ["Effort", "Process", "WorkerError", "measure", "measure_memory", "processors"]


class WorkerError(RuntimeError):
    """What a worker could not do."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: ``rounds`` of turns of about ``turn`` seconds, no more rounds than fit in ``budget``."""

    rounds: int = 7
    turn: float = 0.02
    budget: float = 3.0

    def of(self, row: Row) -> Effort:
        """Return the effort for ``row``."""
        return Effort(min(self.rounds, 3), self.turn, min(self.budget, 1.0)) if row.brief else self

    def calls(self, seconds: float) -> int:
        """Return how many calls of ``seconds`` make a turn."""
        return max(1, round(self.turn / max(seconds, 1e-9)))

    def rounds_for(self, seconds: float) -> int:
        """Return how many rounds of turns fit, at least one."""
        return max(1, min(self.rounds, int(self.budget / (seconds * self.calls(seconds)))))


def processors(threads: int) -> list[int]:
    """Return the processors for ``threads`` threads; none where processes cannot be pinned."""
    return sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []


class Process:
    """A worker: a process that runs one library with a number of threads."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer = peer
        self._command = [sys.executable, "-m", "benchmarks.worker", peer, "--threads", str(threads)]
        self._command += ["--processors", *map(str, processors(threads))]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parents[1]
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)

    def ask(self, method: str, *arguments: object) -> Any:
        """Return what the worker's method gives; ``WorkerError`` where it fails.

        Where the process ends instead, such as for want of memory, a new one answers the next request.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((method, *arguments), self._process.stdin)
            self._process.stdin.flush()
            state, value = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            self.close()
            self._process = self._start()
            raise WorkerError(f"the process of {self.peer} ended: exit code {code}") from None
        if state == "failed":
            raise WorkerError(f"{self.peer}: {value}")
        return value

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def measure(row: Row, threads: int, workers: Mapping[str, Process], effort: Effort) -> Result:
    """Return the times of every variant of every worker; ``workers`` are named, and a failure is noted by name.

    Where two workers run the same variant, as in the check for noise, the later one's bears its worker's name.
    """
    effort = effort.of(row)
    result = Result(row.name, threads, "s", getattr(row.work, "flops", None))
    turns: list[tuple[str, Process, str, int, int]] = []
    for name, worker in workers.items():
        try:
            variants: dict[str, float] = worker.ask("prepare", row.work)
        except WorkerError as error:
            result.failures[name] = str(error)
            continue
        for variant, seconds in variants.items():
            contender = name if variant in result.values else variant
            result.values[contender] = []
            turns.append((contender, worker, variant, effort.calls(seconds), effort.rounds_for(seconds)))
    for turn in range(effort.rounds):
        for contender, worker, variant, calls, rounds in turns:
            if turn >= rounds or contender in result.failures:
                continue
            try:
                seconds = worker.ask("time", variant, calls)
            except WorkerError as error:
                result.failures[contender] = str(error)
                del result.values[contender]
                continue
            result.values[contender].append(seconds / row.per_call)
    return result


def measure_memory(row: Row, threads: int, peers: Iterable[str], steps: int) -> Result:
    """Return the memory that training adds, each variant in a new process."""
    result = Result(row.name, threads, "B", None)
    for peer in peers:
        try:
            for variant in _once(peer, threads, "prepare", row.work):
                result.values[variant] = [_once(peer, threads, "memory", row.work, variant, steps)]
        except WorkerError as error:
            result.failures[peer] = str(error)
    return result


def _once(peer: str, threads: int, method: str, *arguments: object) -> Any:
    """Return what a new process answers."""
    worker = Process(peer, threads)
    try:
        return worker.ask(method, *arguments)
    finally:
        worker.close()
