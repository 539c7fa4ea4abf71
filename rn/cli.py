"""The command line: ``python -m rn``."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rn import _config, _version
from rn.errors import MissingExtraError, RnError, ShapeError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` name (default: those of the process) and return its exit status.

    Without a command the help is printed. The status is 2 where the command cannot be done or its output not written,
    which stderr explains; wrong arguments end the process with that status, as argparse does. It is 1 where nobody
    reads on, as behind ``head``.
    """
    parser = _parser()
    try:
        try:
            return _run(parser, arguments)
        finally:
            if sys.stdout is not None:  # as it is where the process was started without one
                sys.stdout.flush()
    except OSError as error:
        # What is left would be written, and refused again, when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 1
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] | None = options.run
    if run is None:
        parser.print_help()
        return 0
    try:
        run(options)
    except BrokenPipeError:
        raise
    except (RnError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rn", description="Neural networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"rn {_version.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    about = "print versions, compiler, instruction set, OpenMP and threads"
    commands.add_parser("config", help=about, description=about).set_defaults(run=lambda _: _config.show_config())
    _add_profile(commands)
    return parser


def _add_profile(commands: Any) -> None:
    about = "show where the time of a saved model goes, and write a trace and a roofline"
    command = commands.add_parser("profile", help=about, description=about)
    command.add_argument("file", metavar="FILE.rn", help="what model.save() wrote")
    command.add_argument(
        "--input",
        type=_shape,
        metavar="C,H,W",
        help="shape of a sample, such as 1,28,28 or 4; default: the model's own",
    )
    command.add_argument("--batch", type=_positive, default=32, metavar="N", help="samples at a time (default: 32)")
    command.add_argument("--steps", type=_positive, default=100, metavar="N", help="how often (default: 100)")
    command.add_argument("--train", action="store_true", help="training steps in the place of predictions")
    command.add_argument("--trace", metavar="PATH", help="for a trace viewer (default: FILE-trace.json)")
    command.add_argument("--roofline", metavar="PATH", help="picture (default: FILE-roofline.png)")
    command.set_defaults(run=_profile)


def _profile(options: argparse.Namespace) -> None:
    """Profile a saved model on random numbers."""
    import numpy as np

    from rn import _core
    from rn.models import door, load
    from rn.profiling import profile

    model = load(options.file)
    network = model._built()
    if options.input is not None and options.input != network.input_shape:
        raise ShapeError(f"{options.file}: its model takes samples of shape {network.input_shape}, not {options.input}")
    x = np.asarray(_core.Tensor4D.uniform((options.batch, math.prod(network.input_shape)), seed=0))
    x = x.reshape(options.batch, *network.input_shape)
    y = None
    if options.train:
        _, loss = model._compiled("profile --train")
        classes = door.class_count(network.output_shape)
        y = (
            np.arange(options.batch) % classes
            if loss.takes_classes
            else np.zeros((options.batch, *network.output_shape))
        )

    def work() -> None:
        if y is None:
            model.predict(x, batch_size=options.batch)
        else:
            model.train_on_batch(x, y)

    work()  # binds the plan
    with profile() as found:
        for _ in range(options.steps):
            work()
    print(found)
    stem = options.file.removesuffix(".rn")
    found.save_trace(trace := options.trace or f"{stem}-trace.json")
    print(f"\ntrace: {trace} (open it in ui.perfetto.dev or chrome://tracing)")
    try:
        found.plot(roofline := options.roofline or f"{stem}-roofline.png")
    except MissingExtraError as error:
        print(f"no roofline: {error}")
    else:
        print(f"roofline: {roofline}")


def _shape(text: str) -> tuple[int, ...]:
    lengths = tuple(_positive(part) for part in text.split(","))
    if len(lengths) not in (1, 3):
        raise argparse.ArgumentTypeError(f"a sample's shape is FEATURES or C,H,W, got {text!r}")
    return lengths


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return number
