"""A profile as text: two tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rn._text import for_stdout
from rn.profiling.roofline import Roofline
from rn.profiling.rows import Row

if TYPE_CHECKING:
    from rn.profiling.profile import Profile

__all__ = ["WIDTH", "report"]

WIDTH = 100
HEADS = (("calls", 8), ("total", 9), ("mean", 9), ("worst", 9), ("share", 7), ("GFLOP/s", 8), ("GB/s", 7))
LAST_HEADS = (("roof", 6), ("busy", 6))
NAMES = WIDTH - sum(width for _, width in (*HEADS, *LAST_HEADS))


def report(profile: Profile) -> str:
    """Return the tables of layers and kernels, and what is left to Python."""
    wall, threads = profile.wall_seconds, profile.threads
    roof = profile.roofline()
    lines = [f"profile of {time_text(wall)} on {threads} {'thread' if threads == 1 else 'threads'}"]
    if profile.layers:
        lines += ["", *_table("layer", profile.layers, profile, roof)]
    lines += ["", *_table("kernel", profile.kernels, profile, roof)]
    python = max(wall - profile.attributed_seconds, 0.0)
    lines.append(_line("Python", ("", time_text(python), "", "", _percent(python, wall), "", "", "", "")))
    lines += ["", *_legend(roof)]
    return for_stdout("\n".join(lines))


def _table(head: str, rows: Iterable[Row], profile: Profile, roof: Roofline) -> list[str]:
    heads = [name for name, _ in (*HEADS, *LAST_HEADS)]
    return [_line(head, heads), "─" * WIDTH, *(_row(row, profile, roof) for row in rows)]


def _row(row: Row, profile: Profile, roof: Roofline) -> str:
    least = roof.least_seconds(row.flops, row.bytes, row.calls)
    cells = (
        f"{row.calls:,}" if row.calls < 10_000_000 else f"{row.calls / 1e6:,.0f} M",
        time_text(row.seconds),
        time_text(row.mean),
        time_text(row.worst),
        _percent(row.seconds, profile.wall_seconds),
        _rate(row.flops_per_second),
        _rate(row.bytes_per_second),
        _percent(least, row.seconds, digits=0) if row.flops or row.bytes else "",
        _percent(row.busy, profile.threads * row.seconds, digits=0),
    )
    name = f"{row.name} {row.phase}" if row.phase else row.name
    return _line(name, cells)


def _line(name: str, cells: Iterable[str]) -> str:
    half = NAMES // 2
    fitting = name if len(name) <= NAMES else f"{name[: NAMES - half - 1]}…{name[-half:]}"
    widths = [width for _, width in (*HEADS, *LAST_HEADS)]
    row = "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{fitting:<{NAMES}}{row}".rstrip()


def _legend(roof: Roofline) -> list[str]:
    rates = ", ".join(f"{rate / 1e9:.0f} ({size / 2**20:g} MiB)" for size, rate in sorted(roof.reading.items()))
    return [
        f"roof: of the machine's best, {roof.flops / 1e9:.0f} GFLOP/s and GB/s {rates}",
        "busy: of the time of all threads; FLOPs, of Winograd as of the direct form, and bytes by formulas",
    ]


def time_text(seconds: float) -> str:
    """Return a time with three digits or more: "1.23 s", "45.6 ms", "789 µs", "12 ns"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            amount = seconds / size
            return f"{amount:.{2 if amount < 10 else 1 if amount < 100 else 0}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _percent(part: float, whole: float, digits: int = 1) -> str:
    return f"{100.0 * part / whole:.{digits}f} %" if whole > 0.0 else ""


def _rate(per_second: float) -> str:
    if per_second == 0.0:
        return ""
    amount = per_second / 1e9
    return f"{amount:.{2 if amount < 10 else 1 if amount < 100 else 0}f}"
