"""No kernel touches memory beside its tensors: each tensor lies between two pages that may be neither read nor written.

A kernel that reaches too far ends the process, so the cases run in a process of their own.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rn import _core
from tests.core import (
    test_activation,
    test_batch_norm,
    test_conv,
    test_conv_pooled,
    test_gemm,
    test_loss,
    test_optimizer,
    test_pool,
    test_random,
    test_softmax,
    test_winograd,
)
from tests.core.harness import Bench

POSIX = os.name == "posix"
PATHS = [path for path in sys.path if path]


def guarded(array: np.ndarray, side: str) -> np.ndarray:
    """Return a copy of ``array`` that begins right after, or ends right before, a forbidden page."""
    page = mmap.PAGESIZE
    room = (array.nbytes + page - 1) // page * page
    memory = mmap.mmap(-1, room + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for start in (address, address + page + room):
        assert protect(ctypes.c_void_p(start), ctypes.c_size_t(page), 0) == 0
    offset = page if side == "begin" else page + room - array.nbytes
    copy = np.frombuffer(memory, np.float32, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def guarded_bench(side: str) -> type[Bench]:
    class GuardedBench(Bench):
        def put(self, array: Any) -> Any:
            array = np.ascontiguousarray(array)
            array = array.view(np.float32) if array.dtype == np.int32 else array.astype(np.float32)
            if array.size == 0:
                return super().put(array)
            shape = array.shape + (1,) * (4 - array.ndim)
            return self.plan.bound(_core.Tensor4D.wrap(guarded(array.reshape(shape), side)))

    return GuardedBench


def run_everything(side: str) -> None:
    faulthandler.enable()
    for module in (
        test_activation,
        test_batch_norm,
        test_conv,
        test_conv_pooled,
        test_gemm,
        test_loss,
        test_optimizer,
        test_pool,
        test_random,
        test_softmax,
        test_winograd,
    ):
        module.Bench = guarded_bench(side)  # type: ignore[misc]
    for name in test_activation.NAMES:
        for n in (1, 7, 8, 9, 16385):
            x = test_activation.spread(name, n)
            test_activation.activate(x, name, 0.1)
            test_activation.gradient(x, x, name, 0.1)
    for shape in test_loss.SHAPES:
        for name in test_loss.ELEMENT_LOSSES:
            test_loss.element_loss(name, *test_loss.element_inputs(name, shape))
    for shape in test_loss.ROWS:
        given = test_loss.class_inputs(shape)
        for target in ("classes", "soft"):
            test_loss.class_loss("cross_entropy", given["soft"], given[target], given["weights"])
            test_loss.class_loss("softmax_cross_entropy", given["z"], given[target], given["weights"])
            test_loss.share_correct(given["z"], given[target])
    for n in (1, 7, 9, 1001):
        for case in test_optimizer.CASES:
            test_optimizer.run(*case, n, 2)
        test_random.dropped(np.ones((1, n), np.float32), 0.5)
    for shape in test_batch_norm.SHAPES:
        for activation in test_batch_norm.ACTIVATIONS:
            test_batch_norm.run(test_batch_norm.inputs(shape), activation)
    test_batch_norm.test_folded_weights_are_those_of_map_and_normalisation_in_one((33, 27), False)
    for case in test_pool.CASES:
        test_pool.pool(*test_pool.inputs(*case), *case[1:])
    for shape in test_softmax.SHAPES:
        test_softmax.run(*test_softmax.inputs(shape))
    for shape in test_gemm.SHAPES:
        for transpose_a, transpose_b in test_gemm.FLAGS:
            test_gemm.test_against_reference(*shape, transpose_a, transpose_b)
        test_gemm.summed(np.ones(shape[:2], np.float32))
    for m, n, k in test_gemm.PREPARED:
        a, b = test_gemm.operands(np.random.default_rng(0), m, n, k, False, True)
        test_gemm.prepared_product(a, guarded(b, side), np.ones(n))
    for case in test_conv.CASES:
        test_conv.test_against_reference(*case)
    for case in test_conv_pooled.CASES:
        test_conv_pooled.gradients(case)
    for case in test_conv_pooled.POOLED:
        test_conv_pooled.pooled_forward(case, True)
    for case in test_winograd.CASES[:-1]:
        x, weight, bias, dy = test_winograd.inputs(case)
        test_winograd.forward(x, weight, bias, **case.window)
        test_winograd.by_input(dy, weight, x, **case.window)
        test_winograd.by_weights(x, dy, weight, **case.window)
    print("nothing touched")


@pytest.mark.skipif(not POSIX, reason="pages are protected by mprotect")
@pytest.mark.parametrize("side", ["begin", "end"])
def test_kernels_stay_inside_their_tensors(side: str) -> None:
    text = (
        f"import sys; sys.path[:0] = {PATHS!r}; from tests.core.test_bounds import run_everything as run; run({side!r})"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout == "nothing touched\n", done.stderr


@pytest.mark.skipif(not POSIX, reason="pages are protected by mprotect")
@pytest.mark.parametrize("side", ["begin", "end"])
def test_the_pages_are_forbidden(side: str) -> None:
    beside = "-4" if side == "begin" else "a.nbytes"
    text = (
        f"import sys, ctypes; sys.path[:0] = {PATHS!r}; import numpy as np; "
        "from tests.core.test_bounds import guarded; "
        f"a = guarded(np.ones(5, np.float32), {side!r}); print(a.sum(), flush=True); "
        f"ctypes.string_at(a.ctypes.data + {beside}, 1)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout == "5.0\n"
    assert done.returncode != 0
