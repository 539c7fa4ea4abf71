"""The command line: ``python -m rn``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from rn import _config, _version

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` name (default: those of the process) and return its exit status.

    Without a command the help is printed. Wrong arguments end the process with status 2, as argparse does.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] | None = options.run
    if run is None:
        parser.print_help()
    else:
        run(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rn", description="Neural networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"rn {_version.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    about = "print versions, compiler, instruction set, OpenMP and threads"
    commands.add_parser("config", help=about, description=about).set_defaults(run=lambda _: _config.show_config())
    return parser
