import numpy as np
import pytest

from fmcnn_utils.fastpath import FastPath
from fmcnn_utils.model import FMCNNConfig, build, keras, tf
from fmcnn_utils.training import best_epoch, fit, fit_fold

BASE = {"n_points": 100, "n_classes": 6, "filters": 4, "squeeze": 3, "expand1": 5, "l2": 1e-3}
QUICK = {"batch": 20, "bn_momentum": 0.9}  # enough steps for the moving statistics to follow

#: Shapes that matter to the fast path's layout: positions left over behind the last window or
#: none, taps that overlap or not, a pool of one, a hidden layer, batches of many chunks or one.
CONFIGS = [
    FMCNNConfig(**BASE, expand3=4, kernel=8, stride=2, pool=4, **QUICK),
    FMCNNConfig(**BASE, expand3=7, kernel=5, stride=1, pool=3, dense=9),
    FMCNNConfig(**BASE, expand3=4, kernel=4, stride=4, pool=1),
    FMCNNConfig(**BASE, expand3=1, kernel=3, stride=1, pool=98),
    FMCNNConfig(**BASE, expand3=4, kernel=11, stride=3, pool=2, batch=5, slope=0.0),
]
CONFIG = CONFIGS[0]


def spectra(n=60, seed=0, config=CONFIG):
    """Synthetic spectra: one band per class, at a position of its own, and noise."""
    random = np.random.default_rng(seed)
    y = random.integers(config.n_classes, size=n)
    centre = 10 + 80 * y / config.n_classes + random.normal(size=n)
    X = np.exp(-(((np.arange(config.n_points) - centre[:, None]) / 3) ** 2))
    return (X + 0.05 * random.normal(size=X.shape)).astype(np.float32), y


def prepared(config):
    """A Keras model with no weight left at its initial zero or one, and its fast twin."""
    model = build(config, seed=3)
    random = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(weight * random.uniform(0.8, 1.2, weight.shape))
        weight.assign(weight + 0.05 * random.uniform(-1, 1, weight.shape))
    return model, FastPath(config, {weight.path: weight.numpy() for weight in model.weights})


def assert_close(actual, expected, tolerance=1e-4):
    assert np.shape(actual) == np.shape(expected)
    error = np.abs(np.asarray(actual) - np.asarray(expected)).max()
    assert error <= tolerance * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("config", CONFIGS)
def test_same_outputs_as_the_keras_model(config):
    model, fast = prepared(config)
    X, _ = spectra(21)
    logits = fast.logits(X)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert_close(probabilities, model(X[..., None], training=False).numpy())


@pytest.mark.parametrize("config", CONFIGS)
def test_same_loss_gradients_and_moving_statistics(config):
    model, fast = prepared(config)
    X, y = spectra(21)
    with tf.GradientTape() as tape:
        probabilities = model(X[..., None], training=True)
        entropy = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, probabilities))
    expected = tape.gradient(entropy, [weight.value for weight in model.trainable_variables])

    loss, right = fast.backward(X, y)
    gradients = fast.gradients.to_keras()
    assert_close(loss, float(entropy))
    assert_close(fast.penalty(), float(tf.add_n(model.losses)))
    assert right == int((probabilities.numpy().argmax(axis=1) == y).sum())
    for weight, gradient in zip(model.trainable_variables, expected, strict=True):
        assert_close(gradients[weight.path], gradient.numpy())
    for name in ("batch_norm/moving_mean", "batch_norm/moving_variance"):
        keras_value = next(w.numpy() for w in model.weights if w.path == name)
        assert_close(fast.values()[name], keras_value)


@pytest.mark.parametrize("config", CONFIGS[:2])
def test_a_few_steps_give_the_weights_of_model_fit(config):
    model, fast = prepared(config)
    X, y = spectra(50)
    history = model.fit(X[..., None], y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    losses = []
    for _ in range(2):
        steps = [fast.train_batch(X[i : i + 20], y[i : i + 20])[0] for i in (0, 20, 40)]
        losses.append(np.average(steps, weights=[20, 20, 10]))
    assert_close(losses, history.history["loss"])
    values = fast.values()
    for weight in model.weights:  # a weight moves by up to learning_rate a step
        error = np.abs(values[weight.path] - weight.numpy()).max()
        assert error < 0.03 * config.learning_rate, weight.path


def test_weights_survive_the_way_to_the_fast_path_and_back():
    for config in CONFIGS:
        model, fast = prepared(config)
        values = fast.values()
        assert set(values) == {weight.path for weight in model.weights}
        assert all(np.array_equal(values[w.path], w.numpy()) for w in model.weights)


def test_it_learns_and_returns_a_keras_model_with_the_trained_weights():
    X, y = spectra(200)
    X_stop, y_stop = spectra(60, seed=1)
    seen = []
    model, history = fit(
        CONFIG, X, y, X_stop=X_stop, y_stop=y_stop, epochs=15, seed=1, progress=seen.append
    )
    assert list(history) == ["epoch", "loss", "accuracy", "stop_loss", "stop_accuracy"]
    assert [row["epoch"] for row in seen] == list(history["epoch"])
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    loss, accuracy = model.evaluate(X_stop[..., None], y_stop, verbose=0)
    best = history.set_index("epoch").loc[best_epoch(history, "loss")]
    assert accuracy >= 0.9
    assert_close([loss, accuracy], [best["stop_loss"], best["stop_accuracy"]])


def test_same_seed_same_bits_other_seed_other_weights():
    X, y = spectra()
    runs = [fit(CONFIG, X, y, epochs=2, seed=seed)[0].get_weights() for seed in (5, 5, 6)]
    assert all(np.array_equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not np.array_equal(runs[0][0], runs[2][0])


def test_early_stopping_waits_for_patience_and_goes_back():
    X, y = spectra()
    X_stop, y_stop = spectra(30, seed=1)
    wrong = (y_stop + 1) % CONFIG.n_classes  # the better the fit, the worse on these
    model, history = fit(CONFIG, X, y, X_stop=X_stop, y_stop=wrong, epochs=60, patience=3, seed=1)
    best = best_epoch(history, "loss")
    assert len(history) == best + 3 < 60
    again, _ = fit(CONFIG, X, y, epochs=best, seed=1)
    assert all(
        np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True)
    )


def test_refit_trains_on_the_whole_fold_for_the_chosen_epochs():
    X, y = spectra(120)
    config = FMCNNConfig(**BASE, **QUICK, epochs=6, patience=2)
    trained = fit_fold(config, X, y, watch=(X, y), seed=2)
    assert trained.epochs == best_epoch(trained.history, "loss") == len(trained.refit_history)
    assert "watch_accuracy" in trained.refit_history
    same, _ = fit(config, X, y, epochs=trained.epochs, seed=2)
    assert np.array_equal(same.get_weights()[0], trained.model.get_weights()[0])
    assert fit_fold(FMCNNConfig(**BASE, epochs=2, refit=False), X, y).refit_history is None


def test_bad_data_get_one_sentence():
    X, y = spectra()
    with pytest.raises(ValueError, match=r"X has shape \(60, 50\): give \(spectra, 100\)"):
        fit(CONFIG, X[:, :50], y)
    with pytest.raises(ValueError, match="X has 60 spectra: give one class number for each"):
        fit(CONFIG, X, y[:-1])
    with pytest.raises(ValueError, match="n_classes=6 allows 0 to 5"):
        fit(CONFIG, X, y + 1)
    with pytest.raises(ValueError, match="not finite"):
        fit(CONFIG, np.full_like(X, np.nan), y)
