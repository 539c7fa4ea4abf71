"""Layers: the steps that a network is made of, one a file. ``base.py`` is their contract."""

from rn.layers.activation import (
    ELU,
    GELU,
    SELU,
    Activation,
    Argmax,
    Atan,
    HardSigmoid,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Sigmoid,
    Sin,
    Softmax,
    Softplus,
    Softsign,
    Swish,
    Tanh,
)
from rn.layers.avg_pool2d import AvgPool2D
from rn.layers.base import Layer
from rn.layers.batch_norm import BatchNorm
from rn.layers.conv2d import Conv2D
from rn.layers.conv2d_transpose import Conv2DTranspose
from rn.layers.dense import Dense
from rn.layers.dropout import Dropout
from rn.layers.flatten import Flatten
from rn.layers.global_avg_pool2d import GlobalAvgPool2D
from rn.layers.global_max_pool2d import GlobalMaxPool2D
from rn.layers.input import Input
from rn.layers.layer_norm import LayerNorm
from rn.layers.max_pool2d import MaxPool2D
from rn.layers.normalization import Normalization
from rn.layers.reshape import Reshape
from rn.layers.residual import Residual
from rn.layers.spatial_dropout2d import SpatialDropout2D
from rn.layers.up_sampling2d import UpSampling2D
from rn.layers.zero_pad2d import ZeroPad2D

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Argmax",
    "Atan",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "HardSigmoid",
    "Input",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2D",
    "Mish",
    "Normalization",
    "ReLU",
    "Reshape",
    "Residual",
    "Sigmoid",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpatialDropout2D",
    "Swish",
    "Tanh",
    "UpSampling2D",
    "ZeroPad2D",
]
