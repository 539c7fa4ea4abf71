"""No loop over data speaks to Python, by what Cython says of every line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("Cython")
pytestmark = pytest.mark.slow


def test_no_inner_loop_speaks_to_python(repository: Path, tmp_path: Path) -> None:
    from benchmarks.annotate import annotate, inner_lines

    inside = inner_lines(annotate(tmp_path, repository / "rn/_core"))
    assert [f"{line.file}:{line.number}: {line.text}" for line in inside if line.score] == []
    # What is looked at is what matters: the loop over a plan's calls, the parallel one, those over rows and labels.
    texts = {line.text.strip() for line in inside}
    for text in (
        "run(&self.calls[i], crew, self.scratch, self.scratch_stride)",
        "kernel(args, last - tile if backwards else tile, scratch)",
    ):
        assert text in texts
    assert {line.file for line in inside} >= {
        "crew.pxi",
        "run.pxi",
        "plan.pxi",
        "feeds.pxi",
        "profile.pxi",
        "doorways_augment.pxi",
    }
    assert len(inside) > 800


@pytest.mark.parametrize(
    ("name", "fast", "slow"),
    [
        (
            "plan.pxi",
            "            lowest = min(lowest, order[i])",
            "            lowest = min(lowest, int(str(order[i])))",
        ),
        (
            "feeds.pxi",
            "        to[i] = <int32_t> labels[i]",
            "        with gil:\n            to[i] = int(str(labels[i]))",
        ),
    ],
)
def test_one_that_does_is_found(repository: Path, tmp_path: Path, name: str, fast: str, slow: str) -> None:
    from benchmarks.annotate import annotate, inner_lines

    shutil.copytree(repository / "rn/_core", tmp_path / "core", ignore=shutil.ignore_patterns("*.so"))
    path = tmp_path / "core" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(fast) == 1
    path.write_text(text.replace(fast, slow), encoding="utf-8")
    inside = inner_lines(annotate(tmp_path / "report", tmp_path / "core"))
    assert [line.text.strip() for line in inside if line.score] == [line.strip() for line in slow.splitlines()]
