"""Where the files of a data set come from: a folder of the user's, the cache, or the network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rn.datasets.cache import cache_folder, store
from rn.datasets.unpack import packed_limit, read_limited, unpack
from rn.errors import DownloadError, FileError

__all__ = ["DataFile", "DataSet"]


@dataclass(frozen=True)
class DataFile:
    """A file of a data set as it is unpacked: its name without ``.gz``, its size in bytes and its SHA-256.

    With ``packed`` the SHA-256 is that of the gzipped file, where its publisher gives no other; then ``size`` is the
    most that it may unpack to, and the file must be had as it was published, gzipped. What the cache keeps is unpacked
    all the same: a note beside it says which bytes came out of the published ones.
    """

    name: str
    size: int
    sha256: str
    packed: bool = False

    def unpack(self, content: bytes, name: str) -> bytes:
        """Return the unpacked bytes of ``content``; ``FileError`` under ``name`` if they are not this file's."""
        if self.packed:
            self._check(content, name, "")
            return unpack(content, self.size, name)
        unpacked = unpack(content, self.size, name)
        if len(unpacked) < self.size:
            raise FileError(f"{name} is truncated: {len(unpacked):,} bytes unpacked, {self.size:,} were expected")
        self._check(unpacked, name, "unpacked ")
        return unpacked

    def _check(self, content: bytes, name: str, which: str) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != self.sha256:
            raise FileError(
                f"{name} is damaged or another file: the SHA-256 of its {which}bytes is {sha256}, "
                f"expected {self.sha256}"
            )

    def open(self, path: Path) -> bytes:
        """Return the unpacked bytes of the file at ``path``; ``FileError`` if they are not this file's."""
        if self.packed and path.name == self.name:
            return self._open_kept(path)
        return self.unpack(read_limited(path, packed_limit(self.size)), str(path))

    def keep(self, folder: Path, unpacked: bytes) -> None:
        """Store what ``unpack`` has returned under this file's name in ``folder``, where ``open`` finds it."""
        store(folder / self.name, unpacked)
        if self.packed:
            store(note_beside(folder / self.name), self._note(unpacked))

    def _open_kept(self, path: Path) -> bytes:
        unpacked = read_limited(path, self.size)
        if read_limited(note_beside(path), 1024) != self._note(unpacked):
            raise FileError(f"{path} is damaged, or comes from another file than the one published")
        return unpacked

    def _note(self, unpacked: bytes) -> bytes:
        return f"{hashlib.sha256(unpacked).hexdigest()} unpacked from {self.sha256}\n".encode()


def note_beside(path: Path) -> Path:
    """Return where the note of a file stands that was published gzipped and is kept unpacked at ``path``."""
    return path.with_name(f"{path.name}.sha256")


@dataclass(frozen=True)
class DataSet:
    """The files of a data set and the mirrors that have them.

    ``title`` is its name for people, ``folder`` the name of its folder in ``RN_DATA_DIR`` and in the cache. A mirror is
    a URL that becomes a file's when the file's name and ``.gz`` are put after it.
    """

    title: str
    folder: str
    mirrors: tuple[str, ...]
    files: tuple[DataFile, ...]

    def read(self, file: DataFile, directory: str | os.PathLike[str] | None = None) -> bytes:
        """Return the unpacked, verified bytes of ``file``, from ``directory`` or, if None, wherever it is found.

        ``directory`` and ``RN_DATA_DIR`` may be the folder of the data set, or the one that this folder is in.
        A file in ``directory`` or ``RN_DATA_DIR`` that is not what it should be is refused with ``FileError``: these
        folders are the user's, who should know. One in the cache is downloaded again. ``FileError`` if ``directory``
        has no such file, ``DownloadError`` if it is nowhere.
        """
        if directory is not None:
            for folder in (Path(directory), Path(directory) / self.folder):
                for path in candidates(folder, file):
                    return file.open(path)
            wanted = f"{file.name}.gz" if file.packed else f"{file.name} or {file.name}.gz"
            raise FileError(
                f"{self.title}: {os.fspath(directory)} has no file {wanted}, nor has its folder {self.folder}"
            )
        looked = []
        if data_folder := os.environ.get("RN_DATA_DIR"):
            given = Path(data_folder).expanduser()
            # The folder itself by its name alone: another data set's files may be called the same.
            itself = [given] if given.resolve().name == self.folder else []
            for folder in (given / self.folder, *itself):
                for path in candidates(folder, file):
                    return file.open(path)
                looked.append(f"{folder} (RN_DATA_DIR)")
        folder = cache_folder() / self.folder
        looked.append(f"{folder} (the cache)")
        for path in candidates(folder, file, cache=True):
            try:
                return file.open(path)
            except FileError as error:
                looked.append(str(error))
        try:
            return self.download(file, folder)
        except DownloadError as error:
            raise DownloadError(
                f"{self.title}: {file.name} is neither on this machine nor could it be downloaded. "
                f"Looked in: {'; '.join(looked)}. Tried: {error}. Go online, or put the files of {self.title}, "
                f"{'as published' if file.packed else 'gzipped or not'}, into a folder {self.folder} "
                "and set RN_DATA_DIR to the folder that holds it."
            ) from error

    def download(self, file: DataFile, folder: Path) -> bytes:
        """Return the unpacked bytes of ``file`` from the first good mirror, keeping them in ``folder``."""
        # Imported here, for urllib takes longer to import than the bundled data sets to load.
        from rn.datasets.download import download

        urls = [f"{mirror}{file.name}.gz" for mirror in self.mirrors]
        _, unpacked = download(urls, packed_limit(file.size), lambda content: file.unpack(content, "what came"))
        try:
            file.keep(folder, unpacked)
        except OSError as error:
            raise DownloadError(
                f"{file.name} came, but cannot be kept in {folder} ({error.strerror}): "
                "set RN_CACHE_DIR to a folder that can be written"
            ) from error
        return unpacked


def candidates(folder: Path, file: DataFile, *, cache: bool = False) -> Iterator[Path]:
    """Yield the files of ``folder`` that ``file`` may be in: plain first, which is faster to read."""
    names = (f"{file.name}.gz",) if file.packed and not cache else (file.name, f"{file.name}.gz")
    for path in (folder / name for name in names):
        if path.is_file():
            yield path
