"""Where the memory of models goes, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rn import _core
from rn._text import for_stdout

__all__ = ["LayerMemory", "Memory", "memory_of"]

OUTSIDE = "(batch)"  # the layer of what no layer made: the batch, its targets


@dataclass
class LayerMemory:
    """The bytes of one layer.

    ``weights`` (and buffers such as running means), ``gradients``, ``optimizer`` (its state), ``workspace`` (what
    kernels keep, such as packed weights, and what they work in) stay from step to step. ``activations``: of the layer's
    tensors that are alive when the step holds most; ``peak``: the most that they take at any moment. Tensors that are
    not alive together share memory, so that the sum of ``activations`` is what there is, and that of ``peak`` is not.
    """

    name: str
    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    workspace: int = 0
    peak: int = 0

    @property
    def live(self) -> int:
        """The bytes of all kinds at the step's fullest moment."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.workspace


@dataclass
class Memory:
    """The memory of the models that ran: ``layers``, and in ``gaps`` what lies between their tensors."""

    layers: list[LayerMemory] = field(default_factory=list)
    gaps: int = 0

    @property
    def live(self) -> int:
        """The bytes of all layers and the gaps: what the models hold."""
        return sum(layer.live for layer in self.layers) + self.gaps

    def to_dict(self) -> dict[str, Any]:
        """Return ``live_bytes``, ``gap_bytes`` and, in ``layers``, a dict of bytes for each layer."""
        kinds = ("name", "weights", "gradients", "optimizer", "activations", "workspace", "peak", "live")
        layers = [{kind: getattr(layer, kind) for kind in kinds} for layer in self.layers]
        return {"live_bytes": self.live, "gap_bytes": self.gaps, "layers": layers}

    def __str__(self) -> str:
        heads = ("weights", "gradients", "optimizer", "activations", "workspace", "live", "peak")
        width = max(len("between tensors"), *(min(len(layer.name), 24) for layer in self.layers), 0)
        lines = [f"{'memory':<{width}}" + "".join(f" {head:>11}" for head in heads), "─" * (width + 12 * len(heads))]
        for layer in self.layers:
            cells = (size_text(getattr(layer, head)) for head in heads)
            lines.append(f"{layer.name[:width]:<{width}}" + "".join(f" {cell:>11}" for cell in cells))
        lines.append(f"{'between tensors':<{width}}{'':60} {size_text(self.gaps):>11}")
        lines.append(f"{'all':<{width}}{'':60} {size_text(self.live):>11}")
        return for_stdout("\n".join(lines))


def size_text(count: int) -> str:
    """Return bytes as "640 B", "12.5 KiB" or "3.2 MiB"."""
    if count == 0:
        return "-"
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"


def memory_of(plans: Iterable[_core.Plan]) -> Memory:
    """Return the memory of these plans and of the models that they belong to."""
    memory, layers, seen = Memory(), {}, set()

    def layer(name: str) -> LayerMemory:
        name = name or OUTSIDE
        if name not in layers:
            layers[name] = LayerMemory(name)
        return layers[name]

    for plan in plans:
        model = plan.holder() if plan.holder is not None else None
        if model is not None and id(model) not in seen:
            seen.add(id(model))
            for name, weights, gradients, optimizer in model.parameter_memory():
                row = layer(name)
                row.weights += weights
                row.gradients += gradients
                row.optimizer += optimizer
        placed = 0
        for name, (live, peak, kept) in plan.memory().items():
            row = layer(name)
            row.activations += live
            row.peak += peak
            row.workspace += kept
            placed += live + kept
        layer("").workspace += plan.scratch_bytes
        memory.gaps += max(plan.arena_bytes - placed, 0)
    memory.layers = list(layers.values())
    return memory
