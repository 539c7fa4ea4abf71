"""The cache: where it is, and that a file enters it whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rn.datasets import cache
from rn.datasets.cache import cache_folder, store
from rn.errors import DownloadError

# ---- where


def test_the_environment_chooses(monkeypatch, tmp_path):
    monkeypatch.setenv("RN_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("RN_CACHE_DIR", "near")
    assert cache_folder() == Path.cwd() / "near"
    monkeypatch.setenv("RN_CACHE_DIR", os.path.join("~", "rn-data"))
    assert cache_folder() == Path.home() / "rn-data"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "{home}/.cache/rn"),
        ("linux", {"XDG_CACHE_HOME": "/var/big"}, "/var/big/rn"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/rn"),
        ("linux", {"RN_CACHE_DIR": ""}, "{home}/.cache/rn"),
        ("darwin", {"XDG_CACHE_HOME": "/var/big"}, "{home}/Library/Caches/rn"),
        ("win32", {"LOCALAPPDATA": "/users/me/local"}, "/users/me/local/rn/cache"),
        ("win32", {}, "{home}/AppData/Local/rn/cache"),
    ],
)
def test_the_platforms_own_place(monkeypatch, tmp_path, platform, variables, expected):
    for name in ("RN_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected.format(home=tmp_path))


def test_a_user_without_a_home(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RN_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(DownloadError, match=r"no home folder to keep data sets in: set RN_CACHE_DIR"):
        cache_folder()


# ---- storing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_stored_file(tmp_path):
    path = tmp_path / "new" / "folders" / "a.gz"
    store(path, b"first")
    store(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.gz"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        store(tmp_path / "a.gz", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "a.gz").stat().st_mode & 0o777 == 0o644


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    done = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(cache.os, "fsync", lambda handle: done.append("fsync") or fsync(handle))
    monkeypatch.setattr(cache.os, "replace", lambda *paths: done.append("replace") or replace(*paths))
    store(tmp_path / "a.gz", b"content")
    assert done == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_process_killed_while_storing_leaves_the_old_file_or_none(tmp_path, step, old):
    path = tmp_path / "a.gz"
    if old is not None:
        path.write_bytes(old)
    program = (
        "import os, sys, pathlib\n"
        "from rn.datasets.cache import store\n"
        f"os.{step} = lambda *_: os._exit(9)\n"
        "store(pathlib.Path(sys.argv[1]), b'new' * 1000)"
    )
    process = subprocess.run([sys.executable, "-c", program, path], check=False, timeout=60)
    assert process.returncode == 9
    assert (path.read_bytes() if path.exists() else None) == old
    assert [name for name in names(tmp_path) if not name.startswith(".")] == (["a.gz"] if old else [])
    store(path, b"new")
    assert path.read_bytes() == b"new"


def test_an_error_while_storing_leaves_no_trace(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store(tmp_path / "a.gz", b"content")
    assert names(tmp_path) == []


def test_old_leftovers_are_swept_and_young_or_foreign_files_are_not(tmp_path):
    old, young, foreign = (tmp_path / name for name in (".a.gz.00.part", ".a.gz.11.part", ".b.gz.22.part"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (time.time() - 2 * cache.DAY,) * 2)
    store(tmp_path / "a.gz", b"content")
    assert names(tmp_path) == sorted(["a.gz", young.name, foreign.name])


def test_many_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "a.gz"
    contents = [bytes([k]) * 200_000 for k in range(8)]
    seen = []

    def store_and_look(content):
        store(path, content)
        seen.append(path.read_bytes())

    threads = [threading.Thread(target=store_and_look, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(content in contents for content in seen)
    assert names(tmp_path) == ["a.gz"]
