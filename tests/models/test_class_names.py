"""Class names are kept in the model, in its copies and in its file, and fit its outputs."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import rn
from rn.errors import OptionError, StateError
from rn.layers import Dense, Flatten, Input
from rn.serialization import read_file, write_file

NAMES = ("setosa", "versicolor", "virgínica")


def flowers() -> rn.RedeNeural:
    model = rn.RedeNeural([4, 5, 3], output_activation="softmax", seed=0)
    model.build((4,))
    model.class_names = NAMES
    return model


def test_names_survive_file_pickle_and_copy(tmp_path: Path) -> None:
    model = flowers()
    model.save(tmp_path / "flowers.rn")
    for other in (rn.load(tmp_path / "flowers.rn"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.class_names == NAMES
    model.class_names = None
    model.save(tmp_path / "flowers.rn")
    assert rn.load(tmp_path / "flowers.rn").class_names is None


def test_any_sequence_of_strings_serves(tmp_path: Path) -> None:
    model = flowers()
    model.class_names = np.array(["a", "b", "c"])
    assert model.class_names == ("a", "b", "c")
    assert {type(name) for name in model.class_names} == {str}
    model.save(tmp_path / "letters.rn")
    json.dumps(read_file(tmp_path / "letters.rn")[1]["class_names"])


def test_one_column_tells_two_classes_apart() -> None:
    model = rn.RedeNeural([2, 3, 1], seed=0)
    model.class_names = ("no", "yes")
    assert model.class_names == ("no", "yes")
    with pytest.raises(OptionError, match=r"class_names has 1 names, but the model gives outputs of shape \(1,\)"):
        model.class_names = ("yes",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("abc", "class_names must be a sequence of strings"),
        ([1, 2, 3], "class_names must be a sequence of strings"),
        ([], "class_names must be a sequence of strings"),
        (5, "class_names must be a sequence of strings"),
        (["a", "b", "a"], "class_names has 'a' twice"),
        (["a", "b"], r"class_names has 2 names, but the model gives outputs of shape \(3,\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(names: object, message: str) -> None:
    model = flowers()
    with pytest.raises(OptionError, match=message):
        model.class_names = names  # type: ignore[assignment]
    assert model.class_names == NAMES


def test_images_and_models_not_built_have_no_classes() -> None:
    model = rn.Sequencial([Dense(3)])
    with pytest.raises(StateError, match="not built"):
        model.class_names = NAMES
    images = rn.Sequencial([Input((1, 3, 1))])
    with pytest.raises(OptionError, match="outputs of shape"):
        images.class_names = NAMES
    images.add(Flatten())
    images.class_names = NAMES
    images.add(Dense(3))
    assert images.class_names == NAMES
    images.add(Dense(2))
    assert images.class_names is None


def test_a_file_whose_names_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flowers.rn"
    flowers().save(path)
    tensors, description = read_file(path)
    write_file(path, tensors, {**description, "class_names": ["a", "b"]})
    with pytest.raises(OptionError, match="class_names has 2 names"):
        rn.load(path)
    del description["class_names"]  # as files were before there were names
    write_file(path, tensors, description)
    assert rn.load(path).class_names is None
