"""The ``.rn`` file: a safetensors file with a model's arrays, its description as JSON, and a SHA-256 over every byte.

The safetensors library writes and checks the format (https://huggingface.co/docs/safetensors). In the file's metadata
stands one entry, ``rn``, a JSON text:

    {"format": 1, "sha256": 64 hex digits, "bytes": length of all arrays, "model": the description}

The sha256 is that of the whole file with 64 zeros where the digest itself stands, so no bit of it can change unnoticed.
It is one entry because the library leaves the order of several to chance, and the same model must always give the same
bytes. The order of the arrays is the library's affair: any order with a digest that fits is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn.errors import DtypeError, FileError, OptionError

__all__ = ["FORMAT_VERSION", "read_file", "write_file"]

FORMAT_VERSION = 1

MAX_DEPTH = 200  # of lists and dicts in each other, far below what Python's JSON reader can take
MAX_HEADER = 100_000_000  # bytes, the limit of safetensors readers

Array = NDArray[np.float32] | NDArray[np.int64]

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_NO_DIGEST = b"0" * 64
# A string, which may lack its end. Nothing is ever tried twice: hostile text takes no longer.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_DRAFT = re.compile(r"\.rn-[0-9a-f]{16}\.tmp")


def write_file(path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], description: dict[str, Any]) -> None:
    """Write arrays and their description to ``path``, whole or not at all.

    tensors: arrays by name, float32 or int64, of any shape and memory layout.
    description: what JSON can hold: dicts with text as keys, lists, tuples (read back as lists), text, int, finite
    float, bool, None.

    A new file is written beside the old one, flushed to the disk and put in its place in one step, so whenever the
    process is killed ``path`` holds the old file or the new one. It keeps the permissions of the file it replaces; a
    symbolic link stays a link, and its target is replaced. Equal arguments give equal bytes. For a moment writing takes
    twice the file's length of memory.

    Raises ``DtypeError`` or ``OptionError`` for what the file cannot hold, naming it, ``FileError`` where ``path`` is a
    folder or a device, and ``OSError`` where the disk refuses (``PermissionError``, no space left, …); in each case the
    old file stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    arrays = {name: _checked_array(name, array) for name, array in tensors.items()}
    if not isinstance(description, dict):
        raise DtypeError(f"the description must be a dict, got {type(description).__name__}")
    _check_description(description, "description", MAX_DEPTH)
    length = sum(array.nbytes for array in arrays.values())
    about = {"format": FORMAT_VERSION, "sha256": _NO_DIGEST.decode(), "bytes": length, "model": description}
    try:
        content = save(arrays, {"rn": json.dumps(about, allow_nan=False, separators=(",", ":"))})
    except SafetensorError as error:
        raise OptionError(f"the description or the arrays' names are too long for safetensors: {error}") from None
    with _replacing(_file_name(path)) as file:
        file.write(content)
        file.seek(content.index(_NO_DIGEST))
        file.write(hashlib.sha256(content).hexdigest().encode())


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the description that ``write_file`` put into ``path``.

    The arrays are new, writable and C-contiguous. Reading runs nothing of the file and takes at most twice the file's
    length of memory, the arrays included.

    Raises ``FileNotFoundError`` where there is no such file, and ``FileError`` with the reason for every other trouble:
    the file cannot be read, is not a ``.rn`` file, comes from a newer rn, or differs in any bit from what was written.
    """
    name = _file_name(path)
    try:
        # Asked before opening: to open a named pipe is to wait for someone who writes to it.
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise FileError(f"is a {'folder' if os.path.isdir(name) else 'device or pipe'}, not a .rn file")
        with open(name, "rb") as file:
            return _read(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise FileError(f"{name}: there is no memory for it; reading takes twice the file's length") from None
    except FileError as reason:
        raise FileError(f"{name}: {reason}") from None


def _file_name(path: str | os.PathLike[str]) -> str:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise DtypeError(f"path must be a string or a path, got {type(path).__name__}") from None
    if "\0" in name:
        raise FileError(f"{name!r} names no file: it holds a null character")
    return name


def _read(file: io.BufferedReader) -> tuple[dict[str, Array], dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    header = _read_header(file, size)
    sha256, length, model = _read_about(header)
    found = size - len(header)
    if found != length:
        trouble = "its end is missing" if found < length else "something was appended to it"
        raise FileError(f"is damaged: its arrays should take {length!s:.40} bytes and take {found}, {trouble}")
    file.seek(0)
    content = file.read(size)
    # The copy needs as much memory as the arrays will: a lack of it shows here and not inside the library.
    blank = content.replace(sha256.encode(errors="replace"), _NO_DIGEST, 1)
    if hashlib.sha256(blank).hexdigest() != sha256:
        raise FileError("is damaged or was edited: its content does not fit its SHA-256")
    del blank
    return _arrays(content), model


def _read_header(file: io.BufferedReader, size: int) -> bytes:
    """Return the length field and the header it announces, without asking for more memory than the file is long."""
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if size == 0:
        raise FileError("is empty")
    if start[8:] != b"{":
        raise FileError("is not a .rn file: it does not begin as a safetensors file does")
    if not 0 < length <= min(size - 8, MAX_HEADER):
        raise FileError(f"is damaged: it announces a header of {length} bytes and is itself {size} bytes long")
    return start + file.read(length - 1)


def _read_about(header: bytes) -> tuple[str, int, dict[str, Any]]:
    """Return what the header says of the file: the SHA-256, the length of all arrays, and the description."""
    # Bytes that are no UTF-8 need no refusal of their own: the SHA-256 is taken of the bytes as they are.
    metadata = _parse(header[8:].decode(errors="replace"), "header").get("__metadata__")
    if not isinstance(metadata, dict) or metadata.keys() != {"rn"} or not isinstance(metadata["rn"], str):
        raise FileError("is a safetensors file, but not one that rn wrote; only .rn files hold a whole model")
    about = _parse(metadata["rn"], "description of the model")
    version = about.get("format")
    if version != FORMAT_VERSION or type(version) is not int:
        raise FileError(
            f"was made by a newer rn, or is damaged: its format version is {version!a:.40}, this rn reads "
            f"{FORMAT_VERSION}; upgrade redeneural"
        )
    match about:
        case {"sha256": str(sha256), "bytes": int(length), "model": dict(model)}:
            return sha256, length, model
    raise FileError("its description of the model is damaged: it lacks the SHA-256, the length or the model")


def _arrays(content: bytes) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(content)
    except SafetensorError as error:
        raise FileError(f"its header is damaged: {error!s:.300}") from None
    arrays = {}
    for name, entry in entries:
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            known = " and ".join(_DTYPES)
            raise FileError(f"its array {name!a:.80} has the dtype {entry['dtype']}; a .rn file has {known}")
        try:
            array = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
        except ValueError as error:
            raise FileError(f"its array {name!a:.80} has an impossible shape: {error}") from None
        arrays[name] = array.astype(dtype.newbyteorder("="), copy=False)
    return arrays


def _checked_array(name: Any, array: Any) -> NDArray[Any]:
    """Return ``array`` as its bytes go into the file, copied only where its memory is laid out otherwise."""
    # Half a character, a surrogate, is none that UTF-8 can hold.
    if not isinstance(name, str) or name == "__metadata__" or name != name.encode(errors="replace").decode():
        raise OptionError(f"an array's name must be valid text other than '__metadata__', got {name!a}")
    if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("<") not in _DTYPES.values():
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise DtypeError(f"array {name!a} must be a NumPy array of float32 or int64, got {kind}")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _check_description(value: Any, where: str, depth: int) -> None:
    """Raise, saying where the trouble is, unless ``value`` comes back from JSON as it went in, tuples as lists."""
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OptionError(f"{where} is {value}, which JSON cannot hold")
        return
    if depth == 0:
        raise OptionError(f"{where:.200}... is nested deeper than {MAX_DEPTH} lists and dicts")
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_description(item, f"{where}[{index}]", depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DtypeError(f"{where} has the key {key!a}, and JSON has only text as keys")
            _check_description(item, f"{where}[{key!a}]", depth - 1)
    else:
        raise DtypeError(
            f"{where} is a {type(value).__name__}, which JSON cannot hold; give numbers, text, lists and dicts"
        )


def _parse(text: str, what: str) -> dict[str, Any]:
    """Return the dict that JSON ``text`` stands for; refuse deep nesting, keys given twice, NaN and infinity."""
    try:
        # Counted before parsing: how deep the parser may go depends on the interpreter's settings and the C stack.
        steps = (1 if bracket in "[{" else -1 for bracket in _BRACKET.findall(_STRING.sub("", text)))
        if max(itertools.accumulate(steps), default=0) > MAX_DEPTH + 1:  # + 1: the description stands in a dict
            raise ValueError(f"nested deeper than {MAX_DEPTH} lists and dicts")
        value = json.loads(text, object_pairs_hook=_unique)
        json.dumps(value, allow_nan=False)  # raises for NaN and infinity
    except (ValueError, RecursionError) as error:
        raise FileError(f"its {what} is damaged: {error!s:.120}") from None
    if not isinstance(value, dict):
        raise FileError(f"its {what} is damaged: it is a {type(value).__name__} and not a dict")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is given twice")
    return content


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[io.BufferedWriter]:
    """Give a new file that takes the place of ``path`` once the block has ended well, and is gone if it has not."""
    target = os.path.realpath(path)
    mode = _mode_of_old(path)
    folder = os.path.dirname(target)
    _remove_abandoned(folder)
    try:
        draft, handle = _new_draft(folder)
    except OSError as error:
        raise OSError(error.errno, f"no new file can be made in its folder: {error.strerror}", path) from None
    try:
        with open(handle, "wb") as file:
            if mode is not None:
                os.chmod(draft, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path
        raise
    _sync_folder(folder)


def _new_draft(folder: str) -> tuple[str, int]:
    """Return the name and the handle of a new file, which is locked as long as the handle is open."""
    while True:
        draft = os.path.join(folder, f".rn-{secrets.token_hex(8)}.tmp")
        # As open() does: 0o666 less the umask. Never an existing file, never through somebody's link.
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        _lock(handle)
        if os.path.exists(draft):  # else somebody took it for abandoned before it was locked
            return draft, handle
        os.close(handle)


def _remove_abandoned(folder: str) -> None:
    """Remove what was left by processes that were killed while they wrote: drafts that nobody holds locked.

    Where there are no such locks, on Windows, a file that is open cannot be removed.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for draft in [entry.path for entry in entries if _DRAFT.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                if os.name == "nt":
                    os.unlink(draft)
                    continue
                handle = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW)
                try:
                    if _lock(handle):
                        os.unlink(draft)
                finally:
                    os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file for this handle alone and return whether that succeeded; ``False`` where locks are unknown."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _mode_of_old(path: str) -> int | None:
    """Return the permissions of the file to be replaced, None where there is none; refuse what must not be replaced."""
    if not os.path.basename(path):
        raise FileError(f"{path!r} names a folder; give the name of a file")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise FileError(f"{path}: is a {'folder' if stat.S_ISDIR(mode) else 'device or pipe'}; give the name of a file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", path)
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Make the new name durable, where the system lets a folder be opened and flushed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
