"""XOR, the smallest problem that needs a hidden layer.

Learned by a RedeNeural and by the Sequencial of the same layers, bit for bit alike.
"""

from __future__ import annotations

import argparse

import numpy as np

import rn
from rn.layers import Dense

from pictures import save_picture

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    light = rn.RedeNeural([2, 8, 1], activation="tanh", output_activation="sigmoid", seed=options.seed)
    stack = rn.Sequencial([Dense(8, "tanh"), Dense(1, "sigmoid")], input_shape=2, seed=options.seed)
    for model in (light, stack):
        model.compile(rn.optimizers.SGD(0.5, momentum=0.9), loss="mse")
        history = model.fit(X, Y, epochs=options.epochs, batch_size=4, verbose=0)

    for row, output in zip(X.astype(int), light.predict(X), strict=True):
        print(f"{row[0]} xor {row[1]} = {output[0]:.3f}")
    same = all(
        np.array_equal(a, b) for a, b in zip(light.state_dict().values(), stack.state_dict().values(), strict=True)
    )
    print(f"RedeNeural and Sequencial have the same bits: {'yes' if same else 'no'}")
    print(f"final MSE: {light.evaluate(X, Y)['loss']:.6f}")
    save_picture("xor_history.png", lambda path: history.plot(path, title="XOR"))


if __name__ == "__main__":
    main()
