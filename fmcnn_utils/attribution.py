"""How much each point of a spectrum matters to FMCNN, by eight methods.

What is explained is the score of one class *before* the softmax. A probability also rises when the
other classes' scores fall, so that its gradient mixes what speaks for this mineral with what speaks
against the others, and it vanishes where the network is certain; Simonyan, Vedaldi and Zisserman,
"Deep Inside Convolutional Networks" (2014), section 2, take the unnormalised score for the first
reason, and Selvaraju et al., "Grad-CAM" (2017), section 3, do so too.

========================  ========================================================================
method                    importance of a point
========================  ========================================================================
deconvolution             size of the signal that comes back from a layer, see ``deconv``: it asks
                          what the layer holds, and is the same for every class
deconvolution, ReLU       the same with Zeiler and Fergus's ReLU on the way back
gradient                  size of ∂score/∂x (saliency; Simonyan et al.)
gradient × input          x · ∂score/∂x; signed
integrated gradients      x · mean of ∂score/∂x on the way from the empty spectrum, 0, to x;
                          signed (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
                          Networks", 2017)
Grad-CAM                  maps of a layer, weighted by their mean gradients; of the sum, the
                          positive part (Selvaraju et al.)
occlusion                 fall of the score when a window around the point is set to 0; signed
                          (Zeiler and Fergus, 2014)
spectrum                  x itself: the baseline that an explanation has to beat
========================  ========================================================================

0 stands for "no signal" throughout: it is the baseline of a normalised spectrum.

Grad-CAM gives a map one weight for the whole axis. That suits networks that average their maps at
the end; FMCNN's dense layer weighs every position by itself, and often nothing positive is left.

Xplique has most of these, but its environment is heavy and its Grad-CAM is made for images:
``benchmarks/xplique_agreement.py`` says more, and shows that the two agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .deconv import deconvolve
from .model import keras, tf

#: Equal steps of the path of integrated gradients. The gradient is taken in their middles, so never
#: for the empty spectrum, where all values in a pool's window are equal and it is arbitrary.
STEPS = 32
#: Width of the window of occlusion, about a band's, and how far it moves each time, in points.
WIDTH, STEP = 16, 4

_RECTIFIERS = {"deconvolution": "leaky", "deconvolution, ReLU": "relu"}


def attribute(
    method: str,
    model: keras.Model,
    X,
    classes=None,
    *,
    layer: str = "pool",
    batch: int = 256,
) -> np.ndarray:
    """The importance of each point of each spectrum for the score of its class.

    Args:
        method: one of ``METHODS``; the module's table says what each measures.
        model: an FMCNN.
        X: normalised intensities, (n, points).
        classes: number of the class to explain for each spectrum, (n,); by default the one that
            the network predicts.
        layer: where deconvolution and Grad-CAM start from.
        batch: spectra at a time.

    Returns:
        float32 (n, points); larger is more important.

    Raises:
        ValueError: for a method, layer or class that does not exist, for spectra that do not fit
            the network, or a network that does not end in a softmax.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    X, classes = _fitting(model, X, classes)
    if method == "spectrum":
        return X.copy()
    if method in _RECTIFIERS:
        return np.abs(deconvolve(model, X, layer, rectifier=_RECTIFIERS[method], batch=batch))
    explain = _grad_cam(model, layer) if method == "Grad-CAM" else _BY_SCORE[method](model)
    return _in_batches(explain, model, X, classes, batch)


def scores(model: keras.Model, X, classes=None, *, batch: int = 256) -> np.ndarray:
    """What is explained: the score of each spectrum's class before the softmax, float32 (n,).

    The arguments are those of ``attribute``, and so is what is raised.
    """
    return _in_batches(_score(model), model, *_fitting(model, X, classes), batch)


def centres(model: keras.Model, layer: str) -> np.ndarray:
    """The middle of the stretch of the axis that each position of a layer's maps looks at.

    From layer to layer, a window of ``size`` has its middle (size − 1) / 2 positions behind its
    first one, less what is padded in front of it, and moves by ``stride`` positions.

    Returns:
        In points of the axis, (positions,), equally spaced: with 1,360 points, a kernel of 16, a
        stride of 4 and a pool of 4, the pool's positions are at 13.5, 29.5, … 1341.5.

    Raises:
        ValueError: if the model has no such layer, or the layer has no maps.
    """
    names = [known.name for known in model.layers]
    if layer not in names:
        raise ValueError(f"layer {layer!r} is not in the model: it has {', '.join(names)}")
    maps = model.get_layer(layer).output.shape
    if len(maps) != 3:
        raise ValueError(f"layer {layer!r} has no maps along the axis: choose one before it")

    first_and_spacing = {id(model.input): (0.0, 1.0)}
    for step in model.layers[1 : names.index(layer) + 1]:
        source = step.input[0] if isinstance(step.input, list) else step.input
        first, spacing = first_and_spacing[id(source)]
        if isinstance(step, (keras.layers.Conv1D, keras.layers.MaxPooling1D)):
            is_pool = isinstance(step, keras.layers.MaxPooling1D)
            (size,) = step.pool_size if is_pool else step.kernel_size
            (stride,) = step.strides
            padded = max((step.output.shape[1] - 1) * stride + size - source.shape[1], 0)
            first += spacing * ((size - 1) / 2 - padded // 2)
            spacing *= stride
        first_and_spacing[id(step.output)] = first, spacing
    first, spacing = first_and_spacing[id(model.get_layer(layer).output)]
    return first + spacing * np.arange(maps[1])


def _logit(model, features, classes):
    """The scores of ``classes``, from what goes into the last layer: no other class is computed."""
    last = model.layers[-1]
    weights = tf.gather(tf.transpose(last.kernel), classes)
    return tf.reduce_sum(features * weights, axis=1) + tf.gather(last.bias, classes)


def _score(model) -> Callable:
    network = keras.Model(model.input, model.layers[-1].input)
    return lambda x, classes: _logit(model, network(x[..., None], training=False), classes)


def _gradient(model) -> Callable:
    score = _score(model)

    def gradient(x, classes):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = score(x, classes)
        return tape.gradient(value, x)

    return gradient


def _saliency(model) -> Callable:
    gradient = _gradient(model)
    return lambda x, classes: abs(gradient(x, classes))


def _gradient_times_input(model) -> Callable:
    gradient = _gradient(model)
    return lambda x, classes: x * gradient(x, classes)


def _integrated_gradients(model) -> Callable:
    gradient = tf.function(_gradient(model))
    path = tf.constant((np.arange(STEPS) + 0.5) / STEPS, tf.float32)
    return lambda x, classes: x * sum(gradient(part * x, classes) for part in path) / STEPS


def _grad_cam(model, layer) -> Callable:
    """Drawn on the axis by straight lines between the positions' ``centres``, constant beyond.

    Grad-CAM's usual code resizes the map to the whole input as if it were an image. Without
    padding a map covers less than the axis, so that resizing draws the first position of the pool
    in the example of ``centres`` 6 points too low and the last one 10 too high: a band's width.
    """
    at = centres(model, layer)
    to_axis = tf.constant(
        [np.interp(np.arange(model.input.shape[1]), at, one) for one in np.eye(len(at))],
        dtype=tf.float32,
    )
    network = keras.Model(model.input, [model.get_layer(layer).output, model.layers[-1].input])

    def grad_cam(x, classes):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            maps, features = network(x[..., None], training=False)
            value = _logit(model, features, classes)
        weights = tf.reduce_mean(tape.gradient(value, maps), axis=1, keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * maps, axis=2)) @ to_axis

    return grad_cam


def _occlusion(model) -> Callable:
    """Each point has the mean of the windows that cover it, so that both ends are as the rest."""
    score = tf.function(_score(model))
    points = model.input.shape[1]
    width = min(WIDTH, points)
    starts = np.minimum(np.arange(0, points - width + STEP, STEP), points - width)
    windows = (starts[:, None] <= np.arange(points)) & (np.arange(points) < starts[:, None] + width)
    hidden = tf.constant(windows, tf.float32)

    def occlusion(x, classes):
        whole = score(x, classes)
        falls = [whole - score(x * (1 - window), classes) for window in hidden]
        return tf.stack(falls, axis=1) @ (hidden / tf.reduce_sum(hidden, axis=0))

    return occlusion


_BY_SCORE = {
    "gradient": _saliency,
    "gradient × input": _gradient_times_input,
    "integrated gradients": _integrated_gradients,
    "occlusion": _occlusion,
}
METHODS = (
    *_RECTIFIERS,
    "gradient",
    "gradient × input",
    "integrated gradients",
    "Grad-CAM",
    "occlusion",
    "spectrum",
)


def _in_batches(explain, model, X, classes, batch) -> np.ndarray:
    if classes is None:
        classes = model.predict(X[..., None], batch_size=batch, verbose=0).argmax(axis=1)
    parts = [
        explain(tf.constant(X[i : i + batch]), tf.constant(classes[i : i + batch]))
        for i in range(0, len(X), batch)
    ]
    return np.concatenate(parts)


def _fitting(model, X, classes) -> tuple[np.ndarray, np.ndarray | None]:
    """``X`` and ``classes`` as arrays, if they fit the network."""
    last = model.layers[-1]
    is_dense = isinstance(last, keras.layers.Dense)
    if not is_dense or last.activation is not keras.activations.softmax:
        raise ValueError(f"the network ends in {last.name!r}: give one with a dense softmax there")
    X = np.asarray(X, dtype=np.float32)
    points = model.input.shape[1]
    if X.ndim != 2 or X.shape[1] != points or not len(X):
        raise ValueError(f"X has shape {X.shape}: give (spectra, {points}), at least one spectrum")
    if not np.isfinite(X).all():
        raise ValueError("X holds values that are not finite numbers: clean it first")
    if classes is None:
        return X, None
    classes = np.asarray(classes)
    if classes.shape != (len(X),) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(
            f"classes has shape {classes.shape} and type {classes.dtype}: "
            f"give one whole number for each of the {len(X)} spectra"
        )
    if classes.min() < 0 or classes.max() >= last.units:
        raise ValueError(
            f"classes run from {classes.min()} to {classes.max()}: "
            f"the network knows 0 to {last.units - 1}"
        )
    return X, classes
