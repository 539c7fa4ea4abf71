"""Losses, their gradients and the share of right answers against the float64 twin and its finite differences."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

ELEMENT_LOSSES = ("mse", "mae", "msle", "huber", "hinge", "binary_cross_entropy", "sigmoid_binary_cross_entropy")
SHAPES = [(1, 1), (4, 1), (3, 7), (32, 10), (1, 50_001), (5000, 3), (20_000, 1)]


def element_inputs(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return prediction, target and weights."""
    rng = np.random.default_rng(sum(shape))
    if name in ("mse", "mae", "huber"):
        p, t = rng.normal(size=shape), rng.normal(size=shape)
    elif name == "msle":
        p, t = rng.normal(1.0, 2.0, shape) ** 2, rng.exponential(3.0, shape)
    elif name == "hinge":
        p, t = rng.normal(size=shape) - 0.2, rng.choice([-1.0, 1.0], shape)
        p.reshape(-1)[0], t.reshape(-1)[0] = 0.5, 1.0
    else:
        t = np.where(rng.random(shape) < 0.5, rng.integers(0, 2, shape), rng.random(shape))
        p = rng.uniform(1e-5, 1 - 1e-5, shape) if name == "binary_cross_entropy" else 5 * rng.normal(size=shape)
    return p.astype(np.float32), t.astype(np.float32), rng.uniform(0.5, 2.0, shape[0]).astype(np.float32)


def element_loss(
    name: str, p: np.ndarray, t: np.ndarray, weights: np.ndarray | None = None, **options: Any
) -> dict[str, Any]:
    bench = Bench(training=False)  # a training step has no denormals
    loss, a, dp = bench.scalar(), bench.put(p), bench.out(p.shape)
    if weights is not None:
        options["weights"] = bench.put(weights)
    if name == "sigmoid_binary_cross_entropy":
        options["probabilities"] = bench.out(p.shape)
    getattr(_core, name)(bench.plan, a, bench.put(t), loss, gradient=dp, **options)
    bench.run()
    got = {"loss": bench.plan.scalar(loss), "gradient": bench.get(dp).reshape(p.shape)}
    if "probabilities" in options:
        got["probabilities"] = bench.get(options["probabilities"]).reshape(p.shape)
    return got


# ---- losses that are means over elements


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_element_losses(name: str, shape: Any, weighted: bool) -> None:
    p, t, weights = element_inputs(name, shape)
    weights = weights if weighted else None
    got = element_loss(name, p, t, weights)
    loss, gradient = reference.element_loss(name, p, t, weights)
    assert abs(got["loss"] - loss) <= 1e-5 * abs(loss)
    assert got["loss"] != 0.0
    w = (np.ones(shape[0]) if weights is None else weights).reshape(-1, 1)
    terms = {
        "mse": lambda: 2 * (np.abs(p) + np.abs(t)),
        "huber": lambda: np.abs(p) + np.abs(t),
        "msle": lambda: 2 * (np.log1p(p) + np.log1p(t)) / (1 + p),
        "binary_cross_entropy": lambda: (1 - t) / (1 - p) + t / p,
    }
    close(got["gradient"], gradient, terms.get(name, lambda: 1.0)() * w / p.size)
    if "probabilities" in got:
        close(got["probabilities"], reference.sigmoid(p.astype(np.float64)), tolerance=1e-6)


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
def test_element_gradients_are_differences(name: str) -> None:
    p, t, weights = (a.astype(np.float64) for a in element_inputs(name, (4, 3)))
    gradient = reference.element_loss(name, p, t, weights)[1]
    for index in np.ndindex(p.shape):
        step = np.zeros(p.shape)
        step[index] = 1e-6 * (0.01 if name == "binary_cross_entropy" else 1.0)
        losses = [reference.element_loss(name, p + sign * step, t, weights)[0] for sign in (1, -1)]
        difference = (losses[0] - losses[1]) / (2 * step[index])
        assert abs(difference - gradient[index]) <= 1e-6 * max(1.0, abs(gradient[index]))


def test_known_element_losses() -> None:
    p, t = np.float32([[1, 2], [3, 5]]), np.float32([[0, 2], [5, 2]])
    assert element_loss("mse", p, t)["loss"] == 3.5
    np.testing.assert_array_equal(element_loss("mse", p, t)["gradient"], [[0.5, 0], [-1, 1.5]])
    assert element_loss("mae", p, t)["loss"] == 1.5
    np.testing.assert_array_equal(element_loss("mae", p, t)["gradient"], [[0.25, 0], [-0.25, 0.25]])
    assert element_loss("huber", p, t)["loss"] == (0.5 + 0 + 1.5 + 2.5) / 4
    assert element_loss("huber", p, t, delta=2.0)["loss"] == (0.5 + 0 + 2 + 4) / 4
    np.testing.assert_array_equal(element_loss("huber", p, t, delta=2.0)["gradient"], [[0.25, 0], [-0.5, 0.5]])
    assert element_loss("hinge", np.float32([[0.25, 1, -3]]), np.float32([[1, 1, 1]]))["loss"] == (0.75 + 4) / 3
    below = element_loss("msle", np.float32([[-5, -5]]), np.float32([[0, np.e - 1]]))
    assert abs(below["loss"] - 0.5) < 1e-6
    np.testing.assert_allclose(below["gradient"], [[0, -1]], atol=1e-6)
    assert abs(element_loss("binary_cross_entropy", p * 0 + 0.5, t * 0)["loss"] - np.log(2)) < 1e-7
    assert abs(element_loss("sigmoid_binary_cross_entropy", p * 0, t * 0)["loss"] - np.log(2)) < 1e-7


def test_probabilities_of_0_and_1_stay_finite() -> None:
    p = np.float32([[0, 1, 0, 1, 1e-30, 1 - 6e-8]])
    t = np.float32([[1, 0, 0, 1, 1, 0]])
    got = element_loss("binary_cross_entropy", p, t)
    loss, gradient = reference.element_loss("binary_cross_entropy", p, t)
    assert abs(got["loss"] - loss) <= 1e-5 * loss
    close(got["gradient"], gradient)
    assert np.all(np.isfinite(got["gradient"]))


@pytest.mark.parametrize("size", [1e-9, 1e-6, 20.0, 100.0, 1e4, 3e38])
def test_binary_losses_of_sure_answers_keep_their_digits(size: float) -> None:
    z = np.float32([[size, -size]])
    right = element_loss("sigmoid_binary_cross_entropy", z, np.float32([[1, 0]]))
    wrong = element_loss("sigmoid_binary_cross_entropy", z, np.float32([[0, 1]]))
    expected = float(np.log1p(np.exp(-np.float64(z[0, 0]))))
    assert abs(right["loss"] - expected) <= 1e-5 * expected + 1e-44
    assert abs(wrong["loss"] - expected - z[0, 0]) <= 1e-5 * (expected + z[0, 0])
    if size < 1e-3:
        p = element_loss("binary_cross_entropy", np.float32([[size]]), np.float32([[0]]))
        assert abs(p["loss"] + np.log1p(-np.float64(np.float32(size)))) <= 1e-5 * size


def test_nan_reaches_the_loss() -> None:
    for name in ELEMENT_LOSSES:
        p, t, _ = element_inputs(name, (3, 7))
        for broken in (0, 1):
            pair = [p.copy(), t.copy()]
            pair[broken][1, 2] = np.nan
            got = element_loss(name, *pair)
            assert np.isnan(got["loss"])
            assert np.isnan(got["gradient"]).sum() == 1


# ---- cross-entropies

ROWS = [(1, 1), (1, 2), (3, 10), (4, 8), (300, 10), (7, 1000), (2, 40_001), (3000, 3)]


def class_inputs(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    n, c = shape
    soft = rng.random(shape) ** 4
    return {
        "z": (4 * rng.normal(size=shape)).astype(np.float32),
        "classes": rng.integers(0, c, n).astype(np.int32),
        "soft": (soft / soft.sum(1, keepdims=True)).astype(np.float32),
        "weights": rng.uniform(0.5, 2.0, n).astype(np.float32),
    }


def class_loss(
    name: str, p: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, **where: str
) -> dict[str, Any]:
    """Run a cross-entropy; ``where`` names results to be written over the prediction."""
    bench = Bench()
    loss, a = bench.scalar(), bench.put(p)
    results = {"gradient": bench.out(p.shape)}
    if name == "softmax_cross_entropy":
        results["probabilities"] = bench.out(p.shape)
    results |= dict.fromkeys(where, a)
    options: dict[str, Any] = dict(results)
    if weights is not None:
        options["weights"] = bench.put(weights)
    t = bench.put(target)
    getattr(_core, name)(bench.plan, a, t, loss, target_classes=target.dtype == np.int32, **options)
    bench.run()
    return {"loss": bench.plan.scalar(loss)} | {key: bench.get(slot).reshape(p.shape) for key, slot in results.items()}


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("kind", ["classes", "one_hot", "soft"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropies(shape: Any, kind: str, weighted: bool) -> None:
    given = class_inputs(shape)
    z, weights = given["z"], given["weights"] if weighted else None
    rows = given["soft"] if kind == "soft" else reference.one_hot(given["classes"], shape[1]).astype(np.float32)
    target = given["classes"] if kind == "classes" else rows
    rows = rows.astype(np.float64)
    w = (np.ones(shape[0]) if weights is None else weights.astype(np.float64))[:, None] / shape[0]

    got = class_loss("softmax_cross_entropy", z, target, weights)
    loss, gradient = reference.softmax_cross_entropy(z, rows, weights)
    assert abs(got["loss"] - loss) <= 1e-5 * loss
    p = reference.softmax(z.astype(np.float64))
    close(got["probabilities"], p, tolerance=5e-6)
    close(got["gradient"], gradient, (p + rows) * w)

    p = np.maximum(p, 1e-6).astype(np.float32)
    got = class_loss("cross_entropy", p, target, weights)
    loss, gradient = reference.cross_entropy(p, rows, weights)
    assert abs(got["loss"] - loss) <= 1e-5 * loss
    close(got["gradient"], gradient)


@pytest.mark.parametrize("name", ["cross_entropy", "softmax_cross_entropy"])
def test_class_gradients_are_differences(name: str) -> None:
    given = class_inputs((4, 3))
    t = given["soft"].astype(np.float64) * 1.5  # rows that do not add up to 1 have their own gradient too
    p = given["z"].astype(np.float64)
    p = reference.softmax(p) if name == "cross_entropy" else p
    function = getattr(reference, name)
    gradient = function(p, t, given["weights"])[1]
    for index in np.ndindex(p.shape):
        step = np.zeros(p.shape)
        step[index] = 1e-7
        difference = (function(p + step, t, given["weights"])[0] - function(p - step, t, given["weights"])[0]) / 2e-7
        assert abs(difference - gradient[index]) <= 1e-5 * max(1.0, abs(gradient[index]))
    got = class_loss(name, p.astype(np.float32), t.astype(np.float32), given["weights"])
    close(got["gradient"], gradient, np.maximum(np.abs(gradient), 0.1))


@pytest.mark.parametrize("written", ["probabilities", "gradient"])
@pytest.mark.parametrize("kind", ["classes", "soft"])
def test_over_the_logits(written: str, kind: str) -> None:
    given = class_inputs((37, 19))
    apart = class_loss("softmax_cross_entropy", given["z"], given[kind])
    over = class_loss("softmax_cross_entropy", given["z"], given[kind], **{written: "prediction"})
    for name in apart:
        np.testing.assert_array_equal(apart[name], over[name])


def test_loss_alone() -> None:
    given = class_inputs((37, 19))
    bench = Bench()
    loss, other = bench.scalar(), bench.scalar()
    z, t = bench.put(given["z"]), bench.put(given["classes"])
    _core.softmax_cross_entropy(bench.plan, z, t, loss, target_classes=True)
    _core.sigmoid_binary_cross_entropy(bench.plan, z, bench.put(given["soft"]), other)
    bench.run()
    assert bench.plan.scalar(loss) == class_loss("softmax_cross_entropy", given["z"], given["classes"])["loss"]
    assert bench.plan.scalar(other) == element_loss("sigmoid_binary_cross_entropy", given["z"], given["soft"])["loss"]
    np.testing.assert_array_equal(bench.get(z).reshape(37, 19), given["z"])


@pytest.mark.parametrize("size", [1.0, 10.0, 30.0, 90.0, 1e4, 1e38, 3.4e38])
def test_any_finite_logit(size: float) -> None:
    z = np.float32([[size, -size, 0.0], [-size, size, size / 2], [size, size, -size]])
    for classes in ([0, 1, 0], [1, 0, 2], [2, 2, 1]):
        rows = reference.one_hot(classes, 3)
        for target in (np.int32(classes), rows.astype(np.float32)):
            got = class_loss("softmax_cross_entropy", z, target)
            loss, gradient = reference.softmax_cross_entropy(z, rows)
            assert abs(got["loss"] - loss) <= 1e-5 * loss
            close(got["gradient"], gradient, np.maximum(np.abs(gradient), 1.0 / 3))


def test_a_sure_and_right_answer_keeps_its_small_loss() -> None:
    for gap in (5.0, 20.0, 50.0, 80.0):
        z = np.float32([[0, -gap, -gap - 1]])
        expected = np.log1p(np.exp(-gap) + np.exp(-gap - 1))
        assert abs(class_loss("softmax_cross_entropy", z, np.int32([0]))["loss"] - expected) <= 1e-5 * expected


def test_masked_classes() -> None:
    z = np.float32([[0.5, -np.inf, 1.0]])
    for target in (np.int32([2]), np.float32([[0.25, 0, 0.75]])):
        got = class_loss("softmax_cross_entropy", z, target)
        assert np.isfinite(got["loss"])
        assert got["probabilities"][0, 1] == 0.0


def test_hopeless_probabilities_stay_finite() -> None:
    p = np.float32([[0.0, 1.0], [1.0, 0.0], [1e-20, 1.0]])
    for target in (np.int32([0, 0, 0]), np.float32([[1, 0]] * 3)):
        got = class_loss("cross_entropy", p, target)
        assert abs(got["loss"] + 2 * np.log(1e-7) / 3) < 1e-5
        close(got["gradient"], [[-1e7 / 3, 0], [-1 / 3, 0], [-1e7 / 3, 0]])


@pytest.mark.parametrize("name", ["cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("label", [-1, 10, 2**31 - 1, -(2**31)])
def test_labels_out_of_range_are_never_an_index(name: str, label: int) -> None:
    given = class_inputs((5, 10))
    p = reference.softmax(given["z"]).astype(np.float32) if name == "cross_entropy" else given["z"]
    classes = given["classes"].copy()
    classes[3] = label
    got, right = class_loss(name, p, classes), class_loss(name, p, given["classes"])
    assert np.isnan(got["loss"])
    assert np.all(np.isnan(got["gradient"][3]))
    np.testing.assert_array_equal(np.delete(got["gradient"], 3, 0), np.delete(right["gradient"], 3, 0))


@pytest.mark.peers
@pytest.mark.parametrize("shape", ROWS)
def test_torch(shape: Any) -> None:
    torch = pytest.importorskip("torch")
    given = class_inputs(shape)
    z = torch.tensor(given["z"], dtype=torch.float64, requires_grad=True)
    for target in ("classes", "soft"):
        t = (
            torch.tensor(given[target]).long()
            if target == "classes"
            else torch.tensor(given[target], dtype=torch.float64)
        )
        z.grad = None
        loss = torch.nn.functional.cross_entropy(z, t)
        loss.backward()
        got = class_loss("softmax_cross_entropy", given["z"], given[target])
        # torch's own gradient takes soft rows to add up to 1
        assert abs(got["loss"] - loss.item()) <= 1e-5 * max(loss.item(), 1e-12)
        close(got["gradient"], z.grad.numpy(), 1.0 / shape[0], 1e-6)


# ---- counting


def share_correct(p: np.ndarray, target: np.ndarray) -> float:
    bench = Bench()
    correct = bench.scalar()
    _core.count_correct(bench.plan, bench.put(p), bench.put(target), correct, target_classes=target.dtype == np.int32)
    return bench.run().plan.scalar(correct)


@pytest.mark.parametrize("shape", [(1, 2), (33, 3), (1000, 10), (50, 1000), (5000, 7), (64, 8), (64, 9)])
def test_count_correct(shape: Any) -> None:
    rng = np.random.default_rng(0)
    p = rng.integers(0, 5, shape).astype(np.float32)  # many ties: the first wins
    classes = np.where(rng.random(shape[0]) < 0.6, p.argmax(1), rng.integers(0, shape[1], shape[0])).astype(np.int32)
    rows = reference.one_hot(classes, shape[1]).astype(np.float32)
    expected = reference.share_correct(p, rows)
    assert share_correct(p, classes) == pytest.approx(expected, rel=1e-12)
    assert share_correct(p, rows) == pytest.approx(expected, rel=1e-12)
    assert expected > 0


def test_count_correct_of_one_column() -> None:
    p = np.float32([[0.2], [0.5], [0.500001], [0.9], [np.nan], [-3], [7]])
    assert share_correct(p, np.int32([0, 0, 1, 0, 0, 0, 1])) == pytest.approx(5 / 7)
    assert share_correct(p, np.float32([[0], [0], [1], [0], [0], [0], [1]])) == pytest.approx(5 / 7)


def test_a_threshold_of_ones_own() -> None:
    """Of a single column it parts 1 from 0; with one, ``count_classes`` takes each number of a row by itself."""
    p, t = np.float32([[0.0], [1e-30], [-2], [np.nan], [3]]), np.float32([[-1], [1], [1], [-1], [1]])
    bench = Bench()
    a, b = bench.put(p), bench.put(t)
    correct, top, matrix = bench.scalar(), bench.scalar(), bench.plan.kept((8,))
    _core.count_correct(bench.plan, a, b, correct, threshold=0.0)
    _core.count_in_top(bench.plan, a, b, top, threshold=0.0)
    _core.count_confusion(bench.plan, a, b, matrix, threshold=0.0)
    bench.run()
    assert bench.plan.scalar(correct) == bench.plan.scalar(top) == pytest.approx(3 / 5)
    np.testing.assert_array_equal(bench.get(matrix).reshape(-1).view(np.float64), [1, 0, 1, 2])


@pytest.mark.parametrize("shape", [(1, 1), (40, 1), (7, 3), (300, 17)])
@pytest.mark.parametrize("threshold", [0.0, 0.5, -1.25])
def test_counts_of_classes_that_a_sample_may_have_several_of(shape: Any, threshold: float) -> None:
    rng = np.random.default_rng(0)
    p, t = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    p[0, 0], p[-1, -1], t[-1, 0] = threshold, np.nan, threshold
    bench = Bench()
    counts = bench.plan.kept((6 * shape[1],))
    _core.count_classes(bench.plan, bench.put(p), bench.put(t), counts, threshold=threshold)
    guess, has = p > threshold, t > threshold
    np.testing.assert_array_equal(
        bench.run().get(counts).reshape(-1).view(np.float64).reshape(3, -1),
        [(guess & has).sum(0), guess.sum(0), has.sum(0)],
    )


def test_count_correct_of_strange_rows() -> None:
    p = np.float32([[np.nan, 1, 0], [0, 1, np.nan], [-np.inf, -np.inf, -np.inf], [-1, -2, np.inf], [-5, -4, -6]])
    assert share_correct(p, np.int32([1, 1, 0, 2, 1])) == pytest.approx(3 / 5)
    assert share_correct(p, np.int32([-1, 3, 99, -7, 5])) == 0.0


# ---- edges, threads, refusals


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
def test_no_samples(name: str) -> None:
    empty = np.zeros((0, 3), np.float32)
    assert element_loss(name, empty, empty)["loss"] == 0.0
    assert class_loss("softmax_cross_entropy", empty, np.zeros(0, np.int32))["loss"] == 0.0
    assert share_correct(empty, np.zeros(0, np.int32)) == 0.0


@pytest.mark.parametrize("shape", [(40, 10), (20_000, 11)])
def test_same_bits_on_any_number_of_threads(shape: Any) -> None:
    given = class_inputs(shape)
    with_threads(lambda: class_loss("softmax_cross_entropy", given["z"], given["classes"], given["weights"]))
    with_threads(lambda: class_loss("cross_entropy", given["soft"], given["soft"], given["weights"]))
    with_threads(lambda: {"share": share_correct(given["z"], given["classes"])})
    for name in ELEMENT_LOSSES:
        p, t, weights = element_inputs(name, shape)
        with_threads(lambda: element_loss(name, p, t, weights))  # noqa: B023


@pytest.mark.parametrize("shape", [(3, 10), (1, 2), (300, 10), (7, 1000), (2, 40_001)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["kl_divergence", "softmax_kl_divergence"])
def test_divergences(name: str, shape: Any, weighted: bool) -> None:
    given = class_inputs(shape)
    weights, t = given["weights"] if weighted else None, given["soft"]
    t[0, 0] = 0.0  # 0 log 0 is 0
    p = given["z"] if name == "softmax_kl_divergence" else reference.softmax(given["z"]).astype(np.float32)

    def run() -> dict[str, Any]:
        bench = Bench()
        loss, dp = bench.scalar(), bench.out(shape)
        options = {} if weights is None else {"weights": bench.put(weights)}
        getattr(_core, name)(bench.plan, bench.put(p), bench.put(t), loss, gradient=dp, **options)
        bench.run()
        return {"loss": bench.plan.scalar(loss), "gradient": bench.get(dp).reshape(shape)}

    got = with_threads(run)
    loss, gradient = getattr(reference, name)(p, t.astype(np.float64), weights)
    assert loss > 0
    assert abs(got["loss"] - loss) <= 1e-5 * loss
    scale = np.ones(shape[0]) if weights is None else weights
    terms = (np.abs(t) + reference.softmax(given["z"])) * scale[:, None] / shape[0]
    close(got["gradient"], gradient, terms if name == "softmax_kl_divergence" else None)


def test_the_divergence_of_a_distribution_from_itself_is_0() -> None:
    z = np.float32([[1e4, -1e4, 0], [0.5, 0.25, 0.125]])
    t = reference.softmax(z.astype(np.float64)).astype(np.float32)
    bench = Bench()
    loss, dz = bench.scalar(), bench.out(z.shape)
    _core.softmax_kl_divergence(bench.plan, bench.put(z), bench.put(t), loss, gradient=dz)
    bench.run()
    assert abs(bench.plan.scalar(loss)) < 1e-6
    np.testing.assert_allclose(bench.get(dz).reshape(z.shape), 0.0, atol=1e-7)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "softmax_kl_divergence"])
def test_soft_targets_of_logits_at_both_ends_of_float32(name: str) -> None:
    z = np.float32([[3.4e38, -3.4e38, 0.0, 3e38], [-3e38, 3e38, -np.inf, 2.0], [3.4e38] * 2 + [-3.4e38] * 2])
    t = np.float32([[0.25, 0.5, 0.25, 0.0], [0.75, 0.25, 0.0, 0.0], [0.125, 0.25, 0.5, 0.125]])
    bench = Bench()
    loss, dz = bench.scalar(), bench.out(z.shape)
    getattr(_core, name)(bench.plan, bench.put(z), bench.put(t), loss, gradient=dz)
    bench.run()
    finite = np.where(np.isfinite(z), z, -3.4e38)  # where the target is 0 it counts for nothing
    expected, gradient = getattr(reference, name)(finite, t.astype(np.float64))
    assert abs(bench.plan.scalar(loss) - expected) <= 1e-5 * expected
    close(bench.get(dz).reshape(z.shape), gradient, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_rmse(shape: Any, weighted: bool) -> None:
    p, t, weights = element_inputs("mse", shape)

    def run() -> dict[str, Any]:
        bench = Bench()
        square, dp = bench.scalar(), bench.out(shape)
        options = {"weights": bench.put(weights)} if weighted else {}
        _core.rmse(bench.plan, bench.put(p), bench.put(t), square, gradient=dp, **options)
        bench.run()
        return {"square": bench.plan.scalar(square), "gradient": bench.get(dp).reshape(shape)}

    got = with_threads(run)
    loss, gradient = reference.rmse(p, t, weights if weighted else None)
    assert abs(np.sqrt(got["square"]) - loss) <= 1e-5 * loss
    w = weights.reshape(-1, 1) if weighted else 1.0
    close(got["gradient"], gradient, (np.abs(p) + np.abs(t)) * w / (p.size * loss))


def test_the_gradient_of_a_root_of_0_is_0() -> None:
    bench = Bench()
    p, dp = bench.put(np.float32([[1, 2]])), bench.out((1, 2))
    _core.rmse(bench.plan, p, p, bench.scalar(), gradient=dp)
    np.testing.assert_array_equal(bench.run().get(dp).reshape(-1), [0, 0])


@pytest.mark.parametrize("size", [1, 5, 1000, 100_003])
@pytest.mark.parametrize("factors", [{"l1": 0.3}, {"l2": 0.7}, {"l1": 0.01, "l2": 0.02}])
def test_regularize(size: int, factors: dict[str, float]) -> None:
    rng = np.random.default_rng(size)
    w, dw = rng.normal(size=size).astype(np.float32), rng.normal(size=size).astype(np.float32)
    w[size // 2] = 0.0 if size > 1 else 0.5

    def run() -> dict[str, Any]:
        bench = Bench()
        penalty, gradient, alone = bench.scalar(), bench.put(dw), bench.scalar()
        _core.regularize(bench.plan, bench.put(w), gradient, penalty, **factors)
        _core.regularize(bench.plan, bench.put(w), None, alone, **factors)
        bench.run()
        assert bench.plan.scalar(alone) == bench.plan.scalar(penalty)
        return {"penalty": bench.plan.scalar(penalty), "gradient": bench.get(gradient).reshape(-1)}

    got = with_threads(run)
    penalty, slope = reference.regularize(w, factors.get("l1", 0.0), factors.get("l2", 0.0))
    assert abs(got["penalty"] - penalty) <= 1e-6 * penalty
    close(got["gradient"], dw + slope, np.abs(dw) + np.abs(slope))


def counted(p: np.ndarray, target: np.ndarray, classes: bool = True) -> dict[str, Any]:
    bench = Bench()
    k = max(p.shape[1], 2)
    a, t = bench.put(p), bench.put(target)
    top, rows, matrix = bench.scalar(), bench.plan.kept((6 * p.shape[1],)), bench.plan.kept((2 * k * k,))
    _core.count_in_top(bench.plan, a, t, top, target_classes=classes, k=3)
    _core.count_classes(bench.plan, a, t, rows, target_classes=classes)
    _core.count_confusion(bench.plan, a, t, matrix, target_classes=classes)
    bench.run()
    counts, confusion = (bench.get(slot).reshape(-1).view(np.float64) for slot in (rows, matrix))
    return {"top": bench.plan.scalar(top), "counts": counts.reshape(3, -1), "confusion": confusion.reshape(k, k)}


@pytest.mark.parametrize("shape", [(1, 2), (3, 10), (300, 10), (7, 1000), (3000, 3)])
def test_counts_of_classes(shape: Any) -> None:
    given = class_inputs(shape)
    p, t = np.round(given["z"]), given["classes"]  # rounded: many are equal
    p[0, -1] = np.nan
    got = with_threads(lambda: counted(p, t))
    matrix = reference.confusion(p, t)
    np.testing.assert_array_equal(got["confusion"], matrix)
    np.testing.assert_array_equal(got["counts"][:2], [np.diag(matrix), matrix.sum(0)])
    np.testing.assert_array_equal(got["counts"][2], np.bincount(t, minlength=shape[1]))
    assert got["top"] == pytest.approx(reference.share_in_top(p, t, 3), abs=1e-12)
    rows = counted(p, reference.one_hot(t, shape[1]).astype(np.float32), classes=False)
    for name, value in got.items():
        np.testing.assert_array_equal(rows[name], value)


def test_counts_of_a_single_column() -> None:
    p, t = np.float32([[0.9], [0.1], [0.5], [0.7], [np.nan], [0.2]]), np.float32([[1], [0], [1], [0], [1], [1]])
    got = counted(p, t, classes=False)
    np.testing.assert_array_equal(got["confusion"], [[1, 1], [2, 1]])
    np.testing.assert_array_equal(got["counts"], [[1], [2], [4]])
    assert got["top"] == pytest.approx(2 / 6)
    empty = counted(p[:0], t[:0], classes=False)
    assert empty["top"] == 0
    assert not empty["counts"].any()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (300, 7), (0, 2)])
def test_sums_of_deviations(shape: Any) -> None:
    rng = np.random.default_rng(0)
    p, t = rng.normal(1e3, 0.1, shape).astype(np.float32), rng.normal(1e3, 0.1, shape).astype(np.float32)
    bench = Bench()
    sums = bench.plan.kept((8 * shape[1],))
    _core.sum_deviations(bench.plan, bench.put(p), bench.put(t), sums)
    got = bench.run().get(sums).reshape(-1).view(np.float64).reshape(4, -1)
    p, t = p.astype(np.float64), t.astype(np.float64)
    np.testing.assert_allclose(got[:2], [((p - t) ** 2).sum(0), t.sum(0)], rtol=1e-13)
    np.testing.assert_allclose(got[2] + got[3], (t**2).sum(0), rtol=1e-13)
    for j in range(shape[1]):  # exact together
        assert Fraction(got[2, j]) + Fraction(got[3, j]) == sum(Fraction(number) ** 2 for number in t[:, j])


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (70, 9), (3000, 5)])
@pytest.mark.parametrize("name", ["mse", "rmse"])
def test_squares_beyond_float32(name: str, shape: Any) -> None:
    t = np.zeros(shape, np.float32)
    p = np.random.default_rng(0).normal(scale=1e30, size=shape).astype(np.float32)
    bench = Bench()
    loss, gradient = bench.scalar(), bench.out(shape)
    getattr(_core, name)(bench.plan, bench.put(p), bench.put(t), loss, gradient=gradient)
    bench.run()
    mean = (p.astype(np.float64) ** 2).mean()
    assert bench.get(loss).reshape(-1).view(np.float64)[0] == pytest.approx(mean, rel=1e-12)
    slope = 2.0 * p if name == "mse" else p / np.sqrt(mean)
    np.testing.assert_allclose(bench.get(gradient).reshape(shape), slope / p.size, rtol=1e-5)


def test_refusals() -> None:
    bench = Bench()
    p, loss, vector = bench.out((4, 3)), bench.scalar(), bench.out((4,))
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.mse(bench.plan, p, vector, loss)
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.mse(bench.plan, p, p, loss, gradient=vector)
    with pytest.raises(errors.ShapeError, match="each of 4 samples"):
        _core.mae(bench.plan, p, p, loss, weights=bench.out((3,)))
    with pytest.raises(errors.ShapeError, match="2 floats"):
        _core.mse(bench.plan, p, p, vector)
    with pytest.raises(errors.ShapeError, match="one class for each"):
        _core.cross_entropy(bench.plan, p, bench.out((3,)), loss, target_classes=True)
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.cross_entropy(bench.plan, p, vector, loss)
    with pytest.raises(errors.ShapeError, match="rows of classes"):
        _core.softmax_cross_entropy(bench.plan, bench.out((4, 3, 2, 2)), vector, loss, target_classes=True)
    with pytest.raises(errors.OptionError, match="same tensor"):
        _core.softmax_cross_entropy(bench.plan, p, vector, loss, target_classes=True, gradient=p, probabilities=p)
    with pytest.raises(errors.OptionError, match="same tensor"):
        _core.sigmoid_binary_cross_entropy(bench.plan, p, p, loss, gradient=p, probabilities=p)
    with pytest.raises(errors.ShapeError, match="rows of classes"):
        _core.count_correct(bench.plan, bench.out((4, 0)), vector, loss, target_classes=True)
    with pytest.raises(errors.OptionError, match="delta"):
        _core.huber(bench.plan, p, p, loss, delta=0.0)
    with pytest.raises(errors.OptionError, match="l2 must be"):
        _core.regularize(bench.plan, p, None, loss, l2=-1.0)
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.regularize(bench.plan, p, vector, loss)
    with pytest.raises(errors.ShapeError, match="must be equal"):
        _core.rmse(bench.plan, p, p, loss, gradient=vector)
    with pytest.raises(errors.OptionError, match="k must be"):
        _core.count_in_top(bench.plan, p, vector, loss, target_classes=True, k=0)
    with pytest.raises(errors.ShapeError, match="leaves 9 float64"):
        _core.count_classes(bench.plan, p, vector, loss, target_classes=True)
    with pytest.raises(errors.OptionError, match="a threshold parts rows of numbers, not classes"):
        _core.count_classes(bench.plan, p, vector, bench.plan.kept((18,)), target_classes=True, threshold=0.5)
    with pytest.raises(errors.ShapeError, match="leaves 9 float64"):
        _core.count_confusion(bench.plan, p, vector, loss, target_classes=True)
    with pytest.raises(errors.ShapeError, match="leaves 12 float64"):
        _core.sum_deviations(bench.plan, p, p, loss)
