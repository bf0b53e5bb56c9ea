"""FMCNN as a Keras model, from one frozen config.

This is the one place that imports TensorFlow: import ``keras`` and ``tf`` from here, so that its
log level is set before it starts (notebook tests compare stderr).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, fields

from .spectra import NORMALISATIONS

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

MONITORS = ("loss", "accuracy")

__all__ = ["MONITORS", "FMCNNConfig", "build", "keras", "map_length", "tf"]


# Least value of each whole number in the config, and the numbers that must be below 1.
_COUNTS = {
    **dict.fromkeys(("n_points", "filters", "kernel", "stride", "squeeze", "expand1"), 1),
    **dict.fromkeys(("expand3", "pool", "batch", "epochs", "patience"), 1),
    **{"n_classes": 2, "dense": 0},
}
_MAY_BE_ZERO = ("slope", "bn_momentum", "l2", "beta_1", "beta_2")
_SHARES = (*_MAY_BE_ZERO, "bn_epsilon", "learning_rate", "epsilon", "hold_back")


@dataclass(frozen=True)
class FMCNNConfig:
    """Everything that defines an FMCNN and its training.

    "Paper" marks what the paper gives (section "FMCNN Model Architecture" or "Model Training");
    "open" what it leaves open and is chosen here.
    """

    n_points: int = 1360  # paper: 150–1510 cm⁻¹, 1,360 values
    n_classes: int = 209  # open: minerals with at least two spectra (the paper counts 196)
    normalisation: str = "minmax"  # open: see spectra.normalise
    filters: int = 16  # open: output maps of the first convolution
    kernel: int = 8  # open: its length, in points of 1 cm⁻¹
    stride: int = 2  # open
    squeeze: int = 8  # open: maps of the fire module's 1×1 squeeze
    expand1: int = 16  # open: maps of its 1×1 expand
    expand3: int = 16  # open: maps of its 3×1 expand
    pool: int = 4  # open: length of the non-overlapping max-pool
    dense: int = 0  # open: units of a hidden fully connected layer, 0 for none
    slope: float = 0.2  # paper: of every LeakyReLU
    bn_momentum: float = 0.99  # open: Keras's default
    bn_epsilon: float = 1e-3  # open: Keras's default
    l2: float = 1e-4  # paper: L2 on the weights; open: its coefficient λ
    learning_rate: float = 0.001  # paper: Adam
    beta_1: float = 0.9  # paper
    beta_2: float = 0.999  # paper
    epsilon: float = 1e-8  # paper
    batch: int = 64  # open
    epochs: int = 40  # open: at most
    patience: int = 8  # paper: early stopping; open: epochs without a better one before it stops
    monitor: str = "loss"  # open: what early stopping watches, on data held back from training
    hold_back: float = 0.1  # open: share of the training fold that it watches
    refit: bool = True  # open: then train on the whole training fold for as many epochs

    def __post_init__(self):
        for name in _COUNTS:
            value, low = getattr(self, name), _COUNTS[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name}={value!r}: give a whole number of at least {low}")
        for name in _SHARES:
            value, low = getattr(self, name), "0 ≤" if name in _MAY_BE_ZERO else "0 <"
            inside = isinstance(value, (int, float)) and 0 <= value < 1
            if not inside or (value == 0 and name not in _MAY_BE_ZERO):
                raise ValueError(f"{name}={value!r}: give a number with {low} {name} < 1")
        for name, allowed in (("normalisation", NORMALISATIONS), ("monitor", MONITORS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: give one of {', '.join(allowed)}"
                )
        if map_length(self) < self.pool:
            raise ValueError(
                f"kernel={self.kernel}, stride={self.stride} and pool={self.pool} leave nothing "
                f"of {self.n_points} points: make them smaller"
            )

    @classmethod
    def of(cls, **values) -> FMCNNConfig:
        """A config from keyword values, refusing an unknown name with the known ones."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            known = ", ".join(field.name for field in fields(cls))
            raise ValueError(f"unknown setting {', '.join(sorted(unknown))}: FMCNN knows {known}")
        return cls(**values)


def map_length(config: FMCNNConfig) -> int:
    """Points of a feature map between the first convolution and the max-pool."""
    return max((config.n_points - config.kernel) // config.stride + 1, 0)


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
