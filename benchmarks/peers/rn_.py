"""rn: kernels as plans of one call, steps through the models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rn
from benchmarks import nets
from benchmarks.peers import arrays, one_image
from benchmarks.work import Call, Calls, Conv, Elementwise, Epochs, Gemm, Images, Part, Step, Work
from rn import _core
from rn.data import Draws, transforms


def versions() -> str:
    return f"rn {rn.__version__} ({_core.instruction_set()})"


def start(threads: int) -> None:
    rn.set_num_threads(threads)


def prepare(work: Work) -> Calls:
    if isinstance(work, Gemm):
        return {"rn": gemm(work)}
    if isinstance(work, Conv):
        return {"rn": conv(work)}
    if isinstance(work, Elementwise):
        return {"rn": elementwise(work)}
    if isinstance(work, Images):
        return {"rn": images(work)}
    if isinstance(work, Epochs):
        return {"rn RedeNeural": epochs(work)}
    return steps(work)


class Kernel:
    """A plan of one kernel call over arrays."""

    def __init__(self, result: tuple[int, ...], *inputs: np.ndarray[Any, Any]) -> None:
        self.plan = _core.Plan(1)
        self.inputs = [(self.plan.kept(array.shape), array) for array in inputs]
        self.slots = [slot for slot, _ in self.inputs]
        self.result = self.plan.kept(result)

    def ready(self) -> Call:
        """Seal the plan, fill its inputs, and return a call that runs it and gives the result, as light as a peer's."""
        self.plan.seal()
        for slot, array in self.inputs:
            np.asarray(self.plan.array(slot))[...] = array
        run, value = self.plan.run, self.plan.array(self.result)
        return lambda: run() or value


def gemm(work: Gemm) -> Call:
    a, b = (array.reshape(*array.shape, 1, 1) for array in arrays.gemm(work))
    kernel = Kernel((work.m, work.n, 1, 1), a, b)
    left, right = kernel.slots
    _core.gemm(kernel.plan, left, right, kernel.result)
    return kernel.ready()


def conv(work: Conv) -> Call:
    x, weight, dy = arrays.conv(work)
    pads = (work.padding, work.padding)
    window: dict[str, Any] = {
        "stride": (work.stride, work.stride),
        "padding": (pads, pads),
        "dilation": (work.dilation, work.dilation),
        "groups": work.groups,
    }
    doorways: dict[Part, tuple[Callable[..., None], Kernel]] = {
        "forward": (_core.conv2d, Kernel(dy.shape, x, weight)),
        "weights": (_core.conv2d_weight_gradient, Kernel(weight.shape, x, dy)),
        "input": (_core.conv2d_input_gradient, Kernel(x.shape, dy, weight)),
    }
    record, kernel = doorways[work.part]
    before = _core.get_winograd()
    _core.set_winograd(work.winograd and before)
    record(kernel.plan, *kernel.slots, kernel.result, **window)
    _core.set_winograd(before)
    return kernel.ready()


def iadd(x: rn.Tensor4D, y: rn.Tensor4D) -> rn.Tensor4D:
    x += y
    return x


# Operations of x, y of shape (16, 16, 4, size / 1024) and b (1, 16, 1, 1).
OPERATIONS: dict[str, Callable[[rn.Tensor4D, rn.Tensor4D, rn.Tensor4D], object]] = {
    "copy": lambda x, y, b: x.copy(),
    "negative": lambda x, y, b: -x,
    "abs": lambda x, y, b: abs(x),
    "add": lambda x, y, b: x + y,
    "add in place": lambda x, y, b: iadd(x, y),
    "add channels": lambda x, y, b: x + b,
    "multiply": lambda x, y, b: x * y,
    "multiply by number": lambda x, y, b: x * 1.5,
    "divide": lambda x, y, b: x / y,
    "square": lambda x, y, b: x**2,
    "power": lambda x, y, b: x**1.7,
    "less": lambda x, y, b: x < y,
    "clip": lambda x, y, b: x.clip(0.2, 0.8),
    "relu": lambda x, y, b: x.relu(),
    "sqrt": lambda x, y, b: x.sqrt(),
    "exp": lambda x, y, b: x.exp(),
    "log": lambda x, y, b: x.log(),
    "tanh": lambda x, y, b: x.tanh(),
    "sigmoid": lambda x, y, b: x.sigmoid(),
    "softmax": lambda x, y, b: x.softmax(),
    "sum": lambda x, y, b: x.sum(),
    "sum channels": lambda x, y, b: x.sum((0, 2, 3)),
    "mean": lambda x, y, b: x.mean(),
    "var": lambda x, y, b: x.var(),
    "norm": lambda x, y, b: x.norm(),
    "max": lambda x, y, b: x.max(),
    "argmax": lambda x, y, b: x.argmax(),
    "transpose": lambda x, y, b: x.transpose((0, 2, 3, 1)),
    "pad": lambda x, y, b: x.pad(((0, 0), (0, 0), (1, 1), (1, 1))),
    "slice": lambda x, y, b: x[2:14, :, 1:3, 1:],
}


def elementwise(work: Elementwise) -> Call:
    x, y, b = (rn.Tensor4D(array) for array in arrays.elementwise(work))
    operation = OPERATIONS[work.operation]
    return lambda: operation(x, y, b)


# Layers that an rn may lack; rows with them are left out then.
NEWER = {nets.GlobalPool: "GlobalAvgPool2D", nets.BatchNorm: "BatchNorm"}


def layers(net: nets.Net) -> list[rn.layers.Layer]:
    """Return rn's layers; an activation goes into the layer before it where that takes one."""
    made: list[rn.layers.Layer] = []
    following = [*net.layers[1:], None]
    for layer, after in zip(net.layers, following, strict=True):
        activation = after.name if isinstance(after, nets.Activation) else None
        if isinstance(layer, nets.Dense):
            made.append(rn.layers.Dense(layer.units, activation))
        elif isinstance(layer, nets.Conv):
            padding = layer.padding
            made.append(rn.layers.Conv2D(layer.filters, 3, activation, padding=padding, use_bias=layer.use_bias))
        elif isinstance(layer, nets.Pool):
            made.append(rn.layers.MaxPool2D(2))
        elif isinstance(layer, nets.Dropout):
            made.append(rn.layers.Dropout(layer.rate))
        elif isinstance(layer, nets.Flatten):
            made.append(rn.layers.Flatten())
        elif isinstance(layer, nets.GlobalPool):
            made.append(getattr(rn.layers, NEWER[nets.GlobalPool])())
        elif isinstance(layer, nets.BatchNorm):
            made.append(getattr(rn.layers, NEWER[nets.BatchNorm])())
            if activation:
                made.append(rn.layers.Activation(activation))
    return made


def load(model: rn.Sequencial | rn.RedeNeural, net: nets.Net) -> None:
    """Give ``model`` the net's initial weights."""
    weighted = [i for i, layer in enumerate(model.layers) if layer.parameters]
    state = zip(weighted, nets.initial_weights(net), strict=True)
    model.load_state_dict({f"{i}.{name}": array for i, arrays_ in state for name, array in arrays_.items()})


def steps(work: Step) -> Calls:
    net = nets.NETS[work.net]
    try:
        models: dict[str, rn.Sequencial | rn.RedeNeural] = {
            "rn": rn.Sequencial(layers(net), input_shape=net.input_shape, seed=0)
        }
    except AttributeError:  # a layer that rn does not have
        return {}
    if net.dense_only:
        hidden, output = net.activations[0], net.activations[-1]
        models["rn RedeNeural"] = rn.RedeNeural(net.sizes, activation=hidden, output_activation=output, seed=0)
    return {name: step(model, net, work) for name, model in models.items()}


def step(model: rn.Sequencial | rn.RedeNeural, net: nets.Net, work: Step) -> Call:
    load(model, net)
    x, y = nets.samples(net, work.batch)
    if work.mode == "predict":
        return lambda: model.predict(x)
    sgd = rn.optimizers.SGD(nets.LEARNING_RATE, momentum=nets.MOMENTUM)
    model.compile(sgd if work.optimizer == "sgd" else rn.optimizers.Adam(), net.loss)
    return lambda: model.train_on_batch(x, y)["loss"]


def epochs(work: Epochs) -> Call:
    model = rn.RedeNeural(work.sizes, seed=0)
    model.compile()
    rng = np.random.default_rng(0)
    each = 10  # epochs of a fit
    rows = work.steps // each * work.batch
    x, y = rng.random((rows, work.sizes[0]), np.float32), rng.random((rows, work.sizes[-1]), np.float32)
    return lambda: model.fit(x, y, epochs=each, batch_size=work.batch, verbose=0)


def images(work: Images) -> Call:
    x, others = arrays.images(work)
    chosen = transform(work.transform)
    indices = np.arange(len(x))
    draws = Draws(0, 0, indices, samples=lambda _: (others, None))
    return lambda: chosen(x, None, draws.at(0, draws.samples))[0]


def transform(name: str) -> transforms.Transform:
    """Return the transform that a row names."""
    made: dict[str, transforms.Transform] = {
        "crop": transforms.RandomCrop(32, one_image.MARGIN),
        "flip": transforms.HorizontalFlip(),
        "affine": transforms.RandomAffine(one_image.DEGREES, (one_image.SHIFT, one_image.SHIFT), (0.9, 1.1)),
        "jitter": transforms.ColorJitter(0.4, 0.4, 0.4),
        "cutout": transforms.Cutout(8),
        "normalize": transforms.Normalize(one_image.MEAN, one_image.DEVIATION),
    }
    if name == "mixup":
        return transforms.Mixup(0.2)
    return transforms.Compose(made.values()) if name == "all" else made[name]
