"""The benchmarks: what they compute from times, that they run, and that all peers do the same work."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks stand beside the sources")

from benchmarks import __main__ as command
from benchmarks import building, limits, machine, nets, peers, plot, publish, report, rows, turns
from benchmarks.peers import peak
from benchmarks.results import Limit, Result
from benchmarks.work import Conv, Elementwise, Gemm, Step

MACHINE: dict[str, Any] = {
    "processor": "one",
    "processors": 2,
    "usable": 2,
    "system": "s",
    "python": "3",
    "commit": "c0ffee",
    "date": "2026-01-31",
}


def result(name: str = "gemm/256x256x256", threads: int = 1, **values: list[float]) -> Result:
    named = {key.replace("_", " ", 1): value for key, value in values.items()}
    return Result(name, threads, "s", 2.0 * 256**3, named)


# ---- ratios, limits, the report


def test_ratio_is_the_best_peers_median_over_ours():
    found = result(
        rn=[2.0, 1.0, 9.0], torch=[8.0, 8.0, 8.0], torch_channels_last=[5.0, 3.0, 4.0], numpy=[6.0, 6.0, 6.0]
    )
    assert found.opponent() == "torch channels_last"
    assert found.ratio() == 4.0 / 2.0
    assert found.ratio("rn", "numpy") == 6.0 / 2.0
    assert found.ratio("rn", "torch") == 4.0 / 2.0
    assert found.ratio("rn", "jax") is None
    assert found.minimum("rn") == 1.0


def test_rn_is_not_its_own_opponent():
    found = result(rn=[3.0], rn_RedeNeural=[1.0])
    assert found.own == ["rn", "rn RedeNeural"]
    assert found.opponent() is None
    assert found.ratio() is None


def test_verdicts():
    found = result(rn=[1e-3], numpy=[2e-3], torch=[0.5e-3])
    rate = 2.0 * 256**3 / 1e-3 / 1e9
    wanted = (Limit("ratio", 0.5), Limit("ratio", 2.5, "numpy"), Limit("gflops", 30.0), Limit("share", 0.5))
    verdicts = list(found.verdicts("rn", (*wanted, Limit("microseconds", 999.0)), 60.0))
    assert [v.reading for v in verdicts] == pytest.approx([0.5, 2.0, rate, rate / 60.0, 1000.0])
    assert [v.holds for v in verdicts] == [True, False, True, True, False]
    assert [v.limit.kind for v in found.verdicts("rn", wanted, None)] == ["ratio", "ratio", "gflops"]


def test_the_peak_in_turns_is_a_limit_and_no_opponent():
    found = result(rn=[1e-3, 4e-3, 2e-3], numpy=[3e-3], peak=[1.5e-3, 1.0e-3, 1.9e-3])
    assert found.opponent() == "numpy"
    (verdict,) = found.verdicts("rn", (Limit("share", 0.93),), 60.0)
    assert verdict.reading == pytest.approx(0.75)
    assert result(rn=[1e-3], peak=[1e-3]).opponent() is None


def test_limits_of_rows():
    by_name = {row.name: row for row in rows.every()}
    assert limits.limits(by_name["net/xor/train-adam"], 2) == (Limit("ratio", 3.5),)
    assert limits.limits(by_name["net/jnn_cifar/predict-batch"], 1) == (Limit("ratio", 1.9),)
    assert limits.limits(by_name["net/keras_mnist/predict-one"], 2) == (Limit("ratio", 1.1),)
    assert limits.limits(by_name["net/mlp/predict-one"], 4) == ()
    assert limits.limits(by_name["gemm/64x64x64"], 1) == (Limit("ratio", 1.3, "numpy"),)
    assert limits.limits(by_name["gemm/512x512x512"], 2)[1] == Limit("share", 0.93 * 1.8)
    assert limits.limits(by_name["conv/3x3/1x28x28-32/forward"], 1) == ()
    assert limits.limits(by_name["conv/3x3/32x26x26-64/forward"], 1) == (Limit("gflops", 76.0),)
    assert limits.limits(by_name["conv/direct/32x26x26-64/forward"], 2) == (Limit("gflops", 76.0),)
    assert limits.limits(by_name["growth/xor/train/1"], 1) == ()
    assert limits.limits(by_name["images/flip/uint8"], 1) == (Limit("ratio", 20.0, "pillow"),)
    assert limits.limits(by_name["images/all/float32"], 1) == (Limit("ratio", 20.0),)


def test_every_name_is_there_once():
    names = [row.name for row in rows.every()]
    assert len(set(names)) == len(names)
    assert {row.name for row in rows.chosen(["net/xor", "gemm/64x*x576"])} == {
        *("net/xor/train-sgd", "net/xor/train-adam", "net/xor/predict-batch", "net/xor/predict-one"),
        *("gemm/64x1024x576",),
    }


def fabricated() -> report.Run:
    """A run of made-up times: mlp holds on one thread and misses with one of its optimizers on two."""
    run = report.Run(MACHINE, 1, [1, 2])
    by_name = {row.name: row for row in rows.every()}
    for name, threads, own, peer in (
        ("net/mlp/train-sgd", 1, 1.0, 1.7),
        ("net/mlp/train-sgd", 2, 1.0, 2.0),
        ("net/mlp/train-adam", 2, 1.0, 1.02),
        ("growth/mlp/train/1", 1, 1e-5, 1e-4),
        ("growth/mlp/train/4", 1, 1e-5, 1e-4),
    ):
        run.results.append((by_name[name], Result(name, threads, "s", None, {"rn": [own], "torch": [peer]})))
    return run


def test_report_shows_limits_and_the_worst_row():
    run = fabricated()
    text = report.table(run)
    assert re.search(r"^mlp +1\.70 \(1\.6\) +1\.02 \(1\.7\) !$", text, re.MULTILINE)
    assert "2 of 3 lines hold; worst, at 0.60 of its limit: net/mlp/train-adam" in text
    data = json.loads(json.dumps(report.to_json(run)))
    line = data["rows"][2]["lines"][0]
    assert line["ratio"] == 1.02
    assert line["opponent"] == "torch"
    assert line["limits"] == [{"kind": "ratio", "value": 1.7, "against": None, "reading": 1.02, "holds": False}]


def test_a_run_comes_back_from_json():
    run = fabricated()
    run.versions, run.seconds, run.fma_peak = {"rn": "rn 1"}, 60.0, 99.0
    again = report.from_json(json.loads(report.dumps(run)))
    assert report.dumps(again) == report.dumps(run)
    assert report.table(again) == report.table(run)


def test_readme_shows_the_nets_the_kernels_and_the_worst_row():
    run = fabricated()
    run.versions = {"rn": "rn 1 (avx2)", "torch": "PyTorch 2"}
    by_name = {row.name: row for row in rows.every()}
    for name, own, peer in (("gemm/64x64x64", 1.0, 3.0), ("gemm/24x676x9", 1.0, 0.5), ("gemm/128x128x128", 1.0, 1.0)):
        run.results.append((by_name[name], Result(name, 1, "s", None, {"rn": [own], "torch": [peer]})))
    text = publish.renewed(f"before\n{publish.BEGIN}\nlast time\n{publish.END}\nafter\n", [run])
    assert text.startswith(f"before\n{publish.BEGIN}\n\nTime of one call")
    assert text.endswith(f"{publish.END}\nafter\n")
    assert "last time" not in text
    assert "| mlp (32) | 1.00 s, **1.70×** | 1.00 s, **1.02×** |" in text
    assert "| matrix products | 3 | 2 | 1.00 | gemm/24x676x9, 1 thread: 0.50× |" in text
    assert "gemm/24x676x9, 1 thread, 1.00 s against 500 ms by torch, **0.50×**" in text
    with pytest.raises(ValueError, match="lacks"):
        publish.renewed("no markers", [run])


def test_publish_writes_a_section_for_each_instruction_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(plot, "draw_overview", lambda lines, path: path.touch())
    readme = tmp_path / "README.md"
    readme.write_text(f"{publish.BEGIN}\n{publish.END}\n", encoding="utf-8")
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    paths = {}
    for isa in ("generic", "avx2", "avx512", "abacus"):
        run = fabricated()
        run.versions, run.fma_peak = {"rn": f"rn 0 ({isa})", "numpy": f"NumPy of {isa}"}, 99.0
        paths[isa] = tmp_path / f"{isa}.json"
        paths[isa].write_text(report.dumps(run), encoding="utf-8")
    with pytest.raises(SystemExit, match="none was given"):
        publish.main([])
    publish.main([str(paths["avx2"])])
    assert (
        "### avx2\n\none, 2 of its 2 processors, 99 GFLOP/s a core; rn 0 (avx2) of commit c0ffee" in readme.read_text()
    )
    with pytest.raises(SystemExit, match="do not agree"):
        publish.main(["--check", str(paths["avx512"])])
    assert not (tmp_path / "docs" / "benchmarks_avx512.json").exists()
    publish.main([str(paths["avx512"])])
    publish.main(["--check"])
    text = readme.read_text(encoding="utf-8")
    assert text.index("### avx512") < text.index("fastest peer, avx512](docs/benchmarks.png)") < text.index("### avx2")
    assert text.count("| net (batch) |") == 2
    with pytest.raises(SystemExit, match="abacus"):
        publish.main([str(paths["abacus"])])
    assert readme.read_text(encoding="utf-8") == text


def test_readme_agrees_with_the_runs_that_were_published():
    publish.main(["--check"])


def test_peak_is_the_best_product_where_no_loop_was_built():
    run = report.Run(MACHINE, 1, [1])
    row = next(row for row in rows.every() if row.name == "gemm/256x256x256")
    run.results = [(row, result(rn=[2e-3], numpy=[1e-3])), (row, result(threads=2, rn=[1e-4]))]
    assert run.peak[0] == pytest.approx(2.0 * 256**3 / 1e-3 / 1e9)
    assert "fastest matrix product" in run.peak[1]
    run.fma_peak = 99.0
    assert run.peak[0] == 99.0


def test_plots(tmp_path: Path):
    pytest.importorskip("matplotlib")
    pictures = plot.draw(fabricated(), tmp_path)
    assert [path.name for path in pictures] == ["ratios.png", "growth.png"]
    pictures.append(plot.draw_overview(list(report.lines(fabricated())), tmp_path / "overview.png"))
    assert all(path.stat().st_size > 1000 for path in pictures)


def test_fma_peak_is_a_rate():
    rate = machine.fma_peak()
    assert rate is None or 0.1 < rate < 1e4


@pytest.mark.skipif(building.compiler() is None, reason="there is no C compiler")
def test_the_loop_of_fma_does_what_it_is_counted_for():
    loop = peak.library()
    assert loop.flops_of_turn() in (24.0 * 4, 24.0 * 8, 24.0 * 16)
    assert [loop.turn(turns, 0.25) for turns in (0, 1, 2)] == [16.5, 15.375, 14.53125]  # s = 0.75 s + 0.25, from i / 4
    assert list(peak.prepare(Gemm(256, 256, 256))) == ["peak"]
    assert not peak.prepare(Gemm(64, 64, 64))


# ---- turns and workers


class Scripted:
    """In place of a process: answers with times from a list."""

    def __init__(self, times: list[float]) -> None:
        self.times = iter(times)
        self.asked: list[tuple[str, int]] = []

    def ask(self, method: str, *arguments: Any) -> Any:
        if method == "prepare":
            return {"rn": 0.01}
        self.asked.append(arguments)
        return next(self.times)

    def close(self) -> None:
        """Nothing to end."""


def test_measure_asks_in_turns_within_the_budget():
    row = rows.NOISE
    workers: Any = {"rn": Scripted([1.0, 2.0, 3.0]), "rn again": Scripted([4.0, 5.0, 6.0])}
    found = turns.measure(row, 1, workers, turns.Effort(rounds=3, turn=0.05, budget=10.0))
    assert not found.failures
    assert found.values == {"rn": [1.0, 2.0, 3.0], "rn again": [4.0, 5.0, 6.0]}
    assert workers["rn"].asked == [("rn", 5)] * 3
    short = turns.Effort(rounds=9, turn=0.02, budget=0.05)
    assert short.rounds_for(0.01) == 2
    assert short.rounds_for(1.0) == 1
    assert short.of(replace(row, brief=True)).rounds == 3


def test_noise_stops_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made: list[Scripted] = []

    def process(peer: str, threads: int) -> Scripted:
        made.append(Scripted([1.0 + 0.5 * len(made)] * 1000))
        return made[-1]

    monkeypatch.setattr(command, "Process", process)
    monkeypatch.setattr(command, "NOISE_PAUSE", 0.0)
    monkeypatch.setattr(machine, "fma_peak", lambda: None)
    with pytest.raises(SystemExit, match=r"too busy to measure: rn against rn read 1\.50, .*--force"):
        command.main(["--only", "gemm/64x64x64", "--threads", "1", "--output", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ratio", "tries"), [(1.0, 1), (1.09, 1), (0.91, 1), (1.11, 5), (0.89, 5)])
def test_noise_is_tried_again(ratio: float, tries: int, monkeypatch: pytest.MonkeyPatch):
    times = iter([1.0, ratio])
    monkeypatch.setattr(command, "Process", lambda peer, threads: Scripted([next(times)] * 100))
    monkeypatch.setattr(command, "NOISE_PAUSE", 0.0)
    assert command.noise(1, turns.Effort(rounds=1), 5) == [ratio] * tries


def test_noise_on_every_number_of_threads_comes_first_and_interrupted_runs_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    done: list[Any] = []

    def noise(threads: int, effort: turns.Effort, tries: int) -> list[float]:
        done.append(threads)
        return [1.0]

    def measure_rows(run: report.Run, chosen: list[rows.Row], names: list[str], threads: int, *options: Any) -> None:
        done.append([row.name for row in chosen])
        if threads == 3:
            raise RuntimeError("a fault of the harness")
        run.results.append((chosen[0], result(chosen[0].name, threads, rn=[1.0])))

    monkeypatch.setattr(command, "noise", noise)
    monkeypatch.setattr(command, "measure_rows", measure_rows)
    monkeypatch.setattr(machine, "fma_peak", lambda: None)
    only = ["gemm/64x64x64", "elementwise/add/4096"]
    with pytest.raises(RuntimeError, match="harness"):
        command.main(["--threads", "1", "2", "3", "--output", str(tmp_path), "--only", *only])
    assert done == [1, 2, 3, only, only[:1], only[:1]]
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["threads"]) for row in data["rows"]] == [(only[0], 1), (only[0], 2)]


def test_a_quick_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    only = ["elementwise/add/4096", "net/xor/predict-one"]
    command.main(
        [*("--quick", "--force", "--threads", "1", "--peers", "numpy", "--output", str(tmp_path), "--only"), *only]
    )
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert data["machine"]["processors"] >= 1
    assert set(data["versions"]) == {"rn", "numpy"}
    assert data["noise"][0]["threads"] == 1
    by_name = {row["name"]: row for row in data["rows"]}
    assert set(by_name) == set(only)
    added = by_name["elementwise/add/4096"]
    for contender in ("rn", "numpy"):
        assert 0 < added["contenders"][contender]["minimum"] <= added["contenders"][contender]["median"]
    (line,) = added["lines"]
    assert line["ratio"] == added["contenders"]["numpy"]["median"] / added["contenders"]["rn"]["median"]
    assert "elementwise/add/4096" in capfd.readouterr().out


def test_what_a_worker_cannot_do_is_told():
    process = turns.Process("numpy", 1)
    try:
        assert process.ask("prepare", Step("xor", "train", 4)) == {}
        with pytest.raises(turns.WorkerError, match="numpy: KeyError"):
            process.ask("prepare", Elementwise("nothing", 4096))
        assert "NumPy" in process.ask("versions")
    finally:
        process.close()


class Killed(Scripted):
    """A process that the system ends in mid-measurement."""

    def ask(self, method: str, *arguments: Any) -> Any:
        if method == "prepare":
            return {"numpy": 0.01}
        raise turns.WorkerError("the process of numpy ended: exit code -9")


def test_a_process_that_ends_takes_no_other_result_with_it():
    workers: Any = {"rn": Scripted([1.0, 2.0]), "numpy": Killed([])}
    found = turns.measure(rows.NOISE, 1, workers, turns.Effort(rounds=2, turn=0.05, budget=10.0))
    assert found.values == {"rn": [1.0, 2.0]}
    assert found.failures == {"numpy": "the process of numpy ended: exit code -9"}


def test_another_process_answers_after_one_that_ended():
    process = turns.Process("numpy", 1)
    try:
        process._process.kill()
        process._process.wait()
        with pytest.raises(turns.WorkerError, match="the process of numpy ended: exit code -9"):
            process.ask("versions")
        assert "NumPy" in process.ask("versions")
    finally:
        process.close()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from /proc")
def test_memory_is_what_the_work_adds():
    # In a new process, as measure_memory does: one with a history serves large requests from what it holds already.
    matrix = 4000 * 4000 * 4
    row = rows.Row("gemm/4000x1x4000", Gemm(4000, 1, 4000), measure="memory")
    added = turns.measure_memory(row, 1, ["numpy"], 2).median("numpy")
    assert 0.9 * matrix < added < 1.5 * matrix


def test_no_row_and_a_wrong_option():
    with pytest.raises(SystemExit, match="no row has nothing in its name"):
        command.main(["--only", "nothing"])
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])


def test_the_nets():
    count = {
        net.name: sum(
            array.size for own in nets.initial_weights(net) for name, array in own.items() if "running" not in name
        )
        for net in nets.NETS.values()
    }
    assert count["xor"] == 2 * 8 + 8 + 8 * 2 + 2
    assert count["keras_mnist"] == 1_199_882
    assert count["jnn_cifar"] == 641_962


# ---- all peers do the same work

CONVS = [
    Conv(3, 9, 8, 6, batch=2),
    Conv(4, 9, 9, 6, stride=2, padding=1, batch=2),
    Conv(4, 8, 8, 6, kernel=1, batch=2),
    Conv(4, 9, 9, 6, kernel=5, padding=2, batch=2),
    Conv(4, 9, 9, 6, dilation=2, padding=2, batch=2),
    Conv(4, 9, 9, 4, padding=1, groups=4, batch=2),
]
ALL = ["rn", "numpy", "torch", "jax", "onnxruntime", "sklearn", "pillow"]


def array(value: Any) -> np.ndarray:
    """Return a copy of what a call gave."""
    return np.array(value.numpy() if hasattr(value, "numpy") else value)


def results(work: Any, calls: int = 1, named: list[str] = ALL) -> dict[str, list[np.ndarray]]:
    """Return what each variant of each peer computes in its first calls."""
    for package in {package for name in named for package in peers.PACKAGES.get(name, [])}:
        importlib.import_module(package)
    made = {variant: call for name in named for variant, call in peers.load(name).prepare(work).items()}
    return {variant: [array(call()) for _ in range(calls)] for variant, call in made.items()}


def assert_alike(found: dict[str, list[np.ndarray]], tolerance: float = 1e-4) -> None:
    (_, expected), *others = found.items()
    assert others
    for name, values in others:
        for value, wanted in zip(values, expected, strict=True):
            scale = max(float(np.abs(wanted).max()), 1e-3)
            np.testing.assert_allclose(value.reshape(wanted.shape), wanted, atol=tolerance * scale, err_msg=name)


def test_operations_give_what_numpys_give():
    for operation in rows.elementwise.OPERATIONS:
        assert_alike(results(Elementwise(operation, 4096), named=["rn", "numpy"]))


@pytest.mark.peers
def test_transforms_give_batches_alike():
    for row in rows.images.rows():
        (_, expected), *others = results(row.work, named=["rn", "numpy", "pillow"]).items()
        assert others
        for name, (value,) in others:
            assert (value.shape, value.dtype) == (expected[0].shape, expected[0].dtype), (row.name, name)
            # Chance differs; the mean brightness hardly does.
            spread = float(expected[0].std())
            assert abs(float(value.mean()) - float(expected[0].mean())) < 0.1 * spread, (row.name, name)
            assert abs(float(value.std()) - spread) < 0.1 * spread, (row.name, name)


@pytest.mark.peers
def test_a_library_chooses_its_own_kernels_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("threadpoolctl")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")  # a processor of 2008, before AVX
    process = turns.Process("numpy", 1)
    try:
        versions = process.ask("versions")
    finally:
        process.close()
    if "openblas" not in versions:
        pytest.skip("this NumPy's BLAS is another")
    assert "Nehalem" not in versions


@pytest.mark.peers
def test_products_agree():
    assert_alike(results(Gemm(5, 7, 9)))


@pytest.mark.peers
@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("part", ["forward", "weights", "input"])
def test_convolutions_agree(conv: Conv, part: Any):
    found = results(replace(conv, part=part))
    last = (3, 2, 0, 1) if part == "weights" else (0, 3, 1, 2)
    found["jax"] = [value.transpose(last) for value in found["jax"]]
    assert_alike(found)


@pytest.mark.peers
@pytest.mark.parametrize("net", nets.NETS)
def test_predictions_agree(net: str):
    found = results(Step(net, "predict", 3))
    assert len(found) >= 3
    assert_alike(found)


@pytest.mark.peers
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("net", ["xor", "mlp", "jnn_mnist"])
def test_losses_of_training_agree(net: str, optimizer: Any):
    found = results(Step(net, "train", 8, optimizer), calls=4)
    # scikit-learn has made a step before these, and its velocity with it; on xor it minimises another loss.
    sklearn = found.pop("sklearn", [])
    if net == "mlp":
        np.testing.assert_allclose(sklearn[0], found["rn"][0], rtol=1e-4)
    assert all(values[0] != values[3] for values in found.values())
    assert_alike(found)
