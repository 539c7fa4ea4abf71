"""SGD and Adam over 200 updates against the float64 twin, which in turn agrees with torch.optim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rn import _core, errors
from tests import reference
from tests.core.harness import Bench, close, with_threads

SGD = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
]
ADAM = [
    {},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": True},
    {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-3},
    {"beta_1": 0.5, "beta_2": 0.5, "epsilon": 1e-2},
]
STEPS = 200


def gradients(n: int, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return first parameters (n,) and a gradient for each step, of very different sizes."""
    rng = np.random.default_rng(n)
    sizes = 10.0 ** rng.integers(-4, 3, n)
    return rng.normal(size=n).astype(np.float32), (rng.normal(size=(steps, n)) * sizes).astype(np.float32)


def rate(step: int) -> float:
    return float(np.float32(0.01 / (1 + step / 50)))


def run(name: str, n: int, options: dict[str, Any], steps: int = STEPS) -> dict[str, np.ndarray]:
    first, given = gradients(n, steps)
    bench = Bench()
    p, g = bench.put(first), bench.out((n,))
    state = [bench.put(np.zeros(n)) for _ in range(2 if name == "adam" else 1)]
    if name == "sgd" and not options.get("momentum"):
        state = []
    with bench.plan.update():
        getattr(_core, name)(bench.plan, p, g, *(state or [None]), **options)
    bench.run("backward")
    gradient = np.asarray(bench.plan.array(g)).reshape(-1)
    for step in range(steps):
        gradient[...] = given[step]
        bench.plan.set_step(step, step + 1, rate(step))
        bench.plan.run_update()
    return {"p": bench.get(p).reshape(-1)} | {f"state{i}": bench.get(slot).reshape(-1) for i, slot in enumerate(state)}


def twin(name: str, n: int, options: dict[str, Any], steps: int = STEPS) -> dict[str, np.ndarray]:
    first, given = gradients(n, steps)
    p, state = first.astype(np.float64), [np.zeros(n)] * (2 if name == "adam" else 1)
    for step in range(steps):
        count = [step + 1] if name == "adam" else []
        p, *state = getattr(reference, name)(
            p, given[step].astype(np.float64), *state, *count, learning_rate=rate(step), **options
        )
    return {"p": p} | {f"state{i}": value for i, value in enumerate(state)}


# known values


def test_first_steps_by_hand() -> None:
    bench = Bench(learning_rate=0.5, update=1)
    p, g, v = bench.put(np.float32([1, 2])), bench.put(np.float32([4, -8])), bench.put(np.zeros(2))
    _core.sgd(bench.plan, p, g, v, momentum=0.5)
    np.testing.assert_array_equal(bench.run().get(p).reshape(-1), [-1, 6])
    bench.plan.run()
    np.testing.assert_array_equal(bench.get(v).reshape(-1), [6, -12])
    np.testing.assert_array_equal(bench.get(p).reshape(-1), [-4, 12])

    bench = Bench(learning_rate=0.5, update=1)
    p, g = bench.put(np.float32([1, 2])), bench.put(np.float32([4, -8]))
    _core.adam(bench.plan, p, g, bench.put(np.zeros(2)), bench.put(np.zeros(2)), epsilon=0.0)
    close(bench.run().get(p).reshape(-1), [0.5, 2.5], tolerance=1e-6)


# reference


@pytest.mark.parametrize("n", [1, 7, 8, 1001])
@pytest.mark.parametrize(("name", "options"), [("sgd", o) for o in SGD] + [("adam", o) for o in ADAM])
def test_reference(name: str, options: dict[str, Any], n: int) -> None:
    got, expected = run(name, n, options), twin(name, n, options)
    first, given = gradients(n)
    moved = np.abs(expected["p"] - first) + np.abs(first)
    moved += sum(rate(step) * np.abs(given[step]) for step in range(STEPS)) if name == "sgd" else 0.1
    close(got["p"], expected["p"], moved)
    sizes = np.abs(given).max(0) + 0.1 * np.abs(first)
    terms = {"state0": sizes / (1 - options.get("momentum", 0.0)), "state1": expected.get("state1")}
    for key in got.keys() - {"p"}:
        close(got[key], expected[key], terms[key], 2e-5)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), [("sgd", o) for o in SGD] + [("adam", o) for o in ADAM])
def test_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    first, given = gradients(50)
    p = torch.tensor(first, dtype=torch.float64, requires_grad=True)
    named = {"momentum": "momentum", "nesterov": "nesterov", "weight_decay": "weight_decay", "epsilon": "eps"}
    arguments = {named[key]: value for key, value in options.items() if key in named}
    if name == "adam":
        arguments["betas"] = (options.get("beta_1", 0.9), options.get("beta_2", 0.999))
    kind = torch.optim.SGD if name == "sgd" else torch.optim.AdamW if options.get("decoupled") else torch.optim.Adam
    if kind is torch.optim.AdamW:
        arguments["weight_decay"] = options["weight_decay"]
    optimizer = kind([p], **arguments)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step)
        p.grad = torch.tensor(given[step], dtype=torch.float64)
        optimizer.step()
    np.testing.assert_allclose(twin(name, 50, options)["p"], p.detach().numpy(), rtol=1e-9, atol=1e-12)


# edges


def test_nothing_to_update() -> None:
    for name, options in (("sgd", SGD[2]), ("adam", ADAM[0])):
        assert run(name, 0, options, 2)["p"].size == 0


def test_zero_gradients_move_nothing() -> None:
    bench = Bench(learning_rate=0.1)
    p, g, m, v = (bench.put(a) for a in (np.ones(9), np.zeros(9), np.zeros(9), np.zeros(9)))
    _core.adam(bench.plan, p, g, m, v)
    np.testing.assert_array_equal(bench.run().get(p).reshape(-1), np.ones(9))


@pytest.mark.parametrize("update", [1, 2, 1000, 10**9, 2**63])
def test_bias_corrections_at_any_update(update: int) -> None:
    bench = Bench(learning_rate=0.1, update=update)
    p, g, m, v = (bench.put(np.full(3, value)) for value in (1.0, 0.5, 0.25, 0.125))
    _core.adam(bench.plan, p, g, m, v)
    expected = reference.adam(1.0, 0.5, 0.25, 0.125, float(update), learning_rate=float(np.float32(0.1)))[0]
    close(bench.run().get(p).reshape(-1), np.full(3, expected), tolerance=1e-6)


def test_nan_stays_where_it_is() -> None:
    bench = Bench()
    g = np.zeros(20, np.float32)
    g[11] = np.nan
    p = bench.put(np.ones(20))
    _core.sgd(bench.plan, p, bench.put(g), None)
    np.testing.assert_array_equal(np.isnan(bench.run().get(p).reshape(-1)), np.isnan(g))


# every thread count


@pytest.mark.parametrize("n", [100, 200_003])
def test_same_bits_on_any_number_of_threads(n: int) -> None:
    with_threads(lambda: run("sgd", n, SGD[4], 3))
    with_threads(lambda: run("adam", n, ADAM[1], 3))


# refusals


def test_refusals() -> None:
    bench = Bench()
    p, g, short = bench.out((9,)), bench.out((3, 3)), bench.out((8,))
    with pytest.raises(errors.ShapeError, match="8 elements, but there are 9 parameters"):
        _core.sgd(bench.plan, p, short, None)
    with pytest.raises(errors.OptionError, match="needs a velocity"):
        _core.sgd(bench.plan, p, g, None, momentum=0.9)
    with pytest.raises(errors.OptionError, match="takes no velocity"):
        _core.sgd(bench.plan, p, g, p)
    with pytest.raises(errors.OptionError, match="nesterov"):
        _core.sgd(bench.plan, p, g, None, nesterov=True)
    with pytest.raises(errors.OptionError, match="momentum cannot be negative"):
        _core.sgd(bench.plan, p, g, p, momentum=-0.1)
    with pytest.raises(errors.OptionError, match="beta_2"):
        _core.adam(bench.plan, p, g, p, p, beta_2=1.0)
    with pytest.raises(errors.OptionError, match="epsilon"):
        _core.adam(bench.plan, p, g, p, p, epsilon=float("nan"))
    with pytest.raises(errors.ShapeError, match="variance"):
        _core.adam(bench.plan, p, g, p, short)
