"""Fetching a file from the first of several mirrors that sends the right one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rn.errors import DownloadError, FileError

__all__ = ["download"]

T = TypeVar("T")

# Seconds without an answer or a byte after which a connection is given up.
TIMEOUT = 15.0
# Bytes per second, on average and after the first TIMEOUT, below which a connection is given up too.
SLOWEST = 1000
# How often each mirror is asked, and the seconds to wait before the second time; twice as long before each later one.
ATTEMPTS = 3
PAUSE = 1.0
CHUNK = 2**16
# Answers that may be another one in a moment, beside the 5xx: request timeout, too early, too many requests.
PASSING = frozenset({408, 425, 429})


def download(urls: Sequence[str], limit: int, check: Callable[[bytes], T]) -> tuple[bytes, T]:
    """Return the bytes that the first good mirror of ``urls`` sends, and what ``check`` makes of them.

    The mirrors are asked in turn. One that cannot be reached, has no such file, sends more than ``limit`` bytes or
    bytes that ``check`` refuses with ``FileError`` is not asked again. One that fails in a way that may pass (a server
    error, a connection cut or stalled) is asked again after the others and a pause, ``ATTEMPTS`` times in all.

    Raises ``DownloadError`` with each mirror's reason if none is left.
    """
    reasons = {}
    left = list(urls)
    for attempt in range(ATTEMPTS):
        if attempt > 0 and left:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        for url in left.copy():
            try:
                content = fetch(url, limit)
                return content, check(content)
            except (OSError, HTTPException, FileError) as error:
                reasons[url] = reason(error)
                if not may_pass(error):
                    left.remove(url)
    raise DownloadError("; ".join(f"{url}: {why}" for url, why in reasons.items()))


def fetch(url: str, limit: int) -> bytes:
    """Return what ``url`` sends, drawing a progress bar; ``FileError`` if that is more than ``limit`` bytes."""
    from tqdm import tqdm

    request = Request(url, headers={"User-Agent": "redeneural"})
    with urlopen(request, timeout=TIMEOUT) as response:
        announced = response.length
        if announced is not None and announced > limit:
            raise FileError(f"sends {announced:,} bytes, at most {limit:,} were expected")
        content = bytearray()
        start = time.monotonic()
        with tqdm(
            desc=url.rpartition("/")[2],
            total=announced,
            unit="B",
            unit_scale=True,
            # A log needs fewer lines than a terminal; where there is no standard error nothing can be drawn.
            mininterval=0.1 if sys.stderr and sys.stderr.isatty() else 10.0,
            disable=sys.stderr is None,
        ) as bar:
            # read1 returns what has come, so that a slow connection is seen for what it is.
            while chunk := response.read1(CHUNK):
                content += chunk
                bar.update(len(chunk))
                if len(content) > limit:
                    raise FileError(f"sends more than the {limit:,} bytes expected")
                if len(content) < SLOWEST * (time.monotonic() - start - TIMEOUT):
                    raise TimeoutError(f"slower than {SLOWEST:,} bytes per second")
    if announced is not None and len(content) < announced:
        raise ConnectionError(f"the connection ended after {len(content):,} of {announced:,} bytes")
    return bytes(content)


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, HTTPError):
        return error.code in PASSING or error.code >= 500
    # urllib raises URLError for what failed before a request was sent: no such host, no route, refused, no trust.
    return not isinstance(error, URLError | FileError)


def reason(error: Exception) -> str:
    """Return what went wrong in the words of the cause; closes the connection that an ``HTTPError`` holds."""
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP status {error.code} {error.reason}"
    if isinstance(error, URLError):
        return f"no connection ({error.reason})"
    return str(error) or type(error).__name__
