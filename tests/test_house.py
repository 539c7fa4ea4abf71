"""The house: which room may import which, and what stands in one place only."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rn

PACKAGE = Path(rn.__file__).parent

# The table of arrows. A room may import itself and the rooms named here; "…" stands for every room of the rows above.
GROUND = ["_core", "errors", "registry"]
ARROWS: list[dict[str, list[str]]] = [
    {"_version": [], "_text": [], "errors": [], "registry": ["errors"]},
    {"_core": ["errors"]},
    {"_threads": ["_core", "errors"]},
    {"_config": ["_core", "_threads", "_version"]},
    {
        "activations": GROUND,
        "initializers": GROUND,
        "regularizers": GROUND,
        "losses": GROUND,
        "metrics": GROUND,
        "schedules": GROUND,
        "optimizers": [*GROUND, "schedules"],
        "layers": [*GROUND, "activations", "initializers", "regularizers"],
    },
    {"data": ["_core", "errors"], "datasets": ["_core", "errors"]},
    {"callbacks": ["…"], "training": ["…"]},
    {"serialization": ["…"], "profiling": ["…"]},
    {"models": ["…"]},
    {"plotting": ["…"], "onnx": ["…"], "sklearn": ["…"], "distributed": ["…"], "cli": ["…"]},
    {"__main__": ["cli"]},
    {"__init__": ["…"]},
]
# Imported only when they are used: inside functions, which any room may do.
ON_USE = {"plotting", "onnx", "sklearn", "distributed", "cli"}
# Packages that cost time to import or may be missing.
HEAVY = {"matplotlib", "mpi4py", "onnx", "onnxruntime", "safetensors", "scipy", "sklearn", "tensorboard", "tqdm", "PIL"}


def allowed() -> dict[str, set[str]]:
    table: dict[str, set[str]] = {}
    for row in ARROWS:
        above = set(table)
        for room, names in row.items():
            table[room] = {room} | (above if names == ["…"] else set(names))
    return table


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.Module, path: Path) -> Iterator[tuple[str, bool, int]]:
    """Yield (room, whether at import time, line) of every import of rn's own rooms, those for type checkers aside."""

    def visit(node: ast.AST, now: bool) -> Iterator[tuple[str, bool, int]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for child in node.orelse:
                yield from visit(child, now)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            now = False
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports name the whole path"
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "rn":
            names = [f"rn.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] == "rn":
                yield [*name.split("."), "__init__"][1], now, node.lineno
        for child in ast.iter_child_nodes(node):
            yield from visit(child, now)

    yield from visit(tree, True)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_room_stands_in_the_table():
    assert {room_of(path) for path in sources()} <= set(allowed())


def test_arrows_point_down():
    table = allowed()
    wrong = []
    for path in sources():
        room = room_of(path)
        for target, now, line in imports(ast.parse(path.read_text(encoding="utf-8")), path):
            if now and target in ON_USE - {room} and room != "__main__":
                wrong.append(f"{path.relative_to(PACKAGE)}:{line}: {target} is imported when it is used, not before")
            elif target not in table[room] and not (target in ON_USE and not now):
                wrong.append(f"{path.relative_to(PACKAGE)}:{line}: {room} may not import {target}")
    assert not wrong, "\n".join(wrong)


def test_the_table_sees_a_wrong_arrow():
    tree = ast.parse("from rn import models\nimport rn.layers.dense\ndef f():\n    from rn.plotting import bars\n")
    assert list(imports(tree, Path("x.py"))) == [("models", True, 1), ("layers", True, 2), ("plotting", False, 4)]
    assert "models" not in allowed()["layers"]
    assert "layers" in allowed()["models"]


def new_python(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_importing_rn_brings_nothing_heavy():
    modules = set(new_python("import sys, rn, rn.models; print(*sys.modules)"))
    assert not modules & HEAVY
    assert not modules & {f"rn.{room}" for room in ON_USE}


def test_importing_rn_leaves_models_and_their_parts_to_the_first_use():
    modules = set(new_python("import sys, rn; print(*sys.modules)"))
    assert "rn._core.core" in modules
    assert not modules & {f"rn.{room}" for room in ("layers", "models", "data", "callbacks", "optimizers", "training")}


@pytest.mark.parametrize("name", rn.__all__)
def test_each_public_name_is_there_after_import_rn_alone(name):
    assert new_python(f"import rn; thing = rn.{name}; print(rn.{name} is thing, 'found')") == ["True", "found"]


def test_nothing_is_kept_of_a_patch_at_the_first_use():
    program = (
        "import rn, unittest.mock as mock\nwith mock.patch('rn.models.load'): rn.load\nprint(rn.load is rn.models.load)"
    )
    assert new_python(program + "\ndel rn.threads\nprint(hasattr(rn, 'threads'))") == ["True", "False"]


def test_a_name_of_a_class_is_known_after_import_rn_alone():
    program = "import rn; print(*rn.registry.names({!r}))"
    for kind, name in (("layer", "dense"), ("loss", "mse"), ("model", "sequencial"), ("schedule", "cosine")):
        assert name in new_python(program.format(kind))
    assert new_python("import rn; print(rn.registry.lookup('activation', 'relu').__name__)") == ["ReLU"]


@pytest.mark.parametrize("kind", rn.registry.KINDS)
def test_each_kind_of_thing_is_filed_by_its_module(kind):
    module = importlib.import_module(rn.registry.KINDS[kind])
    contract = rn.registry._contracts[kind]
    assert contract.__module__.startswith(module.__name__)
    lines = (
        "import rn",
        f"@rn.register({kind!r}, 'mine')",
        f"class Mine({module.__name__}.{contract.__name__}): pass",
        f"print(rn.registry.lookup({kind!r}, 'mine') is Mine)",
    )
    assert new_python("\n".join(lines)) == ["True"]


# ---- the public names


def modules() -> list[str]:
    names = (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in sources())
    return sorted({name.removesuffix(".__init__") for name in names if not name.endswith("__main__")})


@pytest.mark.parametrize("name", modules())
def test_every_public_name_exists_and_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if inspect.isroutine(thing) or inspect.isclass(thing) or inspect.ismodule(thing):
            assert inspect.getdoc(thing), f"{name}.{public} has no docstring"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'rn' has no attribute 'no_such_thing'"):
        _ = rn.no_such_thing
    assert set(rn.__all__) <= set(dir(rn))


# ---- the core's sources


@pytest.fixture
def core_sources(repository):
    return sorted(path for path in (repository / "rn/_core").rglob("*") if path.suffix in {".pyx", ".pxi", ".c", ".h"})


def test_the_core_imports_only_errors_and_links_no_numpy(core_sources):
    for path in core_sources:
        for line in path.read_text(encoding="utf-8").splitlines():
            if path.suffix in {".pyx", ".pxi"}:
                assert not re.match(r"\s*(cimport\s+numpy|from\s+numpy\S*\s+cimport)", line), f"{path}: {line}"
                if match := re.match(r"\s*(?:from|c?import)\s+rn\b\.?([\w.]*)", line):
                    assert match[1] == "errors", f"{path}: {line}"
            else:
                assert "Python.h" not in line, f"{path}: {line}"


def test_the_library_has_one_parallel_loop(core_sources):
    loops = []
    for path in core_sources:
        text = re.sub(r"#.*" if path.suffix in {".pyx", ".pxi"} else r"/\*.*?\*/", "", path.read_text(encoding="utf-8"))
        loops += [path.name] * len(re.findall(r"\bin\s+prange\s*\(|#\s*pragma\s+omp\b", text))
    assert loops == ["crew.pxi"]


def test_every_public_name_has_a_docstring():
    """An override may leave it to the contract that it fulfils."""
    seen: set[int] = set()
    bare: list[str] = []

    def look(thing: object, name: str) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if inspect.ismodule(thing):
            assert thing.__doc__, name
            for public in getattr(thing, "__all__", []):
                look(getattr(thing, public), f"{name}.{public}")
        elif inspect.isclass(thing):
            bare.extend([name] * (not inspect.getdoc(thing)))
            for public, member in vars(thing).items():
                if not public.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
                    look(getattr(thing, public), f"{name}.{public}")
        elif callable(thing) or isinstance(thing, property):
            bare.extend([name] * (not inspect.getdoc(thing)))

    look(rn, "rn")
    assert len(seen) > 100
    assert not bare
