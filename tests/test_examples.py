"""The examples run by themselves and reach what they promise; the long ones at reduced length."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rn


@pytest.fixture
def examples(repository: Path) -> Path:
    """Return the folder of the examples."""
    return repository / "examples"


def run(example: Path, folder: Path, *arguments: str, **environment: str) -> str:
    """Run an example in ``folder`` with the rn that is under test, and return what it printed."""
    done = subprocess.run(
        [sys.executable, str(example), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(rn.__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def number(pattern: str, text: str) -> float:
    """Return the number that the pattern's group finds."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return float(found[1])


def pictures(folder: Path, text: str) -> set[str]:
    """Return the names of the pictures saved; none where matplotlib is missing, which the example must have said."""
    saved = {path.name for path in (folder / "pictures").iterdir() if path.read_bytes().startswith(b"\x89PNG")}
    assert saved or 'pip install ".[plot]"' in text
    return saved


def test_xor(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "xor.py", tmp_path)
    assert number(r"final MSE: ([\d.]+)", text) < 0.001
    assert "have the same bits: yes" in text
    assert pictures(tmp_path, text) <= {"xor_history.png"}


def test_iris(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "iris.py", tmp_path, "--seeds", "5")
    assert number(r"mean accuracy of 5 seeds: ([\d.]+)", text) >= 0.94
    assert pictures(tmp_path, text) <= {"iris_history.png"}


def test_custom_layer(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "custom_layer.py", tmp_path, "--epochs", "60")
    assert number(r"validation: loss ([\d.]+)", text) < 0.003
    assert number(r", ([\d.]+)% off by less", text) > 60
    assert "predicts the same bits: yes" in text
    assert pictures(tmp_path, text) <= {"custom_layer_history.png"}


def test_optimizers(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "optimizers.py", tmp_path, "--epochs", "4")
    reached = [float(share) for share in re.findall(r"test accuracy ([\d.]+)%", text)]
    assert len(reached) == 12
    assert min(reached) > 75
    assert pictures(tmp_path, text) <= {"optimizers.png"}


def test_overfitting(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "overfitting.py", tmp_path)
    gaps = {
        name.strip(): float(gap)
        for name, gap in re.findall(r"^(.{13}) training .* gap (-?[\d.]+) ", text, re.MULTILINE)
    }
    assert set(gaps) == {"nothing", "Dropout", "BatchNorm", "weight decay", "all three"}
    assert all(gaps[name] < 0.7 * gaps["nothing"] for name in gaps if name != "nothing")
    assert pictures(tmp_path, text) <= {"overfitting.png"}


def test_autoencoder(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "autoencoder.py", tmp_path, "--epochs", "30")
    error = number(r"from 10 numbers each: ([\d.]+)", text)
    assert error < 0.8 * number(r"from 10 principal components: ([\d.]+)", text)
    assert error < 0.25 * number(r"from the mean image: ([\d.]+)", text)
    assert pictures(tmp_path, text) <= {"autoencoder.png"}


def test_profiling(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "profiling.py", tmp_path, "--epochs", "1")
    assert number(r"([\d.]+) times as fast", text) > 2
    slow, quick = text.split("the quick net")
    for table, layer in ((slow, "dense_1 backward"), (quick, "conv2d_1 backward")):
        assert re.search(rf"^{layer} .* GB/s|^{layer} .*%$", table, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100
    traces = {path.name for path in (tmp_path / "pictures").glob("*.json")}
    assert traces == {"profiling_slow.json", "profiling_quick.json"}
    assert pictures(tmp_path, text) <= {"profiling_slow.png", "profiling_quick.png"}


def test_regression(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "regression.py", tmp_path, "--seeds", "8")
    mean = number(r"net: +mean R2 of 8 seeds: (-?[\d.]+)", text)
    assert mean > 0.42
    if "not installed" not in text:
        assert mean > number(r"linear model: mean R2 of 8 seeds: (-?[\d.]+)", text) - 0.03
    assert pictures(tmp_path, text) <= {"regression.png"}


def test_image_upscale(examples: Path, tmp_path: Path) -> None:
    text = run(examples / "image_upscale.py", tmp_path, "--epochs", "1500")
    assert number(r"2-12-12-1: mean error of the known pixels ([\d.]+)", text) < 0.1
    assert number(r"2-64-64-1: mean error of the known pixels ([\d.]+)", text) < 0.05
    assert pictures(tmp_path, text) <= {"image_upscale.png"}


def test_cifar10_on_stripes(examples: Path, tmp_path: Path) -> None:
    short = ("--train", "240", "--test", "60", "--epochs", "3", "--batch-size", "16")
    text = run(examples / "cifar10.py", tmp_path, "--data", "synthetic", *short)
    assert "641,962 parameters" in text
    assert number(r"([\d.]+)% of 60 test images", text) > 70
    assert pictures(tmp_path, text) <= {"cifar10_history.png", "cifar10_predictions.png"}


def test_cifar10_says_what_it_lacks(examples: Path, tmp_path: Path) -> None:
    no_proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    nowhere = {"RN_DATA_DIR": str(tmp_path / "none"), "RN_CACHE_DIR": str(tmp_path / "cache"), **no_proxy}
    text = run(examples / "cifar10.py", tmp_path, **nowhere)
    assert "CIFAR-10: cifar-10-binary.tar is neither on this machine nor could it be downloaded" in text


def test_mnist_falls_back_to_the_bundled_digits(examples: Path, tmp_path: Path) -> None:
    """Nobody needs a network to see it work."""
    no_proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    nowhere = {"RN_DATA_DIR": str(tmp_path / "none"), "RN_CACHE_DIR": str(tmp_path / "cache"), **no_proxy}
    text = run(examples / "mnist.py", tmp_path, "--epochs", "15", **nowhere)
    assert "8x8 digits" in text
    assert "conv2d_2" in text
    assert number(r"seed 0: ([\d.]+)% of 360 test images", text) >= 96.0
    assert pictures(tmp_path, text) <= {"digits_history.png", "digits_predictions.png"}


@pytest.mark.data
def test_mnist_best(examples: Path, tmp_path: Path) -> None:
    short = ("--train", "4000", "--test", "1000", "--epochs", "2", "--seeds", "0")
    text = run(examples / "mnist_best.py", tmp_path, *short)
    assert number(r"([\d,]+) parameters", text.replace(",", "")) <= 163_000
    assert number(r"seed 0: ([\d.]+)% of 1,000 test images", text) >= 85.0
    assert pictures(tmp_path, text) <= {"mnist_best.png"}


@pytest.mark.data
def test_mnist(examples: Path, tmp_path: Path) -> None:
    text = run(
        examples / "mnist.py", tmp_path, "--train", "4000", "--test", "1000", "--epochs", "2", "--batch-size", "16"
    )
    assert number(r"seed 0: ([\d.]+)% of 1,000 test images", text) >= 90.0
