"""The folder in which downloaded data sets are kept, and how a file enters it: whole or not at all."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path

from rn.errors import DownloadError

__all__ = ["cache_folder", "store"]

DAY = 24 * 60 * 60


def cache_folder() -> Path:
    r"""Return the folder of downloaded data sets: ``RN_CACHE_DIR``, or where the platform keeps caches.

    That is ``$XDG_CACHE_HOME/rn`` or ``~/.cache/rn``, on macOS ``~/Library/Caches/rn``, on Windows
    ``%LOCALAPPDATA%\rn\cache``. The folder need not exist; it is made when something is stored.
    """
    if chosen := os.environ.get("RN_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else home() / "AppData" / "Local") / "rn" / "cache"
    if sys.platform == "darwin":
        return home() / "Library" / "Caches" / "rn"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else home() / ".cache") / "rn"


def home() -> Path:
    """Return the user's home folder; ``DownloadError`` where there is none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise DownloadError("no home folder to keep data sets in: set RN_CACHE_DIR to a folder for them") from error


def store(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that whoever looks, now or after a crash, finds the whole file or none.

    The bytes go to a temporary file of the same folder, and to the disk, before that file takes the name. Processes
    that store the same file at once do not meet: each has a temporary file of its own, and the last name given stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    # Not tempfile.mkstemp, whose files nobody else may read: a cache can be shared, and the umask says how far.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove what processes that were killed while storing ``path`` have left: temporary files older than a day."""
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        with suppress(OSError):
            if leftover.stat().st_mtime < time.time() - DAY:
                leftover.unlink()


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk, where the platform can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
