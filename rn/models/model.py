"""What every model offers: compile, fit, evaluate, predict, save and the rest.

How its layers come about is the subclasses' business.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from numbers import Real
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn import _core, losses, optimizers, registry
from rn import metrics as metrics_
from rn._text import for_stdout
from rn.callbacks import Callback, ModelCheckpoint, ProgressBar, Restoring, as_callbacks, refuse_unreported, states
from rn.data import DataLoader
from rn.errors import OptionError, RnError, ShapeError, StateError, flag, seed_number
from rn.layers import Layer
from rn.models import door, files, fusion, table
from rn.models.binding import Use, bind_plan
from rn.models.fitting import Fitting, HeldOut, LoaderFitting
from rn.models.network import Network, leaves
from rn.models.plans import BoundPlan, Loan, PlanPool
from rn.models.repeated import RepeatedPrediction, RepeatedStep
from rn.models.report import Report
from rn.training.history import History
from rn.training.loop import run_epochs

__all__ = ["Model"]

T = TypeVar("T")
FloatArray = NDArray[np.float32]
# Use, batch size, whether targets are classes and samples weighted, which layers train, the setting of Winograd's form.
PlanKey = tuple[Use, int, bool, bool, tuple[bool, ...], bool]


class _Chosen(Generic[T]):
    """What plans are bound with. Setting it, which they would not see, raises ``StateError`` that says ``how``."""

    def __init__(self, how: str) -> None:
        self._how = how

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = f"The model's {name}; to change it, {self._how}."

    def __get__(self, model: Model | None, owner: type | None = None) -> T:
        chosen: Any = self if model is None else model._chosen[self._name]
        return chosen  # type: ignore[no-any-return]

    def __set__(self, model: Model, value: object) -> None:
        raise StateError(f"model.{self._name} cannot be assigned: {self._how}")


@registry.contract("model")
class Model:
    """A network with an optimizer, a loss and counters of what it has learned from.

    ``epochs``, ``steps``: how many epochs and training steps it has seen; shuffling and dropout key on them, so that
    two fits of one epoch are one fit of two. ``stop_training``: set it in a callback to end ``fit`` after the batch or
    epoch at hand. ``history``: what the last ``fit`` reached, also where an exception or Ctrl-C has ended it; None
    before the first. ``class_names``: what the classes are called, kept in the model's file; see there.

    One thread trains a model at a time. ``save``, ``copy.deepcopy`` and pickling raise ``StateError`` while another one
    does, and work in callbacks; training that begins while another thread saves or copies the model waits for that.
    Pickle takes the weights after it has asked: keep a loop of ``train_on_batch`` in another thread out by a lock of
    your own.
    """

    optimizer = _Chosen[optimizers.Optimizer | None]("call compile(optimizer=...)")
    loss = _Chosen[losses.Loss | None]("call compile(loss=...)")
    metrics = _Chosen[tuple[metrics_.Metric, ...]]("call compile(metrics=...)")
    gradient_chunks = _Chosen[int]("call compile(gradient_chunks=...)")
    seed = _Chosen[int]("give it to a new model")

    def __init__(self, *, seed: int | None, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise OptionError(f"a model's name must be text, got {name!r:.80}")
        drawn = int.from_bytes(os.urandom(8), "little") >> 1
        self._chosen: dict[str, Any] = {"optimizer": None, "loss": None, "metrics": (), "gradient_chunks": 1}
        self._chosen["seed"] = drawn if seed is None else seed_number("seed", seed)
        self.name = name
        self.epochs = 0
        self.steps = 0
        self.stop_training = False
        self.history: History | None = None
        self.network: Network | None = None
        self._class_names: tuple[str, ...] | None = None
        self._updates = 0  # since compile: Adam's t
        self._callbacks: list[Callback] = []  # of the fit that runs
        self._callback_states: dict[str, dict[str, Any]] = {}  # saved in the middle of a fit, for the next one
        self._plans = PlanPool()
        self._repeated_step: RepeatedStep | None = None
        self._repeated_prediction = RepeatedPrediction(self._plans)
        self._fitting = _core.Occupancy()
        self._building = threading.RLock()  # one thread builds; the others wait for what it has built

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, by the optimizer's number or schedule."""
        return self._compiled("learning_rate")[0].rate(self._updates)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        raise StateError("model.learning_rate cannot be assigned: set model.optimizer.learning_rate")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What class 0, 1, … are called, or None: one name for each output column, two where there is one column.

        The model keeps them in its file and makes no use of them itself: ``model.class_names[k]`` is for those who read
        its predictions. Setting them raises ``OptionError`` for what are not names, all different and as many as there
        are classes, ``StateError`` before the model is built. A layer added later that changes the classes' number
        forgets them.
        """
        names, network = self._class_names, self.network
        fits = names is not None and network is not None and len(names) == door.class_count(network.output_shape)
        return names if fits else None

    @class_names.setter
    def class_names(self, names: Iterable[str] | None) -> None:
        self._class_names = None if names is None else door.names_option(names, self._built().output_shape)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order."""
        raise NotImplementedError

    @property
    def trainable(self) -> bool:
        """Whether training may change any layer; setting it speaks to all of them, from the next batch on."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        trains = flag("trainable", value)
        for layer in self.layers:
            layer.trainable = trains

    def config(self) -> dict[str, Any]:
        """Return what ``from_config`` makes the model from again, weights and counters apart, as JSON can hold it."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Model:
        """Return a new model as ``config()`` described it; ``DtypeError`` or ``OptionError`` where it did not."""
        raise NotImplementedError

    def build(self, input_shape: int | Sequence[int]) -> None:
        """Settle every layer's shape and draw the weights.

        ``input_shape``: of one sample, (features,) or (channels, height, width).

        Raises ``ShapeError`` naming the layer that does not fit, ``StateError`` where the model is built already for
        another shape.
        """
        shape = door.shape_option("input_shape", input_shape)
        with self._building:
            if self.network is not None:
                if self.network.input_shape != shape:
                    raise StateError(f"the model is built for samples of shape {self.network.input_shape}, not {shape}")
                return
            if not self.layers:
                raise StateError("the model has no layers; add some first")
            self._use(Network(self.layers, shape, self.seed, self._state_names()))

    def _use(self, network: Network | None) -> None:
        self._plans.clear()
        self.network = network
        self._updates = 0

    def _state_names(self) -> tuple[str, ...]:
        return () if self.optimizer is None else self.optimizer.state_names

    @property
    def _state(self) -> dict[str, _core.Tensor4D]:
        """The optimizer's arrays, laid out as the flat parameters."""
        return {} if self.network is None else self.network.state

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "sgd",
        loss: str | losses.Loss = "mse",
        metrics: Iterable[str | metrics_.Metric] | str = (),
        gradient_chunks: int = 1,
    ) -> None:
        """Choose how to train: an optimizer, a loss and metrics, by name or as objects.

        The optimizer's state starts anew. The settings of all three, the learning rate apart, are fixed from here on.

        ``gradient_chunks``: a batch's gradient is computed in that many parts, one after the other, and summed in a
        fixed order: less memory for the same step; ``BatchNorm`` alone sees another one, for its statistics are those
        of a part. Raises ``OptionError`` for unknown names, for a loss that takes probabilities after a layer that
        gives none, and for several parts where the loss is no mean over samples, as "rmse"; ``StateError`` while the
        model is being fitted.
        """
        chosen_optimizer, chosen_loss = optimizers.get(optimizer), losses.get(loss)
        chosen_metrics = _metric_list(metrics)
        chunks = door.count_option("gradient_chunks", gradient_chunks)
        if chunks > 1 and not chosen_loss.mean_over_samples:
            raise OptionError(
                f"gradient_chunks must be 1 with {type(chosen_loss).__name__}, which is no mean over samples: the "
                f"gradients of a batch's parts do not add up to its own; got {chunks}"
            )
        fusion.refuse_mismatch(self.layers, chosen_loss)
        with self._alone("compile"), self._building:
            network = self.network  # its new state first of all, as there may be no memory for it
            state = {} if network is None else network.new_state(chosen_optimizer.state_names)
            for piece in (chosen_optimizer, chosen_loss, *chosen_metrics):
                piece.settle()
            pieces = {"optimizer": chosen_optimizer, "loss": chosen_loss, "metrics": chosen_metrics}
            chosen = {**self._chosen, **pieces, "gradient_chunks": chunks}
            self._plans.clear()
            # Nothing is called between these, so that Ctrl-C leaves all or none of them done.
            self._chosen, self._updates = chosen, 0
            if network is not None:
                network.state = state
            self._plans.clear()  # which other threads have bound in between

    def fit(
        self,
        x: ArrayLike | _core.Tensor4D | DataLoader,
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        validation_data: tuple[ArrayLike, ArrayLike] | DataLoader | None = None,
        validation_split: float = 0.0,
        shuffle: bool | None = None,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        callbacks: Iterable[Callback | Callable[..., Any]] = (),
        verbose: int = 1,
        initial_epoch: int | None = None,
    ) -> History:
        """Train for ``epochs`` more epochs and return their ``History``.

        ``x``: (n, features) or (n, channels, height, width). ``y``: integer classes (n,) for cross_entropy, else
        targets shaped as the output; (n,) serves for one output column. ``batch_size``: samples a step, 32 unless
        given; the last batch of an epoch may be smaller. ``validation_data`` (x, y), or else ``validation_split``, the
        share of samples taken from the end: evaluated after each epoch as "val_loss" and so on. ``shuffle``: visit the
        samples in another order in each epoch, by the model's seed; so it is unless False is given. ``class_weight``
        {label: factor} and ``sample_weight`` (n,): factors of the samples' losses, 1 for labels not named.
        ``callbacks``: ``rn.callbacks`` objects, or functions called as function(epoch, logs) at the end of each epoch.
        ``verbose``: 0 is quiet. ``initial_epoch``: the number of the first epoch; as many as were trained before unless
        given.

        On x86, numbers nearer to 0 than 1.2e-38 count as 0 in training steps: momenta and gradients of what is learned
        fade into them, and some processors take ten times as long for each.

        ``x`` may be a ``rn.data.DataLoader`` with targets: then ``y``, ``batch_size``, ``shuffle``,
        ``validation_split`` and ``sample_weight`` are the loader's business and refused. ``validation_data`` may be one
        too.

        Raises ``StateError`` before ``compile`` and while another ``fit`` of this model runs; ``ShapeError``,
        ``LabelError``, ``DtypeError`` and ``OptionError`` for data and options that do not fit, before anything is
        changed; for samples of a loader, when their batch comes, after the steps of those before it.
        """
        with self._alone("fit"):  # from the start: data and options must fit the model that is trained
            return self._fit(
                x,
                y,
                epochs=epochs,
                batch_size=batch_size,
                validation_data=validation_data,
                validation_split=validation_split,
                shuffle=shuffle,
                class_weight=class_weight,
                sample_weight=sample_weight,
                callbacks=callbacks,
                verbose=verbose,
                initial_epoch=initial_epoch,
            )

    def _fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int | None,
        validation_data: Any,
        validation_split: float,
        shuffle: bool | None,
        class_weight: Mapping[int, float] | None,
        sample_weight: ArrayLike | None,
        callbacks: Iterable[Callback | Callable[..., Any]],
        verbose: int,
        initial_epoch: int | None,
    ) -> History:
        epochs = door.count_option("epochs", epochs)
        loud = door.count_option("verbose", int(verbose) if isinstance(verbose, bool) else verbose, 0)
        shuffled = True if shuffle is None else flag("shuffle", shuffle)
        if validation_data is not None and validation_split != 0:
            raise OptionError("validation_data and validation_split both say what to validate on; give one of them")
        first_epoch = door.count_option("model.epochs", self.epochs, 0)
        if initial_epoch is not None:
            first_epoch = door.count_option("initial_epoch", initial_epoch, 0)
        # A checkpoint holds the others' states, as they are after the epoch.
        watchers = sorted(as_callbacks(callbacks), key=lambda watcher: isinstance(watcher, ModelCheckpoint))
        bars = [watcher for watcher in watchers if isinstance(watcher, ProgressBar)]
        with self._unbuilt_again_on_error():
            fitting: Fitting
            if isinstance(x, DataLoader):
                split = None if validation_split == 0 else validation_split
                door.refuse_beside_loader(
                    y=y, batch_size=batch_size, shuffle=shuffle, validation_split=split, sample_weight=sample_weight
                )
                fitting = self._loader_fitting(x, class_weight, validation_data, first_epoch)
            else:
                inputs, targets, classes = self._enter_pair("fit", x, y)
                factors = door.weights(sample_weight, class_weight, targets, self._class_count(classes))
                held_out: HeldOut | DataLoader | None = None
                if validation_data is not None:
                    held_out = self._validation_pair(validation_data)
                elif validation_split != 0:
                    cut = _split_point(validation_split, len(inputs))
                    held_out = (inputs[cut:], targets[cut:], None if factors is None else factors[cut:], classes)
                    inputs, targets = inputs[:cut], targets[:cut]
                    factors = None if factors is None else factors[:cut]
                fitting = Fitting(
                    self,
                    inputs,
                    targets,
                    factors,
                    classes=classes,
                    batch_size=door.batch_size_option(batch_size, 32, len(inputs)),
                    shuffle=shuffled,
                    held_out=held_out,
                )
            refuse_unreported(watchers, fitting.names)
            if any(isinstance(watcher, ModelCheckpoint) for watcher in watchers):
                files.describe(self)
        self.stop_training = False
        history = self.history = History()
        saved, self._callback_states = self._callback_states, {}
        self._callbacks = watchers  # a model that is saved in the meantime holds their state
        try:
            with fitting:
                run_epochs(
                    fitting,
                    self,
                    epochs=epochs,
                    first_epoch=first_epoch,
                    callbacks=[*watchers, Restoring(watchers, saved)],
                    progress=bars[0] if bars else ProgressBar() if loud else None,
                    history=history,
                )
        finally:
            self._callbacks = []
            if not history.epoch:  # refused by a callback, say: the saved states wait for the next fit
                self._callback_states = saved
        return history

    def _loader_fitting(
        self, loader: DataLoader, class_weight: Mapping[int, float] | None, validation_data: Any, epoch: int
    ) -> LoaderFitting:
        """Return the trainer for ``loader``, whose first samples must pass the door."""
        self._enter_batch("fit", *loader.batch([0], epoch), class_weight)
        held_out = None if validation_data is None else self._validation_pair(validation_data)
        return LoaderFitting(self, loader, class_weight, held_out=held_out)

    def _enter_batch(
        self, method: str, x: Any, y: Any, class_weight: Mapping[int, float] | None = None
    ) -> tuple[tuple[FloatArray, NDArray[Any], FloatArray | None], bool]:
        """Return a loader's batch and its factors as the model takes them, and whether its targets are classes."""
        inputs, targets, classes = self._enter_pair(method, x, y)
        factors = door.weights(None, class_weight, targets, self._class_count(classes))
        return (inputs, targets, factors), classes

    def _validation_pair(self, pair: Any) -> HeldOut | DataLoader:
        if isinstance(pair, DataLoader):
            self._enter_pair("fit", *pair.batch([0]), "validation ")
            return pair
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            came = f"{type(pair).__name__} of {len(pair)}" if isinstance(pair, (tuple, list)) else type(pair).__name__
            raise OptionError(f"validation_data must be a pair (x, y) or a DataLoader, got {came}")
        inputs, targets, classes = self._enter_pair("fit", pair[0], pair[1], "validation ")
        return inputs, targets, None, classes

    def train_on_batch(self, x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
        """Do one training step on these samples; return their loss and metrics, as they were before the step."""
        if self._repeated_step is not None:
            values = self._repeated_step.run(self, x, y)
            if values is not None:
                return values
        with self._alone("train_on_batch"):
            inputs, targets, classes = self._enter_pair("train_on_batch", x, y)
            with Fitting(self, inputs, targets, None, classes=classes, batch_size=len(inputs)) as fitting:
                totals = np.zeros(fitting.width)
                fitting.train(np.arange(len(inputs)), totals)
            self._repeated_step = RepeatedStep.of(self, x, y, classes=classes)
        return fitting.report.values(totals, len(inputs))

    def evaluate(
        self,
        x: ArrayLike | DataLoader,
        y: ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, Any]:
        """Return the loss and metrics of all samples together, with dropout off: numbers, but ``confusion_matrix``.

        ``batch_size``: how many are computed at a time; unless given, up to 256, and fewer of large ones, whose
        activations then stay in the caches. ``sample_weight`` (n,): factors w of the samples' losses l; the loss is
        Σ w l / n, not divided by Σ w, and metrics count all samples alike. ``x`` may be a ``rn.data.DataLoader`` with
        targets, of which all samples are taken, in batches of its own size. Raises ``OptionError`` where ``x`` is not
        finite.
        """
        if isinstance(x, DataLoader):
            door.refuse_beside_loader(y=y, batch_size=batch_size, sample_weight=sample_weight)
            return self._evaluate_loader(x)
        with self._unbuilt_again_on_error():
            inputs, targets, classes = self._enter_pair("evaluate", x, y)
            factors = door.weights(sample_weight, None, targets, self._class_count(classes))
            part = self._samples_at_a_time(inputs, batch_size)
        return self._evaluate(inputs, targets, factors, classes, part)

    def _evaluate(
        self, x: FloatArray, y: NDArray[Any], factors: FloatArray | None, classes: bool, part: int
    ) -> dict[str, Any]:
        report = Report(self)
        totals = np.zeros(report.width)
        order = np.arange(len(x))
        for begin, end, size in _runs(len(x), part):
            with self._lend("evaluate", size, classes=classes, weighted=factors is not None) as bound:
                bound.feed(x, y, factors)
                bound.plan.train(order[begin:end], totals)
        return report.values(totals, len(x))

    def _evaluate_loader(self, loader: DataLoader) -> dict[str, Any]:
        self._enter_pair("evaluate", *loader.batch([0]))
        report = Report(self)
        totals = np.zeros(report.width)
        with closing(loader.in_order()) as batches:
            for i, (x, y) in enumerate(batches):
                try:
                    (inputs, targets, _), classes = self._enter_batch("evaluate", x, y)
                except RnError as error:
                    door.note_samples(error, i * loader.batch_size + np.arange(len(x)))
                    raise
                with self._lend("evaluate", len(inputs), classes=classes, weighted=False) as bound:
                    bound.feed(inputs, targets, None)
                    bound.plan.train(np.arange(len(inputs)), totals)
        return report.values(totals, len(loader.x))

    def predict(self, x: ArrayLike | DataLoader, *, batch_size: int | None = None) -> FloatArray:
        """Return the model's output for every sample, float32 of shape (n, *output_shape), with dropout off.

        ``batch_size``: how many are computed at a time; unless given, up to 256, and fewer of large ones, whose
        activations then stay in the caches, or as suits threads that take parts of their own. A row of the result does
        not depend on the batch it was computed in, unless layers of your own let it. Several threads may predict at
        once, but rows that are computed while another writes the weights (by training or ``load_state_dict``) are of
        neither the old nor the new ones. Of a ``rn.data.DataLoader`` all samples are taken, in the order of its data
        and in batches of its own size.
        """
        if batch_size is None:
            repeated = self._repeated_prediction.run(x)
            if repeated is not None:
                return repeated
        if isinstance(x, DataLoader):
            door.refuse_beside_loader(batch_size=batch_size)
            with closing(x.in_order()) as batches:
                return np.concatenate([self._predict_batch(x, i, rows) for i, (rows, _) in enumerate(batches)])
        generation = self._plans.generation  # asked first: should layers be added meanwhile, it is gone
        with self._unbuilt_again_on_error():
            network, inputs = self._enter(x)
            samples = len(inputs)
            if batch_size is None and network.in_core and samples > 0:
                runs = [(0, samples, network.even_parts(samples, _core.get_num_threads()))]
            else:
                runs = _runs(samples, self._samples_at_a_time(inputs, batch_size))
        output = np.empty((samples, *network.output_shape), door.FLOAT32)
        for begin, end, part in runs:
            with self._lend("predict", part) as bound:
                bound.transform(inputs[begin:end], output[begin:end])
        if inputs is x and batch_size is None and len(runs) == 1:
            self._repeated_prediction.remember(x, self._plan_key("predict", runs[0][2]), generation, output)
        return output

    def _samples_at_a_time(self, inputs: FloatArray, batch_size: int | None) -> int:
        samples = len(inputs)
        return door.batch_size_option(batch_size, self._built().samples_at_a_time(samples), samples)

    def _predict_batch(self, loader: DataLoader, i: int, rows: FloatArray) -> FloatArray:
        try:
            return self.predict(rows, batch_size=loader.batch_size)
        except RnError as error:
            door.note_samples(error, i * loader.batch_size + np.arange(len(rows)))
            raise

    def __call__(self, x: ArrayLike, training: bool = False) -> FloatArray:
        """Return the output for all of ``x`` as one batch; with ``training`` as in a training step, dropout on."""
        trains = training is not False and flag("training", training)
        network, inputs = self._enter(x)
        with self._lend("training call" if trains else "predict", len(inputs)) as bound:
            bound.plan.set_step(self.steps, 1, 0.0)
            bound.write("x", inputs)
            bound.plan.run("forward")
            return bound.read("y", (len(inputs), *network.output_shape))

    def outputs(self, x: ArrayLike, *names: str) -> dict[str, FloatArray]:
        """Return what the layers called ``names``, or all layers, give for ``x``, by name.

        Float32 of shape (n, *layer.output_shape).
        """
        with self._unbuilt_again_on_error():
            network, inputs = self._enter(x)
            known = {layer.name: (i, layer) for i, layer in enumerate(network.layers)}
            for name in names:
                if not isinstance(name, str) or name not in known:
                    raise OptionError(f"the model has no layer {name!r}; it has: {', '.join(known)}")
        with self._lend("outputs", len(inputs)) as bound:
            bound.write("x", inputs)
            bound.plan.run("forward")
            wanted = {name: known[name] for name in (names or known)}
            return {
                name: bound.read(f"layer {i}", (len(inputs), *(layer.output_shape or ())))
                for name, (i, layer) in wanted.items()
            }

    def input_gradient(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return d loss / d x, shaped as ``x`` at the model's door, with dropout off; the model is not changed.

        The loss is the mean over the samples of ``x``: of n samples, each has 1/n of the gradient of its own loss.
        Raises ``OptionError`` where ``x`` is not finite.
        """
        inputs, targets, classes = self._enter_pair("input_gradient", x, y)
        with self._lend("input gradient", len(inputs), classes=classes) as bound:
            bound.write("x", inputs)
            bound.write("target", targets)
            bound.plan.run("backward")
            return bound.read("dx", inputs.shape)

    def summary(self, batch_size: int = 32) -> None:
        """Print the layers, output shapes, parameters, and the memory that training on ``batch_size`` samples takes."""
        print(for_stdout(table.summary(self, door.count_option("batch_size", batch_size))))

    def parameter_memory(self) -> list[tuple[str, int, int, int]]:
        """Return (layer, weights, gradients, optimizer's state) in bytes; buffers count as weights."""
        flat = self._built().layer_bytes()
        states = len(self._state)
        return [(name, size + buffers, size, size * states) for name, size, buffers in flat]

    def state_dict(self) -> dict[str, FloatArray]:
        """Return copies of all weights and buffers by "<layer index>.<name>", laid out as in PyTorch."""
        return self._built().state_dict()

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over weights and buffers such as ``state_dict`` gives; all are checked before any is written.

        Raises ``OptionError`` for missing or unknown keys and for numbers beyond float32's range, ``ShapeError`` and
        ``DtypeError`` for arrays that do not fit or are masked.
        """
        self._built().load_state_dict(state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.rn`` file: layers, weights, optimizer state and counters.

        The file is replaced whole or not at all.

        ``rn.load(path)`` gives a model that goes on training with the bits of one that was never saved. Raises
        ``OptionError``, and leaves the file as it was, for a piece of your own that it could not make again;
        ``StateError`` while another thread trains the model. A callback may save the model that it watches.
        """
        with _core.Unchanged(self._fitting, "save"):
            files.save(self, path)

    def __copy__(self) -> Model:
        # Two models over the same weights would each train under the other's counters.
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        with _core.Unchanged(self._fitting, "deepcopy"):
            made = memo[id(self)] = type(self).__new__(type(self))
            made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
            return made

    def __getstate__(self) -> dict[str, Any]:
        with _core.Unchanged(self._fitting, "pickle"):
            return self._parts()

    def _parts(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_plans", "_repeated_step", "_repeated_prediction", "_fitting", "_building"):
            del state[name]
        state["_callbacks"], state["_callback_states"] = [], self._saved_states()
        if self.network is not None:
            state["optimizer state"] = {name: self.network.split(array) for name, array in self._state.items()}
        return state

    def _saved_states(self) -> dict[str, dict[str, Any]]:
        return states(self._callbacks) if self._callbacks else self._callback_states

    def __setstate__(self, state: dict[str, Any]) -> None:
        pieces = state.pop("optimizer state", {})
        self.__dict__.update(state)
        self._plans = PlanPool()
        self._repeated_step = None
        self._repeated_prediction = RepeatedPrediction(self._plans)
        self._fitting = _core.Occupancy()
        self._building = threading.RLock()  # one thread builds; the others wait for what it has built
        if self.network is not None:
            self.network.flatten(pieces)
            for name, arrays in pieces.items():
                self.network.join(self.network.state[name], arrays)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        built = "not built" if self.network is None else f"{self.network.parameter_count:,} parameters"
        return f"<{type(self).__name__}{name}: {len(self.layers)} layers, {built}>"

    def _built(self) -> Network:
        if self.network is None:
            raise StateError("the model is not built yet: give it input_shape, call build(input_shape), or fit it")
        return self.network

    def _compiled(self, method: str) -> tuple[optimizers.Optimizer, losses.Loss]:
        optimizer, loss = self._chosen["optimizer"], self._chosen["loss"]
        if optimizer is None or loss is None:
            raise StateError(f"{method} before compile: call model.compile(optimizer=..., loss=...) first")
        return optimizer, loss

    def _alone(self, method: str) -> _core.Alone:
        """Keep everything out that would train the model or change what training leans on."""
        return _core.Alone(self._fitting, method)

    @contextmanager
    def _unbuilt_again_on_error(self) -> Iterator[None]:
        """Take the building of the model back where what it was built for is refused."""
        if self.network is not None:
            yield
            return
        with self._building:
            was_built, names = self.network is not None, [layer.name for layer in self.layers]
            try:
                yield
            except BaseException:
                if self.network is not None and not was_built:
                    for layer, name in zip(self.layers, names, strict=True):
                        layer.unbuild()
                        layer.name = name
                    self._use(None)
                raise

    def _enter(self, x: Any, what: str = "x") -> tuple[Network, FloatArray]:
        """Return the network, built for ``x`` where no shape was known, and ``x`` as its input."""
        if self.network is not None:
            return self.network, door.inputs(x, self.network.input_shape, what)
        with self._unbuilt_again_on_error():
            shape = door.numbers(x, what).shape
            if len(shape) not in (2, 4):
                hint = f": for one number a sample, pass {what}.reshape(-1, 1)" if len(shape) == 1 else ""
                raise ShapeError(
                    f"{what} must be (n, features) or (n, channels, height, width), got shape {shape}{hint}"
                )
            if self.network is None:
                self.build(shape[1:])
            network = self._built()
            return network, door.inputs(x, network.input_shape, what)

    def _enter_pair(self, method: str, x: Any, y: Any, what: str = "") -> tuple[FloatArray, NDArray[Any], bool]:
        """Return ``x`` and ``y`` as the model and its loss take them, and whether ``y`` holds classes."""
        _, loss = self._compiled(method)
        fusion.refuse_mismatch(self.layers, loss)  # compile has asked, but layers may have been added since
        with self._unbuilt_again_on_error():
            network, inputs = self._enter(x, f"{what}x")
            door.refuse_not_finite(inputs, f"{what}x")
            targets, classes = door.targets(y, len(inputs), network.output_shape, loss, f"{what}y")
            if classes:
                door.refuse_classes(self.metrics, f"{what}y")
            door.refuse_metrics(self.metrics, loss, network.output_shape)
        return inputs, targets, classes

    def _class_count(self, classes: bool) -> int | None:
        return self._built().output_shape[0] if classes else None

    def _trainable(self) -> tuple[bool, ...]:
        return tuple([leaf.trainable for leaf in leaves(self.layers)])

    def _optimizer(self) -> optimizers.Optimizer:
        return self._compiled("fit")[0]

    def _lend(self, use: Use, size: int, *, classes: bool = False, weighted: bool = False) -> Loan:
        """Lend the plan for a use and batch size until the ``with`` block ends."""
        self._built()
        return Loan(self._plans, self._plan_key(use, size, classes=classes, weighted=weighted), self._bind)

    def _plan_key(self, use: Use, size: int, *, classes: bool = False, weighted: bool = False) -> PlanKey:
        # What is frozen matters where something trains; a tiny net's predict is faster than looking.
        frozen = self._trainable() if use in ("train", "update", "training call") else ()
        return use, size, classes, weighted, frozen, _core.get_winograd()

    def _bind(self, key: PlanKey) -> BoundPlan:
        use, size, classes, weighted, _, _ = key
        return bind_plan(self, use, size, classes=classes, weighted=weighted)


def _metric_list(chosen: Iterable[str | metrics_.Metric] | str) -> tuple[metrics_.Metric, ...]:
    listed = list(chosen) if isinstance(chosen, Iterable) and not isinstance(chosen, str) else [chosen]
    made = tuple(metrics_.get(metric) for metric in listed)
    for metric in made:
        if not isinstance(getattr(metric, "name", None), str) or metric.name == "loss":
            raise OptionError(f'{type(metric).__name__} needs a class attribute name to be reported under, not "loss"')
    names = [metric.name for metric in made]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"two metrics are called {name!r}; each is reported under its name")
    return made


def _split_point(share: float, samples: int) -> int:
    if not isinstance(share, Real) or not 0 < share < 1:
        raise OptionError(f"validation_split must be at least 0 and below 1, got {share!r}")
    cut = samples - round(samples * share)
    if cut < 1 or cut >= samples:
        raise OptionError(f"validation_split={share} leaves no samples on one side of {samples}")
    return cut


def _runs(samples: int, batch_size: int) -> list[tuple[int, int, int]]:
    """Return (begin, end, size) of the run of whole batches and of the smaller last batch, where there are any."""
    whole = samples - samples % batch_size
    runs = [(0, whole, batch_size), (whole, samples, samples - whole)]
    return [run for run in runs if run[0] < run[1]]
