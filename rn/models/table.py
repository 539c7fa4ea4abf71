"""The table that ``summary()`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rn.errors import StateError
from rn.layers import Layer

if TYPE_CHECKING:
    from rn.models.model import Model

__all__ = ["summary"]


def summary(model: Model, batch_size: int) -> str:
    """Return a table of layers, and the memory of weights and of a plan for ``batch_size`` samples."""
    layers = model.layers
    rows = [(layer.name or "?", type(layer).__name__, _shape(layer), _count(layer)) for layer in layers]
    header = ("layer", "kind", "output shape", "parameters")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(4)]
    rule = "─" * (sum(widths) + 6)
    lines = [_line(header, widths), rule, *(_line(row, widths) for row in rows), rule]
    title = type(model).__name__ + (f' "{model.name}"' if model.name else "")
    return "\n".join([title, *lines, *_totals(model, batch_size)])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = "  ".join(cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True))
    return f"{left}  {cells[3].rjust(widths[3])}"


def _shape(layer: Layer) -> str:
    return "not built" if layer.output_shape is None else f"(n, {', '.join(map(str, layer.output_shape))})"


def _count(layer: Layer) -> str:
    return f"{sum(parameter.size for parameter in layer._parameters.values()):,}"


def _totals(model: Model, batch_size: int) -> list[str]:
    network = model.network
    if network is None:
        return ["not built: the input's shape is not known yet"]
    total = network.parameter_count
    frozen = total - sum(parameter.size for layer in model.layers for parameter in layer.trained())
    parts = [f"{total:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")]
    try:
        return [*parts, _memory(model, batch_size)]
    except StateError as error:  # a layer that has to see data first
        return [*parts, f"memory is known later: {error}"]


def _memory(model: Model, batch_size: int) -> str:
    sizes = zip(*(row[1:] for row in model.parameter_memory()), strict=True)
    weights, gradients, state = (sum(column) for column in sizes)
    if model.loss is None:
        with model._lend("predict", batch_size) as bound:
            plan = bound.plan.bytes
        return f"memory to predict {batch_size} samples: weights {_bytes(weights)} + plan {_bytes(plan)}"
    classes = model.loss.takes_classes and all(metric.takes_classes for metric in model.metrics)
    with model._lend("train", batch_size, classes=classes) as bound:
        plan = bound.plan.bytes
    return (
        f"memory to train on {batch_size} samples: weights {_bytes(weights)} + gradients {_bytes(gradients)} "
        f"+ optimizer {_bytes(state)} + plan {_bytes(plan)} = {_bytes(weights + gradients + state + plan)}"
    )


def _bytes(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
