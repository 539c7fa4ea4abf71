"""What a step leaves in the totals that the core adds up over batches, and what they say of the samples together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rn.metrics import Value

if TYPE_CHECKING:
    from rn.models.model import Model

__all__ = ["Report", "numbers"]


class Report:
    """The order of the totals of a compiled model: the loss, a penalty for each regularized weight, the metrics' sums.

    ``width``: how many numbers they are. ``binding.bind_plan`` reports them in this order.
    """

    def __init__(self, model: Model) -> None:
        network, (_, loss) = model._built(), model._compiled("a report")
        outputs = math.prod(network.output_shape)
        penalties = sum(len(layer.regularized()) for layer in network.layers)
        self._loss, self._metrics = loss, model.metrics
        self._ends = np.cumsum([1, penalties, *(metric.width(outputs) for metric in model.metrics)])
        self.width = int(self._ends[-1])

    def values(self, totals: NDArray[np.float64], samples: int) -> dict[str, Value]:
        """Return the loss with its penalties, and each metric, of the ``samples`` samples that gave ``totals``."""
        loss, penalties, *counts = np.split(totals, self._ends[:-1])
        values: dict[str, Value] = {
            "loss": self._loss.finish(float(loss[0]) / samples) + float(penalties.sum()) / samples
        }
        for metric, own in zip(self._metrics, counts, strict=True):
            values[metric.name] = metric.finish(own, samples)
        return values


def numbers(values: dict[str, Value]) -> dict[str, float]:
    """Return the values that are numbers: what bars, histories and callbacks can take."""
    return {name: value for name, value in values.items() if isinstance(value, float)}
