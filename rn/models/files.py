"""A model to a file and back."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from rn import losses, metrics, optimizers, registry
from rn.errors import FileError, OptionError, RnError, ShapeError
from rn.initializers import WeightSource
from rn.layers import Layer
from rn.layers.base import described, finds_arguments, restored, saved_config
from rn.models.network import leaves, name_layers

if TYPE_CHECKING:
    from rn.models.model import Model

__all__ = ["load", "save"]

OPTIMIZER = "optimizer."  # what the optimizer's arrays' names begin with; a weight's begin with a number
CALLBACK = "callback."  # and those of callbacks


def describe(model: Model) -> dict[str, Any]:
    """Return all of a model's file but arrays and the states of callbacks; raises ``OptionError`` as ``save`` does."""
    network = model._built()
    name_layers(model.layers)  # they may have got other names since they were built
    for layer in model.layers:
        _readable("layer", described(layer), functools.partial(_alike, layer))
    compiled = None
    if model.optimizer is not None and model.loss is not None:
        compiled = {
            "optimizer": _readable("optimizer", registry.describe("optimizer", model.optimizer), optimizers.get),
            "loss": _readable("loss", registry.describe("loss", model.loss), losses.get),
            "metrics": [_readable("metric", registry.describe("metric", m), metrics.get) for m in model.metrics],
            "gradient_chunks": model.gradient_chunks,
        }
    return {
        "class": registry.name_of("model", type(model)),
        "config": model.config(),
        "input_shape": list(network.input_shape),
        "compile": compiled,
        "epochs": model.epochs,
        "steps": model.steps,
        "updates": model._updates,
        "class_names": model.class_names and list(model.class_names),
    }


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write everything that ``load`` needs to go on as if the model had never been saved.

    Raises ``OptionError``, and writes nothing, where a piece is not registered, its ``config()`` does not make it, or
    two layers have one name.
    """
    callbacks: dict[str, Any] = {}
    description = {**describe(model), "callbacks": callbacks}
    network = model._built()
    tensors = network.state_dict()
    for name, array in model._state.items():
        tensors.update({f"{OPTIMIZER}{name}.{key}": piece for key, piece in network.split(array).items()})
    for callback, state in model._saved_states().items():
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        tensors.update({f"{CALLBACK}{callback}.{key}": array for key, array in arrays.items()})
        callbacks[callback] = {key: value for key, value in state.items() if key not in arrays}
    from rn import serialization  # its imports cost more time than the rest of rn's

    serialization.write_file(path, tensors, description)


def _readable(kind: str, description: Any, make: Callable[[Any], Any]) -> Any:
    """Return ``description`` if ``make`` makes the thing of what JSON keeps of it, as ``load`` will."""
    import json  # for this alone

    try:
        make(json.loads(json.dumps(description)))
    except Exception as error:
        raise OptionError(
            f"{kind} {description!r:.200} could not be loaded again ({error}): config() must return its constructor's "
            "arguments"
        ) from error
    return description


def _alike(layer: Layer, description: dict[str, Any]) -> None:
    """Raise where what ``load`` makes of ``description`` has other shapes than ``layer``."""
    made = restored(description)
    if _in_rn(layer):  # built for nothing, at the cost of drawing its weights
        return
    made.built_for(layer.input_shape or (), WeightSource(0, 0))
    shapes, again = _shapes(layer), _shapes(made)
    if again != shapes:
        raise ShapeError(f"it would have the shapes {dict(again - shapes)}, not {dict(shapes - again)}")
    for one, twin in zip([layer, *leaves([layer])], [made, *leaves([made])], strict=True):
        mine, its = _found(one), _found(twin)
        for name in {**mine, **its}:
            if repr(mine.get(name)) != repr(its.get(name)):
                kind = type(one).__name__
                raise OptionError(f"{kind} would get {name}={its.get(name)!r:.60}, not {mine.get(name)!r:.60}")


def _found(layer: Layer) -> dict[str, Any]:
    """The arguments of a class that ``finds_arguments``, all of which must come back.

    What a class writes itself as its ``config`` may change in a file, such as a tuple to a list: its class knows.
    """
    import json  # for this alone

    if not finds_arguments(type(layer)):
        return {}
    written = {} if type(layer).config is Layer.config else json.loads(json.dumps(layer.config()))
    return {**saved_config(layer), **written}


def _in_rn(layer: Layer) -> bool:
    return type(layer).__module__.startswith("rn.") and all(map(_in_rn, layer.children))


def _shapes(layer: Layer) -> set[tuple[str, Any]]:
    arrays = {**layer.parameters, **layer.buffers}
    return {("output", layer.output_shape), *((name, array.shape) for name, array in arrays.items())}


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model from a ``.rn`` file: a ``Sequencial`` or ``RedeNeural``, compiled if it was.

    It goes on training with the bits of one that was never saved.

    Runs no code from the file. Raises ``FileError`` with the reason for a damaged, edited, truncated or foreign file,
    ``FileNotFoundError`` where there is none, ``OptionError`` where it names a class of the user's that is not
    registered, ``DtypeError`` for what is no path.
    """
    from rn import serialization

    tensors, description = serialization.read_file(path)
    try:
        return _restore(tensors, description)
    except OptionError:
        raise
    except (RnError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{os.fspath(path)!r} does not describe a model of this version of rn: {error}") from error


def _restore(tensors: dict[str, Any], description: dict[str, Any]) -> Model:
    from rn.models.model import Model

    cls = registry.lookup("model", description["class"])
    if not issubclass(cls, Model):
        raise FileError(f"{description['class']!r} is no model")
    model = cls.from_config(description["config"])
    model.build(description["input_shape"])
    network = model._built()
    compiled = description["compile"]
    if compiled is not None:
        model.compile(compiled["optimizer"], compiled["loss"], compiled["metrics"], compiled["gradient_chunks"])
    network.load_state_dict({key: array for key, array in tensors.items() if not key.startswith((OPTIMIZER, CALLBACK))})
    for name in model._state:
        network.join(model._state[name], _pieces(tensors, f"{OPTIMIZER}{name}."))
    model.epochs, model.steps, model._updates = (int(description[key]) for key in ("epochs", "steps", "updates"))
    model.class_names = description.get("class_names")
    for name, state in description.get("callbacks", {}).items():
        model._callback_states[name] = {**state, **_pieces(tensors, f"{CALLBACK}{name}.")}
    return model


def _pieces(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}
