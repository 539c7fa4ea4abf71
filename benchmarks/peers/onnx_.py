"""ONNX Runtime: inference of graphs written here, NumPy arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks import nets
from benchmarks.peers import arrays
from benchmarks.work import Call, Calls, Conv, Step, Work

OPSET, IR_VERSION = 17, 8
_options = onnxruntime.SessionOptions()


def versions() -> str:
    return f"ONNX Runtime {onnxruntime.__version__}"


def start(threads: int) -> None:
    _options.intra_op_num_threads = threads
    _options.inter_op_num_threads = 1


def prepare(work: Work) -> Calls:
    if isinstance(work, Conv) and work.part == "forward":
        return {"onnxruntime": conv(work)}
    if isinstance(work, Step) and work.mode == "predict":
        return {"onnxruntime": predict(work)}
    return {}


class Graph:
    """A chain of nodes from "x"; ``add`` appends one that takes the last node's output and weights."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, *weights: nets.Array, **attributes: Any) -> None:
        """Append a node."""
        number = len(self.nodes)
        names = [f"w{number}_{i}" for i in range(len(weights))]
        self.weights += [numpy_helper.from_array(array, name) for array, name in zip(weights, names, strict=True)]
        source = self.nodes[-1].output[0] if self.nodes else "x"
        self.nodes.append(helper.make_node(operator, [source, *names], [f"y{number}"], **attributes))

    def call(self, x: nets.Array) -> Call:
        """Return the call that runs the graph on ``x``."""
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
        output = self.nodes[-1].output[0]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [value], [result], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        session = onnxruntime.InferenceSession(model.SerializeToString(), _options, providers=["CPUExecutionProvider"])
        names, feed = [output], {"x": x}
        return lambda: session.run(names, feed)[0]


def conv(work: Conv) -> Call:
    x, weight, _ = arrays.conv(work)
    graph = Graph()
    graph.add(
        "Conv",
        weight,
        kernel_shape=[work.kernel] * 2,
        strides=[work.stride] * 2,
        pads=[work.padding] * 4,
        dilations=[work.dilation] * 2,
        group=work.groups,
    )
    return graph.call(x)


def predict(work: Step) -> Call:
    net = nets.NETS[work.net]
    graph = Graph()
    parameters = iter(nets.initial_weights(net))
    for layer in net.layers:
        if isinstance(layer, nets.Dense):
            graph.add("Gemm", *next(parameters).values(), transB=1)
        elif isinstance(layer, nets.Conv):
            graph.add("Conv", *next(parameters).values(), kernel_shape=[3, 3], pads=[layer.padding] * 4)
        elif isinstance(layer, nets.BatchNorm):
            graph.add("BatchNormalization", *next(parameters).values(), epsilon=1e-5)
        elif isinstance(layer, nets.Pool):
            graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        elif isinstance(layer, nets.GlobalPool):
            graph.add("GlobalAveragePool")
            graph.add("Flatten")
        elif isinstance(layer, nets.Flatten):
            graph.add("Flatten")
        elif isinstance(layer, nets.Activation):
            graph.add({"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}[layer.name])
    x, _ = nets.samples(net, work.batch)
    return graph.call(np.ascontiguousarray(x))
