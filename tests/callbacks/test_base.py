"""The contract of callbacks, and functions in their place."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from rn.callbacks import BatchEnd, Callback, EpochEnd, ProgressBar, as_callbacks
from rn.errors import DtypeError


def test_a_bare_callback_does_nothing_anywhere() -> None:
    callback, model = Callback(), object()
    callback.on_train_begin(model)
    callback.on_epoch_begin(model, 0)
    callback.on_batch_end(model, 0, {"loss": 1.0})
    callback.on_epoch_end(model, 0, {"loss": 1.0})
    callback.on_train_end(model)
    assert callback.wants_batches is False
    assert callback.state() == {}
    callback.restore({})
    assert vars(callback) == {}


def test_epoch_end_calls_after_epochs_only() -> None:
    calls: list[Any] = []
    callback = EpochEnd(lambda *arguments: calls.append(arguments))
    assert not callback.wants_batches
    callback.on_batch_end(None, 7, {"loss": 2.0})
    callback.on_epoch_end(None, 3, {"loss": 1.0})
    assert calls == [(3, {"loss": 1.0})]


def test_batch_end_calls_after_batches_only() -> None:
    calls: list[Any] = []
    callback = BatchEnd(lambda *arguments: calls.append(arguments))
    assert callback.wants_batches
    callback.on_batch_end(None, 7, {"loss": 2.0})
    callback.on_epoch_end(None, 3, {"loss": 1.0})
    assert calls == [(7, {"loss": 2.0})]


def test_as_callbacks() -> None:
    own, bar = Callback(), ProgressBar()
    assert as_callbacks(None) == []
    assert as_callbacks(()) == []
    assert as_callbacks(own) == [own]
    assert as_callbacks((own, bar)) == [own, bar]
    assert as_callbacks(iter([own])) == [own]
    assert [type(callback) for callback in as_callbacks(print)] == [EpochEnd]
    first, second = as_callbacks([print, own])
    assert isinstance(first, EpochEnd)
    assert first.function is print
    assert second is own


@pytest.mark.parametrize("wrong", [3, [3], ["progress_bar"], [None], {"a": 1}, [[print]]])
def test_as_callbacks_refuses(wrong: object) -> None:
    with pytest.raises(DtypeError, match="expected a Callback or a function"):
        as_callbacks(wrong)


def test_the_name_of_a_callback_is_shown_whole() -> None:
    with pytest.raises(DtypeError, match=r"got 'early_stopping'$"):
        as_callbacks("early_stopping")


@pytest.mark.parametrize("wrong", [Callback, [ProgressBar]])
def test_a_class_in_place_of_an_instance(wrong: object) -> None:
    with pytest.raises(DtypeError, match="give an instance"):
        as_callbacks(wrong)


@pytest.mark.parametrize("wrapper", [EpochEnd, BatchEnd])
def test_wrappers_refuse_what_is_no_function(wrapper: type) -> None:
    with pytest.raises(DtypeError, match=f"{wrapper.__name__} takes a function, got 3"):
        wrapper(3)


def test_importing_the_callbacks_imports_no_tqdm() -> None:
    program = "import sys, rn.callbacks; print('tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
