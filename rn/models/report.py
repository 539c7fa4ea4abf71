"""What a step leaves in the totals that the core adds up over batches, and what they say of the samples together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rn.errors import DtypeError
from rn.metrics import Metric, Value

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
        self._loss = loss
        self._penalties_end = self.width = 1 + penalties
        self._places: list[tuple[Metric, int, int]] = []  # of each metric's numbers among the totals
        for metric in model.metrics:
            begin, self.width = self.width, self.width + metric.width(outputs)
            self._places.append((metric, begin, self.width))

    def values(self, totals: Sequence[float] | NDArray[np.float64], samples: int) -> dict[str, Value]:
        """Return the loss with its penalties, and each metric, of the ``samples`` samples that gave ``totals``.

        Raises ``DtypeError`` where a metric's ``finish`` returns neither a number nor an array.
        """
        loss = self._loss.finish(float(totals[0]) / samples)
        if self._penalties_end > 1:
            loss += float(sum(totals[1 : self._penalties_end])) / samples
        values: dict[str, Value] = {"loss": loss}
        for metric, begin, end in self._places:
            value = metric.finish(np.asarray(totals[begin:end]), samples)
            if not isinstance(value, (Real, np.ndarray)):
                raise DtypeError(
                    f"finish of the metric {metric.name!r} returned {value!r:.80}, expected a number or an array"
                )
            values[metric.name] = value
        return values


def numbers(values: dict[str, Value]) -> dict[str, float]:
    """Return the values that are numbers: what bars, histories and callbacks can take. Arrays are left out."""
    return {name: float(value) for name, value in values.items() if not isinstance(value, np.ndarray)}
