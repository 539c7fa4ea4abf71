"""The contract of layers, and what all of them share: names, parameters, and Python layers as callbacks of a plan."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, activations, initializers, registry, regularizers
from rn.activations import write
from rn.errors import (
    DtypeError,
    OptionError,
    ShapeError,
    StateError,
    entries,
    flag,
    naming,
    read_only,
    refuse_masked,
    returned,
)

__all__ = ["Layer", "Parameter", "Shape", "described", "finds_arguments", "no_layers", "restored", "saved_config"]

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]


class Parameter:
    """One trained array of a layer: its shape as the user sees it, its values and the gradient of the loss by them.

    ``regularizer``: the penalty on it, if any. Both tensors get memory in ``build``; the model then moves them into its
    flat buffers, so layers ask for them at each ``bind``.
    """

    def __init__(self, shape: Shape, regularizer: regularizers.Regularizer | None = None) -> None:
        self.shape = shape
        self.regularizer = regularizer
        four_axes = shape + (1,) * (4 - len(shape))
        self.value = _core.Tensor4D.zeros(four_axes)
        self.gradient = _core.Tensor4D.zeros(four_axes)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


class Gradients(Mapping[str, FloatArray]):
    """The gradients of a layer's parameters by name, each a view of what the optimizer reads.

    ``gradients[name] = array`` writes into it. Raises ``OptionError`` for an unknown name, ``ShapeError`` for another
    shape, ``DtypeError`` for what is no array of numbers.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __getitem__(self, name: str) -> FloatArray:
        parameter = self._layer._parameters[name]
        return np.asarray(parameter.gradient).reshape(parameter.shape)

    def __setitem__(self, name: str, array: ArrayLike) -> None:
        if name not in self:
            known = ", ".join(self) or "none"
            raise OptionError(f"layer {self._layer.name!r} has no parameter {name!r}; it has: {known}")
        write(self[name], self._layer._numbers(f"the gradient of {name}", array, self[name].shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._layer._parameters)

    def __len__(self) -> int:
        return len(self._layer._parameters)

    def __repr__(self) -> str:
        return repr(dict(self))


@registry.contract("layer")
class Layer:
    """One step of a network: a function of a batch with, maybe, parameters.

    A built-in layer writes ``build`` and ``bind``. A user's own layer may write, instead of ``bind``, ``forward(x,
    training)`` and ``backward(grad, input_gradient=True)`` on NumPy arrays of shape (n, *input_shape) and (n,
    *output_shape); ``backward`` sets ``self.gradients[name]``, 0 before, or adds to it, and returns d loss / d x. What
    they return or set beyond float32's range becomes an infinity, as in any training that diverges. What they raise
    ends the step: it is not counted and no weight is changed, but what layers before them took in from the batch, such
    as ``BatchNorm``'s running statistics, stays.

    Files hold a layer's ``config``: unless the class writes one of its own, the arguments of its constructor that it
    keeps as ``self.<argument>``. Those come along, too, where a class has a constructor of its own and its base's
    ``config``. A class is saved by the name it was registered under.

    A layer that keeps an ``rn.activations`` object as ``self.activation`` leaves it to the model to apply: behind what
    ``bind`` or ``forward`` gives, joined with it where a kernel can do both.

    A layer without ``forward`` keeps its constructor's arguments, ``name`` apart, once it is built, and any layer its
    activation: setting one raises ``StateError``, for plans would not see it.

    Attributes: ``name``; ``trainable``, whether training may change it; ``input_shape`` and ``output_shape`` without
    the batch axis, None before ``build``.
    """

    # Whether a class may write its own `forward`; not where the model binds what is inside.
    _forward_may_be_written = True

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a class that writes ``forward`` be bound by it, whatever ``bind`` its base has."""
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "bind" not in vars(cls):
            if not cls._forward_may_be_written:
                base = cls.__mro__[1].__name__
                raise OptionError(
                    f"{cls.__name__} writes forward, which its base {base} never calls: derive it from Layer"
                )
            cls.bind = Layer.bind  # type: ignore[method-assign]

    def __init__(self, *, name: str | None = None) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise OptionError(f"a layer's name must be text, got {name!r}")
        self.name = name or ""
        self.trainable = True
        self.input_shape: Shape | None = None
        self.output_shape: Shape | None = None
        self._parameters: dict[str, Parameter] = {}
        self._buffers: dict[str, FloatArray] = {}
        self._version = _core.Version()  # of the network's weights, once the layer is part of one

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers inside this one, whose parameters and buffers are its own as well; most layers have none."""
        return ()

    def trained(self) -> list[Parameter]:
        """Return the parameters that training may change."""
        if self.children:
            return [parameter for child in self.children for parameter in child.trained()]
        return list(self._parameters.values()) if self.trainable else []

    def regularized(self) -> list[Parameter]:
        """Return the parameters on which there is a penalty, whether training may change them or not."""
        return [parameter for parameter in self._parameters.values() if parameter.regularizer is not None]

    def build(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        """Settle the shapes, make the parameters, return the output's shape without the batch axis.

        Raises ``ShapeError`` where ``input_shape`` does not suit the layer.
        """
        return input_shape

    def built_for(self, input_shape: Shape, rng: initializers.WeightSource) -> Shape:
        """Call ``build`` and keep both shapes; return the output's. For what holds the layer.

        Raises ``StateError`` for a layer that is built already, ``ShapeError`` where ``build`` returns no shape. The
        layer is as it was then.
        """
        self.refuse_built()
        try:
            self.input_shape = input_shape
            made: Any = self.build(input_shape, rng)
            try:
                shape = tuple(map(operator.index, made))
            except TypeError:
                shape = ()
            if not 1 <= len(shape) <= 3 or min(shape) < 1:
                raise ShapeError(
                    f"layer {self.name!r}: build returned {made!r:.80}, expected the output's shape without the batch "
                    "axis, (features,) or (channels, height, width)"
                )
        except BaseException:
            self.unbuild()
            raise
        self.output_shape = shape
        return shape

    def refuse_built(self) -> None:
        """Raise ``StateError`` where this layer, or one inside it, is part of a model, which shall stay as it is."""
        if self.output_shape is not None:
            raise StateError(f"layer {self.name!r} is part of a model already; make a new layer")
        for child in self.children:
            child.refuse_built()

    def unbuild(self) -> None:
        """Take the layer back to how it was before ``build``."""
        self.output_shape = self.input_shape = None  # in this order: settings of a built layer are fixed
        self._parameters = {}
        self._buffers = {}
        for child in self.children:
            child.unbuild()

    def settle(self) -> None:
        """Fix the settings of what this layer, and those inside it, are bound with; see ``registry.Settled``."""
        for setting in vars(self).values():
            if isinstance(setting, registry.Settled):
                setting.settle()
        for child in self.children:
            child.settle()

    def bind(self, plan: _core.Plan, x: _core.Slot) -> _core.Slot:
        """Record the forward and backward calls of a batch in ``plan``; return the output's slot.

        This one records ``forward`` and ``backward`` as Python callbacks.
        """
        if self.input_shape is None or self.output_shape is None:
            raise StateError(f"layer {self.name!r} is not built yet")
        inputs, outputs = (plan.batch, *self.input_shape), (plan.batch, *self.output_shape)
        y = plan.tensor(outputs)

        def forward() -> None:
            with naming(f"layer {self.name!r}: {type(self).__name__}.forward"):
                made = self.forward(read_only(plan.array(x), inputs), plan.training)
            write(_view(plan, y, outputs), returned(f"layer {self.name!r}: forward", made, outputs))

        plan.callback(f"{type(self).__name__}.forward", forward, reads=[x], writes=[y])
        learns, wants_dx = self.learns(plan), plan.wants_gradient(x)
        if learns or wants_dx:
            dy = plan.gradient(y)
            dx = plan.gradient(x) if wants_dx else None

            def backward() -> None:
                # Where this layer does not learn, its gradients stay as the last training step left them.
                kept = {} if learns else {name: gradient.copy() for name, gradient in self.gradients.items()}
                for parameter in self._parameters.values():
                    parameter.gradient[...] = 0.0
                try:
                    with naming(f"layer {self.name!r}: {type(self).__name__}.backward"):
                        made = self.backward(_view(plan, dy, outputs), wants_dx)
                finally:
                    for name, gradient in kept.items():
                        self.gradients[name][...] = gradient
                if dx is not None:
                    write(_view(plan, dx, inputs), returned(f"layer {self.name!r}: backward", made, inputs))

            with plan.backward():
                # What forward saw stays alive until backward has run, since it may have kept a view.
                plan.callback(
                    f"{type(self).__name__}.backward", backward, reads=[dy, x, y], writes=[] if dx is None else [dx]
                )
        return y

    def forward(self, x: FloatArray, training: bool) -> ArrayLike:
        """Return the layer's output for a batch; for layers written in Python.

        ``x`` is read-only: the layer before it needs what it gave for its own gradient. Its memory is used again once
        the step or prediction is over: keep a copy, not ``x``.
        """
        raise NotImplementedError(f"{type(self).__name__} {self.name!r} writes neither bind nor forward")

    def backward(self, grad: FloatArray, input_gradient: bool = True) -> ArrayLike | None:
        """Write the parameters' gradients to ``self.gradients`` and return d loss / d x, given ``grad`` = d loss / d y.

        For layers written in Python. Without ``input_gradient`` nobody reads what it returns, and None will do.
        """
        raise NotImplementedError(f"{type(self).__name__} {self.name!r} writes no backward, so it cannot be trained")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them, without ``name``.

        Unless a class writes a ``config`` of its own: those that are kept as attributes of their names and were not
        left at their defaults.
        """
        own, given = vars(self), {}
        for name, parameter in _constructor_parameters(type(self)).items():
            found = name != "name" and name in own and own[name] is not parameter.default
            if found and not isinstance(own[name], Layer):
                given[name] = _as_json_can(own[name])
        return given

    def add_parameter(
        self,
        name: str,
        shape: int | Shape,
        initializer: str | initializers.Initializer,
        rng: initializers.WeightSource,
        regularizer: regularizers.Regularizer | None = None,
    ) -> Parameter:
        """Make the parameter ``name`` of ``shape``, filled by ``initializer``; for use in ``build``.

        ``regularizer``: the penalty on it that the model adds to the loss. Raises ``OptionError`` for the name of a
        parameter, buffer or attribute that there is already.
        """
        self._refuse_taken(name)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        parameter = Parameter(shape, regularizer)
        registry.create("initializer", initializer, initializers.Initializer).fill(parameter.value, shape, rng)
        self._parameters[name] = parameter
        return parameter

    def add_buffer(self, name: str, values: ArrayLike) -> None:
        """Let ``values``, copied as float32, be saved with the layer as ``name``, untrained; for use in ``build``.

        ``layer.name`` reads the copy, ``layer.set(name=...)`` writes it. Raises ``DtypeError`` for what is no array of
        numbers, ``OptionError`` as ``add_parameter`` does and for numbers beyond float32's range.
        """
        self._refuse_taken(name)
        what = f"the buffer {name}"
        self._buffers[name] = self._float32(what, self._numbers(what, values))

    def _refuse_taken(self, name: str) -> None:
        # An attribute would hide the array from whoever reads layer.name.
        if name in self._parameters or name in self._buffers or name in vars(self) or hasattr(type(self), name):
            raise OptionError(f"layer {self.name!r} has {name!r} already; call the parameter or buffer something else")

    def learns(self, plan: _core.Plan) -> bool:
        """Whether the gradients of this layer's parameters are to be computed in ``plan``; for use in ``bind``."""
        return self.trainable and plan.training and plan.gradients and bool(self._parameters)

    def output_slot(self, plan: _core.Plan) -> _core.Slot:
        """Return a new slot for this layer's output of a batch; for use in ``bind``."""
        if self.output_shape is None:
            raise StateError(f"layer {self.name!r} is not built yet")
        return plan.tensor((plan.batch, *self.output_shape))

    def slots(self, plan: _core.Plan, name: str) -> tuple[_core.Slot, _core.Slot]:
        """Return the plan's slots of a parameter's value and gradient; for use in ``bind``."""
        parameter = self._parameters[name]
        return plan.bound(parameter.value), plan.bound(parameter.gradient)

    def buffer_slot(self, plan: _core.Plan, name: str) -> _core.Slot:
        """Return the plan's slot of a buffer; for use in ``bind``."""
        return plan.bound(_core.Tensor4D.wrap(self._buffers[name]))

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """The trained arrays by name, read-only; ``set`` writes."""
        return {name: read_only(p.value, p.shape) for name, p in self._parameters.items()}

    @property
    def gradients(self) -> Gradients:
        """The gradients of the loss by the parameters, as the last training step left them; see ``Gradients``."""
        return Gradients(self)

    @property
    def buffers(self) -> dict[str, FloatArray]:
        """Arrays that are saved with the layer but not trained, by name, read-only; ``set`` writes."""
        return {name: read_only(array, array.shape) for name, array in self._buffers.items()}

    def __getattr__(self, name: str) -> FloatArray:
        # Only names that are no ordinary attribute come here: layer.weight, layer.bias, a buffer's name.
        own = self.__dict__
        if "_parameters" not in own and not name.startswith("__"):
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}: its __init__ must call super().__init__() first"
            )
        if name in own.get("_parameters", {}):
            return self.parameters[name]
        if name in own.get("_buffers", {}):
            return self.buffers[name]
        hint = "" if own.get("output_shape") is not None else "; the layer is not built yet"
        raise AttributeError(f"{type(self).__name__} {own.get('name', '')!r} has no attribute {name!r}{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        # An attribute of a parameter's name would hide it from the reader, and the model would not see it.
        own = self.__dict__
        if name in own.get("_parameters", {}) or name in own.get("_buffers", {}):
            raise AttributeError(
                f"{type(self).__name__} {self.name!r}: {name!r} cannot be assigned; write it by layer.set({name}=...)"
            )
        if own.get("output_shape") is not None and self._bound_with(name, value):
            raise StateError(
                f"layer {self.name!r}: {name} was fixed when the model was built; "
                f"make a model with a new {type(self).__name__}({name}=...)"
            )
        if name == "trainable":
            value = flag(f"layer {own.get('name', '')!r}: trainable", value)
        super().__setattr__(name, value)

    def _bound_with(self, name: str, value: Any) -> bool:
        """Whether plans hold what ``name`` was as they were bound, and would not see another ``value``."""
        if name == "activation":
            return any(isinstance(f, activations.ActivationFunction) for f in (value, self.__dict__.get(name)))
        if type(self).forward is not Layer.forward or name.startswith("_") or name in ("name", "trainable"):
            return False
        import inspect  # for this alone

        return name in inspect.signature(type(self)).parameters

    def set(self, **arrays: ArrayLike) -> None:
        """Write parameters or buffers by name, e.g. ``layer.set(weight=w)``.

        All arrays are checked before any is written. Raises ``OptionError`` for an unknown name and for numbers beyond
        float32's range, ``ShapeError`` for another shape, ``DtypeError`` for what is no array of numbers or a masked
        one, ``StateError`` before the layer is built.
        """
        checked = {name: self.check_array(name, array) for name, array in arrays.items()}
        for name, array in checked.items():
            if name in self._parameters:
                target = self._parameters[name].value
                target[...] = array.reshape(target.shape)
            else:
                self._buffers[name][...] = array
        self._version.advance()

    def check_array(self, name: str, array: ArrayLike) -> FloatArray:
        """Return ``array`` as float32 if it may become the parameter or buffer ``name``.

        Raise as ``set`` does if not.
        """
        if self.output_shape is None:
            raise StateError(f"layer {self.name!r} is not built yet; give the model its input_shape first")
        if name not in self._parameters and name not in self._buffers:
            known = ", ".join([*self._parameters, *self._buffers]) or "none"
            raise OptionError(f"layer {self.name!r} has no parameter {name!r}; it has: {known}")
        shape = self._parameters[name].shape if name in self._parameters else self._buffers[name].shape
        return self._float32(name, self._numbers(name, array, shape))

    def _numbers(self, what: str, array: ArrayLike, shape: Shape | None = None) -> NDArray[Any]:
        """Return ``array`` if it holds numbers and has ``shape``; raise ``DtypeError`` or ``ShapeError`` if not."""
        refuse_masked(what.split()[-1], array, f"layer {self.name!r}: ")
        try:
            values = np.asarray(array)
        except (ValueError, TypeError, RuntimeError) as error:
            of_shape = "" if shape is None else f" of shape {shape}"
            raise DtypeError(f"layer {self.name!r}: {what} must be an array of numbers{of_shape}: {error}") from error
        if values.dtype.kind not in "fiub":
            raise DtypeError(f"layer {self.name!r}: {what} must be an array of numbers, got dtype {values.dtype}")
        if shape is not None and values.shape != shape:
            raise ShapeError(f"layer {self.name!r}: {what} has shape {shape}, got {values.shape}")
        return values

    def _float32(self, what: str, values: NDArray[Any]) -> FloatArray:
        """Return a float32 copy; raise ``OptionError`` where a finite number would become an infinity by that."""
        try:
            with np.errstate(over="raise"):
                return values.astype(np.float32, order="C")
        except FloatingPointError:
            largest = np.abs(values[np.isfinite(values)]).max()
            raise OptionError(
                f"layer {self.name!r}: {what} must stay below 3.4e38, the end of float32, got {largest:.3g}"
            ) from None

    def __repr__(self) -> str:
        arguments = [f"{key}={value!r}" for key, value in self.config().items()]
        if self.name:
            arguments.append(f"name={self.name!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"


def described(layer: Layer) -> dict[str, Any]:
    """Return what ``restored`` makes the layer from again, weights apart, as JSON can hold it."""
    return {
        "layer": registry.name_of("layer", type(layer)),
        "name": layer.name,
        "trainable": layer.trainable,
        "config": saved_config(layer),
    }


def saved_config(layer: Layer) -> dict[str, Any]:
    """Return the constructor's arguments as files hold them.

    That is ``config``; but a class with a constructor of its own and its base's ``config`` has other arguments: those
    that it keeps as attributes come as well, and those that it does not take stay away.
    """
    given = layer.config()
    if type(layer).config is Layer.config or not finds_arguments(type(layer)):
        return given
    taken = _constructor_parameters(type(layer))
    return {name: value for name, value in {**Layer.config(layer), **given}.items() if name in taken}


def finds_arguments(kind: type[Layer]) -> bool:
    """Whether a class has a constructor of its own, or of a mixin, that its ``config`` cannot know."""
    init, config = (
        next(i for i, base in enumerate(kind.__mro__) if name in vars(base)) for name in ("__init__", "config")
    )
    return init < config


def _constructor_parameters(kind: type[Layer]) -> dict[str, Any]:
    """The named parameters of a class's constructor, and those of its bases that ``*args`` and ``**more`` pass on."""
    import inspect  # for this alone

    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *own = inspect.signature(vars(base)["__init__"]).parameters.values()
        passes_on = False
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter)
            else:
                passes_on = True
        if not passes_on:
            break
    return found


def restored(description: dict[str, Any]) -> Layer:
    """Return a new layer as ``described`` wrote it down."""
    what = "the config of a layer"
    kind, name, trainable, arguments = entries(what, description, "layer", "name", "trainable", "config")
    entries(f"the arguments in {what}", arguments)
    layer = registry.create("layer", {**arguments, "name": kind}, Layer)
    layer.name = str(name)
    if layer.trainable != flag("trainable", trainable):
        layer.trainable = trainable
    return layer


def no_layers(what: str, given: Any) -> DtypeError:
    """Return the error for ``given``, which as ``what`` should be a list of layers."""
    remedy = "; write it in brackets" if isinstance(given, Layer) else ""
    return DtypeError(f"{what} must be a list of layers, got {type(given).__name__}{remedy}")


def _as_json_can(value: Any) -> Any:
    """Return an argument as ``config`` gives it: activations and their like by name and arguments, NumPy's numbers."""
    for kind, base in (
        ("activation", activations.ActivationFunction),
        ("initializer", initializers.Initializer),
        ("regularizer", regularizers.Regularizer),
    ):
        if isinstance(value, base):
            return registry.describe(kind, value)
    return value.item() if isinstance(value, np.generic) else value


def _view(plan: _core.Plan, slot: _core.Slot, shape: Shape) -> FloatArray:
    view: FloatArray = np.asarray(plan.array(slot)).reshape(shape)
    return view
