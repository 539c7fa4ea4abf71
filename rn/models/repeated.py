"""Training steps and predictions on arrays like earlier ones, without asking again what was answered then.

What the answers hang on is kept: shapes, types, Winograd's setting, and the generation of the model's plans, which
every change of layers, loss or optimizer ends. Whatever does not fit is left to the long way, which knows the words for
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rn import _core
from rn.models.door import FLOAT32
from rn.models.network import leaves
from rn.models.plans import KEPT, Generation, PlanPool
from rn.models.report import Report

if TYPE_CHECKING:
    from rn.models.model import Model, PlanKey

__all__ = ["RepeatedPrediction", "RepeatedStep"]

INT64 = np.dtype(np.int64)


class RepeatedStep:
    """The short way through ``train_on_batch`` for arrays of the shapes and types of a batch that went the long way.

    A step of a tiny net takes less than a microsecond in the core, and finding out what the arrays are takes many. What
    is asked each time: whether the values are finite, in the core, and which layers train.
    """

    def __init__(self, model: Model, x: NDArray[Any], y: NDArray[Any], *, classes: bool) -> None:
        network = model._built()
        self._x_shape, self._y_shape = x.shape, y.shape
        self._y_dtype = INT64 if classes else FLOAT32
        self._classes = network.output_shape[0] if classes else 0
        self._key = model._plan_key("train", len(x), classes=classes)
        self._generation = model._plans.generation
        self._optimizer = model._optimizer()
        self._leaves = leaves(model.layers)
        *_, trainable, self._winograd = self._key
        self._trainable = list(trainable)
        self._report = Report(model)
        self._alone = _core.Alone(model._fitting, "train_on_batch")

    @staticmethod
    def of(model: Model, x: Any, y: Any, *, classes: bool) -> RepeatedStep | None:
        """Return the short way for batches such as ``x`` and ``y``; None where there is none."""
        if model.gradient_chunks > 1 or not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
            return None
        _, loss = model._compiled("train_on_batch")
        network = model._built()
        as_it_is = y.dtype == INT64 and y.ndim == 1
        if not classes:
            as_it_is = loss.target_range == "any" and not loss.takes_classes and y.shape[1:] == network.output_shape
        return RepeatedStep(model, x, y, classes=classes) if as_it_is else None

    def run(self, model: Model, x: Any, y: Any) -> dict[str, Any] | None:
        """Do the step and return its loss and metrics; None, and nothing is done, where this way does not serve."""
        if not (
            type(x) is type(y) is np.ndarray
            and x.shape == self._x_shape
            and y.shape == self._y_shape
            and x.dtype == FLOAT32
            and y.dtype == self._y_dtype
            and x.flags.c_contiguous
            and y.flags.c_contiguous
            and [leaf.trainable for leaf in self._leaves] == self._trainable
            and _core.get_winograd() is self._winograd
        ):
            return None
        with self._alone:
            if self._generation is not model._plans.generation:
                return None
            rate = self._optimizer.rate(model._updates)
            bound, generation = model._plans.borrow(self._key)
            if bound is None:
                return None
            bound.plan.set_step(model.steps, model._updates + 1, rate)
            try:
                totals = bound.learn(x, y, self._classes)
            finally:
                steps, update = bound.plan.counters
                model.steps, model._updates = steps, update - 1
                model._plans.give_back(self._key, bound, generation)
        return None if totals is None else self._report.values(totals, len(x))


class RepeatedPrediction:
    """The short way through ``predict`` for float32 arrays of shapes that went the long way; a few are kept."""

    def __init__(self, pool: PlanPool) -> None:
        self._pool = pool
        # By the shape of x: its plan's key, the generation that this is of, the shape of the result.
        self._known: dict[tuple[int, ...], tuple[PlanKey, Generation, tuple[int, ...], int]] = {}

    def run(self, x: Any) -> NDArray[np.float32] | None:
        """Return the model's output for ``x``; None, and nothing is done, where this way does not serve."""
        plain = type(x) is np.ndarray and x.dtype == FLOAT32 and x.flags.c_contiguous
        known = self._known.get(x.shape) if plain else None
        if known is None:
            return None
        key, generation, shape, threads = known
        if (
            generation is not self._pool.generation
            or key[-1] is not _core.get_winograd()
            or threads != _core.get_num_threads()
        ):
            return None
        bound = generation.pop(key, None)  # a large plan does not lie there, and takes longer than the long way does
        if bound is None:
            return None
        try:
            output = np.empty(shape, FLOAT32)
            bound.transform(x, output)
        finally:
            self._pool.give_back(key, bound, generation)
        return output

    def remember(
        self, x: NDArray[np.float32], key: PlanKey, generation: Generation, output: NDArray[np.float32]
    ) -> None:
        """Take the short way from now on for arrays like ``x``, for which a plan of ``generation`` gave ``output``."""
        if len(self._known) >= KEPT:
            self._known = {}
        self._known[x.shape] = key, generation, output.shape, _core.get_num_threads()
