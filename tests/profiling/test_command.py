"""``python -m rn profile``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rn
from rn import cli
from tests.profiling.nets import mnist_net


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "digits.rn"
    mnist_net().save(path)
    return str(path)


@pytest.mark.parametrize(("more", "phase"), [([], "forward"), (["--train"], "backward")])
def test_table_trace_and_picture(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], phase: str
) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main(["profile", saved, "--input", "1,28,28", "--batch", "4", "--steps", "3", *more]) == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith(f"conv2d_2 {phase}")]
    assert line.split()[2] == ("3" if phase == "forward" else line.split()[2])
    events = json.loads((tmp_path / "digits-trace.json").read_text())["traceEvents"]
    assert any(event["name"] == f"dense_2 {phase}" for event in events)
    assert (tmp_path / "digits-roofline.png").stat().st_size > 10_000


def test_a_vector_model_and_chosen_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    model = rn.RedeNeural([4, 10, 3], seed=0)
    model.compile()
    model.save(tmp_path / "small.rn")
    trace, picture = tmp_path / "t.json", tmp_path / "r.svg"
    paths = ["--trace", str(trace), "--roofline", str(picture)]
    assert cli.main(["profile", str(tmp_path / "small.rn"), "--input", "4", "--train", *paths]) == 0
    assert "gemm" in capsys.readouterr().out
    assert trace.exists()
    assert picture.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "3,28,28"], "takes samples of shape (1, 28, 28), not (3, 28, 28)"),
        (["--trace", "/nowhere/t.json"], "No such file"),
    ],
)
def test_what_cannot_be_done_is_said(
    saved: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(["profile", saved, "--steps", "1", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert cli.main(["profile", saved + ".missing"]) == 2
    assert "missing" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--batch", "0"], ["--batch", "many"], ["--input", "1,2"], ["--input", "a"]])
def test_wrong_arguments_end_with_usage(saved: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["profile", saved, *arguments])
    assert ended.value.code == 2
