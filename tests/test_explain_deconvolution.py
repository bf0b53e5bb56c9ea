"""The deconvolution network, by hand on small networks and against the transposed Jacobian."""

import numpy as np
import pytest

from fmcnn_utils import explain, models
from fmcnn_utils.models import keras, tf

layers = keras.layers


def classifier(model, **settings):
    """A Keras model from intensities to probabilities, as a fitted FMCNN without scaling."""
    fitted = models.FMCNNClassifier(normalisation="none", **settings)
    fitted.model_, fitted.n_features_in_ = model, model.input.shape[1]
    fitted.classes_ = np.array([f"mineral {i}" for i in range(model.output.shape[-1])])
    return fitted


def small(*steps, points):
    start = x = keras.Input((points, 1))
    for step in steps:
        x = step(x)
    return classifier(keras.Model(start, x))


def random_fmcnn(slope, points=60, **settings):
    """An FMCNN with all weights random; linear for slope 1 (LeakyReLU is then the identity)."""
    settings = {"filters": 4, "squeeze": 3, "expand1": 2, "expand3": 5} | settings
    model = models.build(models.FMCNNClassifier(**settings), points, 3, seed=1)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.5, w.shape) for w in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, layers.LeakyReLU):
            layer.negative_slope = slope
    return classifier(model, **settings)


def test_unpooling_by_hand():
    network = small(layers.MaxPooling1D(3, name="pool"), points=7)
    back = explain.deconvolve(network, [[1.0, 3, 2, 5, 4, 9, 7]])
    assert back.tolist() == [[0, 3, 0, 0, 0, 9, 0]]  # the 7 is beyond the last whole window


def test_one_convolution_and_a_pool_by_hand():
    network = small(layers.Conv1D(1, 2, name="conv"), layers.MaxPooling1D(2, name="pool"), points=5)
    network.model_.get_layer("conv").set_weights([np.array([[[1.0]], [[2.0]]]), np.array([0.0])])
    x = np.array([[0.0, 1.0, 3.0, 1.0, 0.0]])
    # convolution: 0+2·1, 1+2·3, 3+2·1, 1+2·0 = 2, 7, 5, 1; pool keeps 7 and 5 at places 1 and 2;
    # back: 7·(1, 2) from place 1 and 5·(1, 2) from place 2
    assert explain.deconvolve(network, x).tolist() == [[0.0, 7.0, 14.0 + 5.0, 10.0, 0.0]]


def test_rectifiers_by_hand():
    network = small(layers.Conv1D(1, 1, name="conv"), layers.LeakyReLU(0.2, name="leaky"), points=2)
    network.model_.get_layer("conv").set_weights([np.array([[[1.0]]]), np.array([0.0])])
    x = np.array([[1.0, -1.0]])  # forwards: 1, −0.2
    for rectifier, expected in {"none": -0.2, "leaky": -0.04, "relu": 0.0}.items():
        back = explain.deconvolve(network, x, "leaky", rectifier=rectifier)
        assert back[0] == pytest.approx([1.0, expected])


@pytest.mark.parametrize("layer", ["conv", "squeeze", "expand1", "expand3", "fire", "pool"])
def test_linear_network_gives_the_transposed_jacobian(layer):
    network = random_fmcnn(slope=1.0)
    x = np.random.default_rng(1).normal(size=(5, 60)).astype(np.float32)
    upto = keras.Model(network.model_.input, network.model_.get_layer(layer).output)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x[..., None])
        tape.watch(inputs)
        maps = upto(inputs, training=False)
    transposed_jacobian = tape.gradient(maps, inputs, output_gradients=maps)[..., 0].numpy()
    back = explain.deconvolve(network, x, layer)
    assert np.abs(transposed_jacobian).max() > 0.1
    np.testing.assert_allclose(back, transposed_jacobian, atol=1e-5, rtol=1e-5)


def test_channels_add_up_without_a_rectifier():
    network, x = random_fmcnn(slope=0.2), np.random.default_rng(2).normal(size=(3, 60))
    single = [explain.deconvolve(network, x, channel=c, rectifier="none") for c in range(7)]
    whole = explain.deconvolve(network, x, "pool", rectifier="none")
    np.testing.assert_allclose(sum(single), whole, rtol=1e-4, atol=1e-4)
    leaky = explain.deconvolve(network, x - 10)
    assert np.abs(leaky - explain.deconvolve(network, x - 10, rectifier="none")).max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rectifier": "elu"}, "'elu' is not one of leaky, relu, none"),
        ({"layer": "softmax"}, "has no counterpart"),
        ({"X": np.zeros((1, 61))}, "61"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        explain.deconvolve(random_fmcnn(0.2), **{"X": np.zeros((1, 60)), **arguments})
