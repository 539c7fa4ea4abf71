"""Checks of the arguments that several layers take, with errors in one wording."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any, Literal, TypedDict

from rn.errors import OptionError, ShapeError

__all__ = [
    "ConvWindow",
    "Padding",
    "Pair",
    "PoolAfter",
    "PoolWindow",
    "Sides",
    "at_least_zero",
    "cells",
    "image_shape",
    "padding_option",
    "pair",
    "pool_padding",
    "positive",
    "sides",
    "window_output",
]

LARGEST = 2**31 - 1  # of any size, stride or padding: their products then fit 64 bits where they are formed

Pair = tuple[int, int]
Padding = Literal["valid", "same"] | int | Pair
Sides = tuple[Pair, Pair]  # ((top, bottom), (left, right))


class ConvWindow(TypedDict):
    """How a convolution's kernel goes over the image, as the core's doorways take it."""

    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int


class PoolAfter(TypedDict):
    """The window of a pooling that is computed with the convolution before it, as the core's doorways take it."""

    pool_size: Pair
    pool_stride: Pair
    pool_padding: Sides


class PoolWindow(TypedDict):
    """How a pooling window goes over the image, as the core's doorways take it."""

    size: Pair
    stride: Pair
    padding: Sides


def positive(what: str, value: Any) -> int:
    """Return ``value`` as an int from 1 to 2^31 - 1, or raise ``OptionError``."""
    number = _whole(value)
    if number < 1:
        raise OptionError(f"{what} must be a whole number of at least 1, got {value!r}")
    if number > LARGEST:
        raise OptionError(f"{what} must be at most {LARGEST:,}, got {value!r}")
    return number


def _whole(value: Any) -> int:
    """Return ``value`` as an int, -1 where it is none."""
    try:
        return -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return -1


def pair(what: str, value: Any) -> Pair:
    """Return ``value``, one whole number or two (height, width), as two; each at least 1, or ``OptionError``."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise OptionError(f"{what} must be one whole number or two (height, width), got {value!r}")
    return positive(what, values[0]), positive(what, values[1])


def cells(what: str, value: Any) -> Pair:
    """Return ``value``, one whole number or two (before, after), as two; each at least 0, or ``OptionError``."""
    values = [_whole(cell) for cell in (value if isinstance(value, (tuple, list)) else (value, value))]
    if len(values) != 2 or not all(0 <= cell <= LARGEST for cell in values):
        raise OptionError(f"{what} must be one or two whole numbers from 0 to {LARGEST:,}, got {value!r}")
    return values[0], values[1]


def at_least_zero(what: str, value: Any) -> float:
    """Return ``value`` as a finite float of at least 0, or raise ``OptionError``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise OptionError(f"{what} must be a finite number of at least 0, got {value!r}")
    return float(value)


def padding_option(layer: str, value: Any) -> Padding:
    """Return ``value`` if it is "valid", "same", a whole number or two; else raise ``OptionError``."""
    if value in ("valid", "same"):
        return "same" if value == "same" else "valid"
    cells = [_whole(cell) for cell in (value if isinstance(value, (tuple, list)) else (value, value))]
    if len(cells) != 2 or not all(0 <= cell <= LARGEST for cell in cells):
        raise OptionError(
            f'{layer}: padding must be "valid", "same" or whole numbers from 0 to {LARGEST:,}, got {value!r}'
        )
    return cells[0] if cells[0] == cells[1] else (cells[0], cells[1])


def sides(padding: Padding, size: Pair, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Sides:
    """Return ((top, bottom), (left, right)) for an image of ``size``.

    "same" pads so that each output side is ceil(side / stride), the odd cell at the bottom or right.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        total = [
            max((-(-size[i] // stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[i], 0)
            for i in range(2)
        ]
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)
    vertical, horizontal = (padding, padding) if isinstance(padding, int) else (int(padding[0]), int(padding[1]))
    return (vertical, vertical), (horizontal, horizontal)


def image_shape(layer: str, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return ``input_shape`` as (channels, height, width), or raise ``ShapeError``."""
    if len(input_shape) != 3:
        raise ShapeError(
            f"layer {layer!r} takes images (channels, height, width), but without the batch axis its input has shape "
            f"{input_shape}"
        )
    channels, height, width = input_shape
    return channels, height, width


def window_output(
    layer: str,
    size: Pair,
    padding: Sides,
    kernel: Pair,
    stride: Pair,
    dilation: Pair = (1, 1),
    *,
    what: str = "kernel",
) -> Pair:
    """Return the output's (height, width).

    Floor((side + pads - dilation (kernel - 1) - 1) / stride) + 1, or ``ShapeError``, which calls the kernel ``what``.
    """
    padded = [size[i] + sum(padding[i]) for i in range(2)]
    reach = [dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
    if padded[0] < reach[0] or padded[1] < reach[1]:
        channels_last = size[1] in (1, 3, 4) and size[0] > size[1]
        hint = "" if any(map(any, padding)) else f'; use a smaller {what} or padding="same"'
        hint += "; shapes are (channels, height, width)"
        hint += f": if {size[1]} are the channels, ({size[1]}, height, {size[0]})" if channels_last else ""
        raise ShapeError(
            f"layer {layer!r}: a {what} that spans {reach[0]}x{reach[1]} is larger than its input of "
            f"{padded[0]}x{padded[1]}{hint}"
        )
    return (padded[0] - reach[0]) // stride[0] + 1, (padded[1] - reach[1]) // stride[1] + 1


def pool_padding(layer: str, value: Any, size: Pair) -> Padding:
    """Return ``value`` as ``padding_option`` does; ``OptionError`` where a window could lie in the padding alone."""
    padding = padding_option(layer, value)
    if not isinstance(padding, str):
        cells = (padding, padding) if isinstance(padding, int) else padding
        if cells[0] >= size[0] or cells[1] >= size[1]:
            raise OptionError(f"{layer}: padding must be smaller than the window {size[0]}x{size[1]}, got {value!r}")
    return padding
