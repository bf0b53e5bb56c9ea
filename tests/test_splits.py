import warnings

import numpy as np
import pytest

from fmcnn_utils.data import splits
from fmcnn_utils.results import UserError

MINERALS = np.repeat([f"m{i:02d}" for i in range(30)], np.arange(2, 32))
SPECIMENS = np.array([f"{m}-{i % 4}" for i, m in enumerate(MINERALS)])


def plan_of(kind, seed):
    if kind == "stratified":
        return splits.stratified(MINERALS, n_splits=5, n_repeats=3, seed=seed)
    return splits.by_specimen(MINERALS, SPECIMENS, n_splits=5, n_repeats=3, seed=seed)


@pytest.mark.parametrize("kind", ["stratified", "by specimen"])
def test_each_spectrum_is_tested_once_a_repeat_and_the_seed_decides_when(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = plan_of(kind, seed=1)
    assert [(s.repeat, s.fold) for s in plan] == [(r, f) for r in range(3) for f in range(5)]
    for repeat in range(3):
        tested = np.concatenate([s.test for s in plan if s.repeat == repeat])
        assert np.array_equal(np.sort(tested), np.arange(len(MINERALS)))
    for split in plan:
        assert np.array_equal(np.union1d(split.train, split.test), np.arange(len(MINERALS)))
        assert len(split.train) + len(split.test) == len(MINERALS)
    again, other = (plan_of(kind, seed) for seed in (1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(plan, again, strict=True))
    assert not np.array_equal(plan[0].test, other[0].test)
    assert not np.array_equal(plan[0].test, plan[5].test)


def test_stratified_spreads_a_mineral_evenly():
    for split in plan_of("stratified", seed=5):
        assert 6 <= (MINERALS[split.test] == "m29").sum() <= 7  # 31 spectra over 5 folds


def test_by_specimen_keeps_specimens_whole_and_every_test_mineral_in_training():
    for split in plan_of("by specimen", seed=0):
        assert not set(SPECIMENS[split.train]) & set(SPECIMENS[split.test])
        assert set(MINERALS[split.test]) <= set(MINERALS[split.train])
        assert len(split.test) == pytest.approx(len(MINERALS) / 5, rel=0.3)
    with pytest.raises(ValueError, match=r"1 minerals have a single specimen \(m00"):
        splits.by_specimen(["m00", "m01", "m01"], ["a", "b", "c"])


@pytest.mark.parametrize("fraction", [0.02, 0.3])
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
        elif fraction == 0.3:
            assert 8 <= (MINERALS[validation] == "m29").sum() <= 11  # of 31


def test_a_validation_split_that_cannot_be_is_refused():
    for minerals, groups, of in (["ab", None, "spectra"], ["aabb", [1, 1, 2, 2], "groups"]):
        with pytest.raises(ValueError, match=f"no mineral has two {of} to train on"):
            splits.validation_split(list(minerals), groups=groups)


def test_too_few_spectra_or_specimens_for_the_folds_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="no mineral has 10 spectra, one for each of 10 folds"):
        splits.stratified(["a", "a", "b", "b"])
    with pytest.raises(UserError, match="4 specimens cannot be split into 5 folds"):
        splits.by_specimen(["a", "a", "b", "b"], [1, 2, 3, 4])
