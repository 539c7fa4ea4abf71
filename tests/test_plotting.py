"""Pictures: what they show is read from the figure, that they can be drawn is seen from the file."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rn.errors import DtypeError, MissingExtraError, OptionError, ShapeError, StateError
from rn.plotting import RED, plot_history, plot_predictions
from rn.training.history import History

matplotlib = pytest.importorskip("matplotlib")


def some_history(epochs: int, *, first: int = 0, metrics: tuple[str, ...] = ("accuracy",)) -> History:
    history = History()
    for epoch in range(first, first + epochs):
        values = {"loss": 1.0 / (epoch + 1), **dict.fromkeys(metrics, 0.9)}
        history.append(epoch, {**values, **{f"val_{name}": value / 2 for name, value in values.items()}})
    return history


def panels(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.axison]


class TestHistory:
    def test_one_panel_for_loss_and_each_metric(self) -> None:
        loss, accuracy = panels(plot_history(some_history(3)))
        assert loss.get_title("left") == "loss"
        assert accuracy.get_title("left") == "accuracy"
        for panel, training in ((loss, [1.0, 0.5, 1.0 / 3.0]), (accuracy, [0.9, 0.9, 0.9])):
            drawn = {line.get_label().split()[0]: line for line in panel.lines}
            assert drawn.keys() == {"training", "validation"}
            np.testing.assert_array_equal(drawn["training"].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(drawn["training"].get_ydata(), training)
            np.testing.assert_array_equal(drawn["validation"].get_ydata(), np.divide(training, 2))

    @pytest.mark.parametrize(("first", "epochs"), [(0, 1), (0, 2), (0, 3), (7, 4), (0, 150), (99, 1)])
    def test_only_whole_epochs_are_marked(self, first: int, epochs: int) -> None:
        figure = plot_history(some_history(epochs, first=first))
        figure.canvas.draw()
        for panel in panels(figure):
            low, high = panel.get_xlim()
            marks = [mark for mark in panel.get_xticks() if low <= mark <= high]
            assert marks
            assert all(mark == int(mark) and first < mark <= first + epochs for mark in marks)

    @pytest.mark.parametrize("metrics", [(), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d", "e")])
    def test_any_number_of_metrics(self, metrics: tuple[str, ...], tmp_path: Path) -> None:
        figure = plot_history(some_history(3, metrics=metrics), tmp_path / "a.png")
        assert [panel.get_title("left") for panel in panels(figure)] == ["loss", *metrics]

    def test_values_that_are_no_numbers_leave_gaps(self, tmp_path: Path) -> None:
        history = History()
        for epoch, loss in enumerate([1.0, float("nan"), float("inf"), 0.5]):
            history.append(epoch, {"loss": loss, "mae": float("nan")})
        plot_history(history, tmp_path / "a.png")

    def test_a_mapping_serves_as_well(self) -> None:
        (panel,) = panels(plot_history({"loss": [1.0, 0.5], "val_loss": np.array([2.0, 1.0])}))
        assert len(panel.lines) == 2

    @pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
    def test_the_ending_says_the_format(self, tmp_path: Path, ending: str) -> None:
        plot_history(some_history(3), str(tmp_path / f"a.{ending}"), "a title")
        start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
        assert (tmp_path / f"a.{ending}").read_bytes().startswith(start)

    def test_refusals(self) -> None:
        with pytest.raises(StateError, match="history is empty"):
            plot_history(History())
        with pytest.raises(StateError, match="history is empty"):
            plot_history({"loss": []})
        with pytest.raises(DtypeError, match="got list"):
            plot_history([1.0, 0.5])


class TestPredictions:
    images = np.linspace(0.0, 1.0, 8 * 4 * 4, dtype=np.float32).reshape(8, 1, 4, 4)
    predicted = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    true = np.array([0, 1, 2, 1, 1, 2, 0, 1])

    def test_wrong_ones_are_red_and_say_the_truth(self) -> None:
        shown = plot_predictions(self.images, self.predicted, self.true, class_names=["cat", "dog", "owl"]).axes
        titles = [panel.title.get_text() for panel in shown[:8]]
        assert titles == ["cat", "dog", "owl", "cat", "dog", "owl", "cat", "dog"]
        for index, panel in enumerate(shown[:8]):
            wrong = index == 3
            assert (panel.title.get_color() == RED) == wrong
            assert [text.get_text() for text in panel.texts] == (["is dog"] if wrong else [])

    def test_images_come_in_order_and_unchanged(self) -> None:
        shown = plot_predictions(self.images, self.predicted, self.true).axes
        for image, panel in zip(self.images, shown, strict=False):
            np.testing.assert_array_equal(np.asarray(panel.images[0].get_array()), image[0])
            assert panel.images[0].get_clim() == (0.0, 1.0)

    def test_colour_images_have_their_channels_last(self) -> None:
        colours = np.random.default_rng(1).random((2, 3, 5, 6)).astype(np.float32)
        shown = plot_predictions(colours, [0, 1], [0, 1]).axes
        for image, panel in zip(colours, shown, strict=True):
            np.testing.assert_array_equal(np.asarray(panel.images[0].get_array()), image.transpose(1, 2, 0))

    @pytest.mark.parametrize(
        "images",
        [
            np.array([[[[0, 255], [51, 102]]]], np.uint8),
            np.array([[[[-1.0, 4.0], [0.0, 1.0]]]]),
            np.array([[[0, 255], [51, 102]]], np.int64),
            np.asfortranarray(np.array([[[[0.0, 1.0], [0.2, 0.4]]]], np.float32)),
        ],
    )
    def test_other_ranges_are_brought_to_zero_to_one(self, images: np.ndarray) -> None:
        panel = plot_predictions(images, [0]).axes[0]
        np.testing.assert_allclose(np.asarray(panel.images[0].get_array()), [[0.0, 1.0], [0.2, 0.4]], atol=1e-6)

    def test_probabilities_in_percent(self) -> None:
        rows = np.full((8, 3), 0.25)
        rows[np.arange(8), self.predicted] = 0.5
        for probabilities in (rows, np.full(8, 0.5, np.float32)):
            shown = plot_predictions(self.images, self.predicted, self.true, probabilities=probabilities).axes
            assert shown[2].title.get_text() == "2  50%"

    @pytest.mark.parametrize(
        ("n", "rows", "expected"), [(1, None, 1), (6, None, 6), (8, None, 8), (8, 8, 8), (8, 3, 9)]
    )
    def test_grid(self, tmp_path: Path, n: int, rows: int | None, expected: int) -> None:
        figure = plot_predictions(self.images[:n], self.predicted[:n], path=tmp_path / "a.png", rows=rows, title="t")
        assert len(figure.axes) == expected
        assert sum(bool(panel.images) for panel in figure.axes) == n
        assert (tmp_path / "a.png").stat().st_size > 1000

    def test_long_names_get_smaller_letters(self, tmp_path: Path) -> None:
        names = ["x", "a name that goes on and on"]
        figure = plot_predictions(self.images[:2], [0, 1], path=tmp_path / "a.png", class_names=names)
        short, long = (panel.title.get_fontsize() for panel in figure.axes)
        assert long < short

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"images": np.zeros((8, 2, 4, 4))}, ShapeError, r"got shape \(8, 2, 4, 4\)"),
            ({"images": np.zeros((8, 16))}, ShapeError, r"got shape \(8, 16\)"),
            ({"images": np.zeros((0, 1, 4, 4))}, ShapeError, "got shape"),
            ({"images": np.array([["a"]], object)}, DtypeError, "dtype object"),
            ({"predicted": [0, 1]}, ShapeError, "predicted must be one class number for each of the 8 images"),
            ({"true": np.zeros((8, 3))}, ShapeError, "true must be one class number"),
            ({"predicted": np.zeros(8)}, DtypeError, "predicted must be whole numbers, got dtype float64"),
            ({"class_names": ["a", "b"]}, OptionError, "class_names has 2"),
            ({"predicted": [-1] * 8, "class_names": ["a", "b"]}, OptionError, "classes -1 to -1"),
            ({"probabilities": np.zeros(7)}, ShapeError, r"\(8,\) or \(8, classes\), got shape \(7,\)"),
            ({"probabilities": np.zeros((8, 2))}, ShapeError, "probabilities"),
            ({"probabilities": np.zeros(8, int)}, DtypeError, "probabilities must be floats"),
            ({"rows": 0}, OptionError, "rows must be between 1 and"),
            ({"rows": 9}, OptionError, "rows must be between 1 and"),
            ({"rows": 1.5}, OptionError, "rows must be between 1 and"),
        ],
    )
    def test_refusals(self, changes: dict[str, Any], error: type[Exception], message: str) -> None:
        arguments = {"images": self.images, "predicted": self.predicted, "true": self.true, **changes}
        with pytest.raises(error, match=message):
            plot_predictions(**arguments)


class TestManners:
    def test_settings_and_pyplot_are_left_alone(self, tmp_path: Path) -> None:
        program = """
            import sys
            import matplotlib
            names = [name for name in matplotlib.rcParams if name != "backend"]  # to ask for that one imports pyplot
            before = [matplotlib.rcParams[name] for name in names]
            from rn.plotting import plot_history
            plot_history({"loss": [1.0, 0.5]}).savefig(sys.argv[1])
            assert "matplotlib.pyplot" not in sys.modules
            print(before == [matplotlib.rcParams[name] for name in names])
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.png")],
            capture_output=True,
            text=True,
        )
        assert done.stdout == "True\n", done.stderr

    def test_without_matplotlib_the_error_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        for draw in (
            lambda: History.plot(some_history(2)),
            lambda: plot_history({"loss": [1.0]}),
            lambda: plot_predictions(np.zeros((1, 1, 2, 2)), [0]),
        ):
            with pytest.raises(MissingExtraError, match=r'run `pip install "\.\[plot\]"` beside setup\.py'):
                draw()
