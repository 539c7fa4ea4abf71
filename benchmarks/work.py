"""What can be timed: plain data that a process sends to another, and that each peer turns into calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Call", "Calls", "Conv", "Elementwise", "Epochs", "Gemm", "Images", "Part", "Step", "Work"]

Call: TypeAlias = Callable[[], object]
# What a peer makes of some work: calls by the name of the variant, such as a memory layout; none where it cannot do it.
Calls: TypeAlias = dict[str, Call]
Part: TypeAlias = Literal["forward", "weights", "input"]


@dataclass(frozen=True)
class Gemm:
    """c = a b with a (m, k), b (k, n), all row-major."""

    m: int
    n: int
    k: int

    @property
    def flops(self) -> float:
        """Multiplications and additions of one call."""
        return 2.0 * self.m * self.n * self.k


@dataclass(frozen=True)
class Conv:
    """One part of a square convolution without bias: y forward, or the gradient by weights or by input from dy.

    x (batch, channels, height, width), weight (filters, channels / groups, kernel, kernel), y (batch, filters, h', w').
    ``winograd``: whether rn may take Winograd's form; peers do what they do.
    """

    channels: int
    height: int
    width: int
    filters: int
    part: Part = "forward"
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    batch: int = 32
    winograd: bool = True

    def output(self, length: int) -> int:
        """Return the output's length along an axis of the input's ``length``."""
        return (length + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """(batch, channels, height, width)."""
        return (self.batch, self.channels, self.height, self.width)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(filters, channels / groups, kernel, kernel)."""
        return (self.filters, self.channels // self.groups, self.kernel, self.kernel)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """(batch, filters, h', w')."""
        return (self.batch, self.filters, self.output(self.height), self.output(self.width))

    @property
    def taps(self) -> int:
        """Products summed for one output: channels / groups × kernel²."""
        return self.channels // self.groups * self.kernel**2

    @property
    def flops(self) -> float:
        """Multiplications and additions of the direct form, of any of the three parts."""
        n, f, h, w = self.y_shape
        return 2.0 * n * f * h * w * self.taps


@dataclass(frozen=True)
class Elementwise:
    """An operation of ``Tensor4D`` that makes a new contiguous tensor, or a number, from ``size`` elements."""

    operation: str
    size: int


@dataclass(frozen=True)
class Images:
    """A transform of ``batch`` images of 3 × 32 × 32, bytes or float32 from 0 to 1; "all" is six of them in a row."""

    transform: Literal["flip", "crop", "affine", "jitter", "cutout", "normalize", "mixup", "all"]
    dtype: Literal["uint8", "float32"]
    batch: int = 128


@dataclass(frozen=True)
class Step:
    """One training step of a net, or the inference of one batch, arrays in."""

    net: str
    mode: Literal["train", "predict"]
    batch: int
    optimizer: Literal["sgd", "adam"] = "sgd"


@dataclass(frozen=True)
class Epochs:
    """``fit`` of a ``RedeNeural`` with these sizes over ``steps`` batches, without callbacks."""

    sizes: tuple[int, ...]
    batch: int
    steps: int = 2000


Work: TypeAlias = Gemm | Conv | Elementwise | Images | Step | Epochs
