"""The deconvolution network, by hand on small networks and against the transposed Jacobian."""

import numpy as np
import pytest

from fmcnn_utils import deconv
from fmcnn_utils.model import FMCNNConfig, build, keras, tf

layers = keras.layers


def small(*steps, points=8):
    start = x = keras.Input((points, 1))
    for step in steps:
        x = step(x)
    return keras.Model(start, x)


def test_switches_and_unpooling_by_hand():
    maps = tf.constant([[[1.0], [3.0], [2.0], [5.0], [4.0], [9.0], [7.0]]])
    pooled, position = deconv.switches(maps, 3)
    assert pooled.numpy()[0, :, 0].tolist() == [3, 9]  # the 7 is beyond the last whole window
    assert position.numpy()[0, :, 0].tolist() == [1, 2]
    back = deconv.unpool(pooled, position, 3, 7)
    assert back.numpy()[0, :, 0].tolist() == [0, 3, 0, 0, 0, 9, 0]


def test_one_convolution_and_a_pool_by_hand():
    model = small(layers.Conv1D(1, 2, name="conv"), layers.MaxPooling1D(2, name="pool"), points=5)
    model.get_layer("conv").set_weights([np.array([[[1.0]], [[2.0]]]), np.array([0.0])])
    x = np.array([[0.0, 1.0, 3.0, 1.0, 0.0]])
    # convolution: 0+2·1, 1+2·3, 3+2·1, 1+2·0 = 2, 7, 5, 1; pool keeps 7 and 5 at places 1 and 2;
    # back: 7·(1, 2) from place 1 and 5·(1, 2) from place 2
    assert deconv.deconvolve(model, x).tolist() == [[0.0, 7.0, 14.0 + 5.0, 10.0, 0.0]]


def test_rectifiers_by_hand():
    model = small(layers.Conv1D(1, 1, name="conv"), layers.LeakyReLU(0.2, name="leaky"), points=2)
    model.get_layer("conv").set_weights([np.array([[[1.0]]]), np.array([0.0])])
    x = np.array([[1.0, -1.0]])  # forwards: 1, −0.2
    for rectifier, expected in {"none": -0.2, "leaky": -0.04, "relu": 0.0}.items():
        back = deconv.deconvolve(model, x, "leaky", rectifier=rectifier)
        assert back[0] == pytest.approx([1.0, expected])


def fire_module(slope):
    """A network with all kinds of layer; linear for slope 1 (LeakyReLU is then the identity)."""
    config = FMCNNConfig(n_points=60, n_classes=3, filters=4, squeeze=3, expand1=2, expand3=5)
    model = build(config, seed=1)
    rng = np.random.default_rng(0)
    norm = model.get_layer("batch_norm")
    norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.get_weights()])
    for layer in model.layers:
        if isinstance(layer, layers.LeakyReLU):
            layer.negative_slope = slope
    return model


@pytest.mark.parametrize("layer", ["conv", "squeeze", "expand1", "expand3", "fire", "pool"])
def test_linear_network_gives_the_transposed_jacobian(layer):
    model = fire_module(slope=1.0)
    x = np.random.default_rng(1).normal(size=(5, 60)).astype(np.float32)
    upto = keras.Model(model.input, model.get_layer(layer).output)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x[..., None])
        tape.watch(inputs)
        maps = upto(inputs, training=False)
    transposed_jacobian = tape.gradient(maps, inputs, output_gradients=maps)[..., 0].numpy()
    back = deconv.deconvolve(model, x, layer, batch=2)
    assert np.abs(transposed_jacobian).max() > 0.1
    np.testing.assert_allclose(back, transposed_jacobian, atol=1e-5, rtol=1e-5)


def test_channels_add_up_without_a_rectifier():
    model = fire_module(slope=0.2)
    x = np.random.default_rng(2).normal(size=(3, 60))
    single = sum(deconv.deconvolve(model, x, "pool", channel=c, rectifier="none") for c in range(7))
    whole = deconv.deconvolve(model, x, "pool", rectifier="none")
    np.testing.assert_allclose(single, whole, atol=1e-4)
    leaky = deconv.deconvolve(model, x, "pool")
    assert np.abs(leaky - whole).max() > 0.01  # the rectifier matters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "pol"}, "'pol' is not in the model"),
        ({"channel": 7}, "channel 7 is not in 'pool'"),
        ({"rectifier": "elu"}, "'elu' is not one of leaky, relu, none"),
        ({"layer": "softmax"}, "has no counterpart"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        deconv.deconvolve(fire_module(0.2), np.zeros((1, 60)), **arguments)
