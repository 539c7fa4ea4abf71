"""Builds the compiled core, rn._core.core; everything else about the package stands in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

CORE = Path("rn/_core")

setup(
    ext_modules=[
        Extension(
            "rn._core.core",
            sources=["rn/_core/core.pyx", *sorted(str(path) for path in CORE.glob("c/*.c"))],
            include_dirs=["rn/_core/c"],
            depends=[str(path) for pattern in ("*.pxi", "*.pxd", "c/*.h") for path in CORE.glob(pattern)],
            extra_compile_args=["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-fopenmp", "-Wall", "-Wextra"],
            extra_link_args=["-fopenmp"],
        )
    ]
)
