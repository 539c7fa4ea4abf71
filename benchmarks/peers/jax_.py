"""JAX: jitted functions of arrays that are on the device already, channels last, which its CPU convolutions take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import nets
from benchmarks.peers import arrays
from benchmarks.work import Call, Calls, Conv, Step, Work

AXES = ("NHWC", "HWIO", "NHWC")


def versions() -> str:
    return f"JAX {jax.__version__}"


def start(threads: int) -> None:
    """Leave the threads to the affinity mask, which is all that JAX follows."""


def prepare(work: Work) -> Calls:
    if isinstance(work, Conv):
        return {"jax": conv(work)}
    if isinstance(work, Step):
        return {"jax": train(work) if work.mode == "train" else predict(work)}
    return {}


def channels_last(x: Any) -> Any:
    """Return images (n, c, h, w) as (n, h, w, c), and rows as they are."""
    return jnp.asarray(np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x)


def kernel_last(weight: Any) -> Any:
    """Return weights (filters, channels, h, w) as (h, w, channels, filters)."""
    return jnp.asarray(np.ascontiguousarray(weight.transpose(2, 3, 1, 0)))


def conv(work: Conv) -> Call:
    x, weight, dy = arrays.conv(work)
    x_, weight_, dy_ = channels_last(x), kernel_last(weight), channels_last(dy)

    def forward(x: Any, weight: Any) -> Any:
        return lax.conv_general_dilated(
            x,
            weight,
            (work.stride, work.stride),
            [(work.padding, work.padding)] * 2,
            rhs_dilation=(work.dilation, work.dilation),
            dimension_numbers=AXES,
            feature_group_count=work.groups,
        )

    function = {
        "forward": lambda x, w, dy: forward(x, w),
        "weights": lambda x, w, dy: jax.vjp(lambda w: forward(x, w), w)[1](dy)[0],
        "input": lambda x, w, dy: jax.vjp(lambda x: forward(x, w), x)[1](dy)[0],
    }[work.part]
    compiled = jax.jit(function)
    return lambda: compiled(x_, weight_, dy_).block_until_ready()


def parameters_of(net: nets.Net) -> list[dict[str, Any]]:
    """Return the initial weights; the rows of the first Dense after an image in the order of channels last."""
    made = []
    image, height = len(net.input_shape) > 1, net.input_shape[-1]
    weights = iter(nets.initial_weights(net))
    for layer in net.layers:
        if isinstance(layer, nets.Pool):
            height //= 2
        elif isinstance(layer, nets.GlobalPool):
            height = 1
        elif isinstance(layer, nets.Conv):
            height += 2 * layer.padding - 2
            own: dict[str, Any] = dict(next(weights))
            made.append({**own, "weight": kernel_last(own["weight"])})
        elif isinstance(layer, nets.BatchNorm):
            made.append(dict(next(weights)))
        elif isinstance(layer, nets.Dense):
            own = dict(next(weights))
            weight = own["weight"]
            if image:
                weight = weight.reshape(layer.units, -1, height, height).transpose(0, 2, 3, 1)
                image = False
            made.append({"weight": np.ascontiguousarray(weight.reshape(layer.units, -1).T), "bias": own["bias"]})
    return jax.tree.map(jnp.array, made)  # type: ignore[no-any-return]


def forward(net: nets.Net, parameters: list[dict[str, Any]], x: Any, key: Any = None) -> tuple[Any, list[Any]]:
    """Return the outputs, logits where the net ends in a softmax, and new running statistics; training with ``key``."""
    rest = iter(parameters)
    statistics: list[Any] = []
    for number, layer in enumerate(net.layers):
        if isinstance(layer, nets.Dense):
            own = next(rest)
            x = x.reshape(len(x), -1) @ own["weight"] + own["bias"]
        elif isinstance(layer, nets.Conv):
            own = next(rest)
            x = lax.conv_general_dilated(x, own["weight"], (1, 1), [(layer.padding,) * 2] * 2, dimension_numbers=AXES)
            x = x + own["bias"] if layer.use_bias else x
        elif isinstance(layer, nets.BatchNorm):
            own = next(rest)
            mean, var = own["running_mean"], own["running_var"]
            if key is not None:
                count = x.size // x.shape[-1]
                old_mean, old_var, mean, var = mean, var, x.mean((0, 1, 2)), x.var((0, 1, 2))
                statistics.append((0.9 * old_mean + 0.1 * mean, 0.9 * old_var + 0.1 * var * (count / (count - 1))))
            x = (x - mean) * (own["weight"] * lax.rsqrt(var + 1e-5)) + own["bias"]
        elif isinstance(layer, nets.Pool):
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        elif isinstance(layer, nets.GlobalPool):
            x = x.mean((1, 2))
        elif isinstance(layer, nets.Dropout) and key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - layer.rate, x.shape)
            x = jnp.where(kept, x / (1 - layer.rate), 0.0)
        elif isinstance(layer, nets.Activation) and layer.name != "softmax":
            x = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[layer.name](x)
    return x, statistics


def predict(work: Step) -> Call:
    net = nets.NETS[work.net]
    parameters = parameters_of(net)
    x = channels_last(nets.samples(net, work.batch)[0])
    softmax = net.activations[-1] == "softmax"

    def outputs(parameters: Any, x: Any) -> Any:
        y, _ = forward(net, parameters, x)
        return jax.nn.softmax(y) if softmax else y

    compiled = jax.jit(outputs)
    return lambda: compiled(parameters, x).block_until_ready()


def train(work: Step) -> Call:
    net = nets.NETS[work.net]
    images, targets = nets.samples(net, work.batch)
    x, y = channels_last(images), jnp.asarray(targets)

    def loss_of(parameters: Any, key: Any) -> tuple[Any, list[Any]]:
        outputs, statistics = forward(net, parameters, x, key)
        if net.loss == "mse":
            return ((outputs - y) ** 2).mean(), statistics
        return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1).mean(), statistics

    def sgd(parameters: Any, gradients: Any, state: Any, count: Any) -> tuple[Any, Any]:
        velocity = jax.tree.map(lambda v, g: nets.MOMENTUM * v + g, state, gradients)
        return jax.tree.map(lambda p, v: p - nets.LEARNING_RATE * v, parameters, velocity), velocity

    def adam(parameters: Any, gradients: Any, state: Any, count: Any) -> tuple[Any, Any]:
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], gradients)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], gradients)
        rate = 1e-3 / (1 - 0.9**count)
        root = jnp.sqrt(1 - 0.999**count)
        moved = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), parameters, mean, square)
        return moved, (mean, square)

    update = {"sgd": sgd, "adam": adam}[work.optimizer]

    def step(parameters: Any, state: Any, count: Any) -> tuple[Any, Any, Any, Any]:
        key = jax.random.fold_in(jax.random.key(0), count)
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters, key)
        parameters, state = update(parameters, gradients, state, count + 1.0)
        pairs = iter(statistics)
        for own in parameters:
            if "running_mean" in own:
                own["running_mean"], own["running_var"] = next(pairs)
        return parameters, state, count + 1, loss

    compiled = jax.jit(step, donate_argnums=(0, 1))
    parameters = parameters_of(net)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    held = [parameters, zeros if work.optimizer == "sgd" else (zeros, jax.tree.map(jnp.copy, zeros)), jnp.asarray(0)]

    def call() -> object:
        held[:], loss = (result := compiled(*held))[:3], result[3]
        return loss.block_until_ready()

    return call
