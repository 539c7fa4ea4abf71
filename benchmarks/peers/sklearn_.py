"""scikit-learn: the multilayer perceptrons.

Its net of several logistic outputs minimises their cross-entropy, where the net of the row has mse; the work is alike.
"""

from __future__ import annotations

import warnings
from typing import Any

import sklearn
from sklearn.neural_network import MLPClassifier

from benchmarks import nets
from benchmarks.work import Calls, Step, Work


def versions() -> str:
    return f"scikit-learn {sklearn.__version__}"


def start(threads: int) -> None:
    """Leave the BLAS with OMP_NUM_THREADS, which it read when it was loaded."""


def prepare(work: Work) -> Calls:
    if not isinstance(work, Step) or not nets.NETS[work.net].dense_only:
        return {}
    net = nets.NETS[work.net]
    x, y = nets.samples(net, work.batch)
    model = MLPClassifier(
        net.sizes[1:-1],
        activation=net.activations[0],
        solver=work.optimizer,
        alpha=0.0,
        batch_size=work.batch,
        learning_rate_init=nets.LEARNING_RATE if work.optimizer == "sgd" else 1e-3,
        momentum=nets.MOMENTUM,
        nesterovs_momentum=False,
    )
    warnings.simplefilter("ignore")  # a batch of one has one class
    # Its first step makes the weights, from samples that show every class.
    first_x, first_y = nets.samples(net, max(work.batch, net.sizes[-1]))
    model.set_params(batch_size=len(first_x)).partial_fit(first_x, first_y, classes=range(net.sizes[-1]))
    for i, parameters in enumerate(nets.initial_weights(net)):
        model.coefs_[i][...] = parameters["weight"].T
        model.intercepts_[i][...] = parameters["bias"]
    model.set_params(batch_size=work.batch)
    if work.mode == "predict":
        return {"sklearn": lambda: model.predict_proba(x)}

    def step() -> Any:
        return model.partial_fit(x, y).loss_

    return {"sklearn": step}
