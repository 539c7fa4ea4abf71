"""A model of rn as PyTorch computes it: the same layers over ``torch.nn.functional``, in float32 or float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

import rn
from rn import layers
from tests.reference_network import Masks

Tensor = torch.Tensor
State = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "linear": lambda x, alpha: x,
    "relu": lambda x, alpha: F.relu(x),
    "leaky_relu": lambda x, alpha: F.leaky_relu(x, alpha),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "selu": lambda x, alpha: F.selu(x),
    "gelu": lambda x, alpha: F.gelu(x),
    "sigmoid": lambda x, alpha: torch.sigmoid(x),
    "hard_sigmoid": lambda x, alpha: F.hardsigmoid(x),
    "tanh": lambda x, alpha: torch.tanh(x),
    "softplus": lambda x, alpha: F.softplus(x, threshold=1e9),
    "softsign": lambda x, alpha: F.softsign(x),
    "swish": lambda x, alpha: F.silu(x),
    "mish": lambda x, alpha: F.mish(x),
    "sin": lambda x, alpha: torch.sin(x),
    "atan": lambda x, alpha: torch.atan(x),
    "softmax": lambda x, alpha: torch.softmax(x, 1),
}


class Twin:
    """The layers of ``model`` with weights of their own, copied from it.

    ``state`` holds parameters and buffers under rn's names; parameters gather gradients. Masks of dropout are rn's.
    """

    def __init__(self, model: rn.models.Model, dtype: Any) -> None:
        self.model = model
        self.dtype = dtype
        self.state = {key: torch.tensor(value, dtype=dtype) for key, value in model.state_dict().items()}
        names = {f"{i}.{name}" for i, layer in enumerate(model.layers) for name in layer.parameters}
        self.parameters = {key: value.requires_grad_() for key, value in self.state.items() if key in names}

    def penalty(self) -> Tensor:
        """Return the sum of the penalties on regularized weights."""
        total = torch.zeros((), dtype=self.dtype)
        for i, layer in enumerate(self.model.layers):
            for name, parameter in layer._parameters.items():
                if parameter.regularizer is not None:
                    weight = self.parameters[f"{i}.{name}"]
                    total = total + parameter.regularizer.l1 * weight.abs().sum()
                    total = total + parameter.regularizer.l2 * weight.square().sum()
        return total

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return numbers as this twin's dtype; integers stay what they are."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor.long()

    def __call__(self, x: Tensor, *, training: bool = False, step: int = 0, logits: bool = False) -> Tensor:
        """Return the output; with ``logits`` that of the last layer before its activation."""
        masks = Masks(self.model.seed, step) if training else None
        return run(self.model.layers, self.state, x, masks, "", logits)


def run(
    chosen: Sequence[layers.Layer], state: State, x: Tensor, masks: Masks | None, prefix: str, logits: bool
) -> Tensor:
    """Return the output of layers one after the other; ``prefix`` begins their keys in ``state``."""
    for i, layer in enumerate(chosen):
        own = f"{prefix}{i}."
        x = one(layer, {key.removeprefix(own): a for key, a in state.items() if key.startswith(own)}, x, masks)
        activation = layer.__dict__.get("activation")
        if activation is not None and not (logits and i + 1 == len(chosen)):
            x = ACTIVATIONS[activation.kernel](x, activation.alpha)
    return x


def one(layer: layers.Layer, state: State, x: Tensor, masks: Masks | None) -> Tensor:
    """Return the output of a layer before its activation."""
    weight, bias = state.get("weight"), state.get("bias")
    if isinstance(layer, layers.Dense):
        return F.linear(x, weight, bias)
    if isinstance(layer, layers.Conv2D):
        padded = F.pad(x, (*layer._sides[1], *layer._sides[0]))
        return F.conv2d(padded, weight, bias, layer.strides, 0, layer.dilation, layer.groups)
    if isinstance(layer, layers.Conv2DTranspose):
        y = F.conv_transpose2d(x, weight, bias, layer.strides, 0, 0, layer.groups, layer.dilation)
        (top, _), (left, _) = layer._sides
        _, height, width = layer.output_shape
        below, right = (
            max(at + length - have, 0)
            for at, length, have in zip((top, left), (height, width), y.shape[2:], strict=True)
        )
        if below or right:  # rows and columns that no pixel reaches hold the bias alone
            y = F.conv_transpose2d(x, weight, None, layer.strides, 0, 0, layer.groups, layer.dilation)
            y = F.pad(y, (0, right, 0, below)) + (0 if bias is None else bias[:, None, None])
        return y[:, :, top : top + height, left : left + width]
    if isinstance(layer, layers.MaxPool2D):
        padded = F.pad(x, (*layer._sides[1], *layer._sides[0]), value=-torch.inf)
        return F.max_pool2d(padded, layer.pool_size, layer.strides)
    if isinstance(layer, layers.AvgPool2D):
        return average(x, layer) / average(torch.ones_like(x), layer)
    if isinstance(layer, layers.BatchNorm):
        running = state["running_mean"], state["running_var"]
        by_batch = masks is not None and layer.trainable
        return F.batch_norm(x, *running, weight, bias, by_batch, layer.momentum, layer.epsilon)
    if isinstance(layer, layers.Normalization):
        return F.batch_norm(x, state["mean"], state["variance"], None, None, False, 0.0, 0.0)
    if isinstance(layer, layers.GlobalAvgPool2D):
        return x.mean(dim=(2, 3))
    if isinstance(layer, layers.GlobalMaxPool2D):
        return x.flatten(2).max(dim=2).values
    if isinstance(layer, layers.Flatten | layers.Reshape):
        return x.reshape(len(x), *layer.output_shape)
    if isinstance(layer, layers.ZeroPad2D):
        return F.pad(x, (*layer.padding[1], *layer.padding[0]))
    if isinstance(layer, layers.UpSampling2D):
        return F.interpolate(x, scale_factor=tuple(map(float, layer.size)), mode="nearest")
    if isinstance(layer, layers.LayerNorm):
        return F.layer_norm(x, x.shape[1:], weight, bias, layer.epsilon)
    if isinstance(layer, layers.Residual):
        around = {key.removeprefix("shortcut."): a for key, a in state.items() if key.startswith("shortcut.")}
        main = run(layer.layers, state, x, masks, "", False)
        return main + run(layer.shortcut, around, x, masks, "", False)
    if isinstance(layer, layers.Dropout) and masks is not None:
        return x * torch.tensor(masks.next(tuple(x.shape), layer.rate), dtype=x.dtype)
    if isinstance(layer, layers.SpatialDropout2D) and masks is not None:
        return x * torch.tensor(masks.next((*x.shape[:2], 1, 1), layer.rate), dtype=x.dtype)
    return x


def average(x: Tensor, layer: layers.AvgPool2D) -> Tensor:
    """Return means over windows in which padding counts as 0."""
    padded = F.pad(x, (*layer._sides[1], *layer._sides[0]))
    return F.avg_pool2d(padded, layer.pool_size, layer.strides)
