import numpy as np
import pytest

from fmcnn_utils import baselines

RNG = np.random.default_rng(0)
CENTRES = RNG.uniform(0, 1, (4, 60))
Y = np.repeat(list("abcd"), 12)
X = (np.repeat(CENTRES, 12, axis=0) + RNG.normal(0, 0.05, (48, 60))) * RNG.uniform(10, 1e4, (48, 1))


@pytest.mark.parametrize("name", baselines.NAMES)
def test_each_baseline_learns_from_raw_counts(name):
    model = baselines.make(name).fit(X[::2], Y[::2])
    assert model.score(X[1::2], Y[1::2]) == 1.0


def test_the_papers_parameters():
    assert baselines.make("KNN")["classify"].n_neighbors == 1
    assert baselines.make("RF")["classify"].n_estimators == 500
    svm = baselines.make("SVM")["classify"]
    assert (svm.kernel, svm.C) == ("linear", 100)


def test_other_parameters_take_the_papers_place():
    shrunk = baselines.make("LDA", "sqrt", solver="lsqr", shrinkage=0.1).fit(X[::2], Y[::2])
    assert shrunk.score(X[1::2], Y[1::2]) == 1.0
    assert baselines.make("SVM", C=1)["classify"].C == 1
    with pytest.raises(ValueError, match="Invalid parameter 'cost'"):
        baselines.make("SVM", cost=1)


def test_rounding_leaves_its_levels_within_half_a_step():
    rounded = baselines.round_intensities(X)
    top = baselines.LEVELS - 1
    assert set(np.unique(rounded)) <= set(range(top + 1))
    scaled = (X - X.min(1, keepdims=True)) / np.ptp(X, axis=1, keepdims=True)
    assert np.abs(rounded / top - np.sqrt(scaled)).max() <= 0.5 / top + 1e-6


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'NB' is not one of KNN, RF, SVM, LDA"):
        baselines.make("NB")
    with pytest.raises(ValueError, match="'zscore' is not one of none, minmax, l2, sqrt"):
        baselines.make("KNN", "zscore")
    with pytest.raises(ValueError, match="'none' does not go with RF"):
        baselines.make("RF", "none")
