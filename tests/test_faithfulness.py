"""The measures of faithfulness by hand, the planted truth, and the experiment on a few minerals."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import atlas, explained, faithfulness, planted, protocol, sanity, training, trials
from fmcnn_utils.config import FMCNNConfig
from fmcnn_utils.model import build, keras


def total(X):
    return X.sum(axis=1)


def test_regions_by_hand():
    values = faithfulness.regions(np.array([[1.0, 3.0, 5.0, 7.0, 9.0]]), width=2)
    assert values.tolist() == [[2.0, 6.0, 9.0]]
    assert faithfulness.ranking(np.array([[1.0, 1, 9, 9, 5, 5]]), width=2).tolist() == [[2, 0, 1]]


def test_equal_regions_do_not_stand_in_the_order_of_the_axis():
    place = faithfulness.ranking(np.zeros((200, 100)), width=20)
    assert place.mean(axis=0) == pytest.approx(np.full(5, 2.0), abs=0.4)


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
    X, importance = np.array([[0.0, 0, 1, 3]]), np.array([importance], dtype=float)
    for insert, expected in ((False, deleted), (True, inserted)):
        share, scores = faithfulness.curve(total, X, importance, insert=insert, width=1)
        assert share.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert scores.tolist() == [expected]
        by_hand = sum((a + b) / 2 for a, b in pairwise(expected)) / 4
        assert faithfulness.area(share, scores) == pytest.approx([by_hand])


def test_curves_go_from_the_whole_spectrum_to_none_of_it():
    X = np.random.default_rng(0).random((3, 1360))
    share, scores = faithfulness.curve(total, X, X)
    assert share[0] == 0 and share[-1] == 1 and len(share) == 17
    assert scores[:, 0] == pytest.approx(total(X)) and not scores[:, -1].any()


def test_what_takes_the_place_of_a_deleted_region():
    X = np.array([[1.0, 5, 5, 4], [1, 2, 3, 4]])
    kept = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    assert faithfulness.emptied(X, kept).tolist() == [[1, 0, 0, 4], [0, 0, 0, 0]]
    assert faithfulness.bridged(X, kept).tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]


def test_agreement_over_the_peaks_of_a_spectrum():
    row = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    value = np.array([1.0, 2, 3, 1, 2, 3, 1, 2])
    found = faithfulness.agreement(value, np.array([0, 1, 9, 9, 1, 0, 1, 2]), row, 3)
    assert found[:2] == pytest.approx([1, -1]) and np.isnan(found[2])  # two peaks are too few


def test_precision_and_recall_by_hand():
    importance = np.array([[9.0, 8, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4]])
    truth = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    precision, recall = faithfulness.precision_recall(importance, truth, width=1, highlighted=0.5)
    assert precision[:2].tolist() == [0.5, 1.0]
    assert recall[:2] == pytest.approx([1 / 3, 1])
    assert np.isnan(precision[2]) and np.isnan(recall[2])


def test_rank_correlation():
    a = np.array([[1.0, -5, 2, 3]])
    assert faithfulness.spearman(a, a) == pytest.approx([1])
    assert faithfulness.spearman(a, -(a**3)) == pytest.approx([1])  # neither sign nor scale
    assert faithfulness.spearman(a, 1 / a) == pytest.approx([-1])
    assert faithfulness.spearman(a, np.zeros((1, 4))).tolist() == [0]


def test_marks_of_peaks_by_hand():
    row, point = np.array([0, 0, 1]), np.array([0, 5, 3])
    covered = faithfulness.covered(row, point, (2, 6), 1)
    assert covered.astype(int).tolist() == [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0]]
    held = faithfulness.holding(row, point, (2, 6), width=4)
    assert held.tolist() == [[True, True], [True, False]]
    importance = np.array([[2.0, 4, 0, 0, 1, 3], [0, 0, 3, 6, 9, 0]])
    assert faithfulness.at_peaks(importance, row, point, 1).tolist() == [3, 2, 6]


def test_rivals_are_the_most_similar_other_minerals():
    X_train = np.array([[1.0, 0, 0], [0, 1, 0], [0.9, 0.1, 0], [0, 0, 1]])
    y_train = np.array([0, 1, 2, 3])
    found = faithfulness.rivals(np.array([[5.0, 1, 0]]), np.array([0]), X_train, y_train, 2)
    assert found.tolist() == [[2, 1]]


def test_distinctive_peaks_by_hand():
    # Mineral 1 has a peak at point 2 in two of three spectra: usual; at point 7 in one: not.
    row, point = np.array([0, 1, 2]), np.array([2, 2, 7])
    present = faithfulness.covered(row, point, (3, 10), 1)
    has = faithfulness.usual(np.vstack([present[:1] & False, present]), np.array([0, 1, 1, 1]))
    assert has[1].tolist() == [False, True, True, True, *[False] * 6]
    peaks = np.array([0, 0, 0]), np.array([3, 4, 7])
    assert faithfulness.distinctive(*peaks, np.array([[1, 0]]), has).tolist() == [False, True, True]


def test_preference_for_distinctive_peaks_of_equal_height():
    height = np.array([1.0, 1.09, 5.0, 1.0])
    distinct = np.array([True, False, False, False])
    row = np.zeros(4, dtype=int)
    value = np.array(
        [2.0, 1.0, 9.0, 2.0]
    )  # beats the one, ties the other; the high one is left out
    found = faithfulness.preference(value, height, row, distinct, 2)
    assert found[0] == 0.75 and np.isnan(found[1])


def test_only_the_peak_that_the_network_uses_is_missed():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((60, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")]
    )
    kernel = np.zeros((60, 2))
    kernel[10, 0] = 3.0
    model.set_weights([kernel, np.zeros(2)])
    X = np.zeros((1, 60), dtype=np.float32)
    X[0, [10, 40]] = 1, 2
    shown = trials.Explained(model, X, np.array([0]), np.array([0]), [])
    effect = trials.fall(shown, np.array([0, 0]), np.array([10, 40]), faithfulness.emptied)
    # Without the peak at 10 both classes are as likely: log p falls from log σ(3) to log ½.
    assert effect == pytest.approx([np.log(2 / (1 + np.exp(-3))), 0], abs=1e-6)


def test_planted_backgrounds_say_nothing_and_peaks_are_where_they_should_be():
    at = planted.places(1360, seed=3)
    assert (np.diff(at) >= 2 * faithfulness.REGION).all() and at.max() < 1360 - faithfulness.REGION
    flat = np.tile(np.linspace(0, 1, 1360), (60, 1))
    some = planted.plant(flat, at, "minmax", seed=0)
    assert (some.point == at[some.y]).all() and len(np.unique(some.y)) == planted.CLASSES
    bump = some.X - np.linspace(0, 1, 1360) * some.X[:, -1:]
    assert np.abs(bump.argmax(axis=1) - some.point).max() <= 1
    again = planted.plant(flat, at, "minmax", seed=0)
    assert (again.X == some.X).all()
    assert (planted.plant(flat, at, "minmax", seed=1).y != some.y).any()


def test_planted_measures_by_hand():
    importance = np.zeros((2, 200))
    importance[0, 50], importance[1, 150], importance[1, 30] = 1, 1, -1
    point = np.array([45, 45])
    assert planted.found(importance, point).tolist() == [1, 0]
    assert planted.share(importance, point).tolist() == [1, 0.5]


@pytest.fixture(scope="module")
def few():
    """All spectra of a dozen minerals, rebuilt from the atlas."""
    spectra = atlas.load()
    common = pd.Series(spectra.minerals).value_counts().index[10:22]
    return spectra.take(np.isin(spectra.minerals, common))


SMALL = FMCNNConfig(filters=6, stride=4, squeeze=4, expand1=6, expand3=6, batch=32, epochs=5)


def test_good_methods_find_the_planted_peak(few, monkeypatch):
    monkeypatch.setattr(trials, "METHODS", ("occlusion", "gradient × input", "spectrum"))
    order = np.random.default_rng(0).permutation(len(few))
    train, test = few.X[order[60:]], few.X[order[:60]]
    tables = pd.concat(planted.trial(np.tile(train, (3, 1)), test, SMALL, seed=0))
    found = tables.groupby(["test", "method"])["value"].mean()
    assert found["recall of planted peaks", trials.FOLD] > 0.9
    assert found["planted peak: found", "occlusion"] > 0.9
    assert found["planted peak: found", "gradient × input"] > 0.9
    assert found["planted peak: found", "spectrum"] < 0.5
    assert found["planted peak: found", "random"] < 0.2


def test_redrawing_the_softmax_cannot_change_the_deconvolution(few, monkeypatch):
    monkeypatch.setattr(trials, "METHODS", ("deconvolution", "gradient", "spectrum"))
    config = FMCNNConfig(filters=4, stride=8, n_classes=12)
    X = few.X[:8] / few.X[:8].max(axis=1, keepdims=True)
    shown = trials.Explained.by(build(config, seed=0), X, np.zeros(8), seed=0)
    tables = pd.concat(sanity.redrawn(shown, config, seed=0))  # not the weights it began with
    likeness = tables.groupby(["method", "test"])["value"].mean()
    assert likeness["deconvolution", "re-drawn down to softmax"] == pytest.approx(1)
    assert likeness["gradient", "re-drawn down to softmax"] < 0.9
    assert likeness["deconvolution", "re-drawn down to conv"] < 0.9
    assert likeness["spectrum", "re-drawn down to conv"] == pytest.approx(1)


def test_an_empty_explanation_is_not_counted_as_changed():
    X = np.random.default_rng(0).random((2, 30))
    importance = X * [[1], [0]]
    np.testing.assert_allclose(trials.likeness(importance, X), [1, np.nan])


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_the_experiment_is_tidy_resumable_and_repeats(few, tmp_path, monkeypatch):
    options = {"n_folds": 2, "config": SMALL, "n_jobs": 1, "quiet": True}
    fits = []
    train = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append(1) or train(*a, **k))
    methods = ("deconvolution", "gradient × input", "spectrum")
    monkeypatch.setattr(trials, "METHODS", methods)  # the others take long to start
    monkeypatch.setattr(planted, "TRAINED_ON", 100)
    first = explained.run(few, **options | {"n_folds": 1}, cache=tmp_path / "a")
    once = len(fits)
    both = explained.run(few, **options, cache=tmp_path / "a")
    assert len(fits) == 2 * once  # the first fold was kept
    pd.testing.assert_frame_equal(explained.run(few, **options, cache=tmp_path / "a"), both)
    assert len(fits) == 2 * once
    pd.testing.assert_frame_equal(both[both["fold"] == 0], first)
    pd.testing.assert_frame_equal(
        explained.run(few, **options | {"n_folds": 1}, cache=tmp_path / "b"), first
    )

    assert list(both) == ["method", "test", "fold", "value", "sd_minerals"]
    assert not both.duplicated(["method", "test", "fold"]).any() and both["value"].notna().all()
    table = explained.summary(both)
    removed = [f"{trials.REMOVED} {how}" for how in ("emptied", "bridged")]
    assert set(table.index) == {*methods, trials.RANDOM, *removed}
    both.to_csv(tmp_path / "kept.csv", index=False)
    pd.testing.assert_frame_equal(explained.summary(pd.read_csv(tmp_path / "kept.csv")), table)
    assert not table.drop(index=removed).eq("").any(axis=None)
    assert table.loc["spectrum", "re-drawn down to conv"] == "1.00 ± 0.00"
    assert table.loc["spectrum", "likeness to the spectrum"] == "1.00 ± 0.00"
    precise = both[both["test"] == "strong peaks: precision"].set_index(["method", "fold"])["value"]
    assert (precise["spectrum"] > precise[trials.RANDOM] + 0.2).all()

    def stopped(*args, **how):
        raise InterruptedError

    monkeypatch.setattr(training, "fit", stopped)
    for change in ({"seed": 1}, {"config": replace(SMALL, l2=0.01)}, {"n_folds": 3}):
        with pytest.raises(InterruptedError):  # no old fold is taken for a new one
            explained.run(few, **options | change, cache=tmp_path / "a")


def test_impossible_folds_are_refused(few):
    with pytest.raises(ValueError, match="1 to 10"):
        explained.run(few, n_folds=11)


def test_peaks_are_those_of_the_same_spectra(few):
    curated, _ = protocol.plan(explained._of_2019(few), "random", 1)
    peaks = explained._peaks(curated)
    highest = curated.X.argmax(axis=1)
    strong = peaks[peaks["strong"]]
    assert strong["row"].nunique() == len(curated)
    near = [np.abs(own["point"] - highest[row]).min() <= 10 for row, own in strong.groupby("row")]
    assert np.mean(near) > 0.9
