"""Downloading from mirrors that answer well, badly, slowly or not at all."""

from __future__ import annotations

import re
import socket
import time
from types import SimpleNamespace

import pytest

from rn.datasets import download as module
from rn.datasets.download import download
from rn.errors import DownloadError, FileError

from .conftest import cut, drip, hang_up, redirect, send, status

BODY = bytes(range(256)) * 40
LIMIT = len(BODY)


def accept(content: bytes) -> str:
    if content != BODY:
        raise FileError("what came is another file")
    return "checked"


def fetch(mirror, *paths: str) -> bytes:
    content, answer = download([mirror.url + path for path in paths or ("/file",)], LIMIT, accept)
    assert answer == "checked"
    return content


def refusal(mirror, *paths: str) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(mirror, *paths)
    return str(caught.value)


# ---- success


@pytest.mark.parametrize("announce", [True, False])
def test_the_bytes_and_what_the_check_makes_of_them(mirror, announce):
    mirror.on("/file", send(BODY, announce))
    assert fetch(mirror) == BODY
    assert mirror.requests == ["/file"]


def test_a_redirect_is_followed(mirror):
    mirror.on("/file", redirect("/elsewhere"))
    mirror.on("/elsewhere", send(BODY))
    assert fetch(mirror) == BODY


def test_a_file_in_many_pieces(mirror):
    mirror.on("/file", drip(BODY, pieces=20, pause=0.005))
    assert fetch(mirror) == BODY


def test_the_first_good_mirror_is_the_last_asked(mirror):
    for path in ("/a", "/b"):
        mirror.on(path, send(BODY))
    fetch(mirror, "/a", "/b")
    assert mirror.requests == ["/a"]


# ---- the next mirror


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (status(404), r"HTTP status 404 Not Found"),
        (status(403), r"HTTP status 403 Forbidden"),
        (send(BODY[::-1]), r"what came is another file"),
        (send(BODY[:-1]), r"what came is another file"),
        (send(BODY + b"!"), r"sends 10,241 bytes, at most 10,240 were expected"),
        (send(BODY + b"!", announce=False), r"sends more than the 10,240 bytes expected"),
        (cut(b"", 2**60), r"sends 1,152,921,504,606,846,976 bytes, at most 10,240 were expected"),
    ],
)
def test_what_will_not_change_is_not_asked_for_twice(mirror, answer, why):
    mirror.on("/bad", answer)
    mirror.on("/good", send(BODY))
    assert fetch(mirror, "/bad", "/good") == BODY
    assert mirror.requests == ["/bad", "/good"]
    assert re.search(f"/bad: {why}$", refusal(mirror, "/bad"))
    assert mirror.requests.count("/bad") == 2


def test_a_host_that_does_not_answer_is_not_asked_twice(mirror, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    monkeypatch.setattr(module, "PAUSE", 60.0)
    mirror.on("/file", send(BODY))
    assert download([url, mirror.url + "/file"], LIMIT, accept)[0] == BODY
    with pytest.raises(DownloadError, match=r"no connection \(.*refused.*\)"):
        download([url], LIMIT, accept)


def test_a_host_without_an_address(monkeypatch):
    def no_address(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(module, "PAUSE", 60.0)
    with pytest.raises(DownloadError, match=r"^http://a.invalid/file: no connection \(.*name resolution\)"):
        download(["http://a.invalid/file"], LIMIT, accept)


def test_no_mirrors():
    with pytest.raises(DownloadError):
        download([], LIMIT, accept)


# ---- another try

PASSING = {
    "500": status(500),
    "503": status(503),
    "429": status(429),
    "cut in the body": cut(BODY[:3000], LIMIT),
    "cut before the body": cut(b"", LIMIT),
    "no answer": hang_up,
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_asked_for_again(mirror, answer):
    mirror.on("/file", answer, answer, send(BODY))
    assert fetch(mirror) == BODY
    assert mirror.requests == ["/file"] * 3


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_but_not_for_ever(mirror, answer):
    mirror.on("/file", answer)
    refusal(mirror)
    assert mirror.requests == ["/file"] * module.ATTEMPTS


def test_another_mirror_comes_before_another_try(mirror):
    mirror.on("/a", status(500))
    mirror.on("/b", status(500), send(BODY))
    assert fetch(mirror, "/a", "/b") == BODY
    assert mirror.requests == ["/a", "/b", "/a", "/b"]


def test_pauses_grow(mirror, monkeypatch):
    pauses = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
    mirror.on("/a", status(500))
    mirror.on("/b", status(503))
    message = refusal(mirror, "/a", "/b")
    assert pauses == [0.01, 0.02]
    assert re.search(r"/a: HTTP status 500 .*; .*/b: HTTP status 503 ", message)


def test_the_reason_tells_how_much_came(mirror):
    mirror.on("/file", cut(BODY[:3000], LIMIT))
    assert re.search(r"/file: the connection ended after 3,000 of 10,240 bytes$", refusal(mirror))


# ---- slow mirrors


def test_a_mirror_that_falls_silent(mirror, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    mirror.on("/file", lambda request: time.sleep(0.6), drip(BODY, pieces=2, pause=0.6), send(BODY))
    start = time.monotonic()
    assert fetch(mirror) == BODY
    assert len(mirror.requests) == 3
    assert time.monotonic() - start < 5


def test_a_mirror_that_only_drips(mirror, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setattr(module, "SLOWEST", 100_000)
    mirror.on("/file", drip(BODY, pieces=200, pause=0.02))
    mirror.on("/good", send(BODY))
    assert fetch(mirror, "/file", "/good") == BODY
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    assert re.search(r"/file: slower than 100,000 bytes per second$", refusal(mirror))


# ---- the progress bar


def test_a_bar_is_drawn(mirror, capsys):
    mirror.on("/digits.gz", send(BODY))
    fetch(mirror, "/digits.gz")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"digits\.gz: 100%\|.*10\.2k/10\.2k .*B/s\]", err)


def test_a_bar_without_an_announced_size(mirror, capsys):
    mirror.on("/digits.gz", send(BODY, announce=False))
    fetch(mirror, "/digits.gz")
    assert re.search(r"digits\.gz: 10\.2kB \[", capsys.readouterr().err)


def test_no_bar_where_there_is_no_standard_error(mirror, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    mirror.on("/file", send(BODY))
    assert fetch(mirror) == BODY


def test_an_interrupted_download_goes_no_further(mirror, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    mirror.on("/file", send(BODY))
    with pytest.raises(KeyboardInterrupt):
        download([mirror.url + "/file"] * 2, LIMIT, interrupt)
    assert mirror.requests == ["/file"]
