"""Cores built with other settings than the one at hand, and small C libraries for what is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["build_core", "build_library", "compiler"]

ROOT = Path(__file__).parents[1]


def build_core(folder: Path, **settings: str) -> Path:
    """Install rn as the sources have it into ``folder``, built with these variables of the environment; return it."""
    with tempfile.TemporaryDirectory() as sources:
        ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
        shutil.copytree(ROOT / "rn", Path(sources, "rn"), ignore=ignored)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, sources)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), sources]
        subprocess.run(command, check=True, env={**os.environ, **settings})
    return folder


def compiler() -> str | None:
    """Return the C compiler there is, if any."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build_library(folder: Path, name: str, source: str, *flags: str) -> Path:
    """Compile C source to a shared library in ``folder`` and return it; ``OSError`` says why that cannot be done."""
    text, library = folder / f"{name}.c", folder / f"{name}.so"
    text.write_text(source, encoding="utf-8")
    command = [compiler() or "cc", "-shared", "-fPIC", *flags, "-o", str(library), str(text)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{name} was not built: {done.stderr.strip()}")
    return library
