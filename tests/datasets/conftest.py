"""A web server that misbehaves on request, a data set small enough to be sent often, a cache of its own."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from rn.datasets import download
from rn.datasets.mnist import MNIST
from rn.datasets.source import DataFile, DataSet

Answer = Callable[[BaseHTTPRequestHandler], None]


# ---- what a mirror may answer


def send(body: bytes, announce: bool = True) -> Answer:
    return lambda request: begin(request, len(body) if announce else None) or request.wfile.write(body)


def status(code: int) -> Answer:
    def answer(request):
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def cut(body: bytes, announced: int | None) -> Answer:
    """Announce so many bytes (None: none), send `body` and hang up."""

    def answer(request):
        begin(request, announced)
        request.wfile.write(body)
        request.close_connection = True

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


def redirect(path: str) -> Answer:
    def answer(request):
        request.send_response(302)
        request.send_header("Location", path)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def drip(body: bytes, pieces: int, pause: float) -> Answer:
    def answer(request):
        begin(request, len(body))
        step = -(-len(body) // pieces)
        for start in range(0, len(body), step):
            request.wfile.write(body[start : start + step])
            time.sleep(pause)

    return answer


def begin(request: BaseHTTPRequestHandler, announced: int | None) -> None:
    request.send_response(200)
    if announced is None:
        request.close_connection = True
    else:
        request.send_header("Content-Length", str(announced))
    request.end_headers()


class Mirror:
    """Answers each path with what `on` put there, one answer after the other, the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                waiting = mirror.answers.get(self.path, [status(404)])
                try:
                    (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def on(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


# ---- fixtures


@pytest.fixture(autouse=True)
def own_places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test but those of the real data sees the user's data, cache or proxy, and none waits for long."""
    if request.node.get_closest_marker("data"):
        return
    monkeypatch.delenv("RN_DATA_DIR", raising=False)
    monkeypatch.setenv("RN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    monkeypatch.setattr(download, "PAUSE", 0.01)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror()
    yield server
    server.close()


@dataclasses.dataclass
class Tiny:
    """A data set like MNIST with few images, and the bytes of its files by name."""

    data_set: DataSet
    arrays: tuple[np.ndarray, ...]
    plain: dict[str, bytes]
    packed: dict[str, bytes]

    def offer(self, mirror: Mirror, folder: str = "") -> None:
        for name, content in self.packed.items():
            mirror.on(f"{folder}/{name}.gz", send(content))

    def put(self, folder: Path, packed: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.plain:
            if packed:
                (folder / f"{name}.gz").write_bytes(self.packed[name])
            else:
                (folder / name).write_bytes(self.plain[name])


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def tiny(mirror: Mirror) -> Tiny:
    random = np.random.default_rng(5)
    arrays = []
    for n in (60, 20):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images[0, 0, :2] = 0, 255
        arrays += [images, random.integers(0, 10, n, dtype=np.uint8)]
    plain = {file.name: idx_bytes(array) for file, array in zip(MNIST.files, arrays, strict=True)}
    files = tuple(DataFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in plain.items())
    data_set = dataclasses.replace(MNIST, mirrors=(f"{mirror.url}/",), files=files)
    packed = {name: gzip.compress(content) for name, content in plain.items()}
    return Tiny(data_set, tuple(arrays), plain, packed)
