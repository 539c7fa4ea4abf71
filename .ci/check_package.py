"""Checks what `python -m build` made: one wheel and one sdist, whole, small, free of what does not belong there."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

MOST_WHEEL_BYTES = 2 * 2**20


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        cores = [name for name in names if re.fullmatch(r"rn/_core/core\.[^/]*(so|pyd)", name)]
        assert len(cores) == 1, cores
        with tempfile.TemporaryDirectory() as folder:
            check_symbols(Path(archive.extract(cores[0], folder)))
    strangers = [name for name in names if Path(name).suffix in {".c", ".h", ".pyx", ".pxi", ".pxd", ".pyc"}]
    assert not strangers, f"the wheel holds sources: {strangers}"
    outside = [name for name in names if not re.match(r"rn/|redeneural-[\w.]+\.dist-info/", name)]
    assert not outside, f"the wheel holds {outside}"
    needed = {"rn/py.typed", "rn/_core/core.pyi", "rn/__main__.py", *data_files()}
    assert needed <= set(names), f"the wheel lacks {sorted(needed - set(names))}"
    assert any(name.endswith("/licenses/LICENSE") for name in names), "the wheel lacks its licence"
    size = wheel.stat().st_size
    assert size <= MOST_WHEEL_BYTES, f"{wheel.name} has {size} bytes"
    print(f"{wheel.name}: {size / 1e6:.2f} MB, {len(names)} files")


def data_files() -> set[str]:
    """Return what the sources hold beside code under rn/datasets, as names in a wheel."""
    return {
        path.as_posix()
        for path in Path("rn/datasets").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }


def check_symbols(core: Path) -> None:
    """Assert that the kernels' names are there for perf, gdb and valgrind, in every instruction set."""
    listed = subprocess.run(["nm", core], capture_output=True, text=True, check=True).stdout
    headers = "".join(path.read_text() for path in Path("rn/_core/c").glob("rn*.h"))
    lists = re.findall(r"#define RN_(?:\w+_)?KERNELS\(X\) (.*?[^\\])\n", headers, re.DOTALL)
    expected = {f"rn_{name}_generic" for names in lists for name in re.findall(r"\bX\((\w+)\)", names)}
    assert {"rn_fill_generic", "rn_add_generic"} <= expected
    named = set(re.findall(r" [tT] (rn_\w+)$", listed, re.MULTILINE))
    assert expected <= named, f"no symbols for {sorted(expected - named)}"
    print(f"{core.name}: {core.stat().st_size / 1e6:.2f} MB, {len(expected)} kernels by name")


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        path.as_posix()
        for folder in ("rn", "tests")
        for path in Path(folder).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so", ".pyd"}
    }
    sources |= {"setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE"}
    assert sources <= names, f"the sdist lacks {sorted(sources - names)}"
    strangers = [name for name in names if Path(name).suffix in {".so", ".pyd", ".pyc", ".o"}]
    assert not strangers, f"the sdist holds {strangers}"
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB, {len(names)} files")


def main() -> None:
    folder = Path(sys.argv[1])
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)


if __name__ == "__main__":
    main()
