"""A clone whose core is not built, or not for this Python: `import rn` says in one sentence which command builds it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rn

PACKAGE = Path(rn.__file__).parent
SUFFIX = next(path.suffix for path in (PACKAGE / "_core").iterdir() if path.suffix in {".so", ".pyd"})


@pytest.fixture
def clone(tmp_path):
    """Return a folder with rn in it, its core not built."""
    shutil.copytree(PACKAGE, tmp_path / "rn", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    return tmp_path


def import_error(folder: Path) -> str:
    # -S: as in a fresh environment, where NumPy is not there either.
    command = [sys.executable, "-S", "-c", "import rn"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_not_built(clone):
    assert import_error(clone) == (
        "ImportError: the compiled core of rn is not built: run `pip install .` beside setup.py"
    )


def test_built_for_another_python(clone):
    (clone / f"rn/_core/core.cpython-27-there{SUFFIX}").touch()
    assert import_error(clone) == (
        f"ImportError: the compiled core of rn was built for another Python (core.cpython-27-there{SUFFIX}): "
        "run `pip install .` beside setup.py"
    )


def test_damaged(clone):
    (clone / f"rn/_core/core{SUFFIX}").touch()
    assert re.fullmatch(
        r"ImportError: the compiled core of rn does not load \(.*\): run `pip install \.` beside setup\.py",
        import_error(clone),
    )
