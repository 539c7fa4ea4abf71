"""Cores built with other settings than the one at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["build_core"]

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
