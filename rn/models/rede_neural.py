"""A multilayer perceptron from a list of sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rn import activations, optimizers, registry
from rn import losses as losses_
from rn import metrics as metrics_
from rn.activations import ActivationFunction
from rn.errors import DtypeError, OptionError, entries
from rn.layers import Dense, Layer
from rn.models import door
from rn.models.model import Model

__all__ = ["RedeNeural"]


@registry.register("model", "rede_neural")
class RedeNeural(Model):
    """Dense layers one after the other.

    ``RedeNeural([4, 10, 10, 3])`` takes 4 features, has two hidden layers of 10 and 3 outputs.

    ``sizes``: at least two. ``activation`` of the hidden layers, ``output_activation`` of the last. ``seed``: of
    weights and shuffling; drawn anew unless given. Gives the same bits as a ``Sequencial`` of the same ``Dense`` layers
    with the same seed.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | ActivationFunction = "tanh",
        output_activation: str | ActivationFunction = "sigmoid",
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed=seed, name=name)
        counts = [door.count_option("each of sizes", size) for size in sizes] if isinstance(sizes, Iterable) else []
        if len(counts) < 2:
            raise OptionError(f"RedeNeural needs at least two sizes, inputs and outputs, got {sizes!r}")
        activations.get(activation)  # refuses a misspelt name where no hidden layer would
        hidden = [Dense(size, activation) for size in counts[1:-1]]
        self._layers = (*hidden, Dense(counts[-1], output_activation))
        self.sizes = tuple(counts)
        self.build(counts[:1])

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self._layers

    def compile(
        self,
        optimizer: str | optimizers.Optimizer | None = None,
        loss: str | losses_.Loss = "mse",
        metrics: Iterable[str | metrics_.Metric] | str = (),
        gradient_chunks: int = 1,
    ) -> None:
        """Choose how to train, as ``Model.compile``; SGD(0.01, momentum=0.9) and mse unless given."""
        chosen = optimizers.SGD(0.01, momentum=0.9) if optimizer is None else optimizer
        super().compile(chosen, loss, metrics, gradient_chunks)

    def config(self) -> dict[str, Any]:
        return {
            "sizes": list(self.sizes),
            "activations": [registry.describe("activation", layer.activation) for layer in self._layers],
            "names": [layer.name for layer in self._layers],
            "trainable": [layer.trainable for layer in self._layers],
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RedeNeural:
        what = f"the config of a {cls.__name__}"
        sizes, activations, names, trainable = entries(what, config, "sizes", "activations", "names", "trainable")
        seed, name = entries(what, config, "seed", "name")
        layers = len(sizes) - 1 if isinstance(sizes, list | tuple) else 0
        for key, each in (("activations", activations), ("names", names), ("trainable", trainable)):
            if not isinstance(each, list | tuple) or len(each) != layers or layers < 1:
                raise DtypeError(
                    f"{what} must hold one of {key} for each layer of sizes {sizes!r:.80}, got {each!r:.80}"
                )
        model = cls(sizes, activation=activations[0], output_activation=activations[-1], seed=seed, name=name)
        for layer, its_name, trains in zip(model.layers, names, trainable, strict=True):
            layer.name, layer.trainable = str(its_name), trains
        return model
