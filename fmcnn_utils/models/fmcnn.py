"""FMCNN as a Keras model, and how it is trained.

This is the one place that starts TensorFlow: take ``keras`` and ``tf`` from here, so that its log
level is set before it starts (notebook tests compare stderr), and its threads.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from .. import paper

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


_stderr = os.dup(2)
with open(os.devnull, "w") as _nowhere:  # TensorFlow 2.21 greets there at any log level
    os.dup2(_nowhere.fileno(), 2)
try:
    import keras
    import tensorflow as tf
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)

tf.get_logger().setLevel("ERROR")  # else it warns of many short trainings in a row
try:
    # A network of this size gains nothing from a second thread (benchmarks/training.py), and on
    # one thread the same seed gives the same weights, bit for bit.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
except RuntimeError:  # it runs already, with the threads that its user chose
    pass


def build(settings, n_points: int, n_classes: int, seed: int | None = None) -> keras.Model:
    """An untrained FMCNN, compiled with the paper's loss and optimiser.

    Conv1D → LeakyReLU → BatchNorm → fire (1×1 squeeze; 1×1 and 3×1 expand, concatenated) →
    max-pool → flatten → optional dense → softmax. Every layer has a name; every kernel has the
    L2 penalty ``l2 · Σw²`` in the loss. From normalised intensities (n, n_points, 1) to
    probabilities (n, n_classes); labels are class numbers.

    ``settings`` is an ``FMCNNClassifier``, or anything else with its settings as attributes;
    ``seed`` makes the initial weights repeatable. ``ValueError`` if the first convolution and the
    pool leave nothing of the spectrum.
    """
    s, layers, draw = settings, keras.layers, keras.random.SeedGenerator(seed)
    if (n_points - s.kernel) // s.stride + 1 < s.pool:
        raise ValueError(
            f"kernel={s.kernel}, stride={s.stride} and pool={s.pool} leave nothing of {n_points} "
            "points: make them smaller"
        )

    def kernel() -> dict:
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=draw),
            "kernel_regularizer": keras.regularizers.L2(s.l2),
        }

    def leaky(layer, x):
        return layers.LeakyReLU(paper.LEAKY_SLOPE, name=f"{layer.name}_leaky")(layer(x))

    spectrum = keras.Input((n_points, 1), name="spectrum")
    x = leaky(layers.Conv1D(s.filters, s.kernel, s.stride, name="conv", **kernel()), spectrum)
    x = layers.BatchNormalization(momentum=s.bn_momentum, name="batch_norm")(x)
    x = leaky(layers.Conv1D(s.squeeze, 1, name="squeeze", **kernel()), x)
    one = leaky(layers.Conv1D(s.expand1, 1, name="expand1", **kernel()), x)
    three = leaky(layers.Conv1D(s.expand3, 3, padding="same", name="expand3", **kernel()), x)
    x = layers.Concatenate(name="fire")([one, three])
    x = layers.MaxPooling1D(s.pool, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if s.dense:
        x = leaky(layers.Dense(s.dense, name="dense", **kernel()), x)
    mineral = layers.Dense(n_classes, activation="softmax", name="softmax", **kernel())(x)

    model = keras.Model(spectrum, mineral, name="fmcnn")
    model.compile(
        optimizer=keras.optimizers.Adam(s.learning_rate, paper.BETA_1, paper.BETA_2, paper.EPSILON),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


class TestAccuracy(keras.callbacks.Callback):
    """Note the accuracy on test spectra after each epoch, as if one stopped on the test fold.

    ``X`` are raw counts (n, points), ``y`` minerals (n,).
    """

    __test__ = False  # no test class, whatever pytest makes of the name

    def __init__(self, X, y):
        super().__init__()
        self.X, self.y = X, y

    def use(self, classifier) -> None:
        """Take scaling and class numbers from the classifier that is being trained."""
        self._x = classifier.as_input(self.X)
        self._number = np.searchsorted(classifier.classes_, self.y)
        self._number[~np.isin(self.y, classifier.classes_)] = -1  # never right

    def on_epoch_end(self, epoch, logs=None):
        """Add ``test_accuracy`` to the epoch's logs."""
        predicted = np.argmax(self.model(self._x, training=False), axis=1)
        logs["test_accuracy"] = float(np.mean(predicted == self._number))


def train(
    model: keras.Model, X, y, *, batch_size: int, epochs: int, validation=None, callbacks=(), seed=0
) -> pd.DataFrame:
    """``model.fit``, with the batches of an epoch in one compiled loop.

    Each step is the model's own ``train_step``. What ``model.fit`` spends on feeding its batches
    is saved: ``benchmarks/training.py`` measures how much.

    ``model`` is any compiled Keras model, ``X`` its inputs (n, …), or a function that makes those
    of each epoch, and ``y`` class numbers (n,). ``seed`` decides the order of the spectra, new in
    each epoch; its last batch may be smaller. A callback may set ``model.stop_training``.

    A row per epoch: ``epoch`` (from 1), ``loss`` and ``accuracy`` over its batches, those of the
    inputs and class numbers in ``validation`` after it (``val_loss``, ``val_accuracy``), and what
    callbacks add. Losses include the L2 penalty.
    """

    def loop(step, X, y):
        draw = X if callable(X) else None
        X, y = tf.constant(draw() if draw else X), tf.constant(y)

        @tf.function
        def batches(X, y, order):  # as arguments: TensorFlow never frees what a function captures
            for start in tf.range(0, tf.size(order), batch_size):
                rows = order[start : start + batch_size]
                step((tf.gather(X, rows), tf.gather(y, rows)))

        def run(order) -> dict[str, float]:
            model.reset_metrics()
            inputs = tf.constant(draw()) if draw else X
            batches(inputs, y, tf.constant(order, tf.int32))
            return {name: float(value) for name, value in model.get_metrics_result().items()}

        return run

    random = np.random.default_rng(seed)
    callbacks = keras.callbacks.CallbackList(list(callbacks), add_history=True, model=model)
    one_epoch = loop(model.train_step, X, y)
    validate = loop(model.test_step, *validation) if validation else None
    model.optimizer.build(model.trainable_variables)
    model.stop_training = False
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        logs = one_epoch(random.permutation(len(y)))
        if validate:
            results = validate(np.arange(len(validation[1])))
            logs |= {f"val_{name}": value for name, value in results.items()}
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callbacks.on_train_end()
    history = pd.DataFrame(model.history.history)
    history.insert(0, "epoch", np.arange(1, len(history) + 1))
    return history
