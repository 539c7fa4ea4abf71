"""History: one number per epoch and name."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rn.training.history import History


def three_epochs() -> History:
    history = History()
    for epoch in range(3):
        history.append(epoch, {"loss": 1.0 / (epoch + 1), "val_loss": np.float32(0.5)}, 1.5)
    return history


def test_collects_every_epoch() -> None:
    history = three_epochs()
    assert history.history == {"loss": [1.0, 0.5, 1.0 / 3.0], "val_loss": [0.5, 0.5, 0.5]}
    assert all(type(value) is float for value in history.history["val_loss"])
    assert history.epoch == [0, 1, 2]
    assert history.seconds == [1.5, 1.5, 1.5]
    assert len(history) == 3


def test_final_values() -> None:
    assert three_epochs().final == {"loss": 1.0 / 3.0, "val_loss": 0.5}
    assert History().final == {}


def test_epochs_that_lack_a_value_hold_nan() -> None:
    history = History()
    history.append(4, {"loss": 1.0})
    history.append(5, {"loss": 0.5, "val_loss": 0.7})
    history.append(6, {"val_loss": 0.6})
    assert history.epoch == [4, 5, 6]
    np.testing.assert_array_equal(history.history["loss"], [1.0, 0.5, math.nan])
    np.testing.assert_array_equal(history.history["val_loss"], [math.nan, 0.7, 0.6])
    assert all(math.isnan(seconds) for seconds in history.seconds)


def test_later_changes_of_the_logs_do_not_reach_it() -> None:
    history, logs = History(), {"loss": 1.0}
    history.append(0, logs)
    logs["loss"] = 2.0
    assert history.history == {"loss": [1.0]}


def test_repr_says_what_was_reached() -> None:
    assert repr(three_epochs()) == "History(3 epochs, loss=0.3333, val_loss=0.5)"
    assert repr(History()) == "History(0 epochs)"
    history = History()
    history.append(0, {"loss": 2.0})
    assert repr(history) == "History(1 epoch, loss=2)"


def test_pickles_and_copies() -> None:
    for other in (pickle.loads(pickle.dumps(three_epochs())), copy.deepcopy(three_epochs())):
        assert vars(other) == vars(three_epochs())


def test_plot_saves_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = three_epochs().plot(tmp_path / "history.png", title="three epochs")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert figure.get_suptitle() == "three epochs"


def test_importing_it_does_not_import_plotting() -> None:
    program = "import sys, rn.training; print([name for name in sys.modules if 'plot' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
