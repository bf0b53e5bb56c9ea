"""The full protocol on the RRUFF archive, and the tables that are kept of it.

Two kinds of split, the same models on both:

- ``random``: ten times stratified ten-fold over ``data.paper_rule``, as in the paper;
- ``specimen``: ten times five-fold over ``data.specimen_rule``, no specimen on both sides.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .. import data, paper
from ..models import FMCNNClassifier, baseline

SEED = 0
REPEATS = paper.REPEATS
PROTOCOLS = ("random", "specimen")

#: What the paper gives. For FMCNN it leaves most settings open, the scaling of intensities too:
#: they are chosen by the search (``scripts/search.py``). The baselines' settings it gives; their
#: spectra are min–max scaled, the usual choice. The order is that of the tables.
AS_IN_PAPER = {"FMCNN": FMCNNClassifier()} | {n: baseline(n) for n in ("KNN", "RF", "SVM", "LDA")}
#: The baselines with a normalisation and parameters of their own, by the same search.
TUNED = {
    "KNN tuned": baseline("KNN", "sqrt", metric="cosine"),
    "RF tuned": baseline("RF", max_features="log2", bootstrap=False),
    "SVM tuned": baseline("SVM", "sqrt", C=100),
    "LDA tuned": baseline("LDA", "sqrt", solver="lsqr", shrinkage=0.7),
}
#: The paper's settings on counts as they are. (The forest's rounding needs scaled spectra.)
RAW = {f"{name} raw": baseline(name, "none") for name in ("KNN", "SVM", "LDA")}
#: To add a model, give it a name here.
MODELS = AS_IN_PAPER | TUNED | RAW


def tuned(name: str) -> str:
    """Name in the tables of a model of ``AS_IN_PAPER`` as the search chose it: FMCNN's stays."""
    return f"{name} tuned" if f"{name} tuned" in TUNED else name


def plan(spectra: data.Spectra, protocol: str, n_repeats: int, seed: int = SEED):
    """The curated spectra of one of ``PROTOCOLS``, and its splits; ``seed`` is of the folds."""
    if protocol == "random":
        curated = data.paper_rule(spectra)
        return curated, data.stratified(curated.minerals, paper.FOLDS, n_repeats, seed)
    curated = data.specimen_rule(spectra)
    specimens = curated.meta["specimen"].to_numpy()
    return curated, data.by_specimen(curated.minerals, specimens, 5, n_repeats, seed)


def summary(scores: pd.DataFrame, protocol: str = "random") -> pd.DataFrame:
    """Of each model ``fits``, ``accuracy``, ``sd``, ``macro_f1``, ``top3``, ``seconds`` a fit.

    FMCNN also has ``best_epoch_accuracy`` and ``epochs``. All are means over the fits, but the
    standard deviation: the paper's is over the repeats, whose accuracy is the mean of their folds.
    """
    own = scores[scores["protocol"] == protocol]
    columns = ["accuracy", "macro_f1", "top3", "seconds", "best_epoch_accuracy", "epochs"]
    table = own.groupby("model", sort=False)[columns].mean()
    repeats = own.groupby(["model", "repeat"], sort=False)["accuracy"].mean()
    table.insert(0, "fits", own.groupby("model").size())
    table.insert(2, "sd", repeats.groupby("model").std())
    return table


def per_repeat(scores: pd.DataFrame, protocol: str = "random") -> pd.DataFrame:
    """Mean accuracy of each repeat (rows) and model (columns): what Figure 4 draws."""
    own = scores[scores["protocol"] == protocol]
    means = own.groupby(["repeat", "model"], sort=False)["accuracy"].mean()
    return means.unstack(sort=False).sort_index()


def fold_scores(scores: pd.DataFrame, model: str, protocol: str = "random") -> np.ndarray:
    """Accuracy of each fit of a model, in the order of repeats and folds."""
    own = scores[(scores["protocol"] == protocol) & (scores["model"] == model)]
    return own.sort_values(["repeat", "fold"])["accuracy"].to_numpy()
