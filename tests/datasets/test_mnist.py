"""MNIST and the data sets like it: where the files are found, and that only the right ones are used."""

from __future__ import annotations

import dataclasses
import gzip
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rn.datasets
from rn.datasets import cache, load_mnist, mnist
from rn.datasets.mnist import MNIST
from rn.errors import DownloadError, FileError

from .conftest import drip, idx_bytes, send, status

TRAIN_IMAGES = "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def tiny_mnist(request, monkeypatch):
    if not request.node.get_closest_marker("data"):
        monkeypatch.setattr(mnist, "MNIST", request.getfixturevalue("tiny").data_set)


@pytest.fixture
def cached() -> Path:
    return cache.cache_folder() / "mnist"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(tiny, loaded) -> None:
    (x, y), (xt, yt) = loaded
    for array, expected in zip((x, y, xt, yt), tiny.arrays, strict=True):
        if expected.ndim == 3:
            expected = expected[:, None].astype(np.float32) / 255
            assert array.dtype == np.float32
        else:
            assert array.dtype == np.int64
        np.testing.assert_array_equal(array, expected)


# ---- known values


@pytest.mark.data
def test_the_real_data():
    start = time.perf_counter()
    (x, y), (xt, yt) = load_mnist()
    assert time.perf_counter() - start < 5
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((60000, 1, 28, 28), np.float32, (60000,), np.int64)
    assert (xt.shape, xt.dtype, yt.shape, yt.dtype) == ((10000, 1, 28, 28), np.float32, (10000,), np.int64)
    assert (x.min(), x.max(), xt.min(), xt.max()) == (0, 1, 0, 1)
    np.testing.assert_array_equal(y[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    np.testing.assert_array_equal(yt[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    np.testing.assert_array_equal(np.bincount(y), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    # The mean and standard deviation by which everyone normalises MNIST.
    np.testing.assert_allclose([x.mean(dtype=float), x.std(dtype=float)], [0.1307, 0.3081], atol=5e-5)

    (raw, raw_labels), (raw_test, _) = load_mnist(raw=True)
    assert (raw.dtype, raw_test.dtype, raw.max()) == (np.uint8, np.uint8, 255)
    np.testing.assert_array_equal(raw[::97] / np.float32(255), x[::97])
    np.testing.assert_array_equal(raw_labels, y)


def test_scaled_and_raw(tiny, tmp_path):
    tiny.put(tmp_path)
    check(tiny, load_mnist(directory=tmp_path))
    raw = [array for pair in load_mnist(raw=True, directory=tmp_path) for array in pair]
    assert [array.dtype for array in raw] == [np.uint8, np.int64] * 2
    for array, expected in zip(raw, tiny.arrays, strict=True):
        np.testing.assert_array_equal(array.squeeze(), expected)
        array[...] = 0  # the caller's own


def test_all_arrays_are_contiguous(tiny, tmp_path):
    tiny.put(tmp_path)
    for raw in (False, True):
        assert all(a.flags.c_contiguous for pair in load_mnist(raw=raw, directory=tmp_path) for a in pair)


def test_a_folder_is_not_taken_for_raw(tmp_path):
    with pytest.raises(TypeError, match="positional"):
        load_mnist(tmp_path)


# ---- where files are found


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_directory(tiny, tmp_path, packed, kind, mirror):
    tiny.put(tmp_path / "here", packed)
    check(tiny, load_mnist(directory=kind(tmp_path / "here")))
    assert mirror.requests == []


def test_a_directory_is_the_only_place(tiny, tmp_path, monkeypatch, mirror):
    tiny.put(tmp_path / "data" / "mnist")
    tiny.offer(mirror)
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=rf"MNIST: .*empty has no file {TRAIN_IMAGES} or {TRAIN_IMAGES}\.gz"):
        load_mnist(directory=tmp_path / "empty")
    assert mirror.requests == []


@pytest.mark.parametrize("packed", [True, False])
def test_the_users_data_folder(tiny, tmp_path, monkeypatch, packed, mirror, cached):
    tiny.put(tmp_path / "data" / "mnist", packed)
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "data"))
    before = names(tmp_path / "data" / "mnist")
    check(tiny, load_mnist())
    assert mirror.requests == []
    assert not cached.exists()
    assert names(tmp_path / "data" / "mnist") == before


def test_the_folder_of_the_data_set_or_the_one_around_it(tiny, tmp_path, monkeypatch, mirror, cached):
    tiny.put(tmp_path / "mnist")
    for folder in (tmp_path, tmp_path / "mnist"):
        check(tiny, load_mnist(directory=folder))
        monkeypatch.setenv("RN_DATA_DIR", str(folder))
        check(tiny, load_mnist())
    monkeypatch.chdir(tmp_path / "mnist")
    monkeypatch.setenv("RN_DATA_DIR", ".")
    check(tiny, load_mnist())
    assert mirror.requests == []
    assert not cached.exists()
    # Files of the same names in another data set's folder are not taken for this one's.
    (tmp_path / "mnist").rename(tmp_path / "fashion_mnist")
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "fashion_mnist"))
    with pytest.raises(DownloadError, match=r"fashion_mnist.mnist \(RN_DATA_DIR\); "):
        load_mnist()


def test_a_file_under_the_wrong_suffix_is_read_by_what_is_in_it(tiny, tmp_path):
    for name in tiny.plain:
        (tmp_path / f"{name}.gz").write_bytes(tiny.plain[name])
    check(tiny, load_mnist(directory=tmp_path))


def test_the_cache(tiny, mirror, cached):
    tiny.put(cached)
    check(tiny, load_mnist())
    assert mirror.requests == []


def test_the_network_once(tiny, mirror, cached):
    tiny.offer(mirror)
    check(tiny, load_mnist())
    assert mirror.requests == [f"/{name}.gz" for name in tiny.packed]
    assert {path.name: path.read_bytes() for path in cached.iterdir()} == tiny.plain  # unpacked once
    mirror.on(f"/{TRAIN_IMAGES}.gz", status(404))
    check(tiny, load_mnist())
    assert len(mirror.requests) == 4


def test_each_file_is_looked_for_by_itself(tiny, tmp_path, monkeypatch, mirror, cached):
    data = tmp_path / "data" / "mnist"
    tiny.put(data)
    (data / f"{TRAIN_IMAGES}.gz").unlink()
    tiny.offer(mirror)
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "data"))
    check(tiny, load_mnist())
    assert mirror.requests == [f"/{TRAIN_IMAGES}.gz"]
    assert names(cached) == [TRAIN_IMAGES]


def test_the_second_mirror(tiny, mirror, monkeypatch):
    tiny.offer(mirror, "/b")
    urls = (f"{mirror.url}/a/", f"{mirror.url}/b/")
    monkeypatch.setattr(mnist, "MNIST", dataclasses.replace(tiny.data_set, mirrors=urls))
    check(tiny, load_mnist())
    assert mirror.requests[:2] == [f"/a/{TRAIN_IMAGES}.gz", f"/b/{TRAIN_IMAGES}.gz"]


def test_a_mirror_that_sends_unpacked_bytes(tiny, mirror):
    for name, content in tiny.plain.items():
        mirror.on(f"/{name}.gz", send(content))
    check(tiny, load_mnist())
    mirror.answers.clear()
    check(tiny, load_mnist())


# ---- nowhere


def test_neither_found_nor_reachable(tiny, tmp_path, monkeypatch, mirror, cached):
    monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(DownloadError) as caught:
        load_mnist()
    message = str(caught.value)
    assert re.match(rf"MNIST: {TRAIN_IMAGES} is neither on this machine nor could it be downloaded\. ", message)
    assert f"Looked in: {tmp_path / 'data' / 'mnist'} (RN_DATA_DIR); {cached} (the cache). " in message
    assert f"Tried: {mirror.url}/{TRAIN_IMAGES}.gz: HTTP status 404 Not Found. " in message
    assert "Go online, or put the files of MNIST, gzipped or not, into a folder mnist and set RN_DATA_DIR" in message
    assert not cached.exists()


def test_a_cache_that_cannot_be_written(tiny, mirror, tmp_path, monkeypatch):
    tiny.offer(mirror)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=rf"{TRAIN_IMAGES} came, but cannot be kept in .* set RN_CACHE_DIR"):
        load_mnist()


# ---- wrong files

DAMAGE = {
    "flipped bit": (lambda plain: plain[:500] + bytes([plain[500] ^ 1]) + plain[501:], r"is damaged or another file: "),
    "truncated": (lambda plain: plain[:-1], r"is truncated: 47,055 bytes unpacked, 47,056 were expected"),
    "longer": (lambda plain: plain + b"\0", r"is too large: it holds more than the 47,056 bytes expected"),
    "empty": (lambda plain: b"", r"is truncated: 0 bytes unpacked"),
    "another set": (lambda plain: idx_bytes(np.full((60, 28, 28), 7, np.uint8)), r"is damaged or another file: "),
}
DAMAGE_OF_GZIP = {
    "cut stream": (lambda packed: packed[:-9], r"is truncated: its gzip stream has no end"),
    "flipped bit": (lambda packed: packed[:999] + bytes([packed[999] ^ 1]) + packed[1000:], r"is (damaged|truncated)"),
    "bomb": (lambda packed: gzip.compress(b"\0" * 2**27), r"is too large: "),
    "foreign": (lambda packed: b"<html>Not found</html>", r"is truncated: 22 bytes"),
}


def damages(tiny, how: str, form: str) -> tuple[str, bytes, str]:
    if form == "stream":
        change, message = DAMAGE_OF_GZIP[how]
        return f"{TRAIN_IMAGES}.gz", change(tiny.packed[TRAIN_IMAGES]), message
    change, message = DAMAGE[how]
    content = change(tiny.plain[TRAIN_IMAGES])
    if form == "gzipped":
        return f"{TRAIN_IMAGES}.gz", gzip.compress(content), message
    return TRAIN_IMAGES, content, message


CASES = [(how, form) for how in DAMAGE for form in ("plain", "gzipped")] + [(how, "stream") for how in DAMAGE_OF_GZIP]


@pytest.mark.parametrize(("how", "form"), CASES)
def test_a_wrong_file_of_the_users_is_refused_by_name(tiny, tmp_path, monkeypatch, mirror, cached, how, form):
    name, content, message = damages(tiny, how, form)
    data = tmp_path / "data" / "mnist"
    tiny.put(data, packed=form != "plain")
    (data / name).write_bytes(content)
    tiny.put(cached)
    tiny.offer(mirror)
    for options in ({}, {"directory": data}):
        monkeypatch.setenv("RN_DATA_DIR", str(tmp_path / "data"))
        with pytest.raises(FileError, match=message) as caught:
            load_mnist(**options)
        assert str(caught.value).startswith(str(data / name))
    assert mirror.requests == []
    assert (data / name).read_bytes() == content


@pytest.mark.parametrize(("how", "form"), CASES)
def test_a_wrong_file_in_the_cache_is_downloaded_again(tiny, mirror, cached, how, form):
    name, content, _ = damages(tiny, how, form)
    tiny.put(cached, packed=form != "plain")
    (cached / name).write_bytes(content)
    tiny.offer(mirror)
    for _ in range(2):
        check(tiny, load_mnist())
        assert mirror.requests == [f"/{TRAIN_IMAGES}.gz"]
    assert (cached / TRAIN_IMAGES).read_bytes() == tiny.plain[TRAIN_IMAGES]


@pytest.mark.parametrize(("how", "form"), [case for case in CASES if case[1] != "plain"])
def test_a_wrong_file_from_a_mirror_is_not_kept(tiny, mirror, cached, how, form):
    name, content, message = damages(tiny, how, form)
    tiny.offer(mirror)
    mirror.on(f"/{name}", send(content))
    with pytest.raises(DownloadError, match=f"/{name}: (what came {message}|sends [0-9,]+ bytes, at most)"):
        load_mnist()
    assert not cached.exists()


def test_a_wrong_file_in_the_cache_is_named_where_nothing_else_is_found(tiny, cached):
    cached.mkdir(parents=True)
    (cached / f"{TRAIN_IMAGES}.gz").write_bytes(b"")
    with pytest.raises(DownloadError, match=rf" \(the cache\); .*{TRAIN_IMAGES}\.gz is truncated: 0 bytes"):
        load_mnist()


def test_a_huge_file_is_not_read(tiny, tmp_path):
    tiny.put(tmp_path, packed=False)
    with (tmp_path / TRAIN_IMAGES).open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(FileError, match=rf"{TRAIN_IMAGES} is too large"):
        load_mnist(directory=tmp_path)


def test_files_of_one_set_under_the_names_of_another(tiny, tmp_path):
    tiny.put(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(tiny.arrays[1][::-1]))
    with pytest.raises(FileError, match=r"another file: the SHA-256 of its unpacked bytes is [0-9a-f]{64}, "):
        load_mnist(directory=tmp_path)


def test_a_folder_or_a_pipe_of_that_name_is_not_a_file(tiny, tmp_path, mirror):
    tiny.put(tmp_path)
    (tmp_path / TRAIN_IMAGES).mkdir()
    check(tiny, load_mnist(directory=tmp_path))
    (tmp_path / TRAIN_IMAGES).rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / TRAIN_IMAGES)
        check(tiny, load_mnist(directory=tmp_path))


# ---- several processes

LOAD = """
import dataclasses, os, sys
from rn.datasets import load_mnist, mnist
from rn.datasets.source import DataFile
files = tuple(DataFile(*line.split(":")[:1], int(line.split(":")[1]), line.split(":")[2]) for line in sys.argv[2:])
mnist.MNIST = dataclasses.replace(mnist.MNIST, mirrors=(sys.argv[1],), files=files)
if "DIE" in os.environ:
    os.replace = lambda *_: os._exit(9)
(x, y), (xt, yt) = load_mnist(raw=True)
print(int(x.sum()), int(y.sum()), int(xt.sum()), int(yt.sum()))
"""


def start(tiny, **environment: str) -> subprocess.Popen:
    files = [f"{file.name}:{file.size}:{file.sha256}" for file in tiny.data_set.files]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LOAD, tiny.data_set.mirrors[0], *files],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once(tiny, mirror, cached):
    for name, content in tiny.packed.items():
        mirror.on(f"/{name}.gz", drip(content, pieces=4, pause=0.1))
    processes = [start(tiny) for _ in range(3)]
    expected = " ".join(str(int(array.sum(dtype=int))) for array in tiny.arrays)
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, expected), err
    assert names(cached) == sorted(tiny.plain)


def test_a_process_killed_before_the_file_has_its_name(tiny, mirror, cached):
    tiny.offer(mirror)
    process = start(tiny, DIE="1")
    process.communicate(timeout=60)
    assert process.returncode == 9
    (leftover,) = names(cached)
    assert leftover.startswith(".")
    check(tiny, load_mnist())
    assert len(mirror.requests) == 5


# ---- the description of the real set


def test_the_real_set_is_described_in_full():
    assert [file.size for file in MNIST.files] == [16 + 60000 * 784, 8 + 60000, 16 + 10000 * 784, 8 + 10000]
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in MNIST.files)
    assert len(MNIST.mirrors) >= 2
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in MNIST.mirrors)
    assert len(mnist.CLASS_NAMES) == 10


def test_the_public_names():
    assert set(rn.datasets.__all__) >= {
        "load_cifar10",
        "load_diabetes",
        "load_digits",
        "load_fashion_mnist",
        "load_iris",
        "load_mnist",
        "read_idx",
    }
    assert all(getattr(rn.datasets, name).__doc__ for name in rn.datasets.__all__)
