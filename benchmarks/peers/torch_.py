"""PyTorch, eager: tensors in, in its two memory layouts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks import nets
from benchmarks.peers import arrays
from benchmarks.work import Call, Calls, Conv, Gemm, Step, Work

LAYOUTS = {"torch": torch.contiguous_format, "torch channels_last": torch.channels_last}


def versions() -> str:
    return f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"


def start(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    torch.set_flush_denormal(True)  # off unless asked for; rn and JAX train without denormals too


def prepare(work: Work) -> Calls:
    if isinstance(work, Gemm):
        return {"torch": gemm(work)}
    if isinstance(work, Conv):
        return {name: conv(work, layout) for name, layout in LAYOUTS.items()}
    if isinstance(work, Step):
        images = len(nets.NETS[work.net].input_shape) > 1
        layouts = LAYOUTS if images else {"torch": torch.contiguous_format}
        return {name: step(work, layout) for name, layout in layouts.items()}
    return {}


def gemm(work: Gemm) -> Call:
    a, b = (torch.from_numpy(array) for array in arrays.gemm(work))
    c = torch.empty(work.m, work.n)

    return inference(lambda: torch.mm(a, b, out=c))


def inference(call: Call) -> Call:
    """Return ``call`` without the recording of gradients."""

    def wrapped() -> object:
        with torch.inference_mode():
            return call()

    return wrapped


def conv(work: Conv, layout: Any) -> Call:
    x, weight, dy = (torch.from_numpy(array).to(memory_format=layout) for array in arrays.conv(work))
    window = [work.stride] * 2, [work.padding] * 2, [work.dilation] * 2
    if work.part == "forward":
        return inference(lambda: torch.conv2d(x, weight, None, *window, work.groups))
    by_input = work.part == "input"
    mask = [by_input, not by_input, False]
    backward = torch.ops.aten.convolution_backward.default
    arguments = dy, x, weight, None, *window, False, [0, 0], work.groups, mask
    return inference(lambda: backward(*arguments)[0 if by_input else 1])


def module(net: nets.Net) -> Any:
    """Return the net as an ``nn.Sequential`` with the initial weights, giving logits where it ends in a softmax."""
    made: list[Any] = []
    parameters = iter(nets.initial_weights(net))
    for layer in net.layers:
        if isinstance(layer, nets.Dense | nets.Conv | nets.BatchNorm):
            arrays_ = {name: torch.from_numpy(array.copy()) for name, array in next(parameters).items()}
            outputs, inputs = arrays_["weight"].shape[0], arrays_["weight"].shape[-1]
            if isinstance(layer, nets.Dense):
                made.append(nn.Linear(inputs, outputs))
            elif isinstance(layer, nets.Conv):
                channels = arrays_["weight"].shape[1]
                made.append(nn.Conv2d(channels, outputs, 3, padding=layer.padding, bias=layer.use_bias))
            else:
                made.append(nn.BatchNorm2d(outputs))
            made[-1].load_state_dict(arrays_, strict=False)
        elif isinstance(layer, nets.Pool):
            made.append(nn.MaxPool2d(2))
        elif isinstance(layer, nets.GlobalPool):
            made += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        elif isinstance(layer, nets.Dropout):
            made.append(nn.Dropout(layer.rate))
        elif isinstance(layer, nets.Flatten):
            made.append(nn.Flatten())
        elif layer.name != "softmax":
            made.append({"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[layer.name]())
    return nn.Sequential(*made)


def step(work: Step, layout: Any, compiled: bool = False) -> Call:
    net = nets.NETS[work.net]
    x, y = (torch.from_numpy(array) for array in nets.samples(net, work.batch))
    if x.ndim == 4:
        x = x.to(memory_format=layout)
    model = module(net).to(memory_format=layout)
    if work.mode == "predict":
        if net.activations[-1] == "softmax":
            model.append(nn.Softmax(1))
        model.eval()
        run = torch.compile(model) if compiled else model
        return inference(lambda: run(x))

    make_loss = nn.CrossEntropyLoss() if net.loss == "cross_entropy" else nn.MSELoss()
    rates = {"lr": nets.LEARNING_RATE, "momentum": nets.MOMENTUM} if work.optimizer == "sgd" else {}
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[work.optimizer](
        model.parameters(), fused=True, **rates
    )

    def loss_of() -> Any:
        return make_loss(model(x), y)

    measured = torch.compile(loss_of) if compiled else loss_of

    def call() -> object:
        optimizer.zero_grad()
        loss = measured()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
