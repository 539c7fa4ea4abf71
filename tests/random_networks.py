"""Random networks, trained three steps here and in PyTorch: ``python -m tests.random_networks 500``.

A network, its options, loss and optimizer follow from one seed; both libraries start from the same weights. Each
tensor's distance to PyTorch in float64 must be at most 1e-4, or three times the distance of PyTorch in float32 to
PyTorch in float64: adaptive optimizers amplify noise where a gradient is zero, and then float32 itself is that far off.
The report counts the nets that needed the second bound. Where even that is passed, the float32 run is repeated three
times on samples an ulp beside these, and the largest distance counts: a gradient that is noise has one of any sign.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

import rn
from rn import layers
from tests.torch_twin import ACTIVATIONS, Tensor, Twin

__all__ = ["Comparison", "Network", "compare", "draw"]

STEPS = 3
BOUND = 1e-4
FACTOR = 3.0  # of PyTorch's own float32

Layers = list[layers.Layer]


@dataclass
class Network:
    """A drawn network: a compiled model, its samples, and how PyTorch does the same."""

    model: rn.Sequencial
    x: np.ndarray  # (steps, n, *input_shape)
    y: np.ndarray
    logits: bool  # the loss takes what the last layer gives before its activation
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
    words: str


@dataclass
class Comparison:
    """The distances of a network's tensors to PyTorch in float64, the largest difference of an element."""

    words: str
    ours: dict[str, float] = field(default_factory=dict)
    theirs: dict[str, float] = field(default_factory=dict)  # of PyTorch in float32

    @property
    def needs_factor(self) -> bool:
        """Whether some tensor is beyond the first bound."""
        return any(distance > BOUND for distance in self.ours.values())

    @property
    def failures(self) -> list[str]:
        """The tensors beyond both bounds."""
        return [
            f"{key}: {distance:.2e} from PyTorch in float64, whose float32 is {self.theirs[key]:.2e} away"
            for key, distance in self.ours.items()
            if not distance <= max(BOUND, FACTOR * self.theirs[key])
        ]


class Dice:
    """Choices from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def of(self, *choices: Any) -> Any:
        """Return one of ``choices``."""
        return choices[self.rng.integers(len(choices))]

    def whole(self, low: int, high: int) -> int:
        """Return a whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def yes(self, chance: float = 0.5) -> bool:
        """Return True with this chance."""
        return bool(self.rng.random() < chance)


def hidden_activation(dice: Dice) -> Any:
    """Return an activation's name, or an object with an argument of its own."""
    names = [name for name in rn.registry.names("activation") if name in ACTIVATIONS and name != "softmax"]
    name = dice.of(*names)
    return rn.activations.LeakyReLU(0.2) if name == "leaky_relu" and dice.yes() else name


def convolution(dice: Dice, shape: tuple[int, ...]) -> layers.Layer | None:
    """Return a convolution, plain or transposed, that fits images of ``shape``; None where the drawn one does not."""
    channels, height, width = shape
    groups = dice.of(1, 1, 1, channels) if channels <= 8 else 1
    filters = groups * dice.whole(1, 6 if groups == 1 else 2)
    kernel, strides, dilation = (dice.whole(1, 3), dice.whole(1, 3)), dice.whole(1, 2), dice.of(1, 1, 2)
    options = {"groups": groups, "use_bias": dice.yes(0.8), "strides": strides, "dilation": dilation}
    padding = dice.of("valid", "same", 1, (0, 1))
    if min(height, width) < dilation * 2 + 1:
        return None
    if dice.yes(0.2) and height * width * strides**2 <= 400:
        transposed: dict[str, Any] = {"padding": padding if padding in ("valid", "same") else 0, **options}
        return layers.Conv2DTranspose(filters, kernel, hidden_activation(dice), **transposed)
    return layers.Conv2D(filters, kernel, hidden_activation(dice), padding=padding, **options)


def pooling(dice: Dice, shape: tuple[int, ...]) -> layers.Layer | None:
    """Return a pooling that fits."""
    if min(shape[1:]) < 3:
        return None
    size = dice.of(2, 3, (2, 3))
    strides, padding = dice.of(None, 1, 2), dice.of("valid", "same", 1)
    return dice.of(layers.MaxPool2D, layers.AvgPool2D)(size, strides, padding)


def other_for_images(dice: Dice, shape: tuple[int, ...]) -> layers.Layer | None:
    """Return one of the layers that only images know."""
    channels, height, width = shape
    kind = dice.of("pad", "up", "dropout", "residual", "reshape")
    if kind == "pad":
        return layers.ZeroPad2D(((dice.whole(0, 2), 1), (0, dice.whole(0, 2))))
    if kind == "up":
        return layers.UpSampling2D((2, dice.whole(1, 2))) if height * width < 60 else None
    if kind == "dropout":
        return layers.SpatialDropout2D(dice.of(0.2, 0.5))
    if kind == "reshape":
        return layers.Reshape((channels, width, height))
    filters = dice.of(channels, channels, channels + 1)
    inside: Layers = [
        layers.Conv2D(filters, 3, hidden_activation(dice), padding=1),
        layers.Conv2D(filters, 3, padding="same"),
    ]
    return layers.Residual(inside, activation=dice.of(None, "relu"))


def anywhere(dice: Dice, shape: tuple[int, ...]) -> layers.Layer:
    """Return a layer that takes any shape."""
    choices: list[Callable[[], layers.Layer]] = [
        lambda: layers.Activation(hidden_activation(dice)),
        lambda: layers.Dropout(dice.of(0.1, 0.4)),
    ]
    if np.prod(shape) > 2:  # two numbers normalised are -1 and 1, whatever they were: the gradient is noise
        choices.append(lambda: layers.LayerNorm(use_bias=dice.yes()))
    choices += [lambda: layers.BatchNorm(use_scale=dice.yes(0.8))] * 2
    choices.append(lambda: layers.Normalization(dice.of(0.0, 0.3), dice.of(0.5, 2.0)))
    return dice.of(*choices)()


def image_part(dice: Dice, shape: tuple[int, ...]) -> tuple[Layers, tuple[int, ...]]:
    """Return layers over images, and the shape that they give."""
    made: Layers = []
    for _ in range(dice.whole(1, 4)):
        kind = dice.of(convolution, convolution, pooling, other_for_images, None)
        layer = anywhere(dice, shape) if kind is None else kind(dice, shape)
        if layer is None:
            continue
        grown = output_of(layer, shape)
        if np.prod(grown) <= 2000:
            made.append(layer)
            shape = grown
    ending = dice.of("Flatten", "Flatten", "GlobalAvgPool2D", "GlobalMaxPool2D")
    last = getattr(layers, ending, layers.Flatten)()
    return [*made, last], output_of(last, shape)


def output_of(layer: layers.Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a copy of ``layer`` gives for samples of ``shape``."""
    model = rn.Sequencial([layers.base.restored(layers.base.described(layer))], input_shape=shape, seed=0)
    assert model.network is not None
    return model.network.output_shape


def vector_part(dice: Dice, features: int) -> Layers:
    """Return layers over vectors."""
    made: Layers = []
    for _ in range(dice.whole(0, 3)):
        if dice.yes(0.6):
            features = dice.whole(2, 12)
            made.append(layers.Dense(features, hidden_activation(dice), use_bias=dice.yes(0.8)))
        elif dice.yes(0.3):
            made.append(layers.Residual([layers.Dense(features, "tanh")]))
        else:
            made.append(anywhere(dice, (features,)))
    return made


def ending(dice: Dice, n: int) -> tuple[layers.Layer, Any, np.ndarray, bool, Callable[[Tensor, Tensor], Tensor]]:
    """Return the last layer, the loss, targets (steps, n, …), whether PyTorch's loss takes logits, and that loss."""
    outputs, rng = dice.whole(2, 5), dice.rng
    values = rng.normal(size=(STEPS, n, outputs)).astype(np.float32)
    between = rng.uniform(size=values.shape).astype(np.float32)
    shares = (between / between.sum(axis=2, keepdims=True)).astype(np.float32)
    classes = rng.integers(0, outputs, (STEPS, n))
    delta = dice.of(0.5, 1.0)
    dense, own = layers.Dense, rn.losses
    logits = F.binary_cross_entropy_with_logits
    plain = dense(outputs, dice.of(None, "tanh"))
    endings: list[tuple[layers.Layer, Any, np.ndarray, bool, Callable[[Tensor, Tensor], Tensor]]] = [
        (dense(outputs, "softmax"), "cross_entropy", dice.of(classes, shares), True, F.cross_entropy),
        (dense(outputs), own.CrossEntropy(from_logits=True), dice.of(classes, shares), False, F.cross_entropy),
        (dense(outputs, "sigmoid"), "binary_cross_entropy", between, True, logits),
        (dense(outputs), own.BinaryCrossEntropy(from_logits=True), between, False, logits),
        (dense(outputs, "softmax"), "kl_divergence", shares, True, divergence),
        (dense(outputs, "softplus"), "msle", between, False, lambda y, t: F.mse_loss(torch.log1p(y), torch.log1p(t))),
        (plain, own.Huber(delta), values, False, lambda y, t: F.huber_loss(y, t, delta=delta)),
        (plain, "rmse", values, False, lambda y, t: F.mse_loss(y, t).sqrt()),
        (plain, "hinge", np.sign(values), False, lambda y, t: (1.0 - t * y).clamp(min=0.0).mean()),
        (plain, "mse", values, False, F.mse_loss),
        (plain, "mae", values, False, F.l1_loss),
    ]
    return endings[dice.whole(0, len(endings) - 1)]


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Return Kullback and Leibler's divergence of softmax(logits) from the target, the mean over samples."""
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="batchmean")


def optimizers(dice: Dice) -> tuple[Any, Callable[[list[Tensor]], torch.optim.Optimizer]]:
    """Return the same optimizer twice."""
    own, theirs = rn.optimizers, torch.optim
    momentum, nesterov, decay = dice.of(0.0, 0.9), dice.yes(), dice.of(0.0, 0.01)
    clipping: dict[str, float] = dice.of({}, {}, {"clip_norm": 0.5}, {"clip_value": 0.05})
    options: dict[str, Any] = {"weight_decay": decay, **clipping}
    choices: list[tuple[Any, Callable[[list[Tensor]], torch.optim.Optimizer]]] = [
        (
            own.SGD(0.05, momentum=momentum, nesterov=nesterov and momentum > 0, **options),
            lambda p: theirs.SGD(p, 0.05, momentum, nesterov=nesterov and momentum > 0, weight_decay=decay),
        ),
        (own.Adam(**options), lambda p: theirs.Adam(p, weight_decay=decay)),
        (own.AdamW(**options), lambda p: theirs.AdamW(p, weight_decay=decay)),
        (own.AMSGrad(**options), lambda p: theirs.Adam(p, weight_decay=decay, amsgrad=True)),
        (own.Nadam(**options), lambda p: theirs.NAdam(p, weight_decay=decay)),
        (own.Adagrad(**options), lambda p: theirs.Adagrad(p, weight_decay=decay)),
        (own.Adadelta(**options), lambda p: theirs.Adadelta(p, weight_decay=decay)),
        (
            own.RMSProp(momentum=momentum, centered=nesterov, **options),
            lambda p: theirs.RMSprop(p, momentum=momentum, centered=nesterov, weight_decay=decay),
        ),
    ]
    return choices[dice.whole(0, len(choices) - 1)]


def clip(optimizer: rn.optimizers.Optimizer, parameters: list[Tensor]) -> None:
    """Clip PyTorch's gradients as rn's optimizer clips its own."""
    if optimizer.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, optimizer.clip_norm)
    if optimizer.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, optimizer.clip_value)


def draw(seed: int) -> Network:
    """Return the network of this seed."""
    dice = Dice(seed)
    n = dice.of(3, 5, 7)  # odd: signs, the gradient of mae, never add up to a 0 that is but noise
    if dice.yes(0.7):
        shape: tuple[int, ...] = (dice.whole(1, 4), dice.whole(4, 11), dice.whole(4, 11))
        images, (features,) = image_part(dice, shape)
    else:
        shape = (dice.whole(1, 10),)
        images, features = [], shape[0]
    last, loss, y, logits, torch_loss = ending(dice, n)
    stack = [*images, *vector_part(dice, features), last]
    own, theirs = optimizers(dice)
    model = rn.Sequencial(stack, input_shape=shape, seed=seed)
    model.compile(own, loss)
    x = dice.rng.normal(size=(STEPS, n, *shape)).astype(np.float32)
    words = f"{seed}: {shape} -> {', '.join(map(repr, stack))}; {own!r}, {model.loss!r}, batch {n}"
    return Network(model, x, y, logits, torch_loss, theirs, words)


def trained(network: Network, dtype: Any) -> dict[str, np.ndarray]:
    """Return PyTorch's tensors after the steps."""
    twin = Twin(network.model, dtype)
    optimizer = network.optimizer(list(twin.parameters.values()))
    for step in range(STEPS):
        optimizer.zero_grad()
        y = twin(twin.tensor(network.x[step]), training=True, step=step, logits=network.logits)
        network.loss(y, twin.tensor(network.y[step])).backward()
        clip(network.model.optimizer, list(twin.parameters.values()))
        optimizer.step()
    return {key: value.detach().double().numpy() for key, value in twin.state.items()}


def compare(network: Network) -> Comparison:
    """Train here and in PyTorch and return the distances."""
    exact, single = trained(network, torch.float64), trained(network, torch.float32)
    model = copy.deepcopy(network.model)  # the drawn one keeps its first weights
    for step in range(STEPS):
        model.train_on_batch(network.x[step], network.y[step])
    comparison = Comparison(network.words)
    for key, value in model.state_dict().items():
        comparison.ours[key] = float(np.abs(value - exact[key]).max(initial=0))
        comparison.theirs[key] = float(np.abs(single[key] - exact[key]).max(initial=0))
    if comparison.failures:  # where a gradient is all noise, one draw of it says little: three more, an ulp beside it
        for again in range(3):
            ulps = np.random.default_rng(again).integers(-1, 2, network.x.shape).astype(np.float32)
            beside = trained(replace(network, x=network.x * (1.0 + ulps * np.float32(2.0**-23))), torch.float32)
            for key, distance in comparison.theirs.items():
                comparison.theirs[key] = max(distance, float(np.abs(beside[key] - exact[key]).max(initial=0)))
    return comparison


def main() -> None:
    """Compare as many networks as asked for and report; fail where one is beyond both bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.random_networks", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    noisy = failed = 0
    for seed in range(options.first, options.first + options.count):
        comparison = compare(draw(seed))
        noisy += comparison.needs_factor
        for failure in comparison.failures:
            print(f"{comparison.words}\n    {failure}")
        failed += bool(comparison.failures)
    print(f"{options.count} networks: {failed} failed; {noisy} needed the bound of {FACTOR:g} times PyTorch's float32")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
