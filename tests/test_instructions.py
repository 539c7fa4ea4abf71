"""The instruction counts: what is read from callgrind's files, what is compared, what fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks stand beside the sources")

from benchmarks import instructions
from benchmarks.nets import NETS
from benchmarks.work import Step

ABOUT = {"compiler": "gcc 12", "instruction set": "avx2", "PYTHONHASHSEED": "0"}

# Two kernels, one of which calls a function that both its own file and the C library count.
DUMP = """# callgrind format
version: 1
desc: Timerange: Basic block 0 - 100
desc: Trigger: Client Request: net/xor/train-sgd

positions: line
events: Ir

ob=(1) /somewhere/core.so
fl=(1) ???
fn=(7) rn_gemm_avx2
0 100
+3 20
cob=(2) libc.so.6
cfi=(3) memcpy.S
cfn=(9) memcpy
calls=4 0
* 5

fn=(9)
0 5

fn=(8) rn_sgd_avx2
16 30

fn=(10) run
0 1000
cfn=(8)
calls=1 -2
-2 30

totals: 155
"""


def test_a_kernel_counts_with_what_it_calls_and_nothing_else_does():
    assert instructions.parse_dump(DUMP, "avx2") == (
        "net/xor/train-sgd",
        {"rn_gemm_avx2": 125, "rn_sgd_avx2": 30},
    )
    assert instructions.parse_dump(DUMP, "generic")[1] == {}
    assert instructions.parse_dump(DUMP.replace("desc: Trigger: Client Request", "desc: Trigger"), "avx2")[0] == ""


@pytest.mark.parametrize(
    ("counted", "recorded", "holds"),
    [(103, 100, True), (104, 100, False), (50, 100, True), (None, 100, False), (100, None, False)],
)
def test_more_than_three_per_cent_and_missing_rows_fail(counted: int | None, recorded: int | None, holds: bool):
    sides = [
        {} if count is None else {"row": {"rn_gemm_avx2": count - 1, "rn_sgd_avx2": 1}} for count in (counted, recorded)
    ]
    (comparison,) = instructions.compare(*sides)
    assert (comparison.counted, comparison.recorded) == (counted, recorded)
    assert comparison.holds is holds


def test_judge_compares_the_same_compiler_and_instruction_set_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "instructions.json"
    instructions.write({"row": {"rn_gemm_avx2": 100}}, ABOUT, path)
    instructions.judge({"row": {"rn_gemm_avx2": 102}}, ABOUT, path)
    assert "1 rows, none more than 3%" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"row: 104 instructions, \+4\.00%"):
        instructions.judge({"row": {"rn_gemm_avx2": 104}}, ABOUT, path)
    instructions.judge({"row": {"rn_gemm_avx2": 104}}, {**ABOUT, "compiler": "clang 19"}, path)
    assert "not compared" in capsys.readouterr().out


def test_every_net_has_a_training_step_and_every_recorded_row_is_counted():
    counted = instructions.counted_rows()
    trained = {row.work.net for row in counted if isinstance(row.work, Step) and row.work.mode == "train"}
    assert trained == set(NETS)
    recorded = json.loads(instructions.COUNTS.read_text(encoding="utf-8"))
    assert set(recorded["rows"]) <= {row.name for row in counted}
    assert set(recorded["about"]) == set(ABOUT)
    assert all(sum(kernels.values()) > 0 for kernels in recorded["rows"].values())
