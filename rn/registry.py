"""Names for classes: ``"relu"`` in the API and in files stands for the class that was registered under it.

Each kind of thing (``"layer"``, ``"activation"``, ``"loss"``, …) has names of its own. rn's own classes and users'
classes enter by the same door, ``register``, so a user's layer loads from a file as the built-in ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from rn.errors import DtypeError, OptionError, StateError

__all__ = ["Settled", "contract", "create", "describe", "lookup", "name_of", "names", "register"]

T = TypeVar("T")

# Each kind, and the module that files rn's own classes of it: `import rn` leaves them alone until they are used.
KINDS = {
    "activation": "rn.activations",
    "callback": "rn.callbacks",
    "initializer": "rn.initializers",
    "layer": "rn.layers",
    "loss": "rn.losses",
    "metric": "rn.metrics",
    "model": "rn.models",
    "optimizer": "rn.optimizers",
    "regularizer": "rn.regularizers",
    "schedule": "rn.schedules",
}

# What other libraries call things that have another name here.
ELSEWHERE = {
    "acc": "accuracy",
    "bce": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "he": "he_normal",
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "kld": "kl_divergence",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "mean_squared_logarithmic_error": "msle",
    "nll_loss": "cross_entropy",
    "root_mean_squared_error": "rmse",
    "silu": "swish",
    "sparse_categorical_accuracy": "accuracy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "xavier_normal": "glorot_normal",
    "xavier_uniform": "glorot_uniform",
}

_classes: dict[str, dict[str, type]] = {kind: {} for kind in KINDS}
_contracts: dict[str, type] = {}


def _known(kind: str) -> dict[str, type]:
    """Return the classes of ``kind`` by name, rn's own among them."""
    if kind in KINDS:
        import_module(KINDS[kind])
    return _classes.get(kind, {})


def contract(kind: str) -> Callable[[type[T]], type[T]]:
    """Return a class decorator: things of ``kind`` are of the class, and others cannot be registered as such."""
    if kind not in KINDS:
        raise OptionError(f"contract: unknown kind {kind!r}; known kinds: {', '.join(KINDS)}")

    def enter(cls: type[T]) -> type[T]:
        _contracts[kind] = cls
        return cls

    return enter


class Settled:
    """A thing whose settings, its public attributes, are part of a model's plans.

    Once a model is compiled with it or, of what layers hold, trains or predicts, setting one raises ``StateError``, for
    plans would not see it. A thing ``in_python`` reads its own settings at every step and stays as free as it was.
    """

    _settled = False
    _free: ClassVar[tuple[str, ...]] = ()  # settings that are read at every step all the same
    # Of a contract: its methods for Python, and what a class names that the core computes instead.
    _in_python: ClassVar[tuple[str, ...]] = ()
    _in_core: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class whose methods would never be called, for its base is computed by the core."""
        super().__init_subclass__(**options)
        contract: type = next(base for base in cls.__mro__ if "_in_core" in vars(base))
        places = [_place(cls, name) for name in cls._in_core if getattr(cls, name) != getattr(contract, name)]
        if not places:
            return  # nothing of it is left to the core
        in_core = min(places)
        for name in cls._in_python:
            if _place(cls, name) < in_core:
                base = next(base for base in cls.__mro__[1:] if issubclass(base, cls.__mro__[in_core]))
                raise OptionError(
                    f"{cls.__name__} writes {name}, which its base {base.__name__} never calls, for the core "
                    f"computes it: derive the class from {contract.__name__}"
                )

    @property
    def in_python(self) -> bool:
        """Whether this thing is computed by methods in Python rather than by the core."""
        return False

    def settle(self) -> None:
        """Fix the settings."""
        self._settled = not self.in_python

    def __setattr__(self, name: str, value: Any) -> None:
        if self._settled and not name.startswith("_") and name not in self._free:
            kind, free = type(self).__name__, "".join(f", {setting} alone was not" for setting in self._free)
            if not hasattr(self, name):
                raise OptionError(f"{kind} has no setting {name!r}; it has: {', '.join(self.config())}")
            raise StateError(
                f"{kind}: {name} was fixed when a model took it{free}; give the model a new {kind}({name}=...)"
            )
        super().__setattr__(name, value)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def _place(cls: type, name: str) -> int:
    """Return where among the bases of ``cls`` the one that writes ``name`` comes."""
    return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))


def register(kind: str, name: str) -> Callable[[type[T]], type[T]]:
    """Return a class decorator that files the class under ``name`` for things of ``kind``.

    ``kind`` is one of ``"layer" "activation" "initializer" "regularizer" "loss" "metric" "optimizer" "schedule"
    "callback" "model"``.
    A name is given once: registering another class under a taken name raises ``OptionError``, as an unknown kind does;
    what is no class of that kind, ``DtypeError``.
    """
    if kind not in KINDS:
        raise OptionError(f"register: unknown kind {kind!r}; known kinds: {', '.join(KINDS)}")
    if not isinstance(name, str) or not name:
        raise OptionError(f"register: the name of a {kind} must be text, got {name!r:.80}")

    def file_under_name(cls: type[T]) -> type[T]:
        if kind not in _contracts:
            _known(kind)
        base = _contracts[kind]
        if not isinstance(cls, type) or not issubclass(cls, base):
            raise DtypeError(
                f"register: a {kind} must be a subclass of {base.__module__}.{base.__name__}, got {cls!r:.80}"
            )
        taken = _classes[kind].get(name)
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise OptionError(f"the {kind} name {name!r} already belongs to {taken.__qualname__}; choose another name")
        _classes[kind][name] = cls
        return cls

    return file_under_name


def names(kind: str) -> list[str]:
    """Return the registered names of ``kind``, sorted."""
    return sorted(_known(kind))


def lookup(kind: str, name: str) -> type:
    """Return the class of ``kind`` called ``name``; ``OptionError`` with the names there are if there is none."""
    known = _known(kind)
    if name in known:
        return known[name]
    import difflib  # for errors alone

    other = ELSEWHERE.get(name.lower())
    near = [other] if other in known else difflib.get_close_matches(name.lower(), known, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise OptionError(f'unknown {kind} "{name}"; {hint}known names: {", ".join(sorted(known))}')


def create(kind: str, value: Any, base: type[T]) -> T:
    """Return ``value`` as an instance of ``base``.

    An instance is kept, a class or a name is called without arguments, and ``{"name": name, **arguments}``, as
    ``describe`` writes it, with those arguments.
    """
    arguments: dict[str, Any] = {}
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        arguments = {key: argument for key, argument in value.items() if key != "name"}
        value = value["name"]
    if isinstance(value, base):
        return value
    if isinstance(value, str):
        cls = lookup(kind, value)
    elif isinstance(value, type) and issubclass(value, base):
        cls = value
    else:
        raise DtypeError(
            f"{kind} must be a name or an object of {base.__name__}, got {type(value).__name__}: {value!r:.80}"
        )
    try:
        made = cls(**arguments)
    except TypeError as error:
        wrong = _wrong_arguments(kind, cls, arguments)
        if wrong is None:
            raise
        raise wrong from error
    if not isinstance(made, base):
        raise DtypeError(f"{kind} {value!r} is a {type(made).__name__}, not a {base.__name__}")
    return made


def _wrong_arguments(kind: str, cls: type, arguments: dict[str, Any]) -> OptionError | None:
    """Return what to say where ``cls`` does not take ``arguments``, None where it does."""
    import inspect  # for errors alone

    taken = inspect.signature(cls)
    try:
        taken.bind(**arguments)
    except TypeError as error:
        names = ", ".join(taken.parameters) or "none"
        return OptionError(f"{kind} {cls.__name__}: {error}; its arguments are: {names}")
    return None


def describe(kind: str, thing: Any) -> str | dict[str, Any]:
    """Return what ``create`` makes ``thing`` from again and JSON can hold.

    Its name, with its ``config()`` if it has any.
    """
    name = name_of(kind, type(thing))
    arguments = thing.config()
    return {"name": name, **arguments} if arguments else name


def name_of(kind: str, cls: type) -> str:
    """Return the name under which ``cls`` was registered for ``kind``; ``OptionError`` if it never was."""
    for name, known in _known(kind).items():
        if known is cls:
            return name
    raise OptionError(f'{cls.__qualname__} is not registered; put @rn.register("{kind}", "a_name") above the class')
