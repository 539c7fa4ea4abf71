"""Which neighbours are computed together. The only place that knows layers, activations and losses of each other.

Four tables: an activation that a layer's kernel applies before it stores its output; layers whose weights take in the
BatchNorm behind them when nothing is trained; a pooling that is recorded with the convolution and the activation before
it; a loss that is computed with the activation before it, from the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rn import _core, activations, losses, registry
from rn.errors import OptionError
from rn.layers import Activation, BatchNorm, Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D, Residual

__all__ = ["bind_layers", "bind_loss", "last_activation", "refuse_mismatch"]

# (layer, activation): `layer.bind(plan, x, finish=activation)` does both in one pass over memory.
FINISHED_IN_REGISTERS: frozenset[tuple[type[Layer], type[activations.ActivationFunction]]] = frozenset(
    (layer, activation)
    for layer in (Dense, Conv2D)
    for activation in (
        *(activations.ReLU, activations.LeakyReLU, activations.ELU, activations.SELU),
        *(activations.Sigmoid, activations.Tanh),
    )
) | {(BatchNorm, activations.ReLU), (BatchNorm, activations.LeakyReLU)}

# Their derivative needs x: joined in the same way where no gradient is wanted.
OF_ONE_ELEMENT: tuple[type[activations.ActivationFunction], ...] = (
    *(activations.GELU, activations.HardSigmoid, activations.Softplus, activations.Softsign, activations.Swish),
    *(activations.Mish, activations.Sin, activations.Atan),
)
FINISHED_WITHOUT_GRADIENT = FINISHED_IN_REGISTERS | {
    (layer, kind) for layer in (Dense, Conv2D) for kind in OF_ONE_ELEMENT
}
# Layers whose weights, a row for each feature or channel, take in the BatchNorm behind them: `layer.bind(instead=...)`.
FOLDED_INTO: frozenset[type[Layer]] = frozenset((Dense, Conv2D))

# (layer, activation, pooling): `layer.bind(plan, x, finish=activation, pool=pooling)` records all three. Backwards the
# pooling's gradient takes in the activation's derivative, and the layer's gradient may take in the pooling's.
POOLED: frozenset[tuple[type[Layer], type[activations.ActivationFunction], type[Layer]]] = frozenset(
    {(Conv2D, activations.ReLU, MaxPool2D)}
)

# After these the loss would be computed, and training would go nowhere: what they give are no probabilities, with
# sigmoid none that sum to 1, and a softmax of one column is always 1.
BEYOND_0_TO_1: tuple[type[activations.ActivationFunction], ...] = (
    *(activations.ReLU, activations.LeakyReLU, activations.ELU, activations.SELU, activations.GELU),
    *(activations.Tanh, activations.Softplus, activations.Softsign, activations.Swish, activations.Mish),
    *(activations.Sin, activations.Atan),
)
NO_PROBABILITIES: dict[type[losses.Loss], tuple[type[activations.ActivationFunction], ...]] = {
    losses.CrossEntropy: (*BEYOND_0_TO_1, activations.Sigmoid, activations.HardSigmoid),
    losses.KLDivergence: (*BEYOND_0_TO_1, activations.Sigmoid, activations.HardSigmoid),
    losses.BinaryCrossEntropy: (*BEYOND_0_TO_1, activations.Softmax),
}

# (last activation, loss): the kernel that takes the logits instead.
JOINED_LOSSES: dict[tuple[type | None, type[losses.Loss]], Any] = {
    (activations.Softmax, losses.CrossEntropy): _core.softmax_cross_entropy,
    (activations.Softmax, losses.KLDivergence): _core.softmax_kl_divergence,
    (activations.Sigmoid, losses.BinaryCrossEntropy): _core.sigmoid_binary_cross_entropy,
}

# What a loss with `from_logits` makes its probabilities by.
FROM_LOGITS: dict[type[losses.Loss], type[activations.ActivationFunction]] = {
    losses.CrossEntropy: activations.Softmax,
    losses.BinaryCrossEntropy: activations.Sigmoid,
}


def bind_layers(
    plan: _core.Plan,
    layers: Sequence[Layer],
    x: _core.Slot,
    *,
    separate: bool = False,
    outputs: list[_core.Slot] | None = None,
    open_end: bool = False,
) -> _core.Slot:
    """Record all layers in ``plan`` and return the last output's slot.

    ``separate``: activation layers are not joined with the layer before them, so that every layer has an output of its
    own, appended to ``outputs``. ``open_end``: leave out the last activation (see ``last_activation``), for a loss
    that takes the logits.
    """
    i = 0
    while i < len(layers):
        layer, end = layers[i], i + 1
        norm = None if separate else _norm_to_fold(plan, layer, layers[end : end + 1])
        if norm is not None:
            end += 1
        activation = activation_of(layer)
        if not separate and end < len(layers) and _joins(layer, layers[end]):
            activation, end = activation_of(layers[end]), end + 1
        if open_end and end == len(layers):
            activation = None
        options: dict[str, Any] = {}
        if not separate and end < len(layers) and _is_pooled(layer, activation, layers[end]):
            options["pool"], end = layers[end], end + 1
        with plan.scope(layer.name):
            x = _bind_pair(plan, layer, activation, x, norm, options)
        i = end
        if outputs is not None:
            outputs.append(x)
    return x


def _norm_to_fold(plan: _core.Plan, layer: Layer, following: Sequence[Layer]) -> BatchNorm | None:
    """Return the normalisation after ``layer`` where its weights take it in: by running statistics it is linear."""
    if plan.training or plan.gradients or type(layer) not in FOLDED_INTO:
        return None
    if type(activation_of(layer)) is not activations.Linear or not following:
        return None
    norm = following[0]
    return norm if type(norm) is BatchNorm else None


def _is_pooled(layer: Layer, activation: activations.ActivationFunction | None, following: Layer) -> bool:
    """Whether ``following`` is a pooling that is recorded together with the layer and its activation."""
    return (type(layer), type(activation), type(following)) in POOLED


def _joins(layer: Layer, following: Layer) -> bool:
    """Whether ``following`` is an activation that ``layer``, which has none yet, may take for its own."""
    if not isinstance(following, Activation):
        return False
    own = activation_of(layer)
    pair = type(layer), type(following.activation)
    return type(own) is activations.Linear or (own is None and pair in FINISHED_IN_REGISTERS)


def _bind_pair(
    plan: _core.Plan,
    layer: Layer,
    activation: activations.ActivationFunction | None,
    x: _core.Slot,
    norm: BatchNorm | None,
    options: dict[str, Any],
) -> _core.Slot:
    """Record a layer and what is joined with it; ``options`` are more for the layer's ``bind``."""
    constant = not plan.wants_gradient(x) and not (plan.training and layer.trained())
    y, left = _bind_layer(plan, layer, activation, x, norm, options)
    if constant:
        plan.constant(y)
    if left is None:
        return y
    z = left.bind(plan, y)
    if constant:
        plan.constant(z)
    return z


def _bind_layer(
    plan: _core.Plan,
    layer: Layer,
    activation: activations.ActivationFunction | None,
    x: _core.Slot,
    norm: BatchNorm | None,
    options: dict[str, Any],
) -> tuple[_core.Slot, activations.ActivationFunction | None]:
    """Record the layer, with the activation where one kernel does both; return the output and what is left to do."""
    if isinstance(layer, Residual):
        return bind_residual(plan, layer, x), activation
    if isinstance(layer, Activation):
        return x, activation
    if norm is not None:
        bias = layer.slots(plan, "bias")[0] if "bias" in layer.parameters else None
        options["instead"] = norm.fold(plan, layer.slots(plan, "weight")[0], bias)
    finished = FINISHED_IN_REGISTERS if plan.gradients else FINISHED_WITHOUT_GRADIENT
    if activation is not None and (type(layer), type(activation)) in finished:
        options["finish"] = activation
        activation = None
    return layer.bind(plan, x, **options), activation


def bind_residual(plan: _core.Plan, layer: Residual, x: _core.Slot) -> _core.Slot:
    """Record F(x) + S(x), the stack and the shortcut of ``layer``; its activation is left to the caller."""
    inner, around = plan.branch(x), plan.branch(x)
    if plan.wants_gradient(x):
        with plan.backward():
            _core.add_pair(plan, plan.gradient(inner), plan.gradient(around), plan.gradient(x))
    parts = bind_layers(plan, layer.layers, inner), bind_layers(plan, layer.shortcut, around)
    y = layer.output_slot(plan)
    _core.add_pair(plan, *parts, y)
    wanting = [part for part in parts if plan.wants_gradient(part)]
    if wanting:
        with plan.backward():
            for part in wanting:
                _core.activate(plan, plan.gradient(y), plan.gradient(part), "linear")
    return y


def bind_loss(
    plan: _core.Plan,
    layers: Sequence[Layer],
    loss: losses.Loss,
    x: _core.Slot,
    target: _core.Slot,
    *,
    target_classes: bool,
    weights: _core.Slot | None,
) -> tuple[_core.Slot, _core.Slot]:
    """Record all layers and the loss, joined with the last activation where the table has the pair.

    Returns the slots of the prediction, probabilities also where the loss makes them of logits, and of the loss, a
    float64 scalar. Where the plan has gradients, d loss / d prediction starts them.
    """
    activation = FROM_LOGITS.get(type(loss)) if loss.from_logits else type(last_activation(layers))
    kernel = JOINED_LOSSES.get((activation, type(loss)))
    y = bind_layers(plan, layers, x, open_end=kernel is not None and not loss.from_logits)
    gradient = plan.gradient(y) if plan.gradients else None
    with plan.scope("loss"):
        if kernel is None:
            value = loss.bind(plan, y, target, target_classes=target_classes, gradient=gradient, weights=weights)
            return y, value
        value = plan.kept((2,))
        prediction = plan.tensor(y.shape)
        classes = {"target_classes": target_classes} if loss.takes_classes else {}
        kernel(plan, y, target, value, probabilities=prediction, gradient=gradient, weights=weights, **classes)
    return prediction, value


def last_activation(layers: Sequence[Layer]) -> activations.ActivationFunction | None:
    """Return the activation that the last layer ends with: None where it has none, such as pooling."""
    return activation_of(layers[-1]) if layers else None


def activation_of(layer: Layer) -> activations.ActivationFunction | None:
    """Return the activation that a layer ends with or is; None where it has none."""
    activation = layer.__dict__.get("activation")
    return activation if isinstance(activation, activations.ActivationFunction) else None


def refuse_mismatch(layers: Sequence[Layer], loss: losses.Loss) -> None:
    """Raise ``OptionError`` for a loss of probabilities after a layer that gives none, and the other way round."""
    ending = [layer for layer in layers if not isinstance(layer, (Dropout, Flatten))]
    others = NO_PROBABILITIES.get(type(loss))
    if not ending or others is None:
        return
    binary = isinstance(loss, losses.BinaryCrossEntropy)
    wanted: type[activations.ActivationFunction] = activations.Sigmoid if binary else activations.Softmax
    name = registry.name_of("activation", wanted)
    activation, layer = activation_of(ending[-1]), ending[-1].name or type(ending[-1]).__name__
    kind = type(loss).__name__
    if type(activation) is activations.Linear and not loss.from_logits:
        raise OptionError(
            f'layer {layer!r} is linear, but {kind} takes probabilities: give it activation="{name}", '
            f"or use loss=rn.losses.{kind}(from_logits=True)"
        )
    if type(activation) in others and not loss.from_logits:
        other = ""
        if isinstance(activation, activations.Sigmoid):
            other = '; for outputs that are each yes or no, loss="binary_cross_entropy"'
        elif isinstance(activation, activations.Softmax):
            other = '; for one class of several, loss="cross_entropy"'
        raise OptionError(
            f"layer {layer!r} ends with {registry.name_of('activation', type(activation))}, but {kind} takes the "
            f'probabilities that {name} gives: use activation="{name}" (of a RedeNeural: output_activation){other}'
        )
    if type(activation) is wanted and loss.from_logits:
        raise OptionError(
            f"layer {layer!r} ends with {name}, but {kind}(from_logits=True) takes logits: "
            f"leave out the activation, or use {kind}() without from_logits"
        )
    if type(activation) is wanted:
        _refuse_layers_after_probabilities(layers, ending, wanted, kind)


def _refuse_layers_after_probabilities(
    layers: Sequence[Layer], ending: Sequence[Layer], wanted: type[activations.ActivationFunction], loss: str
) -> None:
    """Raise ``OptionError`` where what ``wanted`` gave goes through it again, or through dropout."""
    name, last = registry.name_of("activation", wanted), ending[-1]
    if isinstance(last, Activation) and len(ending) > 1 and type(activation_of(ending[-2])) is wanted:
        raise OptionError(
            f"layer {last.name or type(last).__name__!r} is a second {name}: layer {ending[-2].name!r} gives the "
            f"probabilities that {loss} takes; leave one of them out"
        )
    for layer in layers[layers.index(last) + 1 :]:
        if isinstance(layer, Dropout):
            raise OptionError(
                f"layer {layer.name!r} drops some of the probabilities that {loss} takes: put it before the layer that "
                f"gives them, {last.name!r}"
            )
