"""FMCNN as a Keras model and as a scikit-learn estimator, the baselines, the kept network."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_protocol import few_spectra

from fmcnn_utils import data, models, results
from fmcnn_utils.models import FMCNNClassifier, baseline
from fmcnn_utils.models.robust import augment
from scripts import pretrained

TINY = {"filters": 4, "kernel": 5, "stride": 3, "squeeze": 2, "expand1": 3, "expand3": 3}
TINY |= {"batch_size": 10, "bn_momentum": 0.8, "epochs": 6, "patience": 2, "learning_rate": 0.01}


def bands(n=60, n_minerals=4, points=80, seed=0):
    """Raw counts with a band at a place that is the mineral's own, and the minerals."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_minerals
    centre = 10 + (points - 20) * y / n_minerals + random.normal(size=n)
    X = 1000 * np.exp(-(((np.arange(points) - centre[:, None]) / 3) ** 2))
    X += 20 * random.random((n, points))
    return X.astype(np.float32), np.array(["Albite", "Beryl", "Calcite", "Diopside"])[y]


def same_weights(a, b) -> bool:
    pairs = zip(a.model_.get_weights(), b.model_.get_weights(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


# ---------------------------------------------------------------- the Keras model


def test_the_default_network_has_the_papers_order_and_the_documented_size():
    model = models.build(FMCNNClassifier(), 1360, 209)
    names = [layer.name for layer in model.layers]
    order = ["spectrum", "conv", "conv_leaky", "batch_norm", "squeeze", "squeeze_leaky"]
    order += ["fire", "pool", "flatten", "softmax"]
    assert [name for name in names if name in order] == order
    assert model.get_layer("pool").output.shape[1:] == (84, 16)
    assert model.count_params() == 281_653
    assert "dense_leaky" in [
        layer.name for layer in models.build(FMCNNClassifier(dense=7), 60, 5).layers
    ]


def test_training_takes_the_steps_of_model_fit():
    X, y = bands(50)
    number = np.unique(y, return_inverse=True)[1]
    settings = FMCNNClassifier(**TINY)
    ours, kerases = (models.build(settings, 80, 4, seed=3) for _ in range(2))
    history = models.train(ours, X[..., None] / 1000, number, batch_size=10, epochs=1, seed=5)
    order = np.random.default_rng(5).permutation(50)
    fitted = kerases.fit(
        X[order][..., None] / 1000, number[order], 10, epochs=1, shuffle=False, verbose=0
    )
    assert history["loss"][0] == pytest.approx(fitted.history["loss"][0], rel=1e-4)
    for a, b in zip(ours.get_weights(), kerases.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_nothing_is_said_on_stderr():
    code = "from fmcnn_utils import models as m; m.build(m.FMCNNClassifier(), 100, 5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""


# ---------------------------------------------------------------- the estimator

#: scikit-learn's checks have up to a handful of features and no spectra among them. A second
#: training would change nothing in them.
CHECKED = FMCNNClassifier(
    normalisation="none", filters=8, kernel=1, stride=1, pool=1, epochs=30, patience=30,
    learning_rate=0.05, l2=0.0, batch_size=16, refit=False, random_state=0,
)  # fmt: skip


@parametrize_with_checks([CHECKED])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_it_learns_clones_and_works_in_scikit_learns_tools():
    X, y = bands(120)
    network = FMCNNClassifier(**TINY, random_state=0)
    piped = make_pipeline(FunctionTransformer(), network)
    assert cross_val_score(piped, X, y, cv=2, n_jobs=2).mean() > 0.9
    search = GridSearchCV(network, {"squeeze": [1, 2]}, cv=2, refit=False).fit(X, y)
    assert search.best_score_ > 0.8
    assert clone(network).get_params() == network.get_params()


def test_the_same_seed_gives_the_same_weights_and_a_pickled_network_predicts_the_same():
    import pickle

    X, y = bands()
    one, two, other = (FMCNNClassifier(**TINY, random_state=s).fit(X, y) for s in (1, 1, 2))
    assert same_weights(one, two)
    assert not same_weights(one, other)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))


def test_early_stopping_waits_for_patience_and_takes_the_best_epoch():
    X, y = bands()
    settings = TINY | {"epochs": 60, "patience": 3, "learning_rate": 0.1}
    stopped = FMCNNClassifier(**settings, refit=False, random_state=1).fit(X, y)
    history = stopped.validation_history_
    assert stopped.n_epochs_ == history["epoch"][history["val_loss"].idxmin()]
    assert len(history) == min(stopped.n_epochs_ + 3, 60)
    refitted = FMCNNClassifier(**settings, random_state=1).fit(X, y)
    assert len(refitted.history_) == refitted.n_epochs_ == stopped.n_epochs_


def test_a_callback_notes_the_test_accuracy_and_changes_nothing():
    X, y = bands()
    X_test, y_test = bands(30, seed=1)
    y_test[0] = "Quartz"  # that no network here knows
    noted = FMCNNClassifier(**TINY, random_state=0)
    noted.fit(X, y, callbacks=[models.TestAccuracy(X_test, y_test)])
    assert noted.history_["test_accuracy"].iloc[-1] == np.mean(noted.predict(X_test) == y_test)
    assert same_weights(noted, FMCNNClassifier(**TINY, random_state=0).fit(X, y))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"filters": 0}, "filters=0: give a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size=2.5: give a whole number"),
        ({"l2": -1}, "l2=-1: give a number with 0 ≤ l2 < 1"),
        ({"normalisation": "max"}, "give one of none, minmax"),
        ({"monitor": "f1"}, "give one of loss, accuracy"),
        ({"kernel": 80, "pool": 2}, "leave nothing of 80 points"),
    ],
)
def test_bad_settings_get_one_sentence(bad, message):
    with pytest.raises(ValueError, match=message):
        FMCNNClassifier(**TINY | bad).fit(*bands())


# ---------------------------------------------------------------- the baselines


@pytest.mark.parametrize("name", models.CLASSIFIERS)
def test_each_baseline_learns_from_raw_counts(name):
    X, y = bands(48)
    brightness = np.random.default_rng(0).uniform(0.01, 10, (48, 1))
    model = baseline(name).fit((X * brightness)[:24], y[:24])
    assert model.score((X * brightness)[24:], y[24:]) == 1.0


def test_the_papers_parameters_and_others_in_their_place():
    assert baseline("KNN")["classify"].n_neighbors == 1
    assert baseline("RF")["classify"].n_estimators == 500
    svm = baseline("SVM")["classify"]
    assert (svm.kernel, svm.C) == ("linear", 100)
    assert baseline("SVM", C=1)["classify"].C == 1
    for bad, message in (
        ({"name": "NB"}, "'NB' is not one of KNN, RF, SVM, LDA"),
        ({"name": "RF", "normalisation": "none"}, "'none' does not go with RF"),
        ({"name": "SVM", "cost": 1}, "Invalid parameter 'cost'"),
    ):
        with pytest.raises(ValueError, match=message):
            baseline(**bad)
    with pytest.raises(ValueError, match="'zscore' is not one of none, minmax, l2, sqrt"):
        baseline("KNN", "zscore").fit(*bands())


def test_rounding_leaves_its_levels_within_half_a_step():
    X, _ = bands()
    rounded = baseline("RF")["normalise"].fit_transform(X)
    assert set(np.unique(rounded)) <= set(range(32))
    assert np.abs(rounded / 31 - data.normalise(X, "sqrt")).max() <= 0.5 / 31 + 1e-6


# ---------------------------------------------------------------- the kept network

SMALL = {"filters": 4, "squeeze": 2, "expand1": 4, "expand3": 4, "pool": 16, "epochs": 2}


def test_made_and_loaded_it_predicts_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "TABLES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fmcnn\.keras is missing: `make pretrained DATA="):
        models.load_pretrained()
    spectra = few_spectra()
    pretrained.make(spectra, **SMALL, batch_size=16)
    kept = models.load_pretrained()
    assert kept.network.get_params()["filters"] == 4
    rows = kept.rows_held_out(spectra)
    table = kept.held_out.set_index("file").loc[spectra.meta["file"][rows]]
    assert kept.network.predict(spectra.X[rows]).tolist() == table["predicted"].tolist()
    assert kept.about["accuracy"] == pytest.approx((table["predicted"] == table["mineral"]).mean())
    assert {"epoch", "val_loss", "test_accuracy"} <= set(results.read("fmcnn_history"))
    with (tmp_path / "fmcnn.keras").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(results.UserError, match=r"is not the network that fmcnn\.json"):
        models.load_pretrained()


def test_every_mineral_has_a_spectrum_held_out_and_one_to_train_on():
    spectra = data.paper_rule(data.load("atlas"))
    cut = pretrained.split(spectra)
    assert len(np.intersect1d(cut.train, cut.test)) == 0
    assert len(cut.train) + len(cut.test) == len(spectra)
    for rows in (cut.train, cut.test):
        assert set(spectra.minerals[rows]) == set(spectra.minerals)


def test_the_committed_network_predicts_of_the_archive_what_its_table_says(real):
    kept, spectra = models.load_pretrained(), data.paper_rule(real)
    defaults = FMCNNClassifier(random_state=0).get_params()
    assert kept.network.get_params() == defaults
    assert kept.network.model_.output_shape == (None, 209)
    cut = pretrained.split(spectra)
    assert spectra.meta.loc[cut.test, "file"].tolist() == kept.held_out["file"].tolist()
    p = kept.network.predict_proba(spectra.X[cut.test])
    again = kept.network.classes_[p.argmax(axis=1)]
    assert again.tolist() == kept.held_out["predicted"].tolist()
    np.testing.assert_allclose(p.max(axis=1), kept.held_out["p"], atol=2e-3)


def test_network_and_library_together():
    random = np.random.default_rng(0)
    peaks = np.zeros((4, 1360))
    peaks[np.arange(4), [200, 500, 800, 1100]] = 1
    shapes = gaussian_filter1d(peaks + 0.3 * np.roll(peaks, 90, axis=1), 6, axis=1)
    number = np.repeat(np.arange(4), 12)
    X = shapes[number] * random.uniform(50, 900, (48, 1)) + random.uniform(0, 0.05, (48, 1360))
    y = np.array(["a", "b", "c", "d"])[number]
    model = clone(models.LibraryFMCNN(filters=8, epochs=12, random_state=1)).fit(X[::2], y[::2])
    p = model.predict_proba(X[1::2])
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (model.predict(X[1::2]) == y[1::2]).all()
    cut = X[1::2].copy()
    cut[:, :150] = 0  # not measured there: neither the peaks of a nor of others lie in it
    assert (model.predict(cut) == y[1::2]).mean() > 0.9
    with pytest.raises(ValueError, match="changes: 'colour' is not one of shift"):
        models.RobustFMCNN(changes=("colour",)).fit(X, y)
    assert len(augment(X, random, ())) == len(X)
