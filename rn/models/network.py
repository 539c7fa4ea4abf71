"""A stack of layers that has been built: names and shapes settled, all parameters side by side in flat buffers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, registry
from rn.errors import DtypeError, OptionError, ShapeError
from rn.initializers import WeightSource
from rn.layers import Input, Layer

__all__ = ["Network"]

FloatArray = NDArray[np.float32]
LINE = 16  # floats in a cache line: every parameter begins one
# Many samples are computed in parts, whose activations stay near a core: of as many as have this many bytes, but not of
# so few that reading the weights again would take longer; the same where all threads share a part. Where not all layers
# are rn's own, the parts do not depend on the number of threads, since what a layer gives may depend on them. Two cores
# were at hand for these numbers.
NEAR_BYTES = 2 << 20
FEWEST_SAMPLES, MOST_SAMPLES = 16, 256
# Or threads take parts of their own, in which nobody waits for others between two calls: of so many multiply-adds,
# below which another thread is not worth waking, and of FEWEST_SAMPLES, unless the weights stay in each core's cache.
FEWEST_PRODUCTS, NEAR_PARAMETERS = 300_000, 1 << 18


class Network:
    """Layers for samples of ``input_shape``, their parameters in one flat buffer and the gradients in another.

    Parameters lie in the order of the layers, each on a cache line of its own with zeros between, so that one kernel
    call updates all of them. ``state``: the optimizer's arrays ``state_names``, laid out as the parameters and 0 at
    first. ``version`` counts the writes to parameters and buffers, whoever makes them. ``near_samples``: of how many
    samples the activations stay near a core; ``products``: about how many multiply-adds a sample takes; ``in_core``:
    whether all layers are rn's own. Raises ``ShapeError`` with the layer's name where shapes do not fit.
    """

    def __init__(
        self, layers: Sequence[Layer], input_shape: tuple[int, ...], seed: int, state_names: Iterable[str] = ()
    ) -> None:
        self.layers: list[Layer] = []
        self.input_shape = self.output_shape = input_shape
        self.seed = seed
        self.version = _core.Version()
        names = [layer.name for layer in layers]
        try:
            name_layers(layers)
            for layer in layers:
                self._build_next(layer)
            self.flatten(state_names)
        except BaseException:
            for layer in self.layers:
                layer.unbuild()
            for layer, name in zip(layers, names, strict=True):
                layer.name = name
            raise

    def add(self, layer: Layer, state_names: Iterable[str] = ()) -> None:
        """Build one more layer behind the last; where it does not fit, nothing is changed.

        The others keep their weights; ``state`` starts anew.
        """
        layer.refuse_built()
        name, shape = layer.name, self.output_shape
        try:
            name_layers([*self.layers, layer])
            self._build_next(layer)
            self.flatten(state_names)
        except BaseException:
            layer.name = name
            if self.layers[-1] is layer:  # it fits, but there is no memory for all
                self.output_shape = shape
                self.layers.pop().unbuild()
            raise

    def _build_next(self, layer: Layer) -> None:
        if isinstance(layer, Input) and self.layers:
            raise ShapeError(f"layer {layer.name!r}: Input can only be the first layer")
        self.output_shape = layer.built_for(self.output_shape, WeightSource(self.seed, len(self.layers)))
        self.layers.append(layer)

    def samples_at_a_time(self, samples: int) -> int:
        """Return how many of ``samples`` to compute at a time: all, or parts where there are two whole ones."""
        return self.near_samples if samples >= min(2 * self.near_samples, MOST_SAMPLES) else samples

    def even_parts(self, samples: int, threads: int) -> int:
        """Return the size of parts of ``samples``: as many for each of ``threads``, or one after another.

        For layers that run ``in_core``; what others give may depend on the parts.
        """
        of_thread = even_part(samples, threads, self.near_samples)
        near = of_thread >= FEWEST_SAMPLES or self.parameter_count <= NEAR_PARAMETERS
        if near and of_thread * self.products >= FEWEST_PRODUCTS and _core.lanes(threads, -(-samples // of_thread)) > 1:
            return of_thread
        return even_part(samples, 1, self.near_samples)

    def _near(self) -> int:
        """Return how many samples, a multiple of FEWEST_SAMPLES, have activations of about NEAR_BYTES."""
        near = NEAR_BYTES // max(4 * sum(map(output_size, self.layers)), 1)
        return min(max(near // FEWEST_SAMPLES, 1) * FEWEST_SAMPLES, MOST_SAMPLES)

    def flatten(self, state_names: Iterable[str]) -> None:
        """Move the parameters and gradients of all layers into flat buffers, side by side; begin a new ``state``."""
        for layer in self.layers:
            share_version(layer, self.version)
        self.near_samples = self._near()
        self.products = sum(map(products, leaves(self.layers)))
        self.in_core = all(map(is_built_in, self.layers))
        names = tuple(state_names)
        places: list[tuple[int, str, int, int]] = []  # layer, name, begin, end in the buffers
        end = 0
        for i, layer in enumerate(self.layers):
            for name, parameter in layer._parameters.items():
                places.append((i, name, end, end + parameter.size))
                end += -(-parameter.size // LINE) * LINE
        values, gradients, *state = (_core.Tensor4D.zeros((1, 1, 1, end)) for _ in range(2 + len(names)))
        self._places, self.size, self.values, self.gradients = places, end, values, gradients
        self.state = dict(zip(names, state, strict=True))
        for i, name, begin, stop in places:
            parameter = self.layers[i]._parameters[name]
            for flat, attribute in ((values, "value"), (gradients, "gradient")):
                old = getattr(parameter, attribute)
                new = self.piece(flat, begin, stop, old.shape)
                new[...] = old
                setattr(parameter, attribute, new)

    def new_state(self, names: Iterable[str]) -> dict[str, _core.Tensor4D]:
        """Return what ``state`` is at first where it is these arrays."""
        return {name: _core.Tensor4D.zeros((1, 1, 1, self.size)) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        # The layers hold the numbers; whoever restores the network calls flatten().
        flat = ("values", "gradients", "state", "_places")
        return {name: value for name, value in self.__dict__.items() if name not in flat}

    @staticmethod
    def piece(flat: _core.Tensor4D, begin: int, end: int, shape: tuple[int, ...] | None = None) -> _core.Tensor4D:
        """Return elements begin to end of a flat buffer as a tensor that shares its memory."""
        part = np.asarray(flat).reshape(-1)[begin:end]
        return _core.Tensor4D.wrap(part.reshape(shape if shape is not None else (1, 1, 1, -1)))

    def trained_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges of the flat buffers that hold parameters which training may change, as few as possible."""
        trained = {id(parameter) for layer in self.layers for parameter in layer.trained()}
        ranges: list[tuple[int, int]] = []
        for i, name, begin, end in self._places:
            if id(self.layers[i]._parameters[name]) not in trained:
                continue
            start = ranges.pop()[0] if ranges and ranges[-1][1] == begin else begin
            ranges.append((start, -(-end // LINE) * LINE))
        return ranges

    @property
    def parameter_count(self) -> int:
        """How many numbers the layers' parameters hold."""
        return sum(end - begin for _, _, begin, end in self._places)

    def layer_bytes(self) -> list[tuple[str, int, int]]:
        """Return (name, bytes in a flat buffer, bytes of buffers) of each layer."""
        sizes = [0] * len(self.layers)
        for i, _, begin, end in self._places:
            sizes[i] += 4 * LINE * -(-(end - begin) // LINE)
        buffers = [sum(array.nbytes for array in layer.buffers.values()) for layer in self.layers]
        return [(layer.name or "", size, held) for layer, size, held in zip(self.layers, sizes, buffers, strict=True)]

    def split(self, flat: _core.Tensor4D) -> dict[str, FloatArray]:
        """Return copies of a flat buffer's pieces by "<layer index>.<name>", shaped as the parameters."""
        numbers = np.asarray(flat).reshape(-1)
        return {
            f"{i}.{name}": numbers[begin:end].reshape(self.layers[i]._parameters[name].shape).copy()
            for i, name, begin, end in self._places
        }

    def join(self, flat: _core.Tensor4D, pieces: Mapping[str, FloatArray]) -> None:
        """Write what ``split`` returned back into a flat buffer."""
        numbers = np.asarray(flat).reshape(-1)
        for i, name, begin, end in self._places:
            numbers[begin:end] = pieces[f"{i}.{name}"].reshape(-1)

    def state_dict(self) -> dict[str, FloatArray]:
        """Return copies of all parameters and buffers by "<layer index>.<name>"."""
        state: dict[str, FloatArray] = {}
        for i, layer in enumerate(self.layers):
            for name, array in {**layer.parameters, **layer.buffers}.items():
                state[f"{i}.{name}"] = array.copy()
        return state

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Write all parameters and buffers.

        Every key is checked first, and nothing is written where one does not fit.
        """
        if not isinstance(state, Mapping):
            raise DtypeError(f"a state dict maps names to arrays, got {type(state).__name__}")
        given = {str(key): value for key, value in state.items() if not str(key).endswith("num_batches_tracked")}
        own = self.state_dict()
        if own and not given:
            raise OptionError("this state dict is empty: give one that state_dict() of such a model made")
        missing, unknown = [key for key in own if key not in given], [key for key in given if key not in own]
        if missing or unknown:
            parts = [
                f"{what}: {', '.join(keys)}" for what, keys in (("missing", missing), ("unknown", unknown)) if keys
            ]
            raise OptionError(f"this state dict is of another model; {'; '.join(parts)}")
        arrays: list[dict[str, Any]] = [{} for _ in self.layers]
        for key, value in given.items():
            index, name = key.split(".", 1)
            arrays[int(index)][name] = self.layers[int(index)].check_array(name, value)
        for layer, checked in zip(self.layers, arrays, strict=True):
            layer.set(**checked)


def name_layers(layers: Sequence[Layer]) -> None:
    """Give every layer without a name one by its kind and count, "conv2d_1"; refuse a name that two layers have."""
    taken: set[str] = set()
    for layer in layers:
        if layer.name in taken:
            raise OptionError(f"two layers are called {layer.name!r}; names must differ")
        if layer.name:
            taken.add(layer.name)
    counts: dict[str, int] = {}
    for layer in layers:
        if layer.name:
            continue
        kind = kind_of(layer)
        counts[kind] = counts.get(kind, 0) + 1
        while f"{kind}_{counts[kind]}" in taken:
            counts[kind] += 1
        layer.name = f"{kind}_{counts[kind]}"
        taken.add(layer.name)


def kind_of(layer: Layer) -> str:
    """Return the name that the layer's class is registered under, or the class's own in lower case."""
    try:
        return registry.name_of("layer", type(layer))
    except OptionError:
        return type(layer).__name__.lower()


def output_size(layer: Layer) -> int:
    """Return how many numbers a built layer, or all those inside it, put out for a sample."""
    return sum(map(output_size, layer.children)) or math.prod(layer.output_shape or ())


def leaves(layers: Iterable[Layer]) -> list[Layer]:
    """Return the layers that have none inside them, in order: of a stack such as ``Residual``, those it holds."""
    return [leaf for layer in layers for leaf in (leaves(layer.children) if layer.children else (layer,))]


def even_part(samples: int, threads: int, near: int) -> int:
    """Return the size of even parts, as many for each thread, of at least ``near`` samples if there are so many."""
    rounds = max(samples // (threads * near), -(-samples // (threads * MOST_SAMPLES)))
    return -(-samples // (threads * rounds))


def products(layer: Layer) -> int:
    """Return about how many multiply-adds a sample takes: each weight once for every pixel that is put out."""
    pixels = math.prod((layer.output_shape or ())[1:])
    return output_size(layer) + pixels * sum(parameter.size for parameter in layer._parameters.values())


def is_built_in(layer: Layer) -> bool:
    """Whether a layer, those inside it and their activations are rn's own, which the core computes."""
    pieces = (layer, getattr(layer, "activation", None))
    own = all(piece is None or type(piece).__module__.startswith("rn.") for piece in pieces)
    return own and all(map(is_built_in, layer.children))


def share_version(layer: Layer, version: _core.Version) -> None:
    """Let a layer, and those inside it, count what is written to them in ``version``."""
    layer._version = version
    for child in layer.children:
        share_version(child, version)
