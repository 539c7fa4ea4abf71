"""All optimizers on one problem, from the same weights and in the same order of samples: the bundled 8x8 digits."""

from __future__ import annotations

import argparse

import rn
from rn.layers import Dense, Flatten
from rn.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, AMSGrad, Lion, Nadam, Optimizer, RMSProp
from rn.schedules import OneCycle

from pictures import save_curves


def rules(steps: int) -> dict[str, Optimizer]:
    """Return every rule with a learning rate that suits this problem."""
    return {
        "SGD": SGD(0.1),
        "SGD, momentum": SGD(0.05, momentum=0.9),
        "SGD, nesterov": SGD(0.05, momentum=0.9, nesterov=True),
        "SGD, one cycle": SGD(OneCycle(0.2, steps), momentum=0.9, clip_norm=1.0),
        "Adagrad": Adagrad(0.02),
        "RMSProp": RMSProp(0.001),
        "Adadelta": Adadelta(1.0),
        "Adam": Adam(0.002),
        "AdamW": AdamW(0.002, weight_decay=0.05),
        "AMSGrad": AMSGrad(0.002),
        "Nadam": Nadam(0.002),
        "Lion": Lion(0.0005, weight_decay=0.05),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    epochs = parser.parse_args().epochs

    x, test_x, y, test_y = rn.data.train_test_split(*rn.datasets.load_digits(), test_size=0.4, seed=0)
    losses, tests = {}, {}
    for name, optimizer in rules(steps=epochs * -(-len(x) // 32)).items():
        model = rn.Sequencial([Flatten(), Dense(64, "relu"), Dense(10, "softmax")], input_shape=x.shape[1:], seed=0)
        model.compile(optimizer, "cross_entropy", metrics=["accuracy"])
        history = model.fit(x, y, epochs=epochs, validation_data=(test_x, test_y), verbose=0)
        losses[name], tests[name] = history.history["loss"], history.history["val_loss"]
        print(f"{name:15} loss {history.final['loss']:.4f}  test accuracy {history.final['val_accuracy']:.2%}")
    save_curves("optimizers.png", {"training": losses, "test": tests}, "One network, twelve rules", "cross-entropy")


if __name__ == "__main__":
    main()
