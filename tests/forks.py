"""Forked children, for programs that tests run in a Python of their own."""

import os
from collections.abc import Callable


def in_child(job: Callable[[], object]) -> None:
    """Do ``job`` in a forked child and wait for it; AssertionError where it did not end well."""
    child = os.fork()
    if child == 0:
        job()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
