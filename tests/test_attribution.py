"""Importance by hand on small networks, exact on linear ones, and on a peak that decides."""

import numpy as np
import pytest

from fmcnn_utils import attribution
from fmcnn_utils.attribution import METHODS, attribute, centres, scores
from fmcnn_utils.deconv import deconvolve
from fmcnn_utils.model import FMCNNConfig, build, keras, tf
from fmcnn_utils.training import fit

layers = keras.layers

#: So many points that the last window of occlusion has to be moved to fit.
POINTS = 62
SMALL = {"n_points": POINTS, "kernel": 16, "stride": 2, "n_classes": 3}
SMALL |= {"filters": 4, "squeeze": 3, "expand1": 2, "expand3": 5}


def network(slope, pool=4, dense=0):
    """FMCNN with all weights random; linear for slope 1 and pool 1."""
    model = build(FMCNNConfig(**SMALL, pool=pool, dense=dense), seed=1)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.5, w.shape) for w in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, layers.LeakyReLU):
            layer.negative_slope = slope
    return model


@pytest.fixture(scope="module")
def linear():
    return network(slope=1.0, pool=1)


@pytest.fixture(scope="module")
def fmcnn():
    return network(slope=0.2)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(1).uniform(size=(5, POINTS)).astype(np.float32)


def contributions(model, x, label):
    """What each point alone adds to the score of an empty spectrum."""
    alone = np.diag(x)
    labels = np.full(len(x), label)
    return scores(model, alone, labels) - scores(model, 0 * alone, labels)


@pytest.mark.parametrize("method", ["gradient × input", "integrated gradients", "occlusion"])
def test_exact_on_a_linear_network(linear, X, method, monkeypatch):
    monkeypatch.setattr(attribution, "WIDTH", 1)
    monkeypatch.setattr(attribution, "STEP", 1)
    classes = np.array([0, 1, 2, 1, 0])
    expected = [contributions(linear, x, c) for x, c in zip(X, classes, strict=True)]
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(attribute(method, linear, X, classes), expected, atol=2e-5)


def test_gradient_is_the_size_of_the_slope(linear, X):
    slope = contributions(linear, np.ones(POINTS), 2)
    assert slope.min() < 0
    found = attribute("gradient", linear, X, np.full(5, 2))
    np.testing.assert_allclose(found, np.tile(abs(slope), (5, 1)), atol=2e-5)


def test_occlusion_is_the_mean_over_the_windows_that_cover_a_point(linear, X):
    share = contributions(linear, X[0], 1)
    total, covered = np.zeros(POINTS), np.zeros(POINTS)
    for start in [*range(0, 45, 4), 46]:  # 16 points wide; 48 would reach beyond the axis
        total[start : start + 16] += share[start : start + 16].sum()
        covered[start : start + 16] += 1
    found = attribute("occlusion", linear, X[:1], np.array([1]))[0]
    np.testing.assert_allclose(found, total / covered, rtol=1e-4)


def test_integrated_gradients_add_up_to_the_score(fmcnn, X):
    classes = np.array([0, 1, 2, 1, 0])
    rise = scores(fmcnn, X, classes) - scores(fmcnn, 0 * X, classes)
    found = attribute("integrated gradients", fmcnn, X, classes)
    assert np.abs(rise).min() > 0.1
    np.testing.assert_allclose(found.sum(axis=1), rise, rtol=0.01)
    simple = attribute("gradient × input", fmcnn, X, classes)
    assert np.abs(simple.sum(axis=1) - rise).max() > 0.05  # it is the path that makes it so


def test_grad_cam_by_hand():
    start = keras.Input((6, 1))
    x = layers.Conv1D(2, 2, name="conv")(start)
    x = layers.MaxPooling1D(2, name="pool")(x)
    out = layers.Dense(2, activation="softmax", name="softmax")(layers.Flatten()(x))
    model = keras.Model(start, out)
    model.get_layer("conv").set_weights([np.array([[[1.0, 1.0]], [[1.0, -1.0]]]), np.zeros(2)])
    to_classes = np.array([[1.0, -1.0], [2.0, -2.0], [3.0, -1.0], [4.0, -2.0]])
    model.get_layer("softmax").set_weights([to_classes, np.zeros(2)])
    x = np.array([[0.0, 1.0, 3.0, 1.0, 0.0, 0.0]] * 2)
    # maps of the convolution: 1 4 4 1 0 and −1 −2 2 1 0; of the pool: 4 4 and −1 2.
    # Class 0: mean gradients 2 and 3, so 2·4 − 3·1 = 5 and 2·4 + 3·2 = 14, drawn at the points
    # 1 and 3, the middles of 0 … 2 and 2 … 4. Class 1: −2 and −8, of which nothing is left.
    found = attribute("Grad-CAM", model, x, np.array([0, 1]))
    np.testing.assert_allclose(found, [[5, 5, 9.5, 14, 14, 14], [0] * 6], atol=1e-5)


def test_centres_by_hand():
    at = centres(build(FMCNNConfig(kernel=16, stride=4, pool=4)), "pool")
    # the first window of the convolution is 0 … 15; four of them, 4 apart, make one of the pool
    assert at[[0, 1, -1]].tolist() == [7.5 + 6, 13.5 + 16, 13.5 + 16 * 83]
    assert len(at) == 84


@pytest.mark.parametrize("layer", ["conv", "squeeze", "expand3", "fire", "pool"])
def test_centres_are_the_middle_of_what_a_position_reacts_to(layer):
    model = network(slope=0.2)
    upto = keras.Model(model.input, model.get_layer(layer).output)
    x = tf.constant(np.random.default_rng(0).normal(size=(300, POINTS, 1)), tf.float32)
    position = 2  # none whose window reaches into the padding
    with tf.GradientTape() as tape:
        tape.watch(x)
        maps = upto(x, training=False)[:, position]
    reacts = np.flatnonzero(tape.gradient(maps, x).numpy().any(axis=(0, 2)))
    assert centres(model, layer)[position] == (reacts[0] + reacts[-1]) / 2


def bands(*positions):
    """Bands of 8 points' width, with some noise of their heights and of the baseline."""
    rng = np.random.default_rng(len(positions))
    shape = np.exp(-(((np.arange(120) - np.array(positions)[:, None]) / 4) ** 2))
    heights = rng.uniform(0.5, 1, (60, len(positions)))
    return (heights @ shape + rng.uniform(0, 0.05, (60, 120))).astype(np.float32)


@pytest.fixture(scope="module")
def one_deciding_band():
    """A trained network, and spectra whose class is told by the band at 40, or by that at 80."""
    X = np.concatenate([bands(20, 40, 100), bands(20, 80, 100)])
    y = np.repeat([0, 1], 60)
    config = FMCNNConfig(n_points=120, n_classes=2, learning_rate=0.01, batch=16)
    model, history = fit(config, X, y, epochs=6)
    assert history["accuracy"].iloc[-1] == 1
    return model, X, np.where(y == 0, 40, 80)


@pytest.mark.parametrize("method", ["gradient × input", "integrated gradients", "occlusion"])
def test_the_band_that_decides_matters_most(one_deciding_band, method):
    model, X, deciding = one_deciding_band
    found = attribute(method, model, X).argmax(axis=1)
    assert (abs(found - deciding) <= 8).mean() > 0.95


def test_the_spectrum_itself_does_not_know_which_band_decides(one_deciding_band):
    model, X, deciding = one_deciding_band
    found = attribute("spectrum", model, X).argmax(axis=1)
    assert (abs(found - deciding) <= 8).mean() < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_neither_the_batch_size_nor_the_neighbours_change_a_result(fmcnn, X, method):
    whole = attribute(method, fmcnn, X)
    assert whole.shape == X.shape
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, attribute(method, fmcnn, X))
    np.testing.assert_allclose(attribute(method, fmcnn, X, batch=2), whole, atol=1e-5)
    np.testing.assert_allclose(attribute(method, fmcnn, X[3:4]), whole[3:4], atol=1e-5)


def test_deconvolution_is_the_size_of_the_signal(fmcnn, X):
    for method, rectifier in {"deconvolution": "leaky", "deconvolution, ReLU": "relu"}.items():
        signal = deconvolve(fmcnn, X - 0.5, "conv", rectifier=rectifier)
        assert signal.min() < 0
        found = attribute(method, fmcnn, X - 0.5, layer="conv")
        np.testing.assert_array_equal(found, abs(signal))


def test_scores_are_what_goes_into_the_softmax():
    model = network(slope=0.2, dense=6)
    X = np.random.default_rng(2).uniform(size=(4, POINTS))
    every = np.stack([scores(model, X, np.full(4, c)) for c in range(3)], axis=1)
    expected = model.predict(X[..., None], verbose=0)
    np.testing.assert_allclose(tf.nn.softmax(every).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(scores(model, X), every.max(axis=1))  # of the predicted class


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "guess"}, "'guess' is not one of deconvolution, "),
        ({"method": "Grad-CAM", "layer": "pol"}, "'pol' is not in the model"),
        ({"method": "Grad-CAM", "layer": "flatten"}, "'flatten' has no maps"),
        ({"method": "deconvolution", "layer": "flatten"}, "no counterpart"),
        ({"X": np.zeros((2, 61))}, r"shape \(2, 61\): give \(spectra, 62\)"),
        ({"X": np.zeros((0, POINTS))}, "at least one"),
        ({"X": np.full((1, POINTS), np.nan)}, "not finite"),
        ({"classes": [0]}, "one whole number for each of the 2"),
        ({"classes": [0.0, 1.0]}, "one whole number"),
        ({"method": "deconvolution", "classes": [0, 3]}, "run from 0 to 3"),
        ({"classes": [0, 3]}, "run from 0 to 3: the network knows 0 to 2"),
    ],
)
def test_refusals(fmcnn, change, message):
    arguments = {"method": "gradient", "X": np.zeros((2, POINTS)), **change}
    with pytest.raises(ValueError, match=message):
        attribute(arguments.pop("method"), fmcnn, arguments.pop("X"), **arguments)


def test_refuses_a_network_without_a_softmax(fmcnn):
    with pytest.raises(ValueError, match="ends in 'pool'"):
        scores(keras.Model(fmcnn.input, fmcnn.get_layer("pool").output), np.zeros((1, POINTS)))
