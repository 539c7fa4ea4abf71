"""How parameters start.

Every initializer draws from the counter-based generator, so a seed gives the same weights anywhere.

Fans follow the layout of weights, (outputs, inputs, *kernel): with ``r`` the product of the kernel's sides, ``fan_in =
inputs r`` and ``fan_out = outputs r``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core, registry
from rn.errors import OptionError, ShapeError, is_real

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Ones",
    "Orthogonal",
    "PositiveUniform",
    "TruncatedNormal",
    "Uniform",
    "WeightSource",
    "Zeros",
    "fans",
    "get",
]

WEIGHTS = 1 << 24  # the purpose of weight draws; the low 24 bits number the layer and its parameter


class WeightSource:
    """The random numbers of one layer's parameters: each parameter that is drawn takes the next stream of ``seed``.

    ``layer`` is the layer's index in its model, below 4,096, so that a layer starts alike whatever stands before it.
    """

    def __init__(self, seed: int, layer: int = 0) -> None:
        self.seed = seed
        self._next = WEIGHTS + layer * 4096

    def next_purpose(self) -> int:
        """Return the number of the next stream."""
        self._next += 1
        return self._next


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of ``shape`` (outputs, inputs, *kernel); a vector of n has fans (n, n)."""
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


@registry.contract("initializer")
class Initializer:
    """The contract: ``fill(tensor, shape, source)`` writes the first values of a parameter of ``shape``."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        """Write the values into ``tensor``, whose elements are those of ``shape`` in order."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return dict(vars(self))


@registry.register("initializer", "zeros")
class Zeros(Initializer):
    """All elements 0."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        tensor[...] = 0.0


@registry.register("initializer", "ones")
class Ones(Initializer):
    """All elements 1."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        tensor[...] = 1.0


@registry.register("initializer", "constant")
class Constant(Initializer):
    """All elements ``value``."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = _finite("value", value)

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        tensor[...] = self.value


@registry.register("initializer", "uniform")
class Uniform(Initializer):
    """Independent draws from [low, high)."""

    def __init__(self, low: float = -0.05, high: float = 0.05) -> None:
        self.low, self.high = _finite("low", low), _finite("high", high)
        if not self.low <= self.high:
            raise OptionError(f"uniform initializer: low must be at most high, got {low} and {high}")

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _core.random_uniform(tensor, self.low, self.high, source.seed, source.next_purpose())


@registry.register("initializer", "positive_uniform")
class PositiveUniform(Initializer):
    """Independent draws from [0, high)."""

    def __init__(self, high: float = 0.05) -> None:
        self.high = _finite("high", high)
        if self.high < 0:
            raise OptionError(f"positive_uniform initializer: high must not be negative, got {high}")

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _core.random_uniform(tensor, 0.0, self.high, source.seed, source.next_purpose())


@registry.register("initializer", "normal")
class Normal(Initializer):
    """Independent draws from the normal distribution N(mean, deviation²)."""

    def __init__(self, mean: float = 0.0, deviation: float = 0.05) -> None:
        self.mean, self.deviation = _finite("mean", mean), _finite("deviation", deviation)
        if self.deviation < 0:
            raise OptionError(f"normal initializer: deviation must not be negative, got {deviation}")

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _core.random_normal(tensor, self.mean, self.deviation, source.seed, source.next_purpose())


@registry.register("initializer", "truncated_normal")
class TruncatedNormal(Initializer):
    """Normal draws from N(mean, deviation²), those farther than two deviations from the mean drawn anew.

    ``deviation`` is that of the normal distribution; that of the draws is 0.88 of it.
    """

    def __init__(self, mean: float = 0.0, deviation: float = 0.05) -> None:
        self.mean, self.deviation = _finite("mean", mean), _finite("deviation", deviation)
        if self.deviation < 0:
            raise OptionError(f"truncated_normal initializer: deviation must not be negative, got {deviation}")

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _core.random_normal(tensor, self.mean, self.deviation, source.seed, source.next_purpose(), truncated=True)


@registry.register("initializer", "glorot_uniform")
class GlorotUniform(Initializer):
    """Uniform on ±√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _uniform_of_variance(tensor, 2.0 / max(sum(fans(shape)), 1), source)


@registry.register("initializer", "glorot_normal")
class GlorotNormal(Initializer):
    """Normal with variance 2 / (fan_in + fan_out), not truncated (Glorot and Bengio, 2010)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _normal_of_variance(tensor, 2.0 / max(sum(fans(shape)), 1), source)


@registry.register("initializer", "he_uniform")
class HeUniform(Initializer):
    """Uniform on ±√(6 / fan_in) (He et al., 2015)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _uniform_of_variance(tensor, 2.0 / max(fans(shape)[0], 1), source)


@registry.register("initializer", "he_normal")
class HeNormal(Initializer):
    """Normal with variance 2 / fan_in, not truncated (He et al., 2015)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _normal_of_variance(tensor, 2.0 / max(fans(shape)[0], 1), source)


@registry.register("initializer", "lecun_uniform")
class LecunUniform(Initializer):
    """Uniform on ±√(3 / fan_in) (LeCun et al., 1998)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _uniform_of_variance(tensor, 1.0 / max(fans(shape)[0], 1), source)


@registry.register("initializer", "lecun_normal")
class LecunNormal(Initializer):
    """Normal with variance 1 / fan_in, not truncated (LeCun et al., 1998)."""

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        _normal_of_variance(tensor, 1.0 / max(fans(shape)[0], 1), source)


@registry.register("initializer", "orthogonal")
class Orthogonal(Initializer):
    """``gain`` times a random matrix (outputs, inputs * kernel) whose rows are orthonormal (Saxe et al., 2014).

    Where there are more rows than columns, the columns are orthonormal instead. Raises ``ShapeError`` for vectors, such
    as a bias.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = _finite("gain", gain)

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        if len(shape) < 2:
            raise ShapeError(f"orthogonal initializer: needs at least two axes (outputs, inputs), got shape {shape}")
        rows, columns = shape[0], math.prod(shape[1:])
        drawn = _core.Tensor4D.zeros((1, 1, min(rows, columns), max(rows, columns)))
        _core.random_normal(drawn, 0.0, 1.0, source.seed, source.next_purpose())
        made = _orthonormal(np.asarray(drawn, np.float64)[0, 0]) * self.gain
        tensor[...] = np.ascontiguousarray(made if rows <= columns else made.T, np.float32).reshape(tensor.shape)


def _orthonormal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows made orthonormal one after the other (Gram-Schmidt), in place.

    What lies along the rows before is taken away twice, which leaves no more of it than rounding. ``einsum`` and not
    ``@``, whose sums differ with the number of BLAS threads.
    """
    for i, row in enumerate(rows):
        for _ in range(2 if i else 0):
            row -= np.einsum("i,ij->j", np.einsum("ij,j->i", rows[:i], row), rows[:i])
        length = np.sqrt(np.einsum("j,j->", row, row))
        row /= length if length > 0 else 1.0
    return rows


@registry.register("initializer", "identity")
class Identity(Initializer):
    """``gain`` where output i meets input i, at the kernel's centre for convolutions; 0 elsewhere.

    Raises ``ShapeError`` for vectors, such as a bias.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = _finite("gain", gain)

    def fill(self, tensor: _core.Tensor4D, shape: tuple[int, ...], source: WeightSource) -> None:
        if len(shape) < 2:
            raise ShapeError(f"identity initializer: needs at least two axes (outputs, inputs), got shape {shape}")
        values = np.zeros(shape, np.float32)
        centre = tuple(side // 2 for side in shape[2:])
        for i in range(min(shape[:2])):
            values[(i, i, *centre)] = self.gain
        tensor[...] = values.reshape(tensor.shape)


def _finite(name: str, value: float) -> float:
    if not is_real(value) or not math.isfinite(value):
        raise OptionError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def _uniform_of_variance(tensor: _core.Tensor4D, variance: float, source: WeightSource) -> None:
    bound = math.sqrt(3.0 * variance)
    _core.random_uniform(tensor, -bound, bound, source.seed, source.next_purpose())


def _normal_of_variance(tensor: _core.Tensor4D, variance: float, source: WeightSource) -> None:
    _core.random_normal(tensor, 0.0, math.sqrt(variance), source.seed, source.next_purpose())


def get(value: str | Initializer | type[Initializer] | dict[str, Any]) -> Initializer:
    """Return the initializer that a name, class, description or object stands for."""
    return registry.create("initializer", value, Initializer)
