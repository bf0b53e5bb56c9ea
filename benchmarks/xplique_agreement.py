"""Whether ``fmcnn_utils.explain`` agrees with Xplique on the same network and spectra.

    python -m venv xplique-env
    xplique-env/bin/pip install xplique==2.0.2 "keras<3.13" "numpy<2.3" "pandas<3"
    xplique-env/bin/pip install joblib pooch threadpoolctl tqdm
    PYTHONPATH=. xplique-env/bin/python benchmarks/xplique_agreement.py

Xplique stays out of this project's own environment: it allows scikit-learn up to 1.7.2 and
TensorFlow up to 2.20, and on Linux it brings TensorFlow with CUDA, which makes that environment
7 GB large. And for spectra its Grad-CAM would have to be written anew all the same, see below.

A small FMCNN is trained on 30 minerals of the atlas for 8 epochs. Compared are, spectrum by
spectrum, Pearson's and Spearman's correlation (the median and the least) and the largest
difference, as a share of the largest importance in that spectrum (the median and the largest);
a spectrum whose explanation is 0 throughout, as Grad-CAM's may be, is left out. It takes about a
minute. With Xplique 2.0.2, Keras 3.12.4 and TensorFlow 2.20.0 the gradients are the same to the
last digit, and the rows called "alike", where the definitions have been made the same, differ by
less than 1e-5. The others show by how much the definitions differ:

- Integrated gradients: Xplique has the trapezoid rule and this project the midpoint rule, which
  leaves out the spectrum of zeros, where all values in a pool's window are equal and the gradient
  is a matter of which comes first. They have to meet as the steps get finer.
- Occlusion: Xplique adds up what the windows say that cover a point, this project takes their
  mean. "Alike" divides by the number of windows.
- Grad-CAM: Xplique averages the gradients over axes 1 and 2, which in a network on a 1-D axis are
  position *and* channel, and resizes the map as an image, which fails on one axis. So it gets the
  same network as an image one pixel wide. Its cubic resize stretches the maps over the whole axis;
  "alike" draws Xplique's map at the positions' ``centres``.
- Deconvolution: Xplique's replaces ReLU only, so that on an FMCNN, which has LeakyReLU, it is the
  plain gradient. It also starts from a score, not from maps. "Alike" is a network with ReLU in
  LeakyReLU's place and the score ½ Σ maps², whose gradient is the maps.
"""

import numpy as np
import pandas as pd
import xplique
from xplique.attributions import (
    DeconvNet,
    GradCAM,
    GradientInput,
    IntegratedGradients,
    Occlusion,
    Saliency,
)

from fmcnn_utils import data, models
from fmcnn_utils.explain import attribute, attribution, centres, deconvolve
from fmcnn_utils.models import keras, tf

layers = keras.layers


def trained(n_minerals=30, epochs=8):
    """A classifier, and raw counts of one spectrum of each of its minerals."""
    spectra = data.paper_rule(data.load("atlas"))
    spectra = spectra.take(np.isin(spectra.minerals, np.unique(spectra.minerals)[:n_minerals]))
    y = spectra.minerals.astype(str)
    classifier = models.FMCNNClassifier(epochs=epochs, random_state=0).fit(spectra.X, y)
    accuracy = classifier.score(spectra.X, y)
    print(f"{len(y)} spectra of {n_minerals} minerals: accuracy {accuracy:.3f}")
    return classifier, spectra.X[np.unique(y, return_index=True)[1]]


def without_softmax(model):
    """The network that ends in the scores, as Xplique wants it."""
    last = model.layers[-1]
    score = layers.Dense(last.units, name="score")
    network = keras.Model(model.input, score(last.input))
    score.set_weights(last.get_weights())
    return network


def as_image(model):
    """The same network without softmax, for images of points × 1 pixels."""
    pairs, last = {id(model.input): keras.Input((*model.input.shape[1:], 1))}, model.layers[-1]
    start = pairs[id(model.input)]
    for layer in model.layers[1:]:
        if isinstance(layer, layers.Conv1D):
            twin = layers.Conv2D(
                layer.filters,
                (*layer.kernel_size, 1),
                (*layer.strides, 1),
                padding=layer.padding,
                name=layer.name,
            )
        elif isinstance(layer, layers.MaxPooling1D):
            twin = layers.MaxPooling2D((*layer.pool_size, 1), name=layer.name)
        elif layer is last:
            twin = layers.Dense(last.units, name="score")
        else:
            twin = type(layer).from_config(layer.get_config())
        inputs = layer.input
        many = isinstance(inputs, list)
        x = twin([pairs[id(one)] for one in inputs] if many else pairs[id(inputs)])
        weights = layer.get_weights()
        if isinstance(layer, layers.Conv1D):
            weights[0] = weights[0][:, None]
        twin.set_weights(weights)
        pairs[id(layer.output)] = x
    return keras.Model(start, pairs[id(last.output)])


def up_to_pool(model):
    """The network without what follows its pool, and ReLU in place of LeakyReLU of slope 0."""

    def relu(layer):
        if isinstance(layer, layers.LeakyReLU):
            return layers.ReLU(name=layer.name)
        return type(layer).from_config(layer.get_config())

    part = keras.Model(model.input, model.get_layer("pool").output)
    copy = keras.models.clone_model(part, clone_function=relu)
    copy.set_weights(part.get_weights())
    return copy


def half_square(network, x, _):
    """A score whose gradient with respect to the maps is the maps."""
    return tf.reduce_sum(network(x) ** 2, axis=(1, 2)) / 2


def xplique_cam(image_network, x, targets):
    """Xplique's Grad-CAM of the pool before it is resized."""
    cam = GradCAM(image_network, conv_layer="pool")
    maps, gradients = cam._gradient(tf.constant(x), tf.constant(targets))
    return cam._apply_weights(cam._compute_weights(gradients, maps), maps).numpy()[..., 0]


def agreement(ours, theirs):
    """How far two explanations of each spectrum agree: a row of the table."""
    theirs = np.reshape(theirs, ours.shape)
    some = ours.any(axis=1) & theirs.any(axis=1)
    pairs = [(pd.Series(a), pd.Series(b)) for a, b in zip(ours[some], theirs[some], strict=True)]
    row = {"spectra": len(pairs)}
    for name in ("pearson", "spearman"):
        values = [a.corr(b, method=name) for a, b in pairs]
        row |= {name: np.median(values), f"least {name}": np.min(values)}
    apart = [(a - b).abs().max() / b.abs().max() for a, b in pairs]
    return row | {"difference": np.median(apart), "largest": np.max(apart)}


def main():
    classifier, X = trained()
    model, signal = classifier.model_, classifier.as_input(X)
    predicted = classifier.predict_proba(X).argmax(axis=1)
    targets = np.eye(len(classifier.classes_), dtype=np.float32)[predicted]
    scores, image = without_softmax(model), as_image(model)
    picture = signal[..., None]

    def ours(method):
        return attribute(method, classifier, X)

    rows = {
        "gradient": (ours("gradient"), Saliency(scores)(signal, targets)),
        "gradient × input": (ours("gradient × input"), GradientInput(scores)(signal, targets)),
    }
    for steps in (attribution.STEPS, 1024):
        attribution.STEPS = steps
        theirs = IntegratedGradients(scores, steps=steps + 1, batch_size=steps + 1)
        rows[f"integrated gradients, {steps} steps"] = (
            ours("integrated gradients"),
            theirs(signal, targets),
        )

    width, step = attribution.WIDTH, attribution.STEP
    starts = np.arange(0, X.shape[1] - width + 1, step)
    windows = [np.isin(np.arange(X.shape[1]), np.arange(start, start + width)) for start in starts]
    occlusion = Occlusion(
        scores,
        batch_size=len(windows),
        patch_size=(width, 1),
        patch_stride=(step, 1),
        occlusion_value=0.0,
    )
    summed = np.asarray(occlusion(signal, targets))[..., 0]
    rows["occlusion, sum and mean"] = ours("occlusion"), summed
    rows["occlusion, alike"] = ours("occlusion"), summed / np.sum(windows, axis=0)

    resized = GradCAM(image, conv_layer="pool")(picture, targets)
    points, at = np.arange(X.shape[1]), centres(classifier, "pool")
    drawn = [np.interp(points, at, cam) for cam in xplique_cam(image, picture, targets)]
    rows["Grad-CAM, resized and drawn"] = ours("Grad-CAM"), resized
    rows["Grad-CAM, alike"] = ours("Grad-CAM"), np.array(drawn)

    relu = abs(deconvolve(classifier, X, "pool", rectifier="relu"))
    deconvnet = DeconvNet(scores)(signal, targets)
    rows["deconvolution, from a score and from maps"] = relu, abs(deconvnet)
    rows["the gradient and Xplique's deconvolution"] = ours("gradient"), abs(deconvnet)
    for layer in model.layers:  # the last comparison: a network with ReLU
        if isinstance(layer, layers.LeakyReLU):
            layer.negative_slope = 0.0
    rows["deconvolution, alike"] = (
        deconvolve(classifier, X, "pool", rectifier="relu"),
        DeconvNet(up_to_pool(model), operator=half_square)(signal, targets),
    )

    print(f"Xplique {xplique.__version__}, Keras {keras.__version__}, TensorFlow {tf.__version__}")
    table = pd.DataFrame({name: agreement(*pair) for name, pair in rows.items()}).T
    print(table.astype({"spectra": int}).to_string(float_format="{:.6g}".format))


if __name__ == "__main__":
    main()
