"""Which spectra train and which test: the paper's random split, and the one by specimen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import (
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)


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

    Use it on minerals with at least two specimens: the only specimen of a mineral would be
    tested against a training set that lacks the mineral.
    """
    return list(_by_specimen(minerals, specimens, n_splits, n_repeats, seed))


def _by_specimen(minerals, specimens, n_splits, n_repeats, seed) -> Iterator[Split]:
    for repeat in range(n_repeats):
        folds = StratifiedGroupKFold(n_splits=n_splits, shuffle=True, random_state=seed + repeat)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            pairs = list(folds.split(np.zeros(len(minerals)), minerals, groups=specimens))
        for fold, (train, test) in enumerate(pairs):
            yield Split(repeat, fold, train, test)


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
