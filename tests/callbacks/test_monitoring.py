"""EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, TerminateOnNaN, CSVLogger, TensorBoard: alone and in a fit."""

from __future__ import annotations

import copy
import math
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rn
from rn.callbacks import (
    BatchEnd,
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from rn.errors import MissingExtraError, OptionError
from rn.layers import BatchNorm, Dense

RNG = np.random.default_rng(1)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 48)  # noise: validation gets worse before long


def net(rate: Any = 0.05) -> rn.Sequencial:
    model = rn.Sequencial([Dense(24, "tanh"), BatchNorm(), Dense(3, "softmax")], input_shape=4, seed=2)
    model.compile(rn.optimizers.Adam(rate), "cross_entropy", metrics=["accuracy"])
    return model


def fit(model: rn.Sequencial, epochs: int, *callbacks: Any) -> rn.training.History:
    return model.fit(X, Y, epochs=epochs, batch_size=8, validation_split=0.25, callbacks=callbacks, verbose=0)


def same_bits(a: rn.Sequencial, b: rn.Sequencial) -> bool:
    return all(np.array_equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


class Recording:
    """In the place of a model: its weights are the number of the epoch."""

    def __init__(self, rate: float = 1.0) -> None:
        self.stop_training = False
        self.metrics = (rn.metrics.get("accuracy"), rn.metrics.get("mse"))
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.epoch = -1
        self.saved: list[str] = []

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"w": np.float32([self.epoch])}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        self.epoch = int(state["w"][0])

    def save(self, path: str) -> None:
        self.saved.append(path)


def play(callback: Callback, values: list[float], name: str = "val_loss", model: Any = None) -> Any:
    """Let ``callback`` see one value an epoch until it stops training; return the model."""
    model = model or Recording()
    callback.on_train_begin(model)
    for model.epoch, value in enumerate(values):
        callback.on_epoch_end(model, model.epoch, {"loss": 9.0, name: value})
        if model.stop_training:
            break
    callback.on_train_end(model)
    return model


# EarlyStopping


@pytest.mark.parametrize(
    ("values", "options", "best", "stopped"),
    [
        ([3, 2, 1, 2, 3, 0], {"patience": 2}, 2, 4),
        ([3, 2, 1, 2, 0.5, 2, 2], {"patience": 2}, 4, 6),
        ([3, 3], {}, 0, 1),
        ([3, 2, 1], {}, 2, None),
        ([3, 2.95, 2.92, 2.91], {"min_delta": 0.1, "patience": 2}, 0, 2),
        ([1, 2, 3, 2, 2], {"mode": "max", "patience": 2}, 2, 4),
        ([math.nan, 2, math.nan, math.inf], {"patience": 2}, 1, 3),
        ([math.nan, math.nan, math.nan], {"patience": 2}, None, 1),
    ],
)
def test_early_stopping(values: list[float], options: dict[str, Any], best: int | None, stopped: int | None) -> None:
    callback = EarlyStopping(**options)
    model = play(callback, values)
    assert (callback.best_epoch, callback.stopped_epoch) == (best, stopped)
    assert callback.best == (None if best is None else values[best])
    if best is not None:
        assert model.epoch == best
    play(callback, [7.0], model=Recording())
    assert (callback.best, callback.best_epoch, callback.stopped_epoch) == (7.0, 0, None)


@pytest.mark.parametrize(
    ("name", "best"), [("val_accuracy", 2), ("accuracy", 2), ("val_mse", 0), ("loss", 0), ("val_loss", 0)]
)
def test_auto_asks_the_metric_which_way_is_better(name: str, best: int) -> None:
    callback = EarlyStopping(name, patience=9)
    play(callback, [1, 2, 3], name)
    assert callback.best_epoch == best


def test_the_best_weights_are_restored() -> None:
    model, plain = net(), net()
    stopping = EarlyStopping(patience=4)
    history = fit(model, 200, stopping)
    losses = history.history["val_loss"]
    assert len(losses) < 200
    assert stopping.best == min(losses)
    assert losses.index(min(losses)) == len(losses) - 5 == stopping.best_epoch
    fit(plain, len(losses) - 4)
    assert same_bits(model, plain)
    assert model.evaluate(X[36:], Y[36:])["loss"] == stopping.best
    kept = net()
    fit(kept, 200, EarlyStopping(patience=4, restore_best_weights=False))
    assert not same_bits(kept, model)


def test_what_is_not_reported_is_named() -> None:
    with pytest.raises(OptionError, match="looks at 'val_loss', which this fit does not report; it reports: loss, acc"):
        net().fit(X, Y, verbose=0, callbacks=[EarlyStopping()])


# ModelCheckpoint and going on


def test_checkpoint_paths_and_epochs() -> None:
    assert play(ModelCheckpoint("m.rn"), [1, 2]).saved == ["m.rn", "m.rn"]
    assert play(ModelCheckpoint("{epoch:02d}-{val_loss:.1f}.rn", every=2), [1, 2, 3, 4]).saved == [
        "02-2.0.rn",
        "04-4.0.rn",
    ]
    best = ModelCheckpoint("{epoch}", save_best_only=True)
    assert play(best, [3, 4, 2, 2, 1]).saved == ["1", "3", "5"]
    of_every_other = ModelCheckpoint("{epoch}", save_best_only=True, every=2)
    assert play(of_every_other, [3, 4, 2, 1, 5, 2]).saved == ["4"]  # the second is no better than the first
    assert play(ModelCheckpoint("{epoch}", monitor="accuracy", save_best_only=True), [1, 3, 2], "accuracy").saved == [
        "1",
        "2",
    ]
    with pytest.raises(OptionError, match=r"cannot be filled in \('nothing'\); there are: epoch, loss, val_loss"):
        play(ModelCheckpoint("{nothing}"), [1])


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_a_run_killed_after_a_checkpoint_goes_on_with_the_same_bits(stop: int, tmp_path: Path) -> None:
    def callbacks(folder: str) -> list[Any]:
        return [
            ModelCheckpoint(tmp_path / f"{folder}.rn"),  # first in the list, called last
            EarlyStopping(patience=6),
            ReduceLROnPlateau(patience=1, factor=0.5),
            EarlyStopping("loss", patience=50),
        ]

    whole = net()
    expected = fit(whole, 40, *callbacks("whole"))
    assert stop < len(expected) < 40
    assert whole.optimizer.learning_rate < 0.05

    class Killed(Callback):
        def on_epoch_begin(self, model: Any, epoch: int) -> None:
            if epoch == stop:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net(), 40, *callbacks("part"), Killed())
    again = rn.load(tmp_path / "part.rn")
    assert again.epochs == stop
    history = fit(again, 40 - stop, *callbacks("again"))
    assert history.history["loss"] == expected.history["loss"][stop:]
    assert same_bits(whole, again)
    assert whole.optimizer.learning_rate == again.optimizer.learning_rate


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_copied_in_the_middle_of_a_fit_goes_on_like_it(way: Any) -> None:
    copies = []

    def take(epoch: int, logs: dict[str, float]) -> None:
        if epoch == 4:
            copies.append(way(model))

    model = net()
    fit(model, 30, EarlyStopping(patience=3), take)
    fit(copies[0], 25, EarlyStopping(patience=3))
    assert same_bits(model, copies[0])


def test_states_are_for_the_next_fit_alone(tmp_path: Path) -> None:
    model = net()
    fit(model, 3, EarlyStopping(patience=9), ModelCheckpoint(tmp_path / "m.rn"))
    again = rn.load(tmp_path / "m.rn")
    assert set(again._callback_states) == {"EarlyStopping 1", "ModelCheckpoint 1"}
    again.save(tmp_path / "n.rn")
    assert set(rn.load(tmp_path / "n.rn")._callback_states) == {"EarlyStopping 1", "ModelCheckpoint 1"}
    fit(again, 1)
    assert not again._callback_states
    model.save(tmp_path / "m.rn")
    assert not rn.load(tmp_path / "m.rn")._callback_states


# exceptions


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("kind", ["epoch", "batch"])
def test_an_exception_leaves_the_model_usable_and_the_history_complete(error: type[BaseException], kind: str) -> None:
    calls = []

    def broken(number: int, logs: dict[str, float]) -> None:
        calls.append(number)
        if len(calls) == (3 if kind == "epoch" else 11):  # five batches an epoch
            raise error

    model, plain = net(), net()
    with pytest.raises(error):
        fit(model, 9, broken if kind == "epoch" else BatchEnd(broken))
    done = 3 if kind == "epoch" else 2
    expected = fit(plain, 3)
    assert model.history is not None
    assert model.history.epoch == list(range(done))
    assert model.history.history == {name: values[:done] for name, values in expected.history.items()}
    assert (model.epochs, model.steps) == (done, 15 if kind == "epoch" else 11)
    fit(model, 1)
    assert np.isfinite(model.predict(X)).all()


# ReduceLROnPlateau


def test_reduce_lr_on_plateau() -> None:
    model = play(ReduceLROnPlateau(factor=0.5, patience=1), [3, 3, 3, 3, 3])
    assert model.optimizer.learning_rate == 0.25
    model = play(ReduceLROnPlateau(factor=0.1, patience=0, minimum=0.05), [3, 3, 3, 3])
    assert model.optimizer.learning_rate == 0.05
    model = play(ReduceLROnPlateau(factor=0.5, patience=0, cooldown=3), [3] * 6)
    assert model.optimizer.learning_rate == 0.25
    with pytest.raises(OptionError, match="the optimizer has the schedule Cosine"):
        fit(net(rn.schedules.Cosine(0.1, 10)), 1, ReduceLROnPlateau())


@pytest.mark.peers
@pytest.mark.parametrize("options", [{"patience": 2}, {"patience": 0, "cooldown": 2}, {"patience": 1, "minimum": 0.2}])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_reduce_lr_on_plateau_as_torch(options: dict[str, Any], mode: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.round(np.random.default_rng(5).normal(size=60).cumsum(), 1).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = {"min_lr" if name == "minimum" else name: value for name, value in options.items()}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode=mode, factor=0.5, threshold=1e-4, threshold_mode="abs", **theirs
    )
    ours, model = ReduceLROnPlateau(factor=0.5, mode=mode, **options), Recording()
    ours.on_train_begin(model)
    for epoch, value in enumerate(values):
        scheduler.step(value)
        ours.on_epoch_end(model, epoch, {"val_loss": value})
        assert model.optimizer.learning_rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-7)
    assert model.optimizer.learning_rate < 1


# TerminateOnNaN


def test_terminate_on_nan() -> None:
    model = rn.Sequencial([Dense(1)], input_shape=4, seed=0)
    model.compile(rn.optimizers.SGD(1e20), "mse")
    with pytest.warns(RuntimeWarning, match="of epoch 0 is (nan|inf): training ends here"):
        history = model.fit(X, X[:, :1], epochs=5, batch_size=8, verbose=0, callbacks=[TerminateOnNaN()])
    assert len(history) == 1
    assert model.steps < 6
    healthy = net()
    fit(healthy, 2, TerminateOnNaN())
    assert healthy.epochs == 2


# CSVLogger


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    model = net()
    history = fit(model, 2, CSVLogger(path))
    fit(model, 1, CSVLogger(path, append=True))
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2"]
    assert float(lines[1].split(",")[1]) == history.history["loss"][0]
    with pytest.raises(OptionError, match="has the columns epoch, loss, accuracy, val_loss, val_accuracy, but"):
        model.fit(X, Y, verbose=0, callbacks=[CSVLogger(path, append=True)])
    fit(model, 1, CSVLogger(path, separator=";"))
    assert path.read_text().startswith("epoch;loss")


def test_csv_logger_keeps_the_old_file_where_the_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    fit(net(), 2, CSVLogger(path))
    before = path.read_text()
    with pytest.raises(OptionError, match="ModelCheckpoint"):
        fit(net(), 1, CSVLogger(path), ModelCheckpoint(tmp_path / "nowhere" / "m.rn"))
    assert path.read_text() == before
    fit(net(), 1, CSVLogger(path))
    assert path.read_text() == "\n".join(before.splitlines()[:2]) + "\n"


# what cannot be written


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda at: ModelCheckpoint(at / "no" / "m.rn"), r"ModelCheckpoint: '.*m.rn' .* no folder '.*no': .*makedirs"),
        (lambda at: ModelCheckpoint(at / "no" / "{epoch}-{val_loss:.2f}.rn"), "ModelCheckpoint: .* no folder '.*no'"),
        (lambda at: ModelCheckpoint(at / "no" / "{epoch}" / "m.rn"), "ModelCheckpoint: .* no folder '.*no'"),
        (lambda at: ModelCheckpoint(at), "ModelCheckpoint: .* is a folder; give the path of a file"),
        (lambda at: ModelCheckpoint(at / "file" / "m.rn"), "ModelCheckpoint: .* no folder '.*file'"),
        (lambda at: CSVLogger(at / "no" / "log.csv"), "CSVLogger: .* no folder '.*no'"),
        (lambda at: CSVLogger(at / "no" / "log.csv", append=True), "CSVLogger: .* no folder '.*no'"),
        (lambda at: CSVLogger(at, append=True), "CSVLogger: .* is a folder"),
        (lambda at: TensorBoard(at / "file"), "TensorBoard: '.*file' cannot be made a folder"),
        (lambda at: TensorBoard(at / "file" / "runs"), "TensorBoard: '.*runs' cannot be made a folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_training(
    make: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary", SimpleNamespace(Writer=None))
    (tmp_path / "file").touch()
    model = net()
    before = model.state_dict()
    with pytest.raises(OptionError, match=words):
        fit(model, 2, make(tmp_path))
    assert (model.epochs, model.steps) == (0, 0)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("link", [False, True])
def test_a_checkpoint_needs_its_folder_and_a_log_its_file(
    link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is written to a new file, which takes the place of the old one; a log is written into."""
    there = tmp_path / "there"
    there.mkdir()
    path = there / "file"
    path.touch()
    given = tmp_path / "link" if link else path
    if link:
        given.symlink_to(path)
    for read_only, refused, taken in ((there, ModelCheckpoint, CSVLogger), (path, CSVLogger, ModelCheckpoint)):
        seen = os.path.realpath(read_only)
        with monkeypatch.context() as patch:
            patch.setattr(os, "access", lambda asked, mode, seen=seen: os.path.realpath(asked) != seen)
            with pytest.raises(OptionError, match=f"{refused.__name__}: .* is read-only"):
                refused(given).on_train_begin(net())
            taken(given).on_train_begin(net())


def test_paths_may_be_bytes(tmp_path: Path) -> None:
    fit(net(), 1, CSVLogger(os.fsencode(tmp_path / "log.csv")), ModelCheckpoint(os.fsencode(tmp_path / "{epoch}.rn")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.rn", "log.csv"]


def test_a_fit_that_is_refused_leaves_the_saved_states_for_the_next(tmp_path: Path) -> None:
    model = net()
    fit(model, 3, EarlyStopping(patience=9), ModelCheckpoint(tmp_path / "m.rn"))
    again, same = rn.load(tmp_path / "m.rn"), rn.load(tmp_path / "m.rn")
    stopping, expected = EarlyStopping(patience=9), EarlyStopping(patience=9)
    with pytest.raises(OptionError, match="no folder"):
        fit(again, 1, stopping, ModelCheckpoint(tmp_path / "no" / "m.rn"))
    fit(again, 1, stopping)
    fit(same, 1, expected)
    assert (stopping.best, stopping.best_epoch) == (expected.best, expected.best_epoch)
    assert stopping.best == min(model.history.history["val_loss"] + again.history.history["val_loss"])


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (lambda at: EarlyStopping(), "looks at 'val_loss', which this fit does not report; it reports: loss, accuracy"),
        (lambda at: ReduceLROnPlateau(), "looks at 'val_loss'"),
        (lambda at: ModelCheckpoint(at / "m.rn", save_best_only=True), "looks at 'val_loss'"),
        (lambda at: ModelCheckpoint(at / "{foo}.rn"), r"filled in \('foo'\); there are: epoch, loss, accuracy"),
    ],
)
def test_what_a_fit_does_not_report_is_refused_before_it_trains(callback: Any, words: str, tmp_path: Path) -> None:
    model = net()
    with pytest.raises(OptionError, match=words):
        model.fit(X, Y, callbacks=[TerminateOnNaN(), callback(tmp_path)], verbose=0)
    assert (model.steps, model.history) == (0, None)


def test_a_function_may_report_what_the_callbacks_after_it_look_at() -> None:
    stopping = EarlyStopping("own")
    net().fit(X, Y, callbacks=[lambda epoch, logs: logs.update(own=7.0), stopping], verbose=0)
    assert stopping.best == 7.0


def test_a_checkpoint_of_what_cannot_be_saved_is_refused_before_it_trains(tmp_path: Path) -> None:
    class Nameless(Dense):
        pass

    model = rn.Sequencial([Nameless(3, "softmax")], seed=0)
    model.compile("sgd", "cross_entropy")
    with pytest.raises(OptionError, match="Nameless is not registered"):
        model.fit(X, Y, callbacks=ModelCheckpoint(tmp_path / "m.rn"), verbose=0)
    assert (model.steps, model.network) == (0, None)


# TensorBoard


def test_tensorboard_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(MissingExtraError, match=r'run `pip install "\.\[tensorboard\]"` beside setup\.py'):
        TensorBoard("runs")


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[tuple[str, str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.run = Path(folder).name

        def add_scalar(self, name: str, value: float, step: int) -> None:
            points.append((self.run, name, value, step))

        def flush(self) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setitem(sys.modules, "tensorboard.summary", SimpleNamespace(Writer=Writer))
    history = fit(net(), 2, TensorBoard(tmp_path))
    assert [point[:2] for point in points[:5]] == [
        ("train", "loss"),
        ("train", "accuracy"),
        ("validation", "loss"),
        ("validation", "accuracy"),
        ("train", "learning_rate"),
    ]
    assert [point[2] for point in points if point[:2] == ("validation", "loss")] == history.history["val_loss"]
    assert [point[3] for point in points] == [0] * 5 + [1] * 5


@pytest.mark.peers
def test_tensorboard_writes_files_that_it_reads(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = fit(net(), 3, TensorBoard(tmp_path))
    events = EventAccumulator(str(tmp_path / "validation"))
    events.Reload()
    assert events.Tags()["scalars" if "loss" in events.Tags()["scalars"] else "tensors"]
    tensors = events.Tensors("loss") if "loss" in events.Tags()["tensors"] else events.Scalars("loss")
    assert [point.step for point in tensors] == [0, 1, 2]
    assert len(history) == 3


# refusals


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(patience=-1), "EarlyStopping: patience must be a whole number"),
        (lambda: EarlyStopping(mode="best"), 'EarlyStopping: mode must be "auto", "min" or "max", got \'best\''),
        (lambda: EarlyStopping(min_delta=-0.1), "EarlyStopping: min_delta"),
        (lambda: EarlyStopping(""), "EarlyStopping: monitor must be a name"),
        (lambda: ModelCheckpoint("m.rn", every=0), "ModelCheckpoint: every"),
        (lambda: ReduceLROnPlateau(factor=1.0), "ReduceLROnPlateau: factor must be at least 0 and below 1"),
        (lambda: ReduceLROnPlateau(cooldown=-1), "ReduceLROnPlateau: cooldown"),
        (lambda: CSVLogger("x.csv", separator="--"), "CSVLogger: separator must be one character"),
    ],
)
def test_refusals(make: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()


def test_settings_may_be_numpys_numbers(tmp_path: Path) -> None:
    stopping = EarlyStopping(patience=np.int64(3), min_delta=np.float32(0.5))  # type: ignore[arg-type]
    assert (type(stopping.patience), stopping.patience) == (int, 3)
    plateau = ReduceLROnPlateau(patience=np.int32(2), factor=np.float32(0.5), cooldown=np.int8(1))  # type: ignore[arg-type]
    assert (plateau.patience, plateau.factor, plateau.cooldown) == (2, 0.5, 1)
    assert ModelCheckpoint(tmp_path / "a.rn", every=np.int64(2)).every == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [{"factor": "a"}, {"factor": None}, {"minimum": "a"}, {"minimum": -1.0}])
def test_a_plateau_of_nonsense_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"ReduceLROnPlateau: {next(iter(setting))} must be"):
        ReduceLROnPlateau(**setting)
