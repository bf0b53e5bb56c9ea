"""The measures by hand, the inserted peak, the sanity checks, and a run on a few minerals."""

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import data, explain, models, results
from fmcnn_utils.explain import metrics
from scripts import explanations

SMALL = models.FMCNNClassifier(
    filters=6, expand1=6, expand3=6, batch_size=32, epochs=4, refit=False, random_state=0
)


def total(X):
    return X.sum(axis=1)


def on_regions(values):
    """An importance or spectrum with one value in each region."""
    return np.repeat(np.array(values, dtype=float), metrics.REGION, axis=1)


def test_ranking_by_hand():
    assert metrics.ranking(on_regions([[1, 9, 5]])).tolist() == [[2, 0, 1]]
    equal = metrics.ranking(np.zeros((200, 100))).mean(axis=0)
    assert equal == pytest.approx(np.full(5, 2.0), abs=0.4)  # not in the order of the axis


@pytest.mark.parametrize(
    ("importance", "deleted", "inserted"),
    [
        # The score is the sum of 0, 0, 1 and 3. The best order takes 3 away first:
        # 4, 1, 0, 0, 0, and puts it back first: 0, 3, 4, 4, 4. The worst is the other way round.
        ([0, 1, 2, 3], [4, 1, 0, 0, 0], [0, 3, 4, 4, 4]),
        ([3, 2, 1, 0], [4, 4, 4, 3, 0], [0, 0, 0, 1, 4]),
    ],
)
def test_deletion_and_insertion_by_hand(importance, deleted, inserted):
    X, importance = on_regions([[0, 0, 1, 3]]), on_regions([importance])
    for insert, expected in ((False, deleted), (True, inserted)):
        share, scores = metrics.curve(total, X / metrics.REGION, importance, insert=insert)
        assert share.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert scores == pytest.approx(np.array([expected]))


def test_what_takes_the_place_of_a_deleted_region():
    X = np.array([[1.0, 5, 5, 4], [1, 2, 3, 4]])
    kept = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    assert metrics.FILLS["zero-filled"](X, kept).tolist() == [[1, 0, 0, 4], [0, 0, 0, 0]]
    assert metrics.FILLS["interpolated"](X, kept).tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]


def test_precision_by_hand():
    importance = on_regions([range(20), range(20), range(20)])  # highlighted are the last two
    row, point = np.array([0, 0, 1, 1]), np.array([399, 10, 365, 380])
    found = explanations.precision(importance, row, point)
    assert found[:2].tolist() == [0.5, 1.0]
    assert np.isnan(found[2])  # no peaks


def test_rank_correlation():
    a = np.array([[1.0, -5, 2, 3]])
    assert metrics.rank_correlation(a, a) == pytest.approx([1])
    assert metrics.rank_correlation(a, -(a**3)) == pytest.approx([1])  # neither sign nor scale
    assert metrics.rank_correlation(a, 1 / a) == pytest.approx([-1])
    assert metrics.rank_correlation(a, 0 * a).tolist() == [0]
    assert np.isnan(metrics.rank_correlation(0 * a, a))  # nothing shown is not counted as changed


def test_importance_at_and_between_peaks_by_hand():
    row, point = np.array([0, 0, 1]), np.array([0, 5, 3])
    near = explanations.near_peaks(row, point, (2, 6), 1)
    assert near.astype(int).tolist() == [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0]]
    importance = np.array([[6.0] * 6 + [0] * 21 + [-1, 2], [4.0, *[0] * 28]])
    assert explanations.at_peaks(importance, row, point).tolist() == [6, 36 / 11, 4 / 9]
    assert explanations.between_peaks(importance, row, point).tolist() == [1 / 6, 0]


def test_distinctive_peaks_by_hand(monkeypatch):
    monkeypatch.setattr(explanations, "RIVALS", 1)
    y_train = np.array(["A", "B", "C", "C", "D"])
    X_train = np.array([[1.0, 0, 0], [0, 1, 0], [0.9, 0.1, 0], [0.9, 0.1, 0], [0, 0, 1]])
    present = np.zeros((5, 3), dtype=bool)
    present[[2, 3, 3], [1, 1, 2]] = True  # the rival, C, has a peak at point 1, and half a one at 2
    row, point, x = np.zeros(3, dtype=int), np.arange(3), np.array([[5.0, 1, 0]])
    found = explanations._distinctive(row, point, x, np.array(["A"]), X_train, y_train, present)
    assert found.tolist() == [True, False, False]


def test_preference_for_distinctive_peaks_of_equal_height():
    height, distinct = np.array([1.0, 1.09, 5, 1]), np.array([True, False, False, False])
    value = np.array([2.0, 1, 9, 2])  # beats one, ties one; the high one is left out
    found = explanations.preference(value, height, np.zeros(4, dtype=int), distinct, 2)
    assert found[0] == 0.75
    assert np.isnan(found[1])


def test_inserted_peaks_are_where_they_should_be_and_an_oracle_finds_them():
    flat = np.tile(np.linspace(0, 900, 1360), (60, 1))
    X, y, point = explain.insert_peaks(flat, seed=0, points_seed=3)
    places = np.unique(point)
    assert len(places) == len(np.unique(y)) == len(set(zip(y, point, strict=True)))
    assert (np.diff(places) >= 2 * metrics.REGION).all()
    added = X - np.linspace(0, 1, 1360)
    assert (np.abs(added.argmax(axis=1) - point) <= 1).all()
    assert metrics.hit_rate(added, point).all()
    assert not metrics.hit_rate(-added, point).any()
    assert set(explain.insert_peaks(flat, seed=1, points_seed=3)[2]) == set(places)


@pytest.fixture(scope="module")
def few():
    """All spectra of six minerals, rebuilt from the atlas."""
    spectra = data.load("atlas")
    common = pd.Series(spectra.minerals).value_counts().index[10:16]
    return spectra.take(np.isin(spectra.minerals, common))


@pytest.fixture(scope="module")
def trained(few):
    return SMALL.fit(few.X, few.minerals.astype(str))


def only(monkeypatch, *methods):
    """The others take long to start."""
    monkeypatch.setattr(explanations, "METHODS", methods)


def test_good_methods_find_the_inserted_peak(few, monkeypatch):
    only(monkeypatch, "occlusion", "gradient × input", "spectrum")
    order = np.random.default_rng(0).permutation(len(few))
    rows = explanations._inserted(SMALL, np.tile(few.X[order[60:]], (3, 1)), few.X[order[:60]], 0)
    found = {(method, test): np.mean(values) for method, test, _, values in rows}
    assert found["(control)", "accuracy on inserted peaks"] > 0.9
    assert found["occlusion", "inserted peak hit rate"] > 0.7
    assert found["gradient × input", "inserted peak hit rate"] > 0.9
    assert found["spectrum", "inserted peak hit rate"] < 0.5
    assert found["random", "inserted peak hit rate"] < 0.2


def test_a_new_softmax_cannot_change_the_deconvolution(few, trained, monkeypatch):
    only(monkeypatch, "deconvolution", "gradient", "spectrum")
    test = few.take(np.arange(8))
    maps = explanations._explanations(trained, test.X, test.minerals, 0)
    rows = explanations._reinitialised(trained, test, test.minerals, maps, seed=0)
    found = {(method, test): np.mean(values) for method, test, _, values in rows}
    assert found["deconvolution", "softmax re-initialised"] == pytest.approx(1)
    assert found["gradient", "softmax re-initialised"] < 0.9
    for stage in ("all layers", "the first convolution alone"):
        assert found["deconvolution", f"{stage} re-initialised"] < 0.9
        assert found["spectrum", f"{stage} re-initialised"] == pytest.approx(1)


def test_only_the_peak_that_the_network_uses_is_missed():
    layers, kernel = models.keras.layers, np.zeros((60, 2))
    network = models.FMCNNClassifier(normalisation="none")
    network.model_ = models.keras.Sequential(
        [layers.Input((60, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")]
    )
    kernel[10, 0] = 3.0
    network.model_.set_weights([kernel, np.zeros(2)])
    network.classes_ = np.array(["A", "B"])
    X, row, point = np.zeros((1, 60), dtype=np.float32), np.array([0, 0]), np.array([10, 40])
    X[0, point] = 1, 2
    lost = explanations._lost(network, X, np.array(["A"]), row, point, "zero-filled")
    # Without the peak at 10 both classes are as likely: log p falls from log σ(3) to log ½.
    assert lost == pytest.approx([np.log(2 / (1 + np.exp(-3))), 0], abs=1e-6)


def test_untrained_networks_differ_from_the_trained_one_and_repeat(few, trained):
    rows = np.arange(0, len(few), 9)
    table = explain.untrained(trained, few, rows, draws=2)
    assert len(table) == 3 * len(explain.LAYERS)
    by_draw = table.set_index(["layer", "network", "draw"])["correlation"]
    assert len(by_draw["pool"].round(6).unique()) == 3
    assert by_draw.between(-1, 1).all()
    assert table["background"].between(0, 1).all()
    pd.testing.assert_frame_equal(explain.untrained(trained, few, rows, draws=2), table)
    silent = explain.never_trained(trained, few.X, seed=1)
    inner = models.keras.Model(silent.model_.input, silent.model_.get_layer("batch_norm").output)
    maps = np.asarray(inner(silent.as_input(few.X), training=False))
    assert maps.mean(axis=(0, 1)) == pytest.approx(0, abs=1e-3)  # as in a trained network


def test_bands_at_the_most_important_point(few, trained):
    table = explain.band_agreement(trained, few, np.arange(len(few)))
    assert set(table["method"]) == {"deconvolution", "integrated gradients", "spectrum"}
    own = table.set_index(["method", "bands"]).loc["spectrum"]
    assert own.loc["all", "fits"] >= own.loc["strong", "fits"] >= own.loc["strong", "chance"]
    grid = np.arange(100.0, 200)
    assert explain.highest_point(-np.eye(100)[[50]], grid) == pytest.approx([150], abs=8)


def test_a_run_is_tidy_resumable_and_repeats(few, tmp_path, monkeypatch):
    only(monkeypatch, "deconvolution", "gradient × input", "spectrum")
    for name, fewer in {
        "INSERTED": 100,
        "EPOCHS": 2,
        "EXPLAINED": 30,
        "CHECKED": 10,
        "DRAWS": 1,
    }.items():
        monkeypatch.setattr(explanations, name, fewer)
    monkeypatch.setattr(explanations, "cache_folder", lambda: tmp_path)
    options = {"network": SMALL, "n_folds": 1, "n_jobs": 1}
    table = explanations.run(few, **options)
    pd.testing.assert_frame_equal(explanations.run(few, cache=False, **options), table)
    assert list(table) == ["method", "test", "fold", "value", "sd_minerals"]
    assert not table.duplicated(["method", "test", "fold"]).any()
    value = table.set_index(["method", "test"])["value"]
    assert value["spectrum", "rank correlation with the spectrum"] == pytest.approx(1)
    precision = value[:, "precision at strong peaks"]
    assert precision["spectrum"] > precision["random"] + 0.2
    text = explain.summary(table)
    assert text.loc["spectrum", "all layers re-initialised"] == "1.00"
    assert set(explain.SHOWN_TESTS) <= set(text)

    def stopped(*arguments):
        raise InterruptedError

    monkeypatch.setattr(explanations, "_fold", stopped)
    pd.testing.assert_frame_equal(explanations.run(few, **options), table)
    for change in ({"network": models.FMCNNClassifier()}, {"n_folds": 2}):
        with pytest.raises(InterruptedError):  # no old fold is taken for a new one
            explanations.run(few, **options | change)


def test_impossible_requests(few):
    with pytest.raises(ValueError, match="draws=0: give"):
        explain.untrained(SMALL, few, [0], draws=0)
    with pytest.raises(results.UserError, match="keeps 1"):
        explanations.run(few.take(few.minerals == few.minerals[0]))


def test_peaks_are_those_of_the_same_spectra(few):
    curated = data.paper_rule(data.curation.cut_to_manifest(few)[0])
    peaks = explanations._peaks(curated)
    strong = peaks[peaks["strong"]]
    assert strong["row"].nunique() == len(curated)
    highest = curated.X.argmax(axis=1)
    near = [np.abs(own["point"] - highest[row]).min() <= 10 for row, own in strong.groupby("row")]
    assert np.mean(near) > 0.9
