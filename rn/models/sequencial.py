"""A stack of any layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rn import registry
from rn.errors import DtypeError, entries
from rn.layers import Input, Layer
from rn.layers.base import described, no_layers, restored
from rn.models import door
from rn.models.model import Model

__all__ = ["Sequencial"]


@registry.register("model", "sequencial")
class Sequencial(Model):
    """A stack of layers, the output of each the input of the next.

    ``layers``: in order; ``add`` appends more. ``input_shape``: the shape of one sample, (features,) or (channels,
    height, width); unless given, an ``Input`` layer or the first data says it. ``seed``: of weights, shuffling and
    dropout; drawn anew unless given.

    Raises ``DtypeError`` for what is no layer, ``ShapeError`` naming the layer that does not fit the one before it.
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        input_shape: int | Sequence[int] | None = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed=seed, name=name)
        self._layers: list[Layer] = []
        if not isinstance(layers, Iterable):
            raise no_layers("layers", layers)
        for layer in layers:
            self._layers.append(_checked(layer))
        self._input_shape = None if input_shape is None else door.shape_option("input_shape", input_shape)
        if self._layers:
            self._build_if_known()

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(self._layers)

    def add(self, layer: Layer) -> None:
        """Append ``layer``. A model that is built already keeps its weights; the optimizer's state starts anew.

        Where another thread is building the model, this waits for it. Raises ``DtypeError`` for what is no layer,
        ``ShapeError`` where it does not fit the last one, ``StateError`` while the model is being fitted; nothing is
        changed then.
        """
        _checked(layer)
        with self._alone("add"), self._building:
            if self.network is not None:
                self.network.add(layer, self._state_names())
                self._use(self.network)
            self._layers.append(layer)
            if self.network is None and len(self._layers) == 1:
                try:
                    self._build_if_known()
                except BaseException:
                    self._layers.pop()
                    raise

    def _build_if_known(self) -> None:
        """Build the model where its ``input_shape`` or an ``Input`` layer says for what."""
        first = self._layers[0]
        if self._input_shape is not None:
            self.build(self._input_shape)
        elif isinstance(first, Input):
            self.build(first.shape)

    def config(self) -> dict[str, Any]:
        return {
            "layers": [described(layer) for layer in self._layers],
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequencial:
        layers, seed, name = entries(f"the config of a {cls.__name__}", config, "layers", "seed", "name")
        if not isinstance(layers, list | tuple):
            raise no_layers(f"layers of the config of a {cls.__name__}", layers)
        return cls([restored(description) for description in layers], seed=seed, name=name)


def _checked(layer: Any) -> Layer:
    if not isinstance(layer, Layer):
        hint = "; call the class: add ()" if isinstance(layer, type) else ""
        raise DtypeError(f"a model is made of layers, got {layer!r:.80}{hint}")
    return layer
