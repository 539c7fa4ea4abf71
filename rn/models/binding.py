"""From a model to a sealed plan: what is recorded for each use of it, and which slots its user fills and reads."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Literal

from rn import _core
from rn.models import fusion
from rn.models.plans import BoundPlan

if TYPE_CHECKING:
    from rn.models.model import Model

__all__ = ["Use", "bind_plan"]

# "train": a whole step; "update": the optimizer alone, after gradients in chunks; "evaluate": loss and metrics;
# "predict"; "training call": the output with dropout on; "outputs": every layer's; "input gradient": d loss / d x with
# dropout off.
Use = Literal["train", "update", "evaluate", "predict", "training call", "outputs", "input gradient"]
Slots = dict[str, _core.Slot]


def bind_plan(model: Model, use: Use, size: int, *, classes: bool, weighted: bool) -> BoundPlan:
    """Return the plan for one use of ``model`` on batches of ``size`` samples.

    ``classes``: targets are integer classes; ``weighted``: samples have factors. Slots: "x" and "y", the output; with a
    loss "target" and "weights"; "dx" for the input gradient; "layer <place>" for outputs.
    """
    training = use in ("train", "training call")
    gradients = use in ("train", "input gradient")
    plan = _core.Plan(size, training=training, gradients=gradients, seed=model.seed, version=model._built().version)
    slots: Slots = {}
    if use == "update":
        _bind_update(plan, model)
    elif use in ("predict", "training call", "outputs"):
        slots = _bind_output(plan, model, every_layer=use == "outputs")
    else:
        slots = _bind_loss(plan, model, classes=classes, weighted=weighted, input_gradient=use == "input gradient")
        if use == "train" and model.gradient_chunks == 1:
            _bind_update(plan, model)
    for slot in slots.values():
        plan.keep(slot)
    plan.seal()
    plan.holder = weakref.ref(model)
    for layer in model.layers:
        layer.settle()
    return BoundPlan(plan, slots)


def _bind_output(plan: _core.Plan, model: Model, *, every_layer: bool) -> Slots:
    network = model._built()
    x = plan.input((plan.batch, *network.input_shape))
    outputs: list[_core.Slot] = []
    y = fusion.bind_layers(plan, network.layers, x, separate=every_layer, outputs=outputs)
    return {"x": x, "y": y, **({f"layer {i}": slot for i, slot in enumerate(outputs)} if every_layer else {})}


def _bind_loss(plan: _core.Plan, model: Model, *, classes: bool, weighted: bool, input_gradient: bool) -> Slots:
    network, (_, loss) = model._built(), model._compiled("a plan with a loss")
    slots = {
        "x": plan.input((plan.batch, *network.input_shape)),
        "target": plan.input((plan.batch,) if classes else (plan.batch, *network.output_shape)),
    }
    if input_gradient:
        slots["dx"] = plan.gradient(slots["x"])
    if weighted:
        slots["weights"] = plan.input((plan.batch,))
    penalties = [] if input_gradient else _bind_penalties(plan, model)
    slots["y"], value = fusion.bind_loss(
        plan,
        network.layers,
        loss,
        slots["x"],
        slots["target"],
        target_classes=classes,
        weights=slots.get("weights"),
    )
    plan.report(value)
    for penalty in penalties:
        plan.report(penalty)
    # Left out where there is none: a metric of the user's may have a bind of its own that knows of no threshold.
    options = {} if classes or loss.threshold is None else {"threshold": loss.threshold}
    for metric in model.metrics:
        numbers = metric.bind(plan, slots["y"], slots["target"], target_classes=classes, **options)
        plan.report(numbers, sums=metric.sums)
    return slots


def _bind_penalties(plan: _core.Plan, model: Model) -> list[_core.Slot]:
    """Record the penalties on all weights that have a regularizer, and return their slots.

    Bound before the layers, their backward calls come after the layers' own, which write the gradients they add to.
    """
    penalties = []
    for layer in model._built().layers:
        trained = {id(parameter) for parameter in layer.trained()} if plan.gradients else set()
        for parameter in layer.regularized():
            assert parameter.regularizer is not None
            weight = plan.bound(parameter.value)
            with plan.scope(layer.name):
                if id(parameter) in trained:
                    with plan.backward():
                        penalty = parameter.regularizer.bind(plan, weight, plan.bound(parameter.gradient))
                else:
                    penalty = parameter.regularizer.bind(plan, weight, None)
            penalties.append(penalty)
    return penalties


def _bind_update(plan: _core.Plan, model: Model) -> None:
    network, (optimizer, _) = model._built(), model._compiled("an update")
    with plan.update(), plan.scope("optimizer"):
        ranges = network.trained_ranges()
        gradients = [plan.bound(network.piece(network.gradients, begin, end)) for begin, end in ranges]
        squares = None
        if optimizer.clip_norm is not None:
            squares = plan.kept((2,))
            _core.sum_squares(plan, gradients, squares)
        for (begin, end), gradient in zip(ranges, gradients, strict=True):
            parameters = plan.bound(network.piece(network.values, begin, end))
            state = {name: plan.bound(network.piece(array, begin, end)) for name, array in model._state.items()}
            optimizer.bind(plan, parameters, gradient, state, squares)
