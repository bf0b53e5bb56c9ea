"""How good the peak atlas is: its rebuilt spectra beside the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from . import atlas, baselines, curation, figures, results, splits
from .spectra import Spectra, normalise


def r2(real: Spectra, rebuilt: Spectra) -> np.ndarray:
    """Share of each spectrum's variance that its rebuilt one explains, (n,).

    1 − SS_res / SS_tot over the points of the grid, after min–max of either spectrum.

    Raises:
        ValueError: if the two are not the same spectra in the same order.
    """
    if real.meta["checksum"].tolist() != rebuilt.meta["checksum"].tolist():
        raise ValueError("the real and the rebuilt spectra are not the same, in the same order")
    truth, guess = (normalise(s.X).astype(float) for s in (real, rebuilt))
    variation = ((truth - truth.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return 1 - ((truth - guess) ** 2).sum(axis=1) / variation


def quality(real: Spectra, rebuilt: Spectra, n_jobs: int = -1) -> pd.DataFrame:
    """How well rebuilt spectra stand in for the real ones.

    R² over all of them, and the accuracy of classifiers that are trained and tested on the one
    or on the other: stratified 10-fold on ``curation.paper_rule``, and 5 folds by specimen on
    ``curation.specimen_rule``, one repeat each.

    Returns:
        ``figure``, its value for ``real`` and ``atlas``, and the ``lowest`` and ``highest`` value
        that is accepted for the atlas.
    """
    explained = r2(real, rebuilt)
    rows = [
        ("R², median", 1.0, np.median(explained), 0.985, 1.0),
        ("R², 5th percentile", 1.0, np.percentile(explained, 5), 0.93, 1.0),
    ]
    random, honest = curation.paper_rule, curation.specimen_rule
    for figure, model, rule, tolerance in (
        ("accuracy of KNN, 10-fold", "KNN", random, 0.01),
        ("accuracy of SVM, 10-fold", "SVM", random, 0.01),
        ("accuracy of KNN, by specimen", "KNN", honest, 0.02),
    ):
        curated = rule(real)
        if rule is random:
            folds = splits.stratified(curated.minerals, n_repeats=1)
        else:
            folds = splits.by_specimen(curated.minerals, curated.meta["specimen"], n_repeats=1)
        of_real = _accuracy(model, curated, folds, n_jobs)
        of_atlas = _accuracy(model, rule(rebuilt), folds, n_jobs)
        rows.append((figure, of_real, of_atlas, of_real - tolerance, of_real + tolerance))
    return pd.DataFrame(rows, columns=["figure", "real", "atlas", "lowest", "highest"])


def assess(archive: str | Path) -> pd.DataFrame:
    """How good the atlas is, measured anew, into ``results/rruff`` and ``figures``.

    Writes ``quality`` (``atlas_quality.csv``), each R² (``atlas_r2.csv.gz``), and the best, the
    median and the worst rebuilt spectrum (``atlas_against_rruff.png``).

    Args:
        archive: RRUFF's excellent_oriented, a zip file or a folder.

    Returns:
        The table of ``quality``.
    """
    real, rebuilt = atlas.of_2019(archive), atlas.load()
    explained = r2(real, rebuilt)
    table = quality(real, rebuilt).round(4)
    results.keep(table, "atlas_quality")
    each = pd.DataFrame({"file": real.meta["file"], "r2": explained.round(4)})
    results.keep_gzip(each, "atlas_r2")
    figures.style()
    figures.keep(figures.reconstruction(real, rebuilt, explained), "atlas_against_rruff")
    return table


def _accuracy(model: str, curated: Spectra, folds: list[splits.Split], n_jobs: int) -> float:
    def score(fold):
        fitted = baselines.make(model).fit(curated.X[fold.train], curated.minerals[fold.train])
        return fitted.score(curated.X[fold.test], curated.minerals[fold.test])

    return float(np.mean(Parallel(n_jobs=n_jobs)(delayed(score)(fold) for fold in folds)))
