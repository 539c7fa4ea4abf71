"""How many threads the kernels may use, for the whole process, and why that many.

The setting comes from ``RN_NUM_THREADS`` if that is set when rn is imported, else from what the process may really use:
the processors of its affinity mask, and no more than the processor time that its control groups (containers, batch
systems) grant it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import SupportsIndex

from rn import _core
from rn.errors import OptionError

__all__ = ["get_num_threads", "set_num_threads", "threads"]

MOST_THREADS = 1024


def get_num_threads() -> int:
    """Return how many threads a kernel may use; work too small to share runs on the caller's thread all the same."""
    return _core.get_num_threads()


def set_num_threads(n: SupportsIndex) -> None:
    """Let every kernel of this process use up to ``n`` threads; the results are the same bits for every ``n``.

    ``n`` is a whole number from 1 to 1024; anything else raises ``OptionError``. It holds for all threads of the
    program, from their next kernel on. Where the core was built without OpenMP the setting is kept and one thread is
    used.
    """
    global _reason
    _core.set_num_threads(_checked(n, "the number of threads"))
    _reason = "set by rn.set_num_threads"


@contextmanager
def threads(n: SupportsIndex) -> Iterator[None]:
    """Use up to ``n`` threads inside a ``with`` block and the former number again after it, also after an exception.

    The setting belongs to the process, not to the block's own thread. Errors as in ``set_num_threads``::

        with rn.threads(1):
            model.predict(x)
    """
    global _reason
    former, former_reason = get_num_threads(), _reason
    set_num_threads(n)
    try:
        yield
    finally:
        _core.set_num_threads(former)
        _reason = former_reason


def why() -> str:
    """Return why the number of threads is what it is, as ``rn.show_config`` says it."""
    return _reason


def default_threads(root: str = "/") -> tuple[int, str]:
    """Return how many threads this process may really use and what set that number; ``root`` holds proc and sys."""
    total = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
        reason = f"the affinity mask allows {usable} of {total} processors"
    else:
        usable, reason = total, f"the machine has {total} processors"
    granted = cpu_quota(root)
    if granted is not None and math.ceil(granted) < usable:
        usable, reason = math.ceil(granted), f"the cgroup quota grants the time of {granted:g} processors"
    return min(usable, MOST_THREADS), reason


def cpu_quota(root: str = "/") -> float | None:
    """Return how many processors' time the control groups grant this process; None where there is no limit.

    The group of the process and all above it count, in version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``);
    the smallest quota holds. Nothing that cannot be read is a limit.
    """
    quotas = []
    for folder in _cpu_groups(root):
        version_1 = _read(f"{folder}/cpu.cfs_quota_us") + " " + _read(f"{folder}/cpu.cfs_period_us")
        for answer in (_read(f"{folder}/cpu.max"), version_1):
            # No limit is "max" in version 2 and -1 in version 1.
            if match := re.fullmatch(r"\s*(\d+)\s+(\d+)\s*", answer, re.ASCII):
                quota, period = map(int, match.groups())
                if quota and period:
                    quotas.append(quota / period)
    return min(quotas, default=None)


def _cpu_groups(root: str) -> Iterator[str]:
    """Yield the folder of each control group over this process that may hold a processor quota, the innermost first."""
    mounts: dict[bool, tuple[str, str]] = {}  # by version 2 or not: (the group at the mount point, the mount point)
    mount_line = r"^\S+ \S+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)$"
    for group, point, kind, options in re.findall(mount_line, _read(f"{root}proc/self/mountinfo"), re.MULTILINE):
        if kind == "cgroup2" or "cpu" in options.split(","):
            mounts[kind == "cgroup2"] = (group, root + point.lstrip("/"))
    for controllers, path in re.findall(r"^\d+:([^:\n]*):(.*)$", _read(f"{root}proc/self/cgroup"), re.MULTILINE):
        version_2 = not controllers
        if version_2 not in mounts or not (version_2 or "cpu" in controllers.split(",")):
            continue
        group, point = mounts[version_2]
        # In a container the mount point may be the process's own group, of whose path nothing is left below it.
        inside = f"{path}/".removeprefix(f"{group.rstrip('/')}/").strip("/")
        parts = inside.split("/") if inside and ".." not in inside else []
        for depth in range(len(parts), -1, -1):
            yield "/".join([point, *parts[:depth]])


def _read(path: str) -> str:
    """Return what the file at ``path`` holds; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _checked(n: object, what: str) -> int:
    if not isinstance(n, SupportsIndex) or isinstance(n, bool) or not 1 <= index(n) <= MOST_THREADS:
        raise OptionError(f"{what} must be a whole number from 1 to {MOST_THREADS}, got {n!r}")
    return index(n)


def _first_setting(wanted: str) -> tuple[int, str]:
    if not wanted:
        return default_threads()
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else wanted
    return _checked(number, "RN_NUM_THREADS"), "RN_NUM_THREADS is set"


_number, _reason = _first_setting(os.environ.get("RN_NUM_THREADS", "").strip())
_core.set_num_threads(_number)

if hasattr(os, "register_at_fork"):
    # A child has none of its parent's threads: those that stand by leave before, and each side starts its own.
    os.register_at_fork(before=_core.before_fork, after_in_child=_core.after_fork_in_child)
