"""One list of layers in small nets: every test of layers goes over it."""

from __future__ import annotations

from collections.abc import Callable

import rn
from rn.layers import (
    ELU,
    GELU,
    SELU,
    Activation,
    Atan,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    HardSigmoid,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2D,
    Mish,
    Normalization,
    ReLU,
    Reshape,
    Residual,
    Sigmoid,
    Sin,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout2D,
    Swish,
    Tanh,
    UpSampling2D,
    ZeroPad2D,
)

IMAGE = (2, 6, 5)
LAYERS: dict[str, tuple[tuple[int, ...], Callable[[], list[Layer]]]] = {
    "dense": ((7,), lambda: [Dense(5)]),
    "dense without bias": ((7,), lambda: [Dense(5, use_bias=False)]),
    **{
        f"dense {name}": ((7,), lambda name=name: [Dense(5, name), Dense(3)])
        for name in rn.registry.names("activation")
        if name != "argmax"
    },
    "dense leaky_relu(0.3)": ((7,), lambda: [Dense(5, rn.activations.LeakyReLU(0.3)), Dense(3)]),
    **{
        f"{type(layer()).__name__} apart": ((7,), lambda layer=layer: [layer(), Dense(4), layer(), Dense(3)])
        for layer in (Linear, ReLU, LeakyReLU, Sigmoid, Tanh, Softmax)
    },
    **{
        f"{type(layer()).__name__} apart": ((7,), lambda layer=layer: [layer(), Dense(4), layer(), Dense(3)])
        for layer in (ELU, GELU, SELU, HardSigmoid, Mish, Sin, Atan, Softplus, Softsign, Swish)
    },
    **{
        f"dense {name} and conv": (IMAGE, lambda name=name: [Conv2D(3, 3, name), Flatten(), Dense(4, name), Dense(2)])
        for name in ("elu", "selu", "gelu", "mish", "swish", "softplus", "atan")
    },
    "elu(0.3)": ((7,), lambda: [Dense(5, rn.activations.ELU(0.3)), Dense(3)]),
    "regularized": (
        IMAGE,
        lambda: [
            *(Conv2D(3, 2, kernel_regularizer="l2"), Residual([Conv2D(3, 1, kernel_regularizer="l1")])),
            *(Conv2DTranspose(2, 2, kernel_regularizer="l1_l2"), Flatten(), Dense(3, kernel_regularizer="l2")),
        ],
    ),
    "activation by name": ((7,), lambda: [Dense(4), Activation("tanh"), Dense(3)]),
    "softmax of channels": (IMAGE, lambda: [Softmax(), Conv2D(2, 2)]),
    "conv": (IMAGE, lambda: [Conv2D(3, 3), Conv2D(2, 2)]),
    "conv without bias": (IMAGE, lambda: [Conv2D(3, 3, use_bias=False)]),
    "conv relu": (IMAGE, lambda: [Conv2D(3, 3, "relu"), Conv2D(2, 2, "tanh")]),
    "conv same": (IMAGE, lambda: [Conv2D(3, 3, padding="same"), Conv2D(2, 2, padding="same")]),
    "conv strides": (IMAGE, lambda: [Conv2D(3, 1), Conv2D(2, 3, strides=2, padding=1)]),
    "conv uneven": (IMAGE, lambda: [Conv2D(3, (2, 3), strides=(2, 1), padding=(0, 2)), Conv2D(2, (3, 2))]),
    "conv dilation": (IMAGE, lambda: [Conv2D(3, 1), Conv2D(2, 2, dilation=(3, 2), padding=1)]),
    "conv same strides": (IMAGE, lambda: [Conv2D(3, 1), Conv2D(2, 3, strides=(2, 3), padding="same", dilation=2)]),
    "conv groups": (IMAGE, lambda: [Conv2D(4, 1), Conv2D(6, 3, groups=2, padding=1)]),
    "conv depthwise": (IMAGE, lambda: [Conv2D(4, 1), Conv2D(4, 3, groups=4, padding=1)]),
    "max pool": (IMAGE, lambda: [Conv2D(3, 1), MaxPool2D(2)]),
    "max pool overlapping": (IMAGE, lambda: [Conv2D(3, 1), MaxPool2D(3, 2, padding=1)]),
    "max pool same": (IMAGE, lambda: [Conv2D(3, 1), MaxPool2D((2, 3), 1, padding="same")]),
    "avg pool": (IMAGE, lambda: [Conv2D(3, 1), AvgPool2D(2)]),
    "avg pool overlapping": (IMAGE, lambda: [Conv2D(3, 1), AvgPool2D(3, (1, 2), padding=1)]),
    "avg pool same": (IMAGE, lambda: [Conv2D(3, 1), AvgPool2D(2, 3, padding="same")]),
    "flatten": (IMAGE, lambda: [Conv2D(3, 1), Flatten(), Dense(3)]),
    "flatten first": (IMAGE, lambda: [Flatten(), Dense(3)]),
    "dropout": ((7,), lambda: [Dense(9), Dropout(0.4), Dense(3), Dropout(0.2)]),
    "dropout of images": (IMAGE, lambda: [Dropout(0.3), Conv2D(3, 2), Dropout(0.5)]),
    "conv transpose": (IMAGE, lambda: [Conv2D(3, 1), Conv2DTranspose(2, 3, "relu"), Conv2D(2, 2)]),
    "conv transpose strides": (
        IMAGE,
        lambda: [
            Conv2D(3, 1),
            Conv2DTranspose(4, 3, "tanh", strides=2, padding=1, output_padding=(1, 0)),
            Conv2D(2, 1),
        ],
    ),
    "conv transpose same": (
        IMAGE,
        lambda: [Conv2DTranspose(4, (2, 3), strides=(3, 2), padding="same", use_bias=False)],
    ),
    "conv transpose groups": (
        IMAGE,
        lambda: [Conv2D(4, 1), Conv2DTranspose(6, 2, groups=2, dilation=2, strides=2), Conv2D(2, 2)],
    ),
    "reshape": (IMAGE, lambda: [Conv2D(4, 1), Reshape((2, -1, 5)), Conv2D(2, 2)]),
    "zero pad": (IMAGE, lambda: [Conv2D(3, 1), ZeroPad2D(((1, 0), (2, 3))), Conv2D(2, 2)]),
    "up sampling": (IMAGE, lambda: [Conv2D(3, 1), UpSampling2D((2, 3)), Conv2D(2, 2)]),
    "spatial dropout": (IMAGE, lambda: [Conv2D(6, 1), SpatialDropout2D(0.4), Conv2D(3, 2)]),
    "layer norm": ((7,), lambda: [Dense(9), LayerNorm(), Dense(3), LayerNorm(use_scale=False)]),
    "layer norm of images": (IMAGE, lambda: [Conv2D(3, 1), LayerNorm(0.1, use_bias=False), Conv2D(2, 2)]),
    "normalization": ((3,), lambda: [Normalization([1.0, -2.0, 0.5], [4.0, 0.25, 0.0]), Dense(4), Tanh(), Dense(2)]),
    "normalization inside": (IMAGE, lambda: [Conv2D(3, 2), Normalization(0.3, 0.01), ReLU(), Conv2D(2, 2)]),
    "batch norm": (
        (7,),
        lambda: [
            Dense(9, use_bias=False),
            BatchNorm(),
            Tanh(),
            Dense(3, use_bias=False),
            BatchNorm(0.3, 0.01, use_scale=False),
        ],
    ),
    "batch norm first": (IMAGE, lambda: [BatchNorm(use_bias=False), Conv2D(2, 2)]),
    "batch norm relu": (
        (7,),
        lambda: [
            Dense(9, use_bias=False),
            BatchNorm(),
            ReLU(),
            Dense(3, use_bias=False),
            BatchNorm(),
            LeakyReLU(),
            Dense(2),
        ],
    ),
    "batch norm of images": (
        IMAGE,
        lambda: [
            Conv2D(3, 2, use_bias=False),
            BatchNorm(),
            ReLU(),
            Conv2D(2, 2, use_bias=False),
            BatchNorm(),
            LeakyReLU(0.3),
        ],
    ),
    "batch norm tanh": (IMAGE, lambda: [Conv2D(3, 2, use_bias=False), BatchNorm(), Tanh(), Conv2D(2, 2)]),
    "global avg pool": (IMAGE, lambda: [Conv2D(4, 1), GlobalAvgPool2D(), Dense(3)]),
    "global max pool": (IMAGE, lambda: [Conv2D(4, 1), GlobalMaxPool2D(), Dense(3)]),
    "residual with batch norm": (
        IMAGE,
        lambda: [
            Conv2D(3, 1),
            Residual([Conv2D(3, 3, padding=1, use_bias=False), BatchNorm(), ReLU()]),
            GlobalAvgPool2D(),
        ],
    ),
    "residual": (
        (7,),
        lambda: [Residual([Dense(7, "tanh")]), Dense(5), Residual([Dense(5, "relu")], activation="tanh")],
    ),
    "residual projected": ((7,), lambda: [Residual([Dense(4, "tanh"), Dense(5)]), Dense(3)]),
    "residual of images": (
        IMAGE,
        lambda: [
            *(Conv2D(3, 1), Residual([Conv2D(3, 3, "relu", padding=1), Conv2D(3, 3, padding=1)], activation="relu")),
            *(Residual([Conv2D(4, 3, padding=1, strides=2), LayerNorm()]), Conv2D(2, 1)),
        ],
    ),
    "residual in residual": (
        (6,),
        lambda: [Dense(5), Residual([Dense(5, "tanh"), Dropout(0.3), Residual([Dense(5, "tanh")])], [Dense(5)])],
    ),
    "digits": (
        (1, 12, 12),
        lambda: [
            *(Conv2D(2, 3, "relu"), MaxPool2D(2), Conv2D(3, 2, "relu"), MaxPool2D(2)),
            *(Flatten(), Dense(6, "relu"), Dropout(0.2), Dense(4, "tanh")),
        ],
    ),
}
