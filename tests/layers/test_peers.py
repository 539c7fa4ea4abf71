"""Every case of layers beside PyTorch in float64: outputs, gradients by weights and by inputs."""

from __future__ import annotations

import numpy as np
import pytest

import rn
from tests.layers.cases import LAYERS

pytestmark = pytest.mark.peers


def near(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Assert agreement within 2e-5 of the largest element, which is not 0."""
    scale = np.abs(expected).max()
    assert scale > 1e-6, what
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale, err_msg=what)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_agree(name: str) -> None:
    torch = pytest.importorskip("torch")
    from tests.torch_twin import Twin

    shape, layers = LAYERS[name]
    model = rn.Sequencial(layers(), input_shape=shape, seed=3)
    model.compile(rn.optimizers.SGD(0.0), "mse")
    assert model.network is not None
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, *shape)).astype(np.float32)
    y = rng.normal(size=(6, *model.network.output_shape)).astype(np.float32)

    twin = Twin(model, torch.float64)
    x64 = twin.tensor(x).requires_grad_()
    near(model.predict(x), twin(x64).detach().numpy(), "output")
    torch.nn.functional.mse_loss(twin(x64), twin.tensor(y)).backward()
    near(model.input_gradient(x, y), x64.grad.numpy(), "input")

    twin = Twin(model, torch.float64)
    loss = torch.nn.functional.mse_loss(twin(twin.tensor(x), training=True), twin.tensor(y)) + twin.penalty()
    loss.backward()
    model.train_on_batch(x, y)
    for i, layer in enumerate(model.layers):
        for key, gradient in layer.gradients.items():
            near(gradient, twin.parameters[f"{i}.{key}"].grad.numpy(), f"{i}.{key}")
