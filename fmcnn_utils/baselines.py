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

#: Steps of intensity that the forest tells apart, see ``round_intensities``.
LEVELS = 32


def round_intensities(X: np.ndarray) -> np.ndarray:
    """The square root of each spectrum, between its minimum and maximum, as ``LEVELS`` steps.

    A tree looks for its thresholds among the distinct values of a feature. With fewer of them the
    same algorithm is several times faster. Steps even in the square root are finer for weak bands,
    which even steps of intensity would drop; the root itself changes nothing, since a tree asks
    only which of two intensities is higher. ``benchmarks/forest.py`` measures both.
    """
    return np.round(normalise(X, "sqrt") * (LEVELS - 1))


def make(name: str, normalisation: str = "minmax", *, seed: int = 0, **parameters) -> Pipeline:
    """A baseline with the parameters that the paper gives; the rest are scikit-learn's defaults.

    Args:
        name: ``"KNN"``, ``"RF"``, ``"SVM"`` or ``"LDA"``.
        normalisation: one of ``spectra.NORMALISATIONS``; the paper does not name its own.
        seed: of the forest, the only one of the four that draws numbers.
        parameters: of the classifier, in place of the paper's.

    Returns:
        An unfitted scikit-learn pipeline that takes raw counts (n, points).

    Raises:
        ValueError: for an unknown name, normalisation or parameter, or for a forest with another
            normalisation than min–max: it is the one that its rounding starts from.
    """
    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f"normalisation {normalisation!r} is not one of {', '.join(NORMALISATIONS)}"
        )
    if name == "RF" and normalisation != "minmax":
        raise ValueError(
            f"normalisation {normalisation!r} does not go with RF, which rounds: take 'minmax'"
        )
    classifiers = {
        "KNN": KNeighborsClassifier(n_neighbors=paper.KNN_K),
        "RF": RandomForestClassifier(n_estimators=paper.RF_TREES, random_state=seed),
        "SVM": SVC(kernel="linear", C=paper.SVM_C),
        "LDA": LinearDiscriminantAnalysis(),
    }
    if name not in classifiers:
        raise ValueError(f"baseline {name!r} is not one of {', '.join(NAMES)}")
    steps = [("normalise", FunctionTransformer(normalise, kw_args={"how": normalisation}))]
    if name == "RF":
        steps.append(("round", FunctionTransformer(round_intensities)))
    return Pipeline([*steps, ("classify", classifiers[name].set_params(**parameters))])
