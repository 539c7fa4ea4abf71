"""Builds the compiled core, rn._core.core; everything else about the package stands in pyproject.toml.

Some variables of the environment steer a build:

- ``RN_BUILD_OPENMP``: unset, OpenMP is used where the compiler has it; ``0`` builds the serial core, ``1`` insists.
- ``RN_BUILD_WERROR=1``: the compiler's warnings are errors.
- ``RN_BUILD_PROFILE=1``: with frame pointers and debug symbols, for perf, py-spy and gdb; optimised as ever.
- ``RN_BUILD_LINETRACE=1``: the core tells Python's trace function of each of its lines, which makes it slow.
- ``RN_BUILD_PROFILER=0``: the profiler is left out, which shows what it costs where it is off.
- ``CC``, ``CFLAGS``, ``LDFLAGS``: as setuptools always reads them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

CORE = Path("rn/_core")

MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise", "/W3"]
# Never -march=native: the core holds every instruction set and picks one when it is imported. Never -ffast-math: it
# breaks NaN and equal bits. Left to itself gcc fuses a*b + c*d on a side of its own choosing, so -ffp-contract=off.
ARITHMETIC_FLAGS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS = ["-O3", "-g0", *ARITHMETIC_FLAGS, "-fvisibility=hidden", "-Wall", "-Wextra"]
# What would take the kernels' names from the symbol table, and with them from perf, gdb and valgrind.
STRIPPING_FLAGS = {"-s", "-Wl,-s", "-Wl,-S", "-Wl,-x", "-Wl,--strip-all", "-Wl,--strip-debug", "-Wl,--discard-all"}

EMPTY_PROGRAM = "int main(void) { return 0; }\n"
PYTHON_PROGRAM = "#include <Python.h>\nint main(void) { return PY_VERSION_HEX == 0; }\n"
OPENMP_PROGRAM = """\
#include <omp.h>
#ifndef _OPENMP
#error OpenMP is off
#endif
int main(void) {
    int i, sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (i = 0; i < 8; i++) sum += i;
    return sum != 28 || omp_get_max_threads() < 1;
}
"""


class BuildCore(build_ext):
    """build_ext that asks the compiler what it can do and leaves the core in the source tree too."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.cython_c_in_temp = True

    def run(self) -> None:
        super().run()
        if not self.inplace:
            # `python -m rn` and `pytest` from the repository's root import from there, after `pip install .` as well.
            try:
                self.copy_extensions_to_source()
            except OSError as error:
                self.warn(f"the core was not copied beside the sources: {error}")

    def build_extension(self, ext: Extension) -> None:
        if hasattr(self.compiler, "linker_so"):
            self.compiler.linker_so = [flag for flag in self.compiler.linker_so if flag not in STRIPPING_FLAGS]
        self.check_compiler()
        flags, link_flags = self.openmp_flags()
        msvc = self.compiler.compiler_type == "msvc"
        ext.extra_compile_args = [*(MSVC_FLAGS if msvc else FLAGS), *flags]
        ext.extra_link_args = link_flags
        ext.define_macros = [("RN_NO_PROFILER", "1")] if os.environ.get("RN_BUILD_PROFILER") == "0" else []
        if os.environ.get("RN_BUILD_PROFILE") == "1":
            ext.define_macros.append(("RN_NATIVE_PROFILING", "1"))
            ext.extra_compile_args += ["/Z7", "/Oy-"] if msvc else ["-g", "-fno-omit-frame-pointer"]
            ext.extra_link_args = [*ext.extra_link_args, *(["/DEBUG"] if msvc else [])]
        if os.environ.get("RN_BUILD_LINETRACE") == "1":
            ext.define_macros.append(("CYTHON_TRACE_NOGIL", "1"))
            ext.cython_directives = {"linetrace": True}
        if os.environ.get("RN_BUILD_WERROR") == "1":
            ext.extra_compile_args.append("/WX" if msvc else "-Werror")
        ext.depends.append(self.write_settings(ext))
        self.compiler.compile = side_by_side(self.compiler.compile)
        super().build_extension(ext)

    def check_compiler(self) -> None:
        """Stop with one sentence where nothing compiles, or where Python's headers are not there."""
        if self.compiles(PYTHON_PROGRAM):
            return
        if self.compiles(EMPTY_PROGRAM):
            raise SystemExit(
                "error: the headers of Python (Python.h) were not found: install them (Debian: apt-get install "
                "python3-dev) and run pip again."
            )
        command = getattr(self.compiler, "compiler_so", ["Microsoft Visual C++"])[0]
        raise SystemExit(
            f"error: no working C compiler was found (tried {command!r}): install one (Debian: apt-get install gcc, "
            "macOS: xcode-select --install, Windows: Build Tools for Visual Studio) or name yours in CC, and run pip "
            "again."
        )

    def openmp_flags(self) -> tuple[list[str], list[str]]:
        """Return the flags to compile and to link with OpenMP; two empty lists where the core is to be serial."""
        wish = os.environ.get("RN_BUILD_OPENMP", "")
        if wish not in ("", "0", "1"):
            raise SystemExit(f"error: RN_BUILD_OPENMP must be 0 or 1 or unset, got {wish!r}.")
        if wish != "0":
            for flags, link_flags in openmp_candidates(self.compiler.compiler_type):
                if self.compiles(OPENMP_PROGRAM, flags, link_flags):
                    return flags, link_flags
            if wish == "1":
                raise SystemExit("error: RN_BUILD_OPENMP=1, but no program with OpenMP compiles and links.")
            self.warn("OpenMP was not found: the core is built serial and will use one thread")
        return [], []

    def compiles(self, program: str, flags: list[str] | None = None, link_flags: list[str] | None = None) -> bool:
        """Whether a C program compiles and links; what the compiler says of one that does not is shown to nobody."""
        with tempfile.TemporaryDirectory() as folder, silent_stderr():
            source = Path(folder, "probe.c")
            source.write_text(program, encoding="ascii")
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, include_dirs=self.include_dirs, extra_postargs=flags
                )
                self.compiler.link_shared_object(
                    objects, str(Path(folder, "probe.so")), library_dirs=self.library_dirs, extra_postargs=link_flags
                )
            except (BaseError, CCompilerError, OSError):
                return False
        return True

    def write_settings(self, ext: Extension) -> str:
        """Return the name of a file that is newer than the core where the core was built with other settings."""
        compiler = [*getattr(self.compiler, "compiler_so", []), *getattr(self.compiler, "linker_so", [])]
        flags = [ext.extra_compile_args, ext.extra_link_args, ext.define_macros]
        settings = repr([sys.version, Cython.__version__, compiler, *flags])
        path = Path(self.build_temp, "settings.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != settings:
            path.write_text(settings, encoding="utf-8")
        return str(path)


class Build(build):
    """build that leaves nothing else in build/lib, so that a module deleted from the sources stays deleted."""

    def run(self) -> None:
        super().run()
        commands = [self.get_finalized_command(name) for name in ("build_py", "build_ext")]
        built = {Path(name) for command in commands for name in command.get_outputs()}
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and path not in built:
                path.unlink()


def openmp_candidates(compiler_type: str) -> list[tuple[list[str], list[str]]]:
    """Return the (compile flags, link flags) to try, in this order."""
    if compiler_type == "msvc":
        return [(["/openmp"], [])]
    candidates = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":
        # Apple's clang knows the pragmas but brings no runtime; Homebrew's libomp stands outside the default paths.
        for prefix in libomp_prefixes():
            flags = ["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"]
            candidates.append((flags, [f"-L{prefix}/lib", "-lomp", f"-Wl,-rpath,{prefix}/lib"]))
    return candidates


def libomp_prefixes() -> list[str]:
    """Return the folders in which Homebrew may have put libomp."""
    prefixes = ["/opt/homebrew/opt/libomp", "/usr/local/opt/libomp"]
    try:
        answer = subprocess.run(["brew", "--prefix", "libomp"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return prefixes
    return [answer.stdout.strip(), *prefixes]


class silent_stderr:
    """Discards what this process and those it starts write to standard error."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self.kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *exception: object) -> None:
        os.dup2(self.kept, 2)
        os.close(self.kept)


def side_by_side(compile_in_turn):
    """Return a compiler's `compile` that works each source on a thread of its own."""

    def compile_all(sources, **options):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda source: compile_in_turn([source], **options), sources)
            return [name for names in objects for name in names]

    return compile_all


setup(
    cmdclass={"build": Build, "build_ext": BuildCore},
    ext_modules=[
        Extension(
            "rn._core.core",
            sources=["rn/_core/core.pyx", *sorted(str(path) for path in CORE.glob("c/*.c"))],
            include_dirs=["rn/_core/c"],
            depends=[str(path) for pattern in ("*.pxi", "*.pxd", "c/*.h") for path in sorted(CORE.glob(pattern))],
        )
    ],
)
