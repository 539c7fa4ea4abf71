"""Builds as users make them, with pip and build isolation, on a copy of the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOT_SOURCES = ["build", "dist", ".*", "*.egg-info", "*.so", "*.pyd", "__pycache__", "docs", "benchmarks", "examples"]


@pytest.fixture
def sources(repository, tmp_path):
    """Return a copy of the sources as a clone has them: nothing is built."""
    copy = tmp_path / "sources"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    return copy


def run(*command: str | Path, cwd: Path, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [*command], cwd=cwd, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def pip(*arguments: str | Path, cwd: Path, status: int = 0, **environment: str) -> str:
    return run(sys.executable, "-m", "pip", *arguments, cwd=cwd, status=status, **environment)


def wheel_names(sources: Path, folder: Path) -> list[str]:
    pip("wheel", "--no-deps", "--wheel-dir", folder, ".", cwd=sources)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_a_deleted_module_is_not_in_the_next_wheel(sources, tmp_path):
    module = sources / "rn/passing.py"
    module.write_text('"""A module that is soon deleted."""\n')
    assert "rn/passing.py" in wheel_names(sources, tmp_path / "before")
    module.unlink()
    assert not [name for name in wheel_names(sources, tmp_path / "after") if "passing" in name]
    # The build left the core beside the sources, so Python finds a whole rn from there.
    where = run(sys.executable, "-c", "import rn; print(rn._core.core.__file__)", cwd=sources)
    assert Path(where.strip()).is_relative_to(sources)


def test_a_serial_build_works_and_says_so(sources, tmp_path):
    there = tmp_path / "there"
    pip("install", "--no-deps", "--target", there, ".", cwd=sources, RN_BUILD_OPENMP="0")
    program = """
import numpy as np, rn
from rn import _core
assert _core.openmp_version() == 0
rn.set_num_threads(4)
plan = _core.Plan(1)
y = plan.kept((1, 1_000_000))
_core.fill(plan, y, 2.0)
plan.seal()
plan.run()
assert np.all(np.asarray(plan.array(y)) == 2.0)
rn.show_config()
"""
    printed = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=str(there))
    assert "no: serial build" in printed
    assert "1 (serial build; else 4" in printed


def test_an_editable_install_works(sources, tmp_path):
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "-e", ".", cwd=sources)
    where = run(python, "-c", "import rn; print(rn.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(sources)
    module = sources / "rn/added_later.py"
    module.write_text('"""Seen at once."""\n')
    run(python, "-c", "import rn.added_later", cwd=tmp_path)


def test_without_a_compiler_one_sentence_says_so(sources, tmp_path):
    printed = pip("wheel", "--no-deps", "-w", tmp_path, ".", cwd=sources, status=1, CC="/nonexistent/compiler")
    errors = [line.strip() for line in printed.splitlines() if line.strip().startswith("error: no working")]
    assert errors == [
        "error: no working C compiler was found (tried '/nonexistent/compiler'): install one (Debian: apt-get install "
        "gcc, macOS: xcode-select --install, Windows: Build Tools for Visual Studio) or name yours in CC, and run pip "
        "again."
    ]
    assert "Traceback" not in printed


def test_a_wish_that_means_nothing_is_refused(sources, tmp_path):
    printed = pip("wheel", "--no-deps", "-w", tmp_path, ".", cwd=sources, status=1, RN_BUILD_OPENMP="maybe")
    assert "error: RN_BUILD_OPENMP must be 0 or 1 or unset, got 'maybe'." in printed
    assert "Traceback" not in printed
