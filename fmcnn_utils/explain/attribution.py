"""How much each point of a spectrum matters to FMCNN, by seven methods.

What is explained is the score of one mineral *before* the softmax. A probability also rises when
the other minerals' scores fall, so that its gradient mixes what speaks for this mineral with what
speaks against the others, and it vanishes where the network is certain; Simonyan, Vedaldi and
Zisserman, "Deep Inside Convolutional Networks" (2014), section 2, take the unnormalised score for
the first reason, and Selvaraju et al., "Grad-CAM" (2017), section 3, do so too.

========================  ========================================================================
method                    importance of a point
========================  ========================================================================
deconvolution             size of the signal that comes back from a layer, see ``deconvolve``: it
                          asks what the layer holds, and is the same for every mineral
gradient                  size of ∂score/∂x (saliency; Simonyan et al.)
gradient × input          x · ∂score/∂x; signed
integrated gradients      x · mean of ∂score/∂x on the way from a spectrum of zeros to x;
                          signed (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
                          Networks", 2017)
Grad-CAM                  maps of a layer, weighted by their mean gradients; of the sum, the
                          positive part (Selvaraju et al.)
occlusion                 fall of the score when a window around the point is set to 0; signed
                          (Zeiler and Fergus, 2014)
spectrum                  x itself: the baseline that an explanation has to beat
========================  ========================================================================

x is the spectrum as the network sees it, normalised. 0 stands for "no signal" throughout: it is the
baseline of a normalised spectrum.

Grad-CAM gives a map one weight for the whole axis. That suits networks that average their maps at
the end; FMCNN's dense layer weighs every position by itself, and often nothing positive is left.

Xplique has most of these, but its environment is heavy and its Grad-CAM is made for images:
``benchmarks/xplique_agreement.py`` says more, and shows that the two agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_consistent_length

from .. import models  # models.tf and models.keras start TensorFlow when they are first used
from .deconvolution import deconvolve, in_batches

METHODS = (
    "deconvolution",
    "gradient",
    "gradient × input",
    "integrated gradients",
    "Grad-CAM",
    "occlusion",
    "spectrum",
)
#: Equal steps of the path of integrated gradients. The gradient is taken in their middles, so never
#: for a spectrum of zeros, where all values in a pool's window are equal and it is arbitrary.
STEPS = 32
#: Width of the window of occlusion, about a band's, and how far it moves each time, in points.
WIDTH, STEP = 16, 4


def attribute(
    method: str, classifier: models.FMCNNClassifier, X, minerals=None, *, layer: str = "pool"
) -> np.ndarray:
    """How important each point of each spectrum is for the score of a mineral: float32 (n, points).

    ``method`` is one of ``METHODS``, ``classifier`` a fitted FMCNN, ``X`` raw counts, (n, points);
    ``minerals``, (n,), by default the predicted ones. Deconvolution and Grad-CAM start from
    ``layer``. Points are those of ``classifier.as_input(X)``; larger is more important. ValueError
    for an unknown method, layer or mineral, or spectra that do not fit the network.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    x = classifier.as_input(X)[..., 0]
    if method == "spectrum":
        return x
    if method == "deconvolution":
        return np.abs(deconvolve(classifier, X, layer))
    minerals = classifier.predict(X) if minerals is None else minerals
    check_consistent_length(x, minerals)
    number = LabelEncoder().fit(classifier.classes_).transform(minerals)
    if method == "Grad-CAM":
        return _grad_cam(classifier, layer, x, number)
    if method == "occlusion":
        return _occlusion(classifier, x, number)
    if method == "integrated gradients":
        gradient = models.tf.function(_gradient(classifier))
        path = [(i + 0.5) / STEPS for i in range(STEPS)]
        return x * sum(in_batches(gradient, part * x, number) for part in path) / STEPS
    gradient = in_batches(_gradient(classifier), x, number)
    return np.abs(gradient) if method == "gradient" else x * gradient


def centres(classifier: models.FMCNNClassifier, layer: str) -> np.ndarray:
    """The middle of the stretch of the axis that each position of a layer's maps looks at.

    In points, (positions,): with 1,360 points, a kernel of 16, a stride of 4 and a pool of 4, the
    pool's are at 13.5, 29.5, … 1341.5. The first convolution has no padding, so its first window
    has its middle (kernel − 1) / 2 points from the start, and moves by ``stride``; the fire module
    keeps the positions; the pool's first window has its middle (pool − 1) / 2 positions further.
    """
    positions = classifier.model_.get_layer(layer).output.shape[1]
    first, spacing = (classifier.kernel - 1) / 2, classifier.stride
    if layer == "pool":
        first += spacing * (classifier.pool - 1) / 2
        spacing *= classifier.pool
    return first + spacing * np.arange(positions)


def _score(classifier, layer: str = "spectrum") -> Callable:
    """A function from normalised spectra (n, points) and class numbers (n,), tensors.

    It returns a layer's maps, and of the scores, (n,), only those of these classes.
    """
    model, tf = classifier.model_, models.tf
    last = model.layers[-1]
    network = models.keras.Model(model.input, [model.get_layer(layer).output, last.input])

    def score(x, number):
        maps, features = network(x[..., None], training=False)
        weights = tf.gather(tf.transpose(last.kernel), number)
        return maps, tf.reduce_sum(features * weights, axis=1) + tf.gather(last.bias, number)

    return score


def _gradient(classifier) -> Callable:
    """A function from the same to ∂score/∂x, (n, points)."""
    score = _score(classifier)

    def gradient(x, number):
        with models.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            _, value = score(x, number)
        return tape.gradient(value, x)

    return gradient


def _grad_cam(classifier, layer, x, number) -> np.ndarray:
    """Drawn on the axis by straight lines between the positions' ``centres``, constant beyond.

    Grad-CAM's usual code resizes the map to the whole input as if it were an image. Without
    padding a map covers less than the axis, so that resizing draws the first position of the pool
    in the example of ``centres`` 6 points too low and the last one 10 too high: a band's width.
    """
    score, tf = _score(classifier, layer), models.tf

    def on_positions(x, number):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            maps, value = score(x, number)
        weights = tf.reduce_mean(tape.gradient(value, maps), axis=1, keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * maps, axis=2))

    at, points = centres(classifier, layer), np.arange(x.shape[1])
    drawn = [np.interp(points, at, line) for line in in_batches(on_positions, x, number)]
    return np.array(drawn, dtype=np.float32)


def _occlusion(classifier, x, number) -> np.ndarray:
    """Each point has the mean of the windows that cover it, so that both ends are as the rest."""
    score, axis = models.tf.function(_score(classifier)), np.arange(x.shape[1])
    starts = np.arange(0, len(axis) - WIDTH + STEP, STEP)[:, None]
    windows = (starts <= axis) & (axis < starts + WIDTH)

    def scores(x):
        return in_batches(lambda *batch: score(*batch)[1], x, number)

    falls = scores(x)[:, None] - np.stack([scores(x * ~window) for window in windows], axis=1)
    return (falls @ (windows / windows.sum(axis=0))).astype(np.float32)
