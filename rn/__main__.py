"""``python -m rn``: see ``rn.cli``."""

from rn.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
