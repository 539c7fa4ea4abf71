"""The model's door: what users hand in becomes arrays of the right type and shape here, or is refused in their words.

Nothing below checks these values again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn import _core, losses, metrics
from rn.errors import DtypeError, LabelError, OptionError, RnError, ShapeError, refuse_masked

__all__ = [
    "batch_size_option",
    "class_count",
    "count_option",
    "inputs",
    "names_option",
    "note_samples",
    "numbers",
    "refuse_beside_loader",
    "refuse_classes",
    "refuse_metrics",
    "refuse_not_finite",
    "shape_option",
    "targets",
    "weights",
]

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]
FLOAT32 = np.dtype(np.float32)
OF_CLASSES = metrics.Accuracy, metrics.TopKAccuracy, metrics.ClassCounts, metrics.ConfusionMatrix
FLOAT32_LARGEST = float(np.finfo(np.float32).max)


def inputs(x: Any, shape: Shape, what: str = "x") -> FloatArray:
    """Return ``x`` as C-contiguous float32 of shape (n, *shape), n >= 1; not copied where it is that already.

    Takes arrays and nested sequences of numbers, and a ``Tensor4D`` of shape (n, c, h, w), (n, features, 1, 1) or, as a
    matrix, (1, 1, n, features).
    """
    if type(x) is np.ndarray and x.dtype is FLOAT32 and x.shape[1:] == shape and len(x) and x.flags.c_contiguous:
        return x  # as most come, and a tiny net is done before the questions below are asked
    array = numbers(x, what)
    if array.shape[:1] == (0,):
        raise ShapeError(f"{what} is empty: it has shape {array.shape}, at least one sample is needed")
    if len(shape) == 1 and array.ndim == 4:
        if array.shape[1:] == (*shape, 1, 1):
            array = array.reshape(len(array), *shape)
        elif isinstance(x, _core.Tensor4D) and array.shape[:2] == (1, 1) and array.shape[3:] == shape:
            array = array.reshape(-1, *shape)
    if array.shape[1:] != shape:
        raise ShapeError(_shape_advice(what, array.shape, shape))
    return _float32(array, what)


def _shape_advice(what: str, got: Shape, shape: Shape) -> str:
    wanted = f"(n, {', '.join(map(str, shape))})"
    message = f"{what} has shape {got}, but the model takes {wanted}"
    if got == shape:
        return f"{message}: for a single sample, pass {what}[None]"
    if len(shape) == 3 and shape[0] == 1 and got == shape[1:]:
        return f"{message}: for a single sample, pass {what}[None, None]"
    if len(shape) == 3 and shape[0] == 1 and got[1:] == shape[1:]:
        return f"{message}: add the channel axis, {what}[:, None]"
    if len(shape) == 3 and got[1:] == (*shape[1:], shape[0]):
        return f"{message}: channels come before rows and columns, {what}.transpose(0, 3, 1, 2)"
    if len(shape) == 3 and got[1:] == (shape[0], shape[2], shape[1]):
        return f"{message}: rows come before columns, {what}.transpose(0, 1, 3, 2)"
    if len(shape) == 1 and len(got) > 2:
        return f"{message}: flatten the samples, {what}.reshape(len({what}), -1), or begin the model with Flatten()"
    if len(shape) == 3 and len(got) == 2 and got[1] == math.prod(shape):
        return f"{message}: pass {what}.reshape(-1, {', '.join(map(str, shape))})"
    if len(got) != len(shape) + 1:
        return f"{message}: {len(shape) + 1} axes are expected, not {len(got)}"
    return f"{message}: the {'channels, height and width' if len(shape) == 3 else 'number of features'} must agree"


def numbers(values: Any, what: str, advice: str = "") -> NDArray[Any]:
    """Return ``values`` as an array of real numbers, of whatever dtype they have.

    ``DtypeError``, with ``advice`` at its end, where they are none, and for masked arrays.
    """
    refuse_masked(what, values)
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(values, list | tuple) and isinstance(error, ValueError):
            raise ShapeError(f"{what} must be an array: its rows have different lengths") from None
        raise DtypeError(f"{what} cannot be read as an array of numbers: {error}") from error
    if array.dtype.kind == "O" and array.ndim == 0:
        batches = isinstance(values, Iterable) and not isinstance(values, Mapping)
        instead = "; pass an array, or a DataLoader of rn.data" if batches else ""
        raise DtypeError(f"{what} must hold numbers, got {type(values).__name__}{instead}")
    if array.dtype.kind not in "fiub":
        kind = f"dtype {array.dtype}"
        if array.dtype.kind == "c":
            kind = f"dtype {array.dtype}: pass {what}.real, np.abs({what}), or both parts as features"
        if array.dtype.kind == "O":
            kind = f"Python objects; if these are all numbers, pass {what}.astype(float)"
        raise DtypeError(f"{what} must hold numbers, got an array of {kind}{advice}")
    return array


def refuse_not_finite(x: FloatArray, what: str) -> None:
    """Raise ``OptionError`` where a sample holds NaN or an infinity: one makes every weight NaN, or the mean loss."""
    finite = np.isfinite(x)
    if not finite.all():
        sample = int(np.argwhere(~finite)[0][0])
        raise OptionError(
            f"{what} is not finite as float32 in sample {sample}: it holds NaN, an infinity or a number beyond 3.4e38; "
            "remove or mend such samples"
        )


def _float32(array: NDArray[Any], what: str, error: type[RnError] = OptionError) -> FloatArray:
    """Return ``array`` as C-contiguous float32; ``error`` where a finite number would become an infinity by that."""
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array
    try:
        with np.errstate(over="raise"):
            return np.ascontiguousarray(array, np.float32)
    except FloatingPointError:
        sample = int(np.argwhere(np.isfinite(array) & (np.abs(array) > FLOAT32_LARGEST))[0][0])
        raise error(
            f"{what} is not finite as float32 in sample {sample}: it holds a number beyond 3.4e38; scale the numbers, "
            "or remove or mend such samples"
        ) from None


def targets(
    y: Any, samples: int, output_shape: Shape, loss: losses.Loss, what: str = "y"
) -> tuple[NDArray[np.float32] | NDArray[np.int32], bool]:
    """Return ``y`` as the loss takes it, and whether it holds classes: int32 (n,), or float32 (n, *output_shape).

    Integers of shape (n,) are classes for losses that take them; (n,) against one output column means (n, 1), never (n,
    n).
    """
    if y is None:
        raise LabelError(f"{what} is missing: the loss needs a target for every sample of x")
    named = f"; names become labels by names, labels = np.unique({what}, return_inverse=True)"
    array = numbers(y, what, named if loss.takes_classes else "")
    if isinstance(y, _core.Tensor4D) and len(output_shape) == 1:
        matrix = array.shape[:2] == (1, 1) and array.shape[2] == samples
        array = array.reshape(array.shape[2:] if matrix else (len(array), -1))
    if array.ndim == 0 or len(array) != samples:
        got = array.shape[0] if array.ndim else "no axis"
        raise ShapeError(f"x has {samples} samples, but {what} has {got}: each sample needs a target of its own")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        place = "" if array.ndim == 1 else f" at {list(first[1:])}"
        raise LabelError(
            f"{what} is not finite in sample {first[0]}: it holds {array[first]}{place}; remove or mend such samples"
        )
    if loss.takes_classes and len(output_shape) != 1:
        raise ShapeError(f"cross_entropy takes a vector of classes per sample, but the model gives {output_shape}")
    if loss.takes_classes and (array.ndim == 1 or array.shape == (samples, 1)) and output_shape != (1,):
        return _classes(array.reshape(samples), output_shape, what), True
    if loss.takes_classes:
        return _probabilities(array, output_shape, what), False
    return _values(array, output_shape, loss, what), False


def refuse_classes(chosen: Iterable[metrics.Metric], what: str = "y") -> None:
    """Raise ``LabelError`` for a metric that compares the output with targets of its shape, where classes came."""
    for metric in chosen:
        if not metric.takes_classes:
            raise LabelError(
                f"{what} holds integer classes, but the metric {metric.name!r} compares the output with targets of its "
                "shape: give one-hot rows, or leave out the metric"
            )


def refuse_metrics(chosen: Iterable[metrics.Metric], loss: losses.Loss, output_shape: Shape) -> None:
    """Raise ``OptionError`` for a metric of classes where a sample of the output tells no class that it could count."""
    several = loss.threshold is not None and output_shape != (1,)
    for metric in chosen:
        if not isinstance(metric, OF_CLASSES) or (several and isinstance(metric, metrics.Accuracy)):
            continue
        if math.prod(output_shape[1:]) != 1:
            raise OptionError(
                f"the metric {metric.name!r} takes an output for each class, (n, classes), but the model gives (n, "
                f"{', '.join(map(str, output_shape))}): use 'mse' or 'mae', or end the model with Flatten()"
            )
        if several and not isinstance(metric, metrics.ClassCounts):
            raise OptionError(
                f"the metric {metric.name!r} takes one class a sample, but with {type(loss).__name__} each of the "
                f"{output_shape[0]} outputs is a yes or no of its own: use 'accuracy', 'precision', 'recall' or 'f1'"
            )


def _classes(labels: NDArray[Any], output_shape: Shape, what: str) -> NDArray[np.int32]:
    if labels.dtype.kind == "f":
        raise LabelError(
            f"{what} holds {labels.dtype} numbers; cross_entropy takes integer labels, {what}.astype(int), "
            "or one-hot rows"
        )
    classes = output_shape[0]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        where = int(np.argmax((labels < 0) | (labels >= classes)))
        raise LabelError(
            f"{what} holds label {int(labels[where])} (sample {where}), but the model has {classes} outputs: "
            f"labels go from 0 to {classes - 1}"
        )
    return np.ascontiguousarray(labels, np.int32)


def _probabilities(rows: NDArray[Any], output_shape: Shape, what: str) -> FloatArray:
    if output_shape == (1,):
        raise LabelError("cross_entropy needs an output for each class; for one output column use binary_cross_entropy")
    if rows.shape[1:] != output_shape:
        raise ShapeError(
            f"{what} has shape {rows.shape}; cross_entropy takes integer labels (n,) or one-hot rows "
            f"(n, {output_shape[0]})"
        )
    _refuse_no_probabilities(rows, what)
    return _float32(rows, what, LabelError)


def _values(array: NDArray[Any], output_shape: Shape, loss: losses.Loss, what: str) -> FloatArray:
    name = type(loss).__name__
    if array.ndim == 1 and output_shape == (1,):
        array = array.reshape(-1, 1)
    if array.shape[1:] != output_shape:
        if array.ndim == 1 and array.dtype.kind in "iu" and len(output_shape) == 1:
            raise LabelError(
                f"{what} holds integers (n,), but the model has {output_shape[0]} outputs and {name} takes no classes: "
                f"use loss='cross_entropy', or rn.data.one_hot({what}, {output_shape[0]})"
            )
        raise ShapeError(
            f"{what} has shape {array.shape}, but the model gives (n, {', '.join(map(str, output_shape))}): reshape "
            f"{what}, or change the last layer"
        )
    if loss.target_range == "probabilities":
        _refuse_no_probabilities(array, what)
    if loss.target_range == "share" and (array.min() < 0 or array.max() > 1):
        raise LabelError(f"{what} must lie between 0 and 1 for {name}, but goes from {array.min()} to {array.max()}")
    if loss.target_range == "not negative" and array.min() < 0:
        raise LabelError(f"{what} must hold numbers of at least 0 for {name}, but goes down to {array.min()}")
    if loss.target_range == "signs" and not (np.abs(array.astype(np.float64)) == 1).all():
        raise LabelError(f"{what} must hold -1 and 1 alone for {name}; of 0 and 1 they are 2 * {what} - 1")
    return _float32(array, what, LabelError)


def _refuse_no_probabilities(rows: NDArray[Any], what: str) -> None:
    sums = rows.sum(axis=1, dtype=np.float64)
    wrong = ((np.abs(sums - 1) > 1e-3) | (rows < 0).any(axis=1)).reshape(len(rows), -1).any(axis=1)
    if wrong.any():
        where = int(np.argmax(wrong))
        raise LabelError(f"{what} must hold probabilities that sum to 1, but sample {where} is {rows[where]}")


def weights(
    sample_weight: Any, class_weight: Mapping[int, float] | None, y: NDArray[Any], classes: int | None
) -> FloatArray | None:
    """Return the factor of every sample's loss, (n,) float32: its own times its class's.

    None where neither was given. ``classes``: how many there are, None where ``y`` holds no classes.
    """
    if sample_weight is None and class_weight is None:
        return None
    factors = np.ones(len(y), np.float64)
    if sample_weight is not None:
        array = numbers(sample_weight, "sample_weight")
        if array.shape != (len(y),):
            raise ShapeError(f"sample_weight has shape {array.shape}, expected one number a sample, ({len(y)},)")
        wrong = ~(np.isfinite(array) & (array >= 0))
        if wrong.any():
            sample = int(wrong.argmax())
            raise OptionError(
                f"sample_weight must hold finite numbers of at least 0, got {array[sample]} for sample {sample}"
            )
        factors *= array
    if class_weight is not None:
        if classes is None:
            raise LabelError(
                "class_weight needs classes: integer labels, and a loss that takes them, such as cross_entropy; "
                "otherwise use sample_weight"
            )
        if not isinstance(class_weight, Mapping):
            raise OptionError(f"class_weight must map labels to factors, {{0: 1.0, …}}, got {class_weight!r:.80}")
        for label, weight in class_weight.items():
            if count_option("each label of class_weight", label, 0) >= classes:
                raise OptionError(f"class_weight has a factor for label {label}, but labels go from 0 to {classes - 1}")
            if not isinstance(weight, Real) or not np.isfinite(weight) or weight < 0:
                raise OptionError(f"class_weight[{label}] must be a finite number of at least 0, got {weight!r}")
            factors[y == label] *= float(weight)
    if factors.max() > FLOAT32_LARGEST:
        given = {"sample_weight": sample_weight, "class_weight": class_weight}
        named = " times ".join(name for name, value in given.items() if value is not None)
        raise OptionError(f"{named} must stay below 3.4e38, the end of float32, got {factors.max():.3g}")
    return factors.astype(np.float32)


def count_option(what: str, value: Any, low: int = 1) -> int:
    """Return ``value`` as an int of at least ``low``, or raise ``OptionError``."""
    if type(value) is int and value >= low:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise OptionError(f"{what} must be a whole number of at least {low}, got {value!r}")
    return int(value)


def shape_option(what: str, value: Any) -> Shape:
    """Return ``value``, a whole number or several, as the shape of one sample, or raise."""
    axes = tuple(value) if isinstance(value, Iterable) else (value,)
    shape = tuple(count_option(f"each axis of {what}", length) for length in axes)
    if len(shape) not in (1, 3):
        hint = f": an image of one channel is (1, {shape[0]}, {shape[1]})" if len(shape) == 2 else ""
        raise ShapeError(f"{what} must be (features,) or (channels, height, width), got {shape}{hint}")
    return shape


def batch_size_option(value: Any, usual: int, samples: int) -> int:
    """Return the batch size to use for ``samples`` samples: ``usual`` for None, and never more than there are."""
    return min(usual if value is None else count_option("batch_size", value), samples)


def note_samples(error: RnError, indices: NDArray[np.int64]) -> None:
    """Let an error that names a sample of a loader's batch say where in the data set the batch's samples stand."""
    error.add_note(f"in a DataLoader's batch, made of these samples of the data set: {', '.join(map(str, indices))}")


def refuse_beside_loader(**given: Any) -> None:
    """Raise ``OptionError`` for arguments, None where they were not given, that a loader answers itself."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise OptionError(
            f"these do not go with a DataLoader, which has samples, batches and an order of its own: {', '.join(names)}"
        )


def class_count(output_shape: Shape) -> int | None:
    """Return how many classes outputs of this shape tell apart, one column being two of them; None for images."""
    if len(output_shape) != 1:
        return None
    return max(output_shape[0], 2)


def names_option(names: Any, output_shape: Shape) -> tuple[str, ...]:
    """Return the names of the classes that outputs of this shape tell apart."""
    listed = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else ()
    if not listed or not all(isinstance(name, str) for name in listed):
        raise OptionError(f"class_names must be a sequence of strings, one a class, got {names!r:.80}")
    twice = next((name for name in listed if listed.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"class_names has {twice!r} twice")
    if len(listed) != class_count(output_shape):
        raise OptionError(f"class_names has {len(listed)} names, but the model gives outputs of shape {output_shape}")
    return tuple(map(str, listed))
