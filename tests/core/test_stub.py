"""The type stub of the core names what the core has: the same functions, classes, methods and parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from rn._core import core

STUB = ast.parse(Path(core.__file__).with_name("core.pyi").read_text(encoding="utf-8"))


def functions(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    """Return the functions that have a signature to compare: properties and special methods have none at run time."""
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef) and not is_special(node.name)}


def is_special(name: str) -> bool:
    return name.startswith("__")


def classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def own(namespace: dict[str, object]) -> set[str]:
    """Return the public names that the core defines rather than imports."""
    return {
        name
        for name, thing in namespace.items()
        if not (name.startswith("_") or inspect.ismodule(thing))
        and getattr(thing, "__module__", core.__name__) == core.__name__
    }


def parameters(node: ast.FunctionDef) -> list[tuple[str, str, bool]]:
    """Return (name, kind, has a default) of each parameter of a stub's function."""
    listed = []
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    for i, argument in enumerate(positional):
        has_default = i >= len(positional) - len(arguments.defaults)
        kind = "POSITIONAL_ONLY" if argument in arguments.posonlyargs else "POSITIONAL_OR_KEYWORD"
        listed.append((argument.arg, kind, has_default))
    if arguments.vararg:
        listed.append((arguments.vararg.arg, "VAR_POSITIONAL", False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        listed.append((argument.arg, "KEYWORD_ONLY", default is not None))
    if arguments.kwarg:
        listed.append((arguments.kwarg.arg, "VAR_KEYWORD", False))
    return listed


def assert_same_parameters(name: str, node: ast.FunctionDef, thing: object) -> None:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if decorators & {"property", "overload", "cached_property"} or any(d.endswith(".setter") for d in decorators):
        return
    stub = parameters(node)
    if "classmethod" in decorators:
        stub = stub[1:]
    signature = inspect.signature(thing)  # type: ignore[arg-type]
    runtime = [(p.name, p.kind.name, p.default is not p.empty) for p in signature.parameters.values()]
    assert runtime == stub, f"{name} has other parameters than its stub"


def test_the_stub_names_what_the_core_has():
    named = set(functions(STUB.body)) | set(classes())
    named |= {
        node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert {name for name in named if not name.startswith("_")} == own(vars(core))


@pytest.mark.parametrize("name", functions(STUB.body))
def test_functions(name):
    function = getattr(core, name)
    assert_same_parameters(name, functions(STUB.body)[name], function)
    assert function.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("name", classes())
def test_classes(name):
    cls, body = getattr(core, name), classes()[name].body
    assert cls.__doc__, f"{name} has no docstring"
    assert set(functions(body)) == {public for public in vars(cls) if not public.startswith("_")}
    for method, node in functions(body).items():
        assert_same_parameters(f"{name}.{method}", node, getattr(cls, method))
        assert getattr(cls, method).__doc__ or not callable(getattr(cls, method)), f"{name}.{method} has no docstring"
