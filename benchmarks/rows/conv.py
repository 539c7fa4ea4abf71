"""Convolutions of a batch of 32: 3×3 ones of known nets and one of each other kind; forward, by weights, by input.

The "direct" rows are the 3×3 ones, forward, without Winograd's form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.rows.row import Row
from benchmarks.work import Conv

__all__ = ["OTHERS", "PLAIN", "rows"]

PLAIN = (
    Conv(1, 28, 28, 32),
    Conv(32, 26, 26, 64),
    Conv(24, 13, 13, 30),
    Conv(3, 32, 32, 32, padding=1),
    Conv(32, 32, 32, 64, padding=1),
    Conv(64, 16, 16, 128, padding=1),
    Conv(128, 8, 8, 256, padding=1),
)
OTHERS = {
    "strided": Conv(32, 32, 32, 64, stride=2, padding=1),
    "1x1": Conv(64, 16, 16, 128, kernel=1),
    "5x5": Conv(16, 28, 28, 32, kernel=5, padding=2),
    "dilated": Conv(32, 28, 28, 64, dilation=2, padding=2),
    "depthwise": Conv(64, 16, 16, 64, padding=1, groups=64),
}


def rows() -> Iterator[Row]:
    """Yield the rows of each shape; a first layer needs no gradient by its input."""
    for kind, convs in {"3x3": PLAIN, **{kind: (conv,) for kind, conv in OTHERS.items()}}.items():
        for conv in convs:
            shape = f"{conv.channels}x{conv.height}x{conv.width}-{conv.filters}"
            for part in ("forward", "weights", "input"):
                if part != "input" or conv.channels > 3:
                    yield Row(f"conv/{kind}/{shape}/{part}", replace(conv, part=part))
    for conv in PLAIN:
        shape = f"{conv.channels}x{conv.height}x{conv.width}-{conv.filters}"
        yield Row(f"conv/direct/{shape}/forward", replace(conv, winograd=False))
