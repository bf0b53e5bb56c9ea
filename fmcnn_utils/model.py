"""FMCNN as a Keras model, from one frozen config.

This is the one place that imports TensorFlow: import ``keras`` and ``tf`` from here, so that its
log level is set before it starts (notebook tests compare stderr).
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from .config import FMCNNConfig

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


@contextmanager
def _silent_stderr():
    """Send file descriptor 2 to nowhere: TensorFlow 2.21 greets there at any log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _silent_stderr():
    import keras
    import tensorflow as tf

__all__ = ["FMCNNConfig", "build", "keras", "tf"]


def build(config: FMCNNConfig, seed: int | None = None) -> keras.Model:
    """An untrained FMCNN, compiled with the paper's loss and optimiser.

    Conv1D → LeakyReLU → BatchNorm → fire (1×1 squeeze; 1×1 and 3×1 expand, concatenated) →
    max-pool → flatten → optional dense → softmax. Every layer has a name; every kernel has the
    L2 penalty ``l2 · Σw²`` in the loss.

    Args:
        config: the settings.
        seed: makes the initial weights repeatable.

    Returns:
        Model from normalised intensities (n, n_points, 1) to probabilities (n, n_classes);
        its labels are class numbers.
    """
    draw = keras.random.SeedGenerator(seed)
    layers = keras.layers

    def kernel() -> dict:
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=draw),
            "kernel_regularizer": keras.regularizers.L2(config.l2),
        }

    def leaky(name: str):
        return layers.LeakyReLU(negative_slope=config.slope, name=name)

    spectrum = keras.Input((config.n_points, 1), name="spectrum")
    x = layers.Conv1D(config.filters, config.kernel, config.stride, name="conv", **kernel())(
        spectrum
    )
    x = leaky("conv_leaky")(x)
    x = layers.BatchNormalization(
        momentum=config.bn_momentum, epsilon=config.bn_epsilon, name="batch_norm"
    )(x)
    x = layers.Conv1D(config.squeeze, 1, name="squeeze", **kernel())(x)
    squeezed = leaky("squeeze_leaky")(x)
    one = layers.Conv1D(config.expand1, 1, name="expand1", **kernel())(squeezed)
    one = leaky("expand1_leaky")(one)
    three = layers.Conv1D(config.expand3, 3, padding="same", name="expand3", **kernel())(squeezed)
    three = leaky("expand3_leaky")(three)
    x = layers.Concatenate(name="fire")([one, three])
    x = layers.MaxPooling1D(config.pool, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if config.dense:
        x = leaky("dense_leaky")(layers.Dense(config.dense, name="dense", **kernel())(x))
    mineral = layers.Dense(config.n_classes, activation="softmax", name="softmax", **kernel())(x)

    model = keras.Model(spectrum, mineral, name="fmcnn")
    model.compile(
        optimizer=keras.optimizers.Adam(
            config.learning_rate, config.beta_1, config.beta_2, config.epsilon
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)  # so that save() finds its state complete
    return model
