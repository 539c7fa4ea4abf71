"""The ``.rn`` file: a safetensors file with a model's arrays, its description as JSON, and a SHA-256 over every byte.

From start to end, following https://huggingface.co/docs/safetensors:

    8 bytes      the length L of the header, a little-endian unsigned integer
    L bytes      the header, JSON in ASCII without white space, padded with spaces to a multiple of 8:
                 {"__metadata__": {"sha256": ..., "rn_format": "1", "model": the description as JSON text},
                  name: {"dtype": "F32" or "I64", "shape": [...], "data_offsets": [begin, end]}, ...}
    the rest     the arrays, little-endian and C-contiguous, one after the other: int64 first, then by name

The sha256 is that of the whole file with 64 zeros where the digest itself stands, so no bit of it can change unnoticed.
The header is written here and not by the safetensors library because that one leaves the order of the metadata to
chance, and the same model must always give the same bytes; reading accepts only what writing would have written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
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
MAX_AXES = 64  # NumPy's limit

Array = NDArray[np.float32] | NDArray[np.int64]
Spec = tuple[str, tuple[int, ...]]  # safetensors' name of the dtype, and the shape

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_NO_DIGEST = "0" * 64
_DIGEST_AT = 8 + len('{"__metadata__":{"sha256":"')
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: UTF-8 cannot hold it, and other readers refuse it
# A string, which may lack its end, or a bracket. Nothing is ever tried twice: hostile text takes no longer.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def write_file(path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], description: dict[str, Any]) -> None:
    """Write arrays and their description to ``path``, whole or not at all.

    tensors: arrays by name, float32 or int64, of any shape and memory layout.
    description: what JSON can hold: dicts with text as keys, lists, tuples (read back as lists), text, int, finite
    float, bool, None.

    A new file is written beside the old one, flushed to the disk and put in its place in one step, so whenever the
    process is killed ``path`` holds the old file or the new one. It keeps the permissions of the file it replaces; a
    symbolic link stays a link, and its target is replaced. Equal arguments give equal bytes.

    Raises ``DtypeError`` or ``OptionError`` for what the file cannot hold, naming it, ``FileError`` where ``path`` is a
    folder or a device, and ``OSError`` where the disk refuses (``PermissionError``, no space left, …); in each case the
    old file stays as it was.
    """
    arrays = {name: _checked_array(name, array) for name, array in tensors.items()}
    if not isinstance(description, dict):
        raise DtypeError(f"the description must be a dict, got {type(description).__name__}")
    _check_description(description, "description", MAX_DEPTH)
    specs = _ordered({name: ("I64" if a.dtype.kind == "i" else "F32", a.shape) for name, a in arrays.items()})
    header = _header(specs, json.dumps(description, allow_nan=False, separators=(",", ":")))
    if len(header) - 8 > MAX_HEADER:
        raise OptionError(f"the description makes a header of {len(header)} bytes; safetensors allows {MAX_HEADER}")
    with _replacing(os.fsdecode(path)) as file:
        digest = hashlib.sha256(header)
        file.write(header)
        for name in specs:
            data = _bytes_of(arrays[name])
            digest.update(data)
            file.write(data)
        file.seek(_DIGEST_AT)
        file.write(digest.hexdigest().encode())


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the description that ``write_file`` put into ``path``.

    The arrays are new, writable and C-contiguous. Reading runs nothing of the file and needs hardly more memory than
    the file is long.

    Raises ``FileNotFoundError`` where there is no such file, and ``FileError`` with the reason for every other trouble:
    the file cannot be read, is not a ``.rn`` file, comes from a newer rn, or differs in any bit from what was written.
    """
    name = os.fsdecode(path)
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
    except FileError as reason:
        raise FileError(f"{name}: {reason}") from None


def _read(file: io.BufferedReader) -> tuple[dict[str, Array], dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    header = _read_header(file, size)
    found = _parse(_text(header[8:]), "header")
    metadata = found.pop("__metadata__", None)
    if not isinstance(metadata, dict) or "rn_format" not in metadata:
        raise FileError("is a safetensors file, but not one that rn wrote; only .rn files hold a whole model")
    _check_version(metadata["rn_format"])
    model, sha256 = metadata.get("model"), metadata.get("sha256")
    if not isinstance(model, str) or not isinstance(sha256, str):
        raise FileError("its header is damaged: the model's description or the SHA-256 is missing")
    specs = {name: _checked_spec(name, entry) for name, entry in found.items()}
    expected = len(header) + sum(_length(*spec) for spec in specs.values())
    if size != expected:
        trouble = "its end is missing" if size < expected else "something was appended to it"
        raise FileError(f"is damaged: it should be {expected} bytes long and is {size}, {trouble}")
    blank = header[:_DIGEST_AT] + _NO_DIGEST.encode() + header[_DIGEST_AT + len(_NO_DIGEST) :]
    if blank != _header(_ordered(specs), model):
        raise FileError("is damaged or was edited: its header is not as rn writes it")
    digest = hashlib.sha256(blank)
    arrays = {}
    for name, spec in specs.items():
        arrays[name] = _read_array(file, name, spec)
        digest.update(_bytes_of(arrays[name]))
    if digest.hexdigest() != sha256:
        raise FileError("is damaged or was edited: its content does not fit its SHA-256")
    native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
    return native, _parse(model, "description of the model")


def _read_header(file: io.BufferedReader, size: int) -> bytes:
    """Return the length field and the header it announces, without asking for more memory than the file is long."""
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if size == 0:
        raise FileError("is empty")
    if len(start) < 9 or start[8:] != b"{":
        raise FileError("is not a .rn file: it does not begin as a safetensors file does")
    if not 0 < length <= min(size - 8, MAX_HEADER):
        raise FileError(f"is damaged: it announces a header of {length} bytes and is itself {size} bytes long")
    rest = file.read(length - 1)
    if len(rest) != length - 1:
        raise FileError("is damaged: its header is cut short")
    return start + rest


def _read_array(file: io.BufferedReader, name: str, spec: Spec) -> NDArray[Any]:
    dtype, shape = spec
    try:
        array = np.empty(shape, _DTYPES[dtype])
    except (ValueError, OverflowError, MemoryError):
        raise FileError(f"there is no memory for its array {name!a:.80} of shape {shape!a:.80}") from None
    data = _bytes_of(array)
    if file.readinto(data) != len(data):
        raise FileError(f"is damaged: its array {name!a:.80} is cut short")
    return array


def _header(specs: Mapping[str, Spec], model: str) -> bytes:
    """Return the file's start up to the first array, with zeros for the digest."""
    content: dict[str, Any] = {"__metadata__": {"sha256": _NO_DIGEST, "rn_format": str(FORMAT_VERSION), "model": model}}
    end = 0
    for name, (dtype, shape) in specs.items():
        begin, end = end, end + _length(dtype, shape)
        content[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _length(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * _DTYPES[dtype].itemsize


def _ordered(specs: Mapping[str, Spec]) -> dict[str, Spec]:
    """Return the arrays in their order in the file: int64 first, which keeps all of them aligned, then by name."""
    return dict(sorted(specs.items(), key=lambda item: (item[1][0] != "I64", item[0])))


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _checked_array(name: Any, array: Any) -> NDArray[Any]:
    """Return ``array`` as its bytes go into the file, copied only where its memory is laid out otherwise."""
    if not isinstance(name, str) or name == "__metadata__" or _SURROGATE.search(name):
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


def _check_version(version: Any) -> None:
    if not isinstance(version, str) or not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise FileError(f"its header is damaged: {version!a:.40} is no format version")
    if int(version) > FORMAT_VERSION:
        raise FileError(
            f"was made by a newer rn: its format version is {version}, this rn reads up to {FORMAT_VERSION}; "
            "upgrade redeneural"
        )


def _checked_spec(name: str, entry: Any) -> Spec:
    if _SURROGATE.search(name):
        raise FileError(f"its header is damaged: {name!a:.80} is no valid text")
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise FileError(f"its array {name!a:.80} has the dtype {dtype!a:.40}; a .rn file has {' and '.join(_DTYPES)}")
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_AXES
        or not all(type(length) is int and 0 <= length < 2**63 for length in shape)
    ):
        raise FileError(f"its array {name!a:.80} has an impossible shape: {shape!a:.80}")
    return dtype, tuple(shape)


def _text(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError as error:
        raise FileError(f"its header is damaged: {error}") from None


def _parse(text: str, what: str) -> dict[str, Any]:
    """Return the dict that JSON ``text`` stands for; refuse deep nesting, keys given twice, NaN and infinity."""
    try:
        # Counted before parsing: how deep the parser may go depends on the interpreter's settings and the C stack.
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise FileError(f"its {what} is damaged: {error!s:.120}") from None
    if not isinstance(value, dict):
        raise FileError(f"its {what} is damaged: it is a {type(value).__name__} and not a dict")
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} lists and dicts")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is given twice")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is no finite number")
    return value


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[io.BufferedWriter]:
    """Give a new file that takes the place of ``path`` once the block has ended well, and is gone if it has not."""
    target = os.path.realpath(path)
    mode = _mode_of_old(path)
    folder = os.path.dirname(target)
    draft = os.path.join(folder, f".rn-{secrets.token_hex(8)}.tmp")
    try:
        # As open() does: 0o666 less the umask. Never an existing file, never through somebody's link.
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
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
