"""Gives CI the commands of a README: its fenced blocks marked `sh`, so that what is documented is what is run."""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def blocks(text: str) -> list[str]:
    """Return the fenced `sh` blocks of a Markdown text."""
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readme", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--numbers", action="store_true", help="print the number of each block")
    what.add_argument("--block", type=int, help="print the block of this number")
    options = parser.parse_args()
    found = blocks(options.readme.read_text(encoding="utf-8"))
    if len(found) < 2:
        parser.error(f"{options.readme} has {len(found)} sh blocks; its two commands are not found")
    print(*range(len(found)) if options.numbers else [found[options.block]])


if __name__ == "__main__":
    main()
