import warnings

import numpy as np
import pytest

from fmcnn_utils.data import splits
from fmcnn_utils.results import UserError

MINERALS = np.repeat([f"m{i:02d}" for i in range(30)], np.arange(2, 32))
SPECIMENS = np.array([f"{m}-{i % 4}" for i, m in enumerate(MINERALS)])


def test_stratified_covers_each_spectrum_once_a_repeat_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = splits.stratified(MINERALS, n_splits=10, n_repeats=3, seed=5)
    assert [(s.repeat, s.fold) for s in plan] == [(r, f) for r in range(3) for f in range(10)]
    for repeat in range(3):
        tested = np.concatenate([s.test for s in plan if s.repeat == repeat])
        assert np.array_equal(np.sort(tested), np.arange(len(MINERALS)))
    for split in plan:
        assert not set(split.train) & set(split.test)
        assert len(split.train) + len(split.test) == len(MINERALS)
        large = MINERALS == "m29"
        assert 3 <= large[split.test].sum() <= 4  # 31 spectra over 10 folds


def test_same_seed_same_splits_other_seed_other_splits():
    one, two, other = (splits.stratified(MINERALS, n_repeats=1, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0].test, other[0].test)


def test_by_specimen_keeps_specimens_whole_and_every_test_mineral_in_training():
    plan = splits.by_specimen(MINERALS, SPECIMENS, n_splits=5, n_repeats=4, seed=0)
    assert [(s.repeat, s.fold) for s in plan] == [(r, f) for r in range(4) for f in range(5)]
    for split in plan:
        assert not set(SPECIMENS[split.train]) & set(SPECIMENS[split.test])
        assert set(MINERALS[split.test]) <= set(MINERALS[split.train])
        assert len(split.train) + len(split.test) == len(MINERALS)
        assert len(split.test) == pytest.approx(len(MINERALS) / 5, rel=0.3)
    for repeat in range(4):
        tested = np.concatenate([s.test for s in plan if s.repeat == repeat])
        assert np.array_equal(np.sort(tested), np.arange(len(MINERALS)))
    assert not np.array_equal(plan[0].test, plan[5].test)
    again = splits.by_specimen(MINERALS, SPECIMENS, n_splits=5, n_repeats=4, seed=0)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(plan, again, strict=True))


def test_a_mineral_with_a_single_specimen_is_refused():
    with pytest.raises(ValueError, match="1 minerals have a single specimen \\(m00"):
        splits.by_specimen(["m00", "m01", "m01"], ["a", "b", "c"])


def test_too_few_spectra_or_specimens_for_the_folds_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="no mineral has 10 spectra, one for each of 10 folds"):
        splits.stratified(["a", "a", "b", "b"])
    with pytest.raises(UserError, match="4 specimens cannot be split into 5 folds"):
        splits.by_specimen(["a", "a", "b", "b"], [1, 2, 3, 4])


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("groups", [None, SPECIMENS])
def test_the_validation_split_keeps_every_mineral_in_the_part_to_fit(fraction, groups):
    for seed in range(20):
        fit, validation = splits.validation_split(MINERALS, fraction, groups, seed)
        assert np.array_equal(np.sort(np.concatenate([fit, validation])), np.arange(len(MINERALS)))
        largest = 1 if groups is None else 8  # spectra of one specimen
        assert 0 <= len(validation) - fraction * len(MINERALS) <= largest
        assert set(MINERALS[fit]) == set(MINERALS)
        if groups is not None:
            assert not set(groups[fit]) & set(groups[validation])


def test_the_validation_split_is_stratified():
    large = [
        (MINERALS[splits.validation_split(MINERALS, 0.3, seed=s)[1]] == "m29").sum()
        for s in range(9)
    ]
    assert set(large) <= {8, 9, 10, 11}


def test_a_validation_split_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no mineral has two spectra to train on"):
        splits.validation_split(["a", "b"])
    with pytest.raises(ValueError, match="no mineral has two groups to train on"):
        splits.validation_split(["a", "a", "b", "b"], groups=[1, 1, 2, 2])
