"""Which spectra train and which test: the paper's random split, and the one by specimen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedShuffleSplit


@dataclass(frozen=True)
class Split:
    """Row positions of one fold: ``train`` and ``test`` share no row."""

    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray


def stratified(minerals, n_splits: int = 10, n_repeats: int = 10, seed: int = 0) -> list[Split]:
    """The paper's protocol: ``n_repeats`` × stratified ``n_splits``-fold over the spectra.

    Scans of one specimen fall on both sides; see ``by_specimen``. A mineral with fewer spectra
    than folds is in the test set of only some of them (scikit-learn warns of it at each call).
    """
    folds = RepeatedStratifiedKFold(n_splits=n_splits, n_repeats=n_repeats, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        pairs = list(folds.split(np.zeros(len(minerals)), minerals))
    return [Split(i // n_splits, i % n_splits, *pair) for i, pair in enumerate(pairs)]


def by_specimen(
    minerals, specimens, n_splits: int = 5, n_repeats: int = 10, seed: int = 0
) -> list[Split]:
    """No specimen on both sides: ``n_repeats`` × ``n_splits``-fold with RRUFF IDs kept whole.

    A mineral's specimens are dealt to different folds, the lightest fold first, so that no test
    spectrum is of a mineral that its training set lacks. (scikit-learn's StratifiedGroupKFold
    balances the folds too, but may put all of a mineral's specimens into one: on RRUFF that makes
    5 to 10% of the test spectra unanswerable.)

    Raises:
        ValueError: if a mineral has a single specimen.
    """
    minerals, specimens = np.asarray(minerals), np.asarray(specimens)
    owned = {m: np.unique(specimens[minerals == m]) for m in np.unique(minerals)}
    single = [mineral for mineral, own in owned.items() if len(own) < 2]
    if single:
        raise ValueError(
            f"{len(single)} minerals have a single specimen ({', '.join(single[:3])}, …) and "
            "cannot be split by specimen: take curation.specimen_rule(spectra)"
        )
    plan = []
    for repeat in range(n_repeats):
        fold_of = _deal(owned, specimens, n_splits, np.random.default_rng([seed, repeat]))
        folds = np.array([fold_of[specimen] for specimen in specimens])
        plan += [
            Split(repeat, fold, np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
            for fold in range(n_splits)
        ]
    return plan


def _deal(owned: dict, specimens: np.ndarray, n_splits: int, rng) -> dict:
    """Fold of each specimen; a mineral's specimens go round the folds, lightest fold first."""
    size = dict(zip(*np.unique(specimens, return_counts=True), strict=True))
    weight, fold_of = np.zeros(n_splits), {}
    for mineral in rng.permutation(list(owned)):
        lightest_first = np.argsort(weight, kind="stable")
        for i, specimen in enumerate(rng.permutation(owned[mineral])):
            fold = lightest_first[i % n_splits]
            fold_of[specimen] = fold
            weight[fold] += size[specimen]
    return fold_of


def hold_back(minerals, train, share: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cut ``train`` (row positions) into a part to fit and a part to stop early on.

    Stratified as far as it goes: a mineral with a single training spectrum stays in the part to
    fit, so that every class is seen.

    Returns:
        ``(fit, stop)`` row positions.
    """
    train = np.asarray(train)
    minerals = np.asarray(minerals)[train]
    names, counts = np.unique(minerals, return_counts=True)
    common = np.flatnonzero(np.isin(minerals, names[counts >= 2]))
    n_stop = max(round(share * len(train)), 1)
    if n_stop < (counts >= 2).sum():  # too few places to stratify: one each for some minerals
        shuffled = np.random.default_rng(seed).permutation(common)
        _, first = np.unique(minerals[shuffled], return_index=True)
        picked = shuffled[np.sort(first)[:n_stop]]
    else:
        cut = StratifiedShuffleSplit(n_splits=1, test_size=n_stop, random_state=seed)
        picked = common[next(cut.split(common, minerals[common]))[1]]
    stop = train[np.sort(picked)]
    return np.setdiff1d(train, stop), stop
