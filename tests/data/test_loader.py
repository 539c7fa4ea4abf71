"""The loader's batches and epochs, its background thread, and models fed by it."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

import rn
from rn.data import DataLoader
from rn.data.transforms import HorizontalFlip, Normalize
from rn.errors import DtypeError, LabelError, OptionError, ShapeError
from rn.layers import Dense

X = np.arange(46, dtype=np.float32).reshape(23, 2)
Y = np.arange(23)


def background() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rn-loader")]


# ---- batches and epochs


def test_batches_in_order():
    loader = DataLoader(X, Y, batch_size=5)
    batches = list(loader)
    assert (len(loader), [len(x) for x, _ in batches]) == (5, [5, 5, 5, 5, 3])
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), Y)
    assert [y for _, y in DataLoader(X, batch_size=30)] == [None]


def test_drop_last():
    loader = DataLoader(X, Y, batch_size=5, drop_last=True)
    assert (len(loader), loader.samples, [len(x) for x, _ in loader]) == (4, 20, [5] * 4)


def seen(loader: DataLoader, epoch: int) -> list[int]:
    return [int(label) for _, y in loader.batches(epoch) for label in y]


def test_shuffling_goes_by_seed_and_epoch():
    loader = DataLoader(X, Y, batch_size=4, shuffle=True, seed=3)
    assert sorted(seen(loader, 0)) == list(range(23))
    assert len({tuple(seen(loader, epoch)) for epoch in range(4)}) == 4
    assert seen(loader, 2) == seen(DataLoader(X, Y, batch_size=7, shuffle=True, seed=3), 2)
    assert seen(loader, 2) != seen(DataLoader(X, Y, batch_size=7, shuffle=True, seed=4), 2)
    for x, y in loader:
        np.testing.assert_array_equal(x, X[y])


def test_a_loop_to_the_end_counts_an_epoch():
    loader = DataLoader(X, Y, shuffle=True, seed=3)
    first, second = ([int(label) for _, y in loader for label in y] for _ in range(2))
    assert (first, second) == (seen(loader, 0), seen(loader, 1))
    assert loader.epoch == 2
    next(iter(loader))
    assert loader.epoch == 2
    loader.set_epoch(0)
    assert [int(label) for _, y in loader for label in y] == first


def test_a_seed_by_chance_is_kept():
    loader = DataLoader(X, Y, shuffle=True)
    assert seen(loader, 1) == seen(DataLoader(X, Y, shuffle=True, seed=loader.seed), 1)


# ---- the background


def test_the_next_batch_is_prepared_while_one_is_used():
    began = []

    def note(x, y, draws):
        began.append((int(y[0]), threading.current_thread().name))
        return x, y

    batches = DataLoader(X, Y, batch_size=5, transforms=note).batches(0)
    next(batches)
    deadline = time.monotonic() + 5
    while len(began) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [first for first, _ in began] == [0, 5]  # the next one, and not the one after it
    assert all(name.startswith("rn-loader") for _, name in began)
    batches.close()


def test_the_thread_ends_with_the_loop():
    loader = DataLoader(X, Y, batch_size=5)
    list(loader)
    assert background() == []
    batches = loader.batches(0)
    next(batches)
    assert len(background()) == 1
    batches.close()
    assert background() == []


def test_an_exception_names_its_transform():
    def broken(x, y, draws):
        if 20 in y:
            raise ZeroDivisionError("no such thing")
        return x, y

    loader = DataLoader(X[:, :, None, None], Y, batch_size=5, transforms=[HorizontalFlip(), broken])
    came = []
    with pytest.raises(ZeroDivisionError, match="no such thing") as caught:
        came.extend(loader)
    assert len(came) == 4
    assert "in transform 1 of 2, <function" in caught.value.__notes__[0]
    assert "broken" in caught.value.__notes__[0]
    assert caught.value.__notes__[0].endswith("epoch 0, sample 20 of the data set")
    assert background() == []


def test_an_exception_names_its_sample_in_the_data_set():
    def broken(x, y, draws):
        if 20 in y:
            raise ZeroDivisionError
        return x, y

    with pytest.raises(ZeroDivisionError) as caught:
        list(DataLoader(X, Y, batch_size=7, shuffle=True, transforms=broken, seed=3))
    assert caught.value.__notes__[0].endswith("sample 20 of the data set")

    def broken_together(x, y, draws):
        if len(x) > 1:
            raise ZeroDivisionError
        return x, y

    with pytest.raises(ZeroDivisionError) as caught:
        list(DataLoader(X, Y, batch_size=3, transforms=broken_together))
    assert caught.value.__notes__[0].endswith("samples 0, 1, 2 of the data set")

    def broken_always(x, y, draws):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        list(DataLoader(X, Y, batch_size=3, transforms=broken_always))
    assert caught.value.__notes__[0].endswith("samples 0, 1, 2 of the data set")


def test_lists_that_a_transform_returns_are_arrays_for_the_next():
    def listed(x, y, draws):
        return x.tolist(), y.tolist()

    def shapes(x, y, draws):
        assert (x.shape, y.shape) == ((5, *X.shape[1:]), (5, *Y.shape[1:]))
        return x, y

    x, y = DataLoader(X, Y, transforms=[listed, shapes, listed]).batch(range(5))
    assert np.array_equal(x, X[:5].tolist())
    assert np.array_equal(y, Y[:5].tolist())
    assert isinstance(x, np.ndarray)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_what_the_model_refuses_of_a_batch_is_traced_to_the_data_set(method):
    x, y = digits()
    labels = y.astype(np.int64)
    labels[77] = 10
    net = model()
    loader = DataLoader(x.astype(np.float32), labels, batch_size=16, seed=1, shuffle=method == "fit")
    options = {"verbose": 0} if method == "fit" else {}
    with pytest.raises(LabelError, match=r"label 10 \(sample \d+\)") as caught:
        getattr(net, method)(loader, **options)
    place = int(re.search(r"sample (\d+)", str(caught.value))[1])
    indices = caught.value.__notes__[0].partition("data set: ")[2].split(", ")
    assert (len(indices), int(indices[place])) == (16, 77)


@pytest.mark.parametrize(
    ("returned", "error", "words"),
    [
        (lambda x, y: None, DtypeError, r"the transform own must return \(x, y\).*got None"),
        (lambda x, y: x, DtypeError, r"own must return \(x, y\)"),
        (lambda x, y: (None, y), DtypeError, r"own must return \(x, y\)"),
        (lambda x, y: (x.sum(), y), ShapeError, "own was given 5 samples and returned no rows of x"),
        (lambda x, y: (x, y[:2]), ShapeError, "own was given 5 samples and returned 2 rows of y"),
        (lambda x, y: (x.astype(str), y), DtypeError, "own was given numbers and returned x of dtype <U"),
    ],
)
def test_a_transform_that_returns_nonsense_is_named(returned, error, words):
    def own(x, y, draws):
        return returned(x, y)

    with pytest.raises(error, match=words):
        DataLoader(X, Y, transforms=own).batch(np.arange(5))


def test_texts_may_become_numbers_on_the_way():
    names = np.array(["3", "1", "4"])
    x, y = DataLoader(names, names, transforms=lambda x, y, draws: (x.astype(np.float32), y)).batch([0, 2])
    assert (x.tolist(), y.tolist()) == ([3.0, 4.0], ["3", "4"])


def test_a_transform_that_loses_samples_is_refused():
    loader = DataLoader(X, Y, transforms=lambda x, y, draws: (x[1:], y))
    with pytest.raises(ShapeError, match="was given 23 samples and returned 22 rows of x"):
        list(loader)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X[:0],), ShapeError, "x is empty"),
        ((X, Y[:4]), ShapeError, "as many samples, got 23 and 4"),
        ((X, Y, 0), OptionError, "batch_size must be a whole number of at least 1, got 0"),
        ((X, Y, 24, False, (), 0, True), OptionError, "drop_last leaves no batch"),
        ((X, Y, 4, False, 7), OptionError, "transforms must be objects or functions"),
        ((X, Y, 4, False, (), -1), OptionError, "seed must be"),
        ((X, Y, 4, False, (), 2**64), OptionError, "seed must be a whole number from 0"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(*arguments)


def test_what_is_no_array_is_refused():
    with pytest.raises(DtypeError, match="x must be an array or a list of samples, got generator"):
        DataLoader((row for row in X), Y)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.arange(23) < 5, r"whole numbers, got (?s:.*); of a mask, pass np.flatnonzero\(mask\)"),
        ([5.9], r"indices must be a list of whole numbers, got \[5.9\]"),
        (3, "indices must be a list of whole numbers, got 3"),
        ([99], r"indices must go from 0 to 22, the samples of x, got \[99\]"),
        ([-1], "indices must go from 0 to 22"),
    ],
)
def test_indices_that_name_no_samples(indices, message):
    with pytest.raises(OptionError, match=message):
        DataLoader(X, Y).batch(indices)


@pytest.mark.parametrize("epoch", [-1, 1.5, True])
def test_epochs_that_are_no_number_of_one(epoch):
    loader = DataLoader(X, Y)
    for ask in (loader.batches, loader.in_order, lambda epoch: loader.batch([0], epoch)):
        with pytest.raises(OptionError, match="epoch must be a whole number of at least 0"):
            ask(epoch)


# ---- models


def digits():
    x, y = rn.datasets.load_digits(raw=True)
    return x[:230], y[:230]


def model(seed=1, **options):
    net = rn.Sequencial([rn.layers.Flatten(), Dense(16, "relu"), Dense(10, "softmax")], seed=seed)
    net.compile("adam", "cross_entropy", metrics=["accuracy"], **options)
    return net


def scaled(x, y, draws):
    return x.astype(np.float32) / 16, y


def same_weights(a, b):
    for name, values in a.state_dict().items():
        np.testing.assert_array_equal(values, b.state_dict()[name])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("chunks", [1, 3])
def test_a_loader_without_transforms_trains_as_its_arrays_do(chunks, shuffle):
    x, y = digits()
    x = x.astype(np.float32) / 16
    a, b = model(gradient_chunks=chunks), model(gradient_chunks=chunks)
    first = a.fit(x, y, epochs=2, batch_size=32, shuffle=shuffle, validation_data=(x, y), verbose=0)
    loader = DataLoader(x, y, 32, shuffle, seed=b.seed)
    second = b.fit(loader, epochs=2, validation_data=DataLoader(x, y, 256), verbose=0)
    same_weights(a, b)
    assert first.history == second.history
    assert a.evaluate(x, y) == b.evaluate(DataLoader(x, y, 256))
    np.testing.assert_array_equal(a.predict(x), b.predict(DataLoader(x, y, 50, shuffle=True)))


def test_class_weights_and_callbacks_by_batch():
    x, y = digits()
    x = x.astype(np.float32) / 16

    class Batches(rn.callbacks.Callback):
        wants_batches = True
        seen = 0

        def on_batch_end(self, model, batch, logs):
            self.seen += 1

    a, b, watcher = model(), model(), Batches()
    weights = {3: 2.5, 4: 0.0}
    a.fit(x, y, batch_size=32, shuffle=False, class_weight=weights, verbose=0)
    b.fit(DataLoader(x, y, 32), class_weight=weights, callbacks=[watcher], verbose=0)
    same_weights(a, b)
    assert watcher.seen == 8


def test_a_fit_resumed_sees_the_same_batches():
    x, y = digits()
    options = {"shuffle": True, "transforms": [HorizontalFlip(), scaled], "seed": 5}
    a, b = model(), model()
    a.fit(DataLoader(x, y, **options), epochs=3, verbose=0)
    b.fit(DataLoader(x, y, **options), epochs=1, verbose=0)
    b.fit(DataLoader(x, y, **options), epochs=2, verbose=0)
    same_weights(a, b)
    assert background() == []


def test_it_learns_from_transformed_uint8():
    x, y = digits()
    loader = DataLoader(x, y, shuffle=True, transforms=[Normalize(0.02, 0.02)], seed=0)
    net = model()
    net.fit(loader, epochs=40, verbose=0)
    assert net.evaluate(loader)["accuracy"] > 0.95


def test_what_a_fit_refuses():
    x, y = digits()
    net = model()
    with pytest.raises(LabelError, match="y is missing"):
        net.fit(DataLoader(x))
    beside = {"y": y, "batch_size": 32, "shuffle": True, "validation_split": 0.2, "sample_weight": np.ones(len(x))}
    for name, value in beside.items():
        with pytest.raises(OptionError, match=f"do not go with a DataLoader.*: {name}$"):
            net.fit(DataLoader(x, y), **{name: value})
    assert net.network is None
    for call in (net.evaluate, net.predict):
        with pytest.raises(OptionError, match=r"do not go with a DataLoader.*: batch_size"):
            call(DataLoader(x, y), batch_size=10)

    def late(x, y, draws):
        if draws.epoch == 1:
            raise KeyError("late")
        return x, y

    with pytest.raises(KeyError):
        net.fit(DataLoader(x, y, transforms=late), epochs=3, verbose=0)
    assert (net.epochs, len(net.history.history["loss"]), background()) == (1, 1, [])
    net.fit(DataLoader(x, y), verbose=0)


def test_a_loader_stopped_in_mid_epoch_ends_its_thread():
    x, y = digits()
    net = model()

    class Stop(rn.callbacks.Callback):
        wants_batches = True

        def on_batch_end(self, model, batch, logs):
            model.stop_training = True

    net.fit(DataLoader(x, y), callbacks=[Stop()], verbose=0)
    assert (net.steps, background()) == (1, [])


def test_targets_may_change_between_labels_and_rows():
    """As mixup in some epochs only would have it; the weights are those of as many steps one by one."""

    def rows_in_odd_epochs(x, y, draws):
        return (x, np.eye(3, dtype=np.float32)[y]) if draws.epoch % 2 else (x, y)

    def made():
        model = rn.Sequencial([rn.layers.Dense(3, "softmax")], input_shape=2, seed=1)
        model.compile("adam", "cross_entropy", ["accuracy"])
        return model

    x, y = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32), np.arange(12) % 3
    fitted, stepped = made(), made()
    fitted.fit(DataLoader(x, y, 6, transforms=rows_in_odd_epochs), epochs=4, verbose=0)
    for epoch in range(4):
        for part in (slice(0, 6), slice(6, 12)):
            stepped.train_on_batch(x[part], np.eye(3, dtype=np.float32)[y[part]] if epoch % 2 else y[part])
    np.testing.assert_array_equal(fitted.layers[0].weight, stepped.layers[0].weight)
