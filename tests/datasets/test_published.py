"""Fashion-MNIST and CIFAR-10: sets whose publishers give the checksums of the gzipped files."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import tarfile

import numpy as np
import pytest

from rn.datasets import cache, cifar10, fashion_mnist, load_cifar10, load_fashion_mnist
from rn.datasets.cifar10 import CIFAR10
from rn.datasets.fashion_mnist import FASHION_MNIST
from rn.datasets.source import DataFile
from rn.errors import DownloadError, FileError

from .conftest import send

# ---- Fashion-MNIST


@pytest.fixture
def tiny_fashion(tiny, mirror, monkeypatch):
    files = tuple(
        DataFile(name, len(tiny.plain[name]), hashlib.sha256(content).hexdigest(), packed=True)
        for name, content in tiny.packed.items()
    )
    tiny.data_set = dataclasses.replace(FASHION_MNIST, mirrors=(f"{mirror.url}/",), files=files)
    monkeypatch.setattr(fashion_mnist, "FASHION_MNIST", tiny.data_set)
    return tiny


def check_fashion(tiny, loaded) -> None:
    for array, expected in zip([array for pair in loaded for array in pair], tiny.arrays, strict=True):
        np.testing.assert_array_equal(array.squeeze(), expected)


def test_fashion_is_downloaded_once_and_kept(tiny_fashion, mirror):
    tiny_fashion.offer(mirror)
    for _ in range(2):
        check_fashion(tiny_fashion, load_fashion_mnist(raw=True))
        assert len(mirror.requests) == 4
    kept = cache.cache_folder() / "fashion_mnist"
    assert {path.name for path in kept.iterdir()} == {
        name for plain in tiny_fashion.plain for name in (plain, f"{plain}.sha256")
    }
    for name, content in tiny_fashion.plain.items():  # unpacked once
        assert (kept / name).read_bytes() == content
    (x, y), _ = load_fashion_mnist()
    assert (x.dtype, x.shape, y.dtype) == (np.float32, (60, 1, 28, 28), np.int64)
    np.testing.assert_array_equal(x[:, 0], tiny_fashion.arrays[0].astype(np.float32) / 255)


@pytest.mark.parametrize("damage", ["content", "note", "no note", "note of another download"])
def test_a_wrong_file_in_the_cache_is_downloaded_again(tiny_fashion, mirror, damage):
    tiny_fashion.offer(mirror)
    load_fashion_mnist()
    kept = cache.cache_folder() / "fashion_mnist" / "t10k-labels-idx1-ubyte"
    note = kept.with_name(f"{kept.name}.sha256")
    if damage == "content":
        kept.write_bytes(kept.read_bytes()[:-1] + b"\x07")
    elif damage == "no note":
        note.unlink()
    else:
        of, rest = note.read_text().split(" ", 1)
        note.write_text(f"{of[::-1]} {rest}" if damage == "note" else f"{of} unpacked from {of}\n")
    for _ in range(2):
        check_fashion(tiny_fashion, load_fashion_mnist(raw=True))
        assert mirror.requests[4:] == [f"/{kept.name}.gz"]


def test_a_published_file_put_into_the_cache_serves(tiny_fashion, mirror):
    tiny_fashion.put(cache.cache_folder() / "fashion_mnist")
    check_fashion(tiny_fashion, load_fashion_mnist(raw=True))
    assert mirror.requests == []


def test_fashion_from_a_directory_must_be_as_published(tiny_fashion, tmp_path):
    tiny_fashion.put(tmp_path / "packed")
    check_fashion(tiny_fashion, load_fashion_mnist(raw=True, directory=tmp_path / "packed"))
    tiny_fashion.put(tmp_path / "plain", packed=False)
    with pytest.raises(FileError, match=r"Fashion-MNIST: .*plain has no file train-images-idx3-ubyte\.gz, nor"):
        load_fashion_mnist(directory=tmp_path / "plain")
    name = "train-labels-idx1-ubyte"
    (tmp_path / "packed" / f"{name}.gz").write_bytes(gzip.compress(tiny_fashion.plain[name], compresslevel=1))
    with pytest.raises(FileError, match=rf"{name}\.gz is damaged or another file: the SHA-256 of its bytes is"):
        load_fashion_mnist(directory=tmp_path / "packed")


# ---- CIFAR-10


def records(seed: int, n: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    table = random.integers(0, 256, (n, 3073), dtype=np.uint8)
    table[:, 0] = random.integers(0, 10, n)
    return table


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


BATCHES = {
    name: records(seed, 4 + seed)
    for seed, name in enumerate(("test_batch.bin", *(f"data_batch_{i}.bin" for i in range(1, 6))))
}


@pytest.fixture
def offer(mirror, monkeypatch):
    def put(files: dict[str, bytes]) -> bytes:
        content = archive(files)
        file = DataFile("cifar-10-binary.tar", 2**20, hashlib.sha256(content).hexdigest(), packed=True)
        monkeypatch.setattr(
            cifar10, "CIFAR10", dataclasses.replace(CIFAR10, mirrors=(f"{mirror.url}/",), files=(file,))
        )
        mirror.on("/cifar-10-binary.tar.gz", send(content))
        return content

    return put


def test_cifar10(offer, mirror):
    offer({name: table.tobytes() for name, table in BATCHES.items()})
    for _ in range(2):
        (x, y), (xt, yt) = load_cifar10(raw=True)
        assert mirror.requests == ["/cifar-10-binary.tar.gz"]
    training = np.concatenate([BATCHES[f"data_batch_{i}.bin"] for i in range(1, 6)])
    for images, labels, table in ((x, y, training), (xt, yt, BATCHES["test_batch.bin"])):
        assert (images.dtype, labels.dtype, images.shape) == (np.uint8, np.int64, (len(table), 3, 32, 32))
        np.testing.assert_array_equal(labels, table[:, 0])
        for image, record in zip(images, table, strict=True):
            for channel in range(3):
                at = 1 + 1024 * channel
                np.testing.assert_array_equal(image[channel].ravel(), record[at : at + 1024])
    (scaled, _), _ = load_cifar10()
    np.testing.assert_array_equal(scaled, x.astype(np.float32) / 255)
    for array in (x, y, xt, yt, scaled):
        assert array.flags.c_contiguous
        array[...] = 0  # the caller's own


def test_cifar10_from_a_directory(offer, mirror, tmp_path):
    content = offer({name: table.tobytes() for name, table in BATCHES.items()})
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    (x, _), _ = load_cifar10(directory=tmp_path)
    assert (len(x), mirror.requests) == (35, [])
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FileError, match=r"cifar-10-binary\.tar\.gz is damaged or another file"):
        load_cifar10(directory=tmp_path)


def test_what_cifar10_refuses(offer, mirror):
    offer({"test_batch.bin": b""})
    with pytest.raises(FileError, match=r"has no file cifar-10-batches-bin/data_batch_1\.bin"):
        load_cifar10()
    offer({name: table.tobytes()[:-1] for name, table in BATCHES.items()})
    with pytest.raises(FileError, match=r"data_batch_1.bin has 15,364 bytes, not a multiple of 3,073"):
        load_cifar10()
    offer({})
    mirror.answers.clear()
    with pytest.raises(DownloadError, match="put the files of CIFAR-10, as published, into a folder cifar10"):
        load_cifar10()


# ---- the descriptions of the real sets


@pytest.mark.parametrize("data_set", [FASHION_MNIST, CIFAR10], ids=lambda data_set: data_set.folder)
def test_the_real_sets_are_described_in_full(data_set):
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.packed for file in data_set.files)
    assert len(data_set.mirrors) >= 2
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in data_set.mirrors)
    assert len(fashion_mnist.CLASS_NAMES) == len(cifar10.CLASS_NAMES) == 10
