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

import numpy as np

from .model import keras, tf

RECTIFIERS = ("leaky", "relu", "none")


def switches(maps, size: int):
    """Where each maximum of a non-overlapping max-pool sits.

    Args:
        maps: what goes into the pool, (n, length, channels).
        size: of the pool; points beyond the last whole window are left out, as the pool does.

    Returns:
        ``(pooled, position)``, both (n, length // size, channels); ``position`` is the offset
        0…size−1 inside the window, the first one of equal maxima.
    """
    n, length, channels = maps.shape
    windows = tf.reshape(maps[:, : length // size * size], (n, length // size, size, channels))
    return tf.reduce_max(windows, axis=2), tf.argmax(windows, axis=2, output_type=tf.int32)


def unpool(pooled, position, size: int, length: int):
    """Each value of ``pooled`` at its recorded position in (n, length, channels), zeros elsewhere.

    Args:
        pooled: (n, length // size, channels).
        position: as ``switches`` returns it.
        size: of the pool.
        length: points of the map that went into the pool.
    """
    n, windows, channels = pooled.shape
    at = tf.one_hot(position, size, axis=2, dtype=pooled.dtype)
    signal = tf.reshape(at * pooled[:, :, tf.newaxis], (n, windows * size, channels))
    return tf.pad(signal, [[0, 0], [0, length - windows * size], [0, 0]])


def deconvolve(
    model: keras.Model,
    X,
    layer: str = "pool",
    *,
    channel: int | None = None,
    rectifier: str = "leaky",
    batch: int = 256,
) -> np.ndarray:
    """What the maps of a layer hold of each spectrum, drawn on the spectrum's own axis.

    Args:
        model: an FMCNN, or any functional Keras model of the layers in the table above.
        X: normalised intensities, (n, points).
        layer: name of the layer to start from, e.g. ``conv``, ``squeeze``, ``expand1``,
            ``expand3``, ``pool``.
        channel: start from this map alone; by default from all maps of the layer together.
        rectifier: what stands for LeakyReLU on the way back: ``"leaky"`` as in the paper,
            ``"relu"`` as in Zeiler and Fergus, or ``"none"``.
        batch: spectra at a time.

    Returns:
        The reconstructed signal, float32 (n, points).

    Raises:
        ValueError: for a layer, channel or rectifier that does not exist, or a layer on the way
            that has no counterpart here.
    """
    names = [known.name for known in model.layers]
    if layer not in names:
        raise ValueError(f"layer {layer!r} is not in the model: it has {', '.join(names)}")
    if rectifier not in RECTIFIERS:
        raise ValueError(f"rectifier {rectifier!r} is not one of {', '.join(RECTIFIERS)}")
    channels = model.get_layer(layer).output.shape[-1]
    if channel is not None and not 0 <= channel < channels:
        raise ValueError(f"channel {channel} is not in {layer!r}: it has 0 to {channels - 1}")

    path = model.layers[1 : names.index(layer) + 1]
    tensors = [model.input, *(step.output for step in path)]
    forward = keras.Model(model.input, tensors)

    def back(x):
        values = dict(zip(map(id, tensors), forward(x, training=False), strict=True))
        start = values[id(model.get_layer(layer).output)]
        if channel is not None:
            start = start * tf.one_hot(channel, channels)
        signals = {id(model.get_layer(layer).output): start}
        for step in reversed(path):
            signal = signals.pop(id(step.output), None)
            if signal is None:  # a branch that does not lead to the layer
                continue
            inputs = step.input if isinstance(step.input, list) else [step.input]
            maps = [values[id(tensor)] for tensor in inputs]
            for tensor, part in zip(inputs, _step_back(step, signal, maps, rectifier), strict=True):
                signals[id(tensor)] = signals.get(id(tensor), 0) + part
        return signals[id(model.input)][..., 0]

    X = np.asarray(X, dtype=np.float32)
    parts = [back(tf.constant(X[i : i + batch, :, None])) for i in range(0, len(X), batch)]
    return np.concatenate(parts) if parts else np.zeros_like(X)


def _step_back(step, signal, maps, rectifier):
    """One layer backwards: a signal for each of its inputs, whose forward values are ``maps``."""
    layers = keras.layers
    if isinstance(step, layers.Conv1D):
        return [
            tf.nn.conv1d_transpose(
                signal, step.kernel, tf.shape(maps[0]), step.strides[0], step.padding.upper()
            )
        ]
    if isinstance(step, layers.MaxPooling1D):
        size = step.pool_size[0]
        _, position = switches(maps[0], size)
        return [unpool(signal, position, size, maps[0].shape[1])]
    if isinstance(step, layers.BatchNormalization):
        return [signal * step.gamma / tf.sqrt(step.moving_variance + step.epsilon)]
    if isinstance(step, layers.LeakyReLU):
        if rectifier == "none":
            return [signal]
        slope = step.negative_slope if rectifier == "leaky" else 0.0
        return [tf.nn.leaky_relu(signal, slope)]
    if isinstance(step, layers.Concatenate):
        return tf.split(signal, [part.shape[-1] for part in maps], axis=-1)
    raise ValueError(
        f"layer {step.name!r} ({type(step).__name__}) has no counterpart in the deconvolution "
        "network: start from a layer before it"
    )
