"""Changing samples on their way into a model: all transforms work on whole batches and repeat exactly."""

from __future__ import annotations

from rn.data.transforms.base import Compose, Transform
from rn.data.transforms.colour import ColorJitter, Normalize
from rn.data.transforms.geometry import Cutout, HorizontalFlip, RandomAffine, RandomCrop, VerticalFlip
from rn.data.transforms.mixing import LabelSmoothing, Mixup

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "HorizontalFlip",
    "LabelSmoothing",
    "Mixup",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "Transform",
    "VerticalFlip",
]
