"""Reading and unpacking with a limit, so that no file, however it was made, fills the memory."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from rn.errors import FileError

__all__ = ["packed_limit", "read_limited", "unpack"]

GZIP_MAGIC = b"\x1f\x8b"


def packed_limit(unpacked: int) -> int:
    """Return the most bytes that a sensible gzip file of ``unpacked`` bytes, or these bytes themselves, can have."""
    # What cannot be compressed is stored in blocks that cost 5 bytes each; the header may hold a name and a comment.
    return unpacked + unpacked // 1000 + 1024


def read_limited(path: Path, limit: int) -> bytes:
    """Return the bytes of a file; ``FileError`` if it cannot be read or has more than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise FileError(f"{path} is too large: it has more than the {limit:,} bytes expected")
    return content


def unpack(content: bytes, limit: int, name: str) -> bytes:
    """Return ``content``, unpacked if it is gzipped, which its first two bytes tell.

    ``FileError`` under the name ``name`` if the gzip stream is damaged or cut off, or if there are more than ``limit``
    bytes in it: unpacking stops there, so a file that would unpack to many gigabytes costs no memory.
    """
    if content.startswith(GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                unpacked = stream.read(limit + 1)
        except EOFError:
            raise FileError(f"{name} is truncated: its gzip stream has no end") from None
        except (OSError, zlib.error) as error:
            raise FileError(f"{name} is damaged: {error}") from error
    else:
        unpacked = content
    if len(unpacked) > limit:
        raise FileError(f"{name} is too large: it holds more than the {limit:,} bytes expected")
    return unpacked
