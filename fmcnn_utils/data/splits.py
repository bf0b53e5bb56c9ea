"""Which spectra train and which test: the paper's random split, and the one by specimen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from ..results import UserError


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
    if pd.Series(minerals).value_counts().max() < n_splits:
        raise UserError(
            f"no mineral has {n_splits} spectra, one for each of {n_splits} folds: give more"
        )
    folds = RepeatedStratifiedKFold(n_splits=n_splits, n_repeats=n_repeats, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        pairs = list(folds.split(np.zeros(len(minerals)), minerals))
    return [Split(i // n_splits, i % n_splits, *pair) for i, pair in enumerate(pairs)]


def by_specimen(
    minerals, specimens, n_splits: int = 5, n_repeats: int = 10, seed: int = 0
) -> list[Split]:
    """No specimen on both sides: ``n_repeats`` × ``n_splits``-fold with RRUFF IDs kept whole.

    A mineral's specimens, at least two, are assigned to different folds, the lightest fold first,
    so that no test spectrum is of a mineral that its training set lacks. (StratifiedGroupKFold may
    put all of them into one: on RRUFF that makes 5 to 10% of the test spectra unanswerable.)
    """
    minerals, specimens = np.asarray(minerals), np.asarray(specimens)
    owned = {m: np.unique(specimens[minerals == m]) for m in np.unique(minerals)}
    if single := [mineral for mineral, own in owned.items() if len(own) < 2]:
        raise ValueError(
            f"{len(single)} minerals have a single specimen ({single[0]}, …) and cannot be split: "
            "take curation.specimen_rule(spectra)"
        )
    size = pd.Series(specimens).value_counts()
    if len(size) < n_splits:
        raise UserError(
            f"{len(size)} specimens cannot be split into {n_splits} folds: give a larger archive"
        )
    plan = []
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        weight, fold_of = np.zeros(n_splits), {}
        for mineral in rng.permutation(list(owned)):
            lightest_first = np.argsort(weight, kind="stable")
            for i, specimen in enumerate(rng.permutation(owned[mineral])):
                fold = fold_of[specimen] = lightest_first[i % n_splits]
                weight[fold] += size[specimen]
        folds = pd.Series(specimens).map(fold_of)
        plan += [
            Split(repeat, fold, np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
            for fold in range(n_splits)
        ]
    return plan


def limit_training(
    split: Split, minerals, specimens, n_specimens: int = 0, n_spectra: int = 0, seed: int = 0
) -> Split:
    """The same fold with less to train on, drawn at random: for learning curves.

    At most ``n_specimens`` and ``n_spectra`` of each mineral to train on, 0 for all; a smaller set
    is part of a larger one of the same seed. The test spectra stay as they are.
    """
    rows = np.random.default_rng(seed).permutation(split.train)
    table = pd.DataFrame({"mineral": minerals[rows], "specimen": specimens[rows]}, index=rows)
    if n_specimens:
        kept = table.drop_duplicates().groupby("mineral").head(n_specimens)
        table = table[table["specimen"].isin(kept["specimen"])]
    if n_spectra:
        table = table.groupby("mineral").head(n_spectra)
    return Split(split.repeat, split.fold, np.sort(table.index.to_numpy()), split.test)


def validation_split(
    minerals, fraction: float = 0.1, groups=None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cut training spectra into a part to fit and a part to choose the number of epochs on.

    About ``fraction`` of the specimens of each mineral (``groups``; by default each spectrum stands
    for itself) are in the validation part, but at least one stays in the part to fit, so that every
    mineral is seen. ValueError if no mineral has two.
    """
    of = np.arange(len(minerals)) if groups is None else np.asarray(groups)
    table = pd.DataFrame({"mineral": minerals, "group": of})
    sizes = table.groupby(["mineral", "group"], as_index=False).size()
    sizes = sizes.sample(frac=1, random_state=seed)
    by_mineral = sizes.groupby("mineral")["group"]
    place, count = by_mineral.cumcount(), by_mineral.transform("size")
    # The j-th of a mineral's m specimens comes at (j + u) / m, 0 ≤ u < 1; the last one never does.
    sizes["at"] = (place + np.random.default_rng(seed).random(len(sizes))) / count
    spare = sizes[place < count - 1].sort_values("at", kind="stable")
    if spare.empty:
        what = "spectra" if groups is None else "groups"
        raise ValueError(f"no mineral has two {what} to train on: one to fit, one to validate on")
    so_far = spare["size"].cumsum() - spare["size"]
    picked = spare.loc[so_far < fraction * len(table), ["mineral", "group"]]
    is_picked = table.merge(picked, how="left", indicator=True)["_merge"] == "both"
    return np.flatnonzero(~is_picked), np.flatnonzero(is_picked)
