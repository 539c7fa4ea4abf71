"""What holds for all tests: none leaves the thread setting changed, and `--no-skips` makes a skipped test a failure."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

import rn


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail if any test was skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return  # in a process of pytest-xdist's, which reports to another
    if exitstatus == 0 and session.config.getoption("--no-skips") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    with rn.threads(rn.get_num_threads()):
        yield


@pytest.fixture
def new_names() -> Iterator[None]:
    """Forget after a test the names that it registers."""
    rn.registry.names("model")  # rn's own classes are filed when their modules are imported, all of them by models
    before = copy.deepcopy(rn.registry._classes)
    yield
    rn.registry._classes.clear()
    rn.registry._classes.update(before)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder that holds the sources; tests that stand outside of it are skipped."""
    root = Path(__file__).parents[1]
    if not (root / "setup.py").exists():
        pytest.skip("needs the sources, and these tests stand outside of them")
    return root
