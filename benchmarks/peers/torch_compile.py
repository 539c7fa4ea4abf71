"""PyTorch through torch.compile, which needs a C++ compiler; whole nets only."""

from __future__ import annotations

import torch

from benchmarks import nets
from benchmarks.peers import torch_
from benchmarks.work import Calls, Step, Work

start = torch_.start


def versions() -> str:
    return f"torch.compile of {torch_.versions()}"


def prepare(work: Work) -> Calls:
    if not isinstance(work, Step):
        return {}
    images = len(nets.NETS[work.net].input_shape) > 1
    layout = torch.channels_last if images else torch.contiguous_format
    return {"torch compiled": torch_.step(work, layout, compiled=True)}
