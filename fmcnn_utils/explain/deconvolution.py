"""The deconvolution network: from the maps of a layer back to the Raman shift axis.

Follows the paper's section "Visualization Method" and, where that is silent, Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks" (2014): the network is walked backwards,
each step replaced by a counterpart that needs no training.

===================  =============================================================
forwards             backwards
===================  =============================================================
max-pool             unpool: each value to the position recorded as its maximum
LeakyReLU            LeakyReLU of the signal going back (``rectifier="leaky"``)
batch normalisation  its slope, γ / √(variance + ε): the part that acts on a signal
concatenation        split; what the branches send back is added
convolution          transposed convolution with the same kernel, no bias
===================  =============================================================

Without a rectifier every step is the adjoint of the forward step, so that for a network without
LeakyReLU the result is exactly the transposed Jacobian applied to the maps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import models  # models.tf and models.keras start TensorFlow when they are first used

RECTIFIERS = ("leaky", "relu", "none")
#: Spectra at a time.
BATCH = 256


def deconvolve(
    classifier: models.FMCNNClassifier, X, layer="pool", *, channel=None, rectifier="leaky"
) -> np.ndarray:
    """What a layer's maps hold of each spectrum, on the spectrum's own axis: float32 (n, points).

    ``classifier`` is a fitted FMCNN, ``X`` raw counts, (n, points). It starts from all maps of the
    ``layer`` together (``conv``, ``squeeze``, ``expand1``, ``expand3``, ``pool``), or from one
    ``channel`` alone. ``rectifier`` stands for LeakyReLU on the way back: ``"leaky"`` as in the
    paper, ``"relu"`` as in Zeiler and Fergus, or ``"none"``. ValueError for a layer or rectifier
    that does not exist, a layer on the way without a counterpart here, or spectra that do not fit;
    IndexError for a channel that the layer does not have.
    """
    if rectifier not in RECTIFIERS:
        raise ValueError(f"rectifier {rectifier!r} is not one of {', '.join(RECTIFIERS)}")
    model, start = classifier.model_, classifier.model_.get_layer(layer)
    steps = model.layers[: model.layers.index(start) + 1]
    tensors = [step.output for step in steps]
    forward = models.keras.Model(model.input, tensors)
    channels = np.eye(start.output.shape[-1], dtype=np.float32)
    kept = 1 if channel is None else channels[channel]

    def back(x):
        values = dict(zip(map(id, tensors), forward(x, training=False), strict=True))
        signals = {id(start.output): values[id(start.output)] * kept}
        for step in reversed(steps[1:]):
            signal = signals.pop(id(step.output), None)
            if signal is None:  # a branch that does not lead to the layer
                continue
            inputs = models.keras.tree.flatten(step.input)
            maps = [values[id(tensor)] for tensor in inputs]
            for tensor, part in zip(inputs, _step_back(step, signal, maps, rectifier), strict=True):
                signals[id(tensor)] = signals.get(id(tensor), 0) + part
        return signals[id(model.input)][..., 0]

    return in_batches(back, classifier.as_input(X))


def in_batches(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """What a function of tensors gives for ``BATCH`` rows of the arrays at a time, (n, …)."""
    starts = range(0, len(arrays[0]), BATCH)
    parts = ([models.tf.constant(array[i : i + BATCH]) for array in arrays] for i in starts)
    return np.concatenate([function(*part) for part in parts])


def _step_back(step, signal, maps: list, rectifier: str) -> list:
    """One layer backwards: a signal for each of its inputs, whose forward values are ``maps``."""
    layers, tf = models.keras.layers, models.tf
    if isinstance(step, layers.Conv1D):
        shape, (stride,), padding = tf.shape(maps[0]), step.strides, step.padding.upper()
        return [tf.nn.conv1d_transpose(signal, step.kernel, shape, stride, padding)]
    if isinstance(step, layers.MaxPooling1D):
        (size,), (n, length, channels) = step.pool_size, maps[0].shape
        whole = length // size * size  # the pool leaves out the points beyond the last window
        windows = tf.reshape(maps[0][:, :whole], (n, -1, size, channels))
        there = tf.one_hot(tf.argmax(windows, axis=2), size, axis=2, dtype=signal.dtype)
        back = tf.reshape(there * signal[:, :, None], (n, whole, channels))
        return [tf.pad(back, [[0, 0], [0, length - whole], [0, 0]])]
    if isinstance(step, layers.BatchNormalization):
        return [signal * step.gamma / tf.sqrt(step.moving_variance + step.epsilon)]
    if isinstance(step, layers.LeakyReLU):
        slope = {"leaky": step.negative_slope, "relu": 0.0, "none": 1.0}[rectifier]
        return [tf.nn.leaky_relu(signal, slope)]
    if isinstance(step, layers.Concatenate):
        return tf.split(signal, [part.shape[-1] for part in maps], axis=-1)
    raise ValueError(
        f"layer {step.name!r} ({type(step).__name__}) has no counterpart in the deconvolution "
        "network: start from a layer before it"
    )
