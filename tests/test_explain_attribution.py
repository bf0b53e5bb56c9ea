"""Importance by hand on small networks, exact on linear ones, and on a band that decides."""

import numpy as np
import pytest
from test_explain_deconvolution import classifier, random_fmcnn

from fmcnn_utils.explain import METHODS, attribute, centres, deconvolution
from fmcnn_utils.models import keras, tf

layers = keras.layers

#: So many points that the last window of occlusion reaches beyond the axis.
POINTS = 62


@pytest.fixture(scope="module")
def linear():
    return random_fmcnn(1.0, POINTS, stride=2, pool=1)


@pytest.fixture(scope="module")
def fmcnn():
    return random_fmcnn(0.2, POINTS, stride=2)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(1).uniform(size=(5, POINTS)).astype(np.float32)


def minerals(*numbers):
    return np.array([f"mineral {i}" for i in numbers])


def scores(network, X, names):
    """What is explained: the score of each spectrum's mineral before the softmax."""
    before, last = network.model_.layers[-1].input, network.model_.layers[-1]
    features = keras.Model(network.model_.input, before)(X[..., None])
    every = features.numpy() @ last.kernel.numpy() + last.bias.numpy()
    return every[np.arange(len(X)), np.searchsorted(network.classes_, names)]


def contributions(network, x, number):
    """What each point alone adds to the score of a spectrum of zeros."""
    alone, names = np.diag(x), minerals(*[number] * len(x))
    return scores(network, alone, names) - scores(network, 0 * alone, names)


@pytest.mark.parametrize("method", ["gradient × input", "integrated gradients"])
def test_exact_on_a_linear_network(linear, X, method):
    numbers = [0, 1, 2, 1, 0]
    expected = [contributions(linear, x, c) for x, c in zip(X, numbers, strict=True)]
    assert np.abs(expected).max() > 0.05
    found = attribute(method, linear, X, minerals(*numbers))
    np.testing.assert_allclose(found, expected, atol=5e-5)
    slope = attribute("gradient", linear, X, minerals(*numbers))
    np.testing.assert_allclose(X * slope, np.abs(expected), atol=5e-5)


def test_occlusion_is_the_mean_over_the_windows_that_cover_a_point(linear, X):
    share = contributions(linear, X[0], 1)
    total, covered = np.zeros(POINTS), np.zeros(POINTS)
    for start in range(0, 49, 4):  # 16 points wide, but for the last one
        total[start : start + 16] += share[start : start + 16].sum()
        covered[start : start + 16] += 1
    found = attribute("occlusion", linear, X[:1], minerals(1))[0]
    np.testing.assert_allclose(found, total / covered, rtol=1e-3)


def test_integrated_gradients_add_up_to_the_score(fmcnn, X):
    names = minerals(0, 1, 2, 1, 0)
    rise = scores(fmcnn, X, names) - scores(fmcnn, 0 * X, names)
    found = attribute("integrated gradients", fmcnn, X, names)
    assert np.abs(rise).min() > 0.1
    np.testing.assert_allclose(found.sum(axis=1), rise, rtol=0.01)
    simple = attribute("gradient × input", fmcnn, X, names)
    assert np.abs(simple.sum(axis=1) - rise).max() > 0.05  # it is the path that makes it so


def test_grad_cam_by_hand():
    start = keras.Input((6, 1))
    x = layers.Conv1D(2, 2, name="conv")(start)
    x = layers.MaxPooling1D(2, name="pool")(x)
    out = layers.Dense(2, activation="softmax", name="softmax")(layers.Flatten()(x))
    network = classifier(keras.Model(start, out), kernel=2, stride=1, pool=2)
    network.model_.get_layer("conv").set_weights(
        [np.array([[[1.0, 1.0]], [[1.0, -1.0]]]), np.zeros(2)]
    )
    to_classes = np.array([[1.0, -1.0], [2.0, -2.0], [3.0, -1.0], [4.0, -2.0]])
    network.model_.get_layer("softmax").set_weights([to_classes, np.zeros(2)])
    x = np.array([[0.0, 1.0, 3.0, 1.0, 0.0, 0.0]] * 2)
    # maps of the convolution: 1 4 4 1 0 and −1 −2 2 1 0; of the pool: 4 4 and −1 2.
    # Mineral 0: mean gradients 2 and 3, so 2·4 − 3·1 = 5 and 2·4 + 3·2 = 14, drawn at the points
    # 1 and 3, the middles of 0 … 2 and 2 … 4. Mineral 1: −2 and −8, of which nothing is left.
    found = attribute("Grad-CAM", network, x, minerals(0, 1))
    np.testing.assert_allclose(found, [[5, 5, 9.5, 14, 14, 14], [0] * 6], atol=1e-5)


@pytest.mark.parametrize("layer", ["conv", "squeeze", "expand3", "fire", "pool"])
def test_centres_are_the_middle_of_what_a_position_reacts_to(fmcnn, layer):
    upto = keras.Model(fmcnn.model_.input, fmcnn.model_.get_layer(layer).output)
    x = tf.constant(np.random.default_rng(0).normal(size=(300, POINTS, 1)), tf.float32)
    position = 2  # none whose window reaches into the padding
    with tf.GradientTape() as tape:
        tape.watch(x)
        maps = upto(x, training=False)[:, position]
    reacts = np.flatnonzero(tape.gradient(maps, x).numpy().any(axis=(0, 2)))
    assert centres(fmcnn, layer)[position] == (reacts[0] + reacts[-1]) / 2
    assert len(centres(fmcnn, layer)) == upto.output.shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_neither_the_batch_size_nor_the_neighbours_change_a_result(fmcnn, X, method, monkeypatch):
    whole = attribute(method, fmcnn, X)
    assert whole.shape == X.shape
    assert whole.dtype == np.float32
    tolerance = {"atol": 1e-5 * max(1, abs(whole).max())}
    np.testing.assert_allclose(attribute(method, fmcnn, X[3:4]), whole[3:4], **tolerance)
    monkeypatch.setattr(deconvolution, "BATCH", 2)
    np.testing.assert_allclose(attribute(method, fmcnn, X), whole, **tolerance)


def test_the_predicted_mineral_is_explained_unless_another_is_given(fmcnn, X):
    found = attribute("gradient", fmcnn, X)
    np.testing.assert_array_equal(found, attribute("gradient", fmcnn, X, fmcnn.predict(X)))
    another = np.roll(fmcnn.classes_, 1)[np.searchsorted(fmcnn.classes_, fmcnn.predict(X))]
    assert not np.allclose(found, attribute("gradient", fmcnn, X, another), rtol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "guess"}, "'guess' is not one of deconvolution, "),
        ({"minerals": ["mineral 0"]}, "numbers of samples: .5, 1."),
        ({"minerals": ["Quartz"] * 5}, "unseen labels.*Quartz"),
    ],
)
def test_wrong_arguments(fmcnn, X, change, message):
    with pytest.raises(ValueError, match=message):
        attribute(**{"method": "gradient", "classifier": fmcnn, "X": X} | change)
