import subprocess
import sys

import numpy as np
import pytest

from fmcnn_utils.config import map_length
from fmcnn_utils.model import FMCNNConfig, build, keras

SMALL = FMCNNConfig(n_points=60, n_classes=5, filters=4, kernel=5, squeeze=2, expand1=3, expand3=3)


def test_layers_stand_in_the_papers_order():
    names = [layer.name for layer in build(FMCNNConfig()).layers]
    order = ["spectrum", "conv", "conv_leaky", "batch_norm", "squeeze", "squeeze_leaky"]
    order += ["fire", "pool", "flatten", "softmax"]
    assert [name for name in names if name in order] == order


def test_default_network_has_the_documented_size():
    model = build(FMCNNConfig())
    assert model.input_shape == (None, 1360, 1)
    assert model.get_layer("pool").output.shape[1:] == (84, 16)
    assert model.count_params() == 281_653


def test_map_length_is_what_keras_computes():
    for kernel, stride in ((8, 2), (25, 1), (7, 4)):
        config = FMCNNConfig(kernel=kernel, stride=stride)
        assert build(config).get_layer("conv").output.shape[1] == map_length(config)


def test_optional_dense_layer():
    model = build(FMCNNConfig(n_points=60, n_classes=5, dense=7))
    assert model.get_layer("dense").output.shape == (None, 7)
    assert "dense_leaky" in [layer.name for layer in model.layers]


def test_seed_fixes_the_initial_weights():
    first, same, other = (build(SMALL, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_summary_save_and_predict_work(tmp_path, capsys, recwarn):
    model = build(SMALL, seed=1)
    X = np.random.default_rng(0).random((3, 60, 1), dtype=np.float32)
    model.summary()
    assert "expand3" in capsys.readouterr().out
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(model.predict(X, verbose=0), again.predict(X, verbose=0))
    assert np.allclose(model.predict(X, verbose=0).sum(axis=1), 1)
    assert not [w for w in recwarn if "optimizer" in str(w.message)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"filters": 0}, "filters=0: give a whole number of at least 1"),
        ({"batch": 2.5}, "batch=2.5: give a whole number"),
        ({"l2": -1}, "l2=-1: give a number with 0 ≤ l2 < 1"),
        ({"epsilon": 0}, "epsilon=0: give a number with 0 < epsilon < 1"),
        ({"normalisation": "max"}, "give one of none, minmax"),
        ({"monitor": "f1"}, "give one of loss, accuracy"),
        ({"kernel": 1360, "pool": 2}, "leave nothing of 1360 points"),
        ({"filter": 3}, "unknown setting filter: FMCNN knows n_points"),
    ],
)
def test_bad_values_get_one_sentence(bad, message):
    with pytest.raises(ValueError, match=message):
        FMCNNConfig.of(**bad)


def test_importing_and_building_is_silent_on_stderr():
    code = "from fmcnn_utils.model import *; build(FMCNNConfig())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""
