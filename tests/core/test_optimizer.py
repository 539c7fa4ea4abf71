"""Every update rule over 200 updates against its float64 twin, which in turn agrees with torch.optim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

STEPS = 200
# (rule, its state, options); "decoupled", "clip_…" and "weight_decay" are the same for all rules.
CASES: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("sgd", (), {}),
    ("sgd", (), {"weight_decay": 0.1}),
    ("sgd", (), {"weight_decay": 0.1, "decoupled": True}),
    ("sgd", ("velocity",), {"momentum": 0.9}),
    ("sgd", ("velocity",), {"momentum": 0.9, "nesterov": True}),
    ("sgd", ("velocity",), {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01, "clip_norm": 1.0}),
    ("sgd", ("velocity",), {"momentum": 0.9, "clip_value": 0.05}),
    ("adagrad", ("variance",), {"epsilon": 1e-10}),
    ("adagrad", ("variance",), {"epsilon": 1e-10, "weight_decay": 0.1, "clip_norm": 0.1}),
    ("rmsprop", ("variance",), {"rho": 0.99}),
    ("rmsprop", ("variance", "velocity"), {"rho": 0.9, "momentum": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("rmsprop", ("variance", "mean"), {"rho": 0.99}),
    ("rmsprop", ("variance", "mean", "velocity"), {"rho": 0.9, "momentum": 0.5, "epsilon": 1e-6, "clip_value": 0.01}),
    ("adadelta", ("variance", "changes"), {"rho": 0.9, "epsilon": 1e-6}),
    ("adadelta", ("variance", "changes"), {"rho": 0.5, "epsilon": 1e-2, "weight_decay": 0.1}),
    ("adam", ("mean", "variance"), {}),
    ("adam", ("mean", "variance"), {"weight_decay": 0.1}),
    ("adam", ("mean", "variance"), {"weight_decay": 0.1, "decoupled": True}),
    ("adam", ("mean", "variance"), {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-3}),
    ("adam", ("mean", "variance"), {"beta_1": 0.5, "beta_2": 0.5, "epsilon": 1e-2, "clip_norm": 3.0}),
    ("adam", ("mean", "variance", "largest"), {}),
    ("adam", ("mean", "variance", "largest"), {"beta_2": 0.9, "weight_decay": 0.1, "clip_value": 0.5}),
    ("nadam", ("mean", "variance"), {}),
    ("nadam", ("mean", "variance"), {"weight_decay": 0.1, "momentum_decay": 0.1, "beta_1": 0.99}),
    ("nadam", ("mean", "variance"), {"weight_decay": 0.1, "decoupled": True, "beta_1": 0.0}),
    ("lion", ("mean",), {"beta_1": 0.9, "beta_2": 0.99}),
    ("lion", ("mean",), {"beta_1": 0.5, "beta_2": 0.9, "weight_decay": 0.1, "decoupled": True}),
]
every_case = pytest.mark.parametrize(("rule", "state", "options"), CASES)
# Lion is not in torch.optim; its twin is the paper's program.
case_of_torch = pytest.mark.parametrize(("rule", "state", "options"), [case for case in CASES if case[0] != "lion"])


def gradients(n: int, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return first parameters (n,) and a gradient for each step, of very different sizes."""
    rng = np.random.default_rng(n)
    sizes = 10.0 ** rng.integers(-4, 3, n)
    return rng.normal(size=n).astype(np.float32), (rng.normal(size=(steps, n)) * sizes).astype(np.float32)


def rate(step: int, rule: str = "") -> float:
    return (1.0 if rule == "adadelta" else 0.01) / (1 + step / 50)


def run(
    rule: str, state: tuple[str, ...], options: dict[str, Any], n: int, steps: int = STEPS, first_step: int = 0
) -> dict[str, np.ndarray]:
    first, given = gradients(n, steps)
    bench = Bench()
    p, g = bench.put(first), bench.out((n,))
    slots = {name: bench.put(np.zeros(n)) for name in state}
    with bench.plan.update():
        squares = bench.scalar() if "clip_norm" in options else None
        if squares is not None:
            _core.sum_squares(bench.plan, [g], squares)
        _core.update_parameters(bench.plan, rule, p, g, slots, squares=squares, **options)
    bench.run("backward")
    gradient = np.asarray(bench.plan.array(g)).reshape(-1)
    for step in range(steps):
        gradient[...] = given[step]
        bench.plan.set_step(step, first_step + step + 1, rate(step, rule))
        bench.plan.run_update()
    return {"p": bench.get(p).reshape(-1)} | {name: bench.get(slot).reshape(-1) for name, slot in slots.items()}


def twin(
    rule: str, state: tuple[str, ...], options: dict[str, Any], n: int, steps: int = STEPS
) -> dict[str, np.ndarray]:
    first, given = gradients(n, steps)
    p, kept = first.astype(np.float64), {name: np.zeros(n) for name in state}
    common = {key: options[key] for key in ("weight_decay", "decoupled", "clip_norm", "clip_value") if key in options}
    own = {key: value for key, value in options.items() if key not in common}
    for step in range(steps):
        g = given[step].astype(np.float64)
        p, g = reference.prepared(p, g, np.sqrt((g * g).sum()), learning_rate=rate(step, rule), **common)
        p, kept = getattr(reference, rule)(p, g, kept, step + 1, learning_rate=rate(step, rule), **own)
    return {"p": p, **kept}


# known values


def test_first_steps_by_hand() -> None:
    bench = Bench(learning_rate=0.5, update=1)
    p, g, v = bench.put(np.float32([1, 2])), bench.put(np.float32([4, -8])), bench.put(np.zeros(2))
    _core.update_parameters(bench.plan, "sgd", p, g, {"velocity": v}, momentum=0.5)
    np.testing.assert_array_equal(bench.run().get(p).reshape(-1), [-1, 6])
    bench.plan.run()
    np.testing.assert_array_equal(bench.get(v).reshape(-1), [6, -12])
    np.testing.assert_array_equal(bench.get(p).reshape(-1), [-4, 12])

    bench = Bench(learning_rate=0.5, update=1)
    p, g = bench.put(np.float32([1, 2])), bench.put(np.float32([4, -8]))
    state = {"mean": bench.put(np.zeros(2)), "variance": bench.put(np.zeros(2))}
    _core.update_parameters(bench.plan, "adam", p, g, state, epsilon=0.0)
    close(bench.run().get(p).reshape(-1), [0.5, 2.5], tolerance=1e-6)

    bench = Bench(learning_rate=0.5, update=1)
    p, g, m = bench.put(np.float32([1, 2, 3])), bench.put(np.float32([4, -8, 0])), bench.put(np.zeros(3))
    _core.update_parameters(bench.plan, "lion", p, g, {"mean": m}, beta_2=0.5)
    np.testing.assert_array_equal(bench.run().get(p).reshape(-1), [0.5, 2.5, 3])
    np.testing.assert_array_equal(bench.get(m).reshape(-1), [2, -4, 0])


def test_the_norm_is_that_of_all_gradients_together() -> None:
    bench = Bench(learning_rate=1.0)
    parts = [bench.put(np.float32([3])), bench.put(np.zeros(0)), bench.put(np.float32([0, 4]))]
    total = bench.scalar()
    _core.sum_squares(bench.plan, parts, total)
    p = bench.put(np.float32([0, 0]))
    _core.update_parameters(bench.plan, "sgd", p, parts[2], {}, squares=total, clip_norm=1.0)
    bench.run()
    assert bench.plan.scalar(total) == 25.0
    close(bench.get(p).reshape(-1)[1], -0.8, tolerance=1e-6)


def test_sums_of_squares_of_many_tiles() -> None:
    parts = [np.random.default_rng(i).normal(size=n).astype(np.float32) for i, n in enumerate((70_001, 5, 16_384))]

    def total() -> dict[str, Any]:
        bench = Bench()
        result = bench.scalar()
        _core.sum_squares(bench.plan, [bench.put(part) for part in parts], result)
        return {"total": bench.run().plan.scalar(result)}

    expected = sum(float((part.astype(np.float64) ** 2).sum()) for part in parts)
    assert with_threads(total)["total"] == pytest.approx(expected, rel=1e-12)


# reference


@pytest.mark.parametrize("n", [1, 7, 16, 1001])
@every_case
def test_reference(rule: str, state: tuple[str, ...], options: dict[str, Any], n: int) -> None:
    got, expected = run(rule, state, options, n), twin(rule, state, options, n)
    first, _ = gradients(n)
    largest = np.abs(expected["p"]).max()
    np.testing.assert_allclose(got["p"], expected["p"], rtol=0, atol=1e-5 * largest)
    assert np.abs(expected["p"] - first).max() > 1e-4 * largest
    for name in state:
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=2e-5 * np.abs(expected[name]).max())


@pytest.mark.peers
@case_of_torch
def test_torch(rule: str, state: tuple[str, ...], options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    names = {"sgd": "SGD", "rmsprop": "RMSprop", "nadam": "NAdam"}
    named = {"momentum": "momentum", "nesterov": "nesterov", "weight_decay": "weight_decay", "epsilon": "eps"}
    named |= {"rho": "alpha" if rule == "rmsprop" else "rho", "momentum_decay": "momentum_decay"}
    arguments = {named[key]: value for key, value in options.items() if key in named}
    if rule in ("adam", "nadam"):
        arguments["betas"] = (options.get("beta_1", 0.9), options.get("beta_2", 0.999))
    if rule == "adam":
        arguments["amsgrad"] = "largest" in state
    if rule == "rmsprop":
        arguments["centered"] = "mean" in state
    decoupled = options.get("decoupled", False)
    kind = names.get(rule, rule.capitalize())
    if decoupled and rule == "adam":
        kind = "AdamW"
    elif decoupled and rule == "nadam":
        arguments["decoupled_weight_decay"] = True
    elif decoupled:
        del arguments["weight_decay"]  # torch's SGD has no such option: done below, as its AdamW does
    first, given = gradients(50)
    p = torch.tensor(first, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, kind)([p], **arguments)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step, rule)
        p.grad = torch.tensor(given[step], dtype=torch.float64)
        if "clip_norm" in options:
            torch.nn.utils.clip_grad_norm_([p], options["clip_norm"])
        if "clip_value" in options:
            torch.nn.utils.clip_grad_value_([p], options["clip_value"])
        if decoupled and rule == "sgd":
            p.data.mul_(1 - rate(step) * options["weight_decay"])
        optimizer.step()
    theirs = p.detach().numpy()
    exact = 1e-6 if rule == "nadam" else 1e-9  # torch keeps the product of Nadam's momenta in float32
    np.testing.assert_allclose(twin(rule, state, options, 50)["p"], theirs, rtol=exact, atol=1e-12)
    assert np.abs(run(rule, state, options, 50)["p"] - theirs).max() <= 1e-5 * np.abs(theirs).max()


# edges


@every_case
def test_nothing_to_update(rule: str, state: tuple[str, ...], options: dict[str, Any]) -> None:
    assert run(rule, state, options, 0, 2)["p"].size == 0


@every_case
def test_zero_gradients_move_nothing(rule: str, state: tuple[str, ...], options: dict[str, Any]) -> None:
    bench = Bench(learning_rate=0.1)
    p, g = bench.put(np.ones(9)), bench.put(np.zeros(9))
    own = {key: value for key, value in options.items() if key not in ("weight_decay", "clip_norm")}
    _core.update_parameters(bench.plan, rule, p, g, {name: bench.put(np.zeros(9)) for name in state}, **own)
    np.testing.assert_array_equal(bench.run().get(p).reshape(-1), np.ones(9))


@pytest.mark.parametrize("update", [1, 2, 1000, 10**9, 2**63])
def test_bias_corrections_at_any_update(update: int) -> None:
    for rule in ("adam", "nadam"):
        bench = Bench(learning_rate=0.1, update=update)
        p, g, m, v = (bench.put(np.full(3, value)) for value in (1.0, 0.5, 0.25, 0.125))
        _core.update_parameters(bench.plan, rule, p, g, {"mean": m, "variance": v})
        old = {"mean": 0.25, "variance": 0.125}
        if rule == "adam":
            expected = reference.adam(1.0, 0.5, old, float(update), learning_rate=0.1)[0]
        else:  # the products are 0 and the momenta 0.9 long before
            expected = reference.nadam(1.0, 0.5, old, min(update, 10_000), learning_rate=0.1)[0]
        tolerance = 1e-6 if rule == "adam" or update <= 1000 else 1e-2
        close(bench.run().get(p).reshape(-1), np.full(3, expected), tolerance=tolerance)


def test_nadam_goes_on_at_any_update_with_the_bits_of_one_that_never_stopped() -> None:
    """The product of momenta is worked out anew where a plan has not seen the updates before."""
    first, given = gradients(33, 30)
    results = []
    for stop in (30, 1, 17):
        p, state = first, {"mean": np.zeros(33), "variance": np.zeros(33)}
        for begin, end in ((0, stop), (stop, 30)):
            bench = Bench()
            slot, g = bench.put(p), bench.out((33,))
            slots = {name: bench.put(array) for name, array in state.items()}
            with bench.plan.update():
                _core.update_parameters(bench.plan, "nadam", slot, g, slots, beta_1=0.99)
            bench.run("backward")
            for step in range(begin, end):
                np.asarray(bench.plan.array(g)).reshape(-1)[...] = given[step]
                bench.plan.set_step(step, step + 1, 0.01)
                bench.plan.run_update()
            p, state = bench.get(slot).reshape(-1), {name: bench.get(s).reshape(-1) for name, s in slots.items()}
        results.append(p.tobytes())
    assert len(set(results)) == 1


@every_case
def test_nan_stays_where_it_is(rule: str, state: tuple[str, ...], options: dict[str, Any]) -> None:
    bench = Bench()
    g = np.zeros(40, np.float32)
    g[11] = np.nan
    p = bench.put(np.ones(40))
    own = {key: value for key, value in options.items() if key != "clip_norm"}
    _core.update_parameters(bench.plan, rule, p, bench.put(g), {name: bench.put(np.zeros(40)) for name in state}, **own)
    np.testing.assert_array_equal(np.isnan(bench.run().get(p).reshape(-1)), np.isnan(g))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_norm_hides_a_gradient_that_is_not_finite(wrong: float) -> None:
    bench = Bench()
    p, g, total = bench.put(np.ones(3)), bench.put(np.float32([1, wrong, 2])), bench.scalar()
    _core.sum_squares(bench.plan, [g], total)
    _core.update_parameters(bench.plan, "sgd", p, g, {}, squares=total, clip_norm=1.0)
    assert np.isnan(bench.run().get(p).reshape(-1)[1])


# every thread count


@pytest.mark.parametrize("n", [100, 100_003])
def test_same_bits_on_any_number_of_threads(n: int) -> None:
    for rule, state, options in (CASES[5], CASES[8], CASES[12], CASES[13], CASES[21], CASES[23], CASES[26]):
        with_threads(lambda rule=rule, state=state, options=options: run(rule, state, options, n, 2))


# refusals


def test_refusals() -> None:
    bench = Bench()
    p, g, short = bench.out((9,)), bench.out((3, 3)), bench.out((8,))

    def refused(error: type[Exception], words: str, rule: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(error, match=words):
            _core.update_parameters(bench.plan, rule, p, *arguments, **options)

    refused(errors.ShapeError, "8 elements, but there are 9 parameters", "sgd", short, {})
    refused(errors.ShapeError, "variance has 8", "adam", g, {"mean": p, "variance": short})
    refused(errors.OptionError, "no update rule 'sdg'; there are: sgd", "sdg", g, {})
    refused(errors.OptionError, "lion has the state", "lion", g, {})
    refused(errors.OptionError, "adagrad has the state", "adagrad", g, {"variance": p, "mean": p})
    refused(errors.OptionError, "needs a velocity", "sgd", g, {}, momentum=0.9)
    refused(errors.OptionError, "takes no velocity", "sgd", g, {"velocity": p})
    refused(errors.OptionError, "nesterov", "sgd", g, {}, nesterov=True)
    refused(errors.OptionError, "momentum cannot be negative", "sgd", g, {"velocity": p}, momentum=-0.1)
    refused(errors.OptionError, "beta_2", "adam", g, {"mean": p, "variance": p}, beta_2=1.0)
    refused(errors.OptionError, "epsilon", "adam", g, {"mean": p, "variance": p}, epsilon=float("nan"))
    refused(errors.OptionError, "clip_value must be above 0", "sgd", g, {}, clip_value=0.0)
    refused(errors.OptionError, "clip_norm and squares go together", "sgd", g, {}, clip_norm=1.0)
