"""The four classifiers that the paper compares FMCNN with, as scikit-learn estimators."""

from __future__ import annotations

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from . import paper
from .spectra import NORMALISATIONS, normalise

NAMES = ("KNN", "RF", "SVM", "LDA")


def round_intensities(X: np.ndarray, levels: int = 64) -> np.ndarray:
    """Each spectrum's intensities rounded to ``levels`` steps between its minimum and maximum.

    A tree looks for its thresholds among the distinct values of a feature. With fewer of them the
    same algorithm is several times faster and no less accurate; ``benchmarks/`` measures both.
    """
    return np.round(normalise(X, "minmax") * (levels - 1)).astype(np.float32)


def make(name: str, normalisation: str = "minmax", *, seed: int = 0, trees: int = paper.RF_TREES):
    """A baseline with the parameters that the paper gives; the rest are scikit-learn's defaults.

    Args:
        name: ``"KNN"``, ``"RF"``, ``"SVM"`` or ``"LDA"``.
        normalisation: one of ``spectra.NORMALISATIONS``; the paper does not name its own. The
            forest always sees rounded min–max intensities (see ``round_intensities``).
        seed: of the forest, the only one of the four that draws numbers.
        trees: of the forest; fewer than the paper's 500 for a quick look.

    Returns:
        An unfitted scikit-learn pipeline that takes raw counts (n, points).

    Raises:
        ValueError: for an unknown name or normalisation.
    """
    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f"normalisation {normalisation!r} is not one of {', '.join(NORMALISATIONS)}"
        )
    classifiers = {
        "KNN": lambda: KNeighborsClassifier(n_neighbors=paper.KNN_K),
        "RF": lambda: RandomForestClassifier(n_estimators=trees, random_state=seed),
        "SVM": lambda: SVC(kernel="linear", C=paper.SVM_C),
        "LDA": lambda: LinearDiscriminantAnalysis(),
    }
    if name not in classifiers:
        raise ValueError(f"baseline {name!r} is not one of {', '.join(NAMES)}")
    prepare = FunctionTransformer(normalise, kw_args={"how": normalisation})
    if name == "RF":
        prepare = FunctionTransformer(round_intensities)
    return Pipeline([("prepare", prepare), ("classify", classifiers[name]())])
