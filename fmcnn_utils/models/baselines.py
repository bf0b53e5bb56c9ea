"""The four classifiers that the paper compares FMCNN with, as scikit-learn pipelines."""

from __future__ import annotations

from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from .. import paper
from ..data.spectra import Normaliser

#: Steps of the square root of intensity that the forest tells apart. Even steps of the root are
#: finer for weak bands, which even steps of intensity would drop; the root itself changes nothing,
#: since a tree asks only which of two intensities is higher.
LEVELS = 32

#: The paper's settings; what it leaves open is scikit-learn's default.
CLASSIFIERS = {
    "KNN": KNeighborsClassifier(n_neighbors=paper.KNN_K),
    "RF": RandomForestClassifier(n_estimators=paper.RF_TREES),
    "SVM": SVC(kernel="linear", C=paper.SVM_C),
    "LDA": LinearDiscriminantAnalysis(),
}


def baseline(name: str, normalisation: str | None = None, **parameters) -> Pipeline:
    """A baseline with the paper's settings, a pipeline from raw counts (n, points) to minerals.

    Args:
        name: one of ``CLASSIFIERS``.
        normalisation: one of ``data.NORMALISATIONS``; the paper does not name its own, and min–max
            is the default. The forest has one of its own, see ``LEVELS``.
        parameters: of the classifier, in place of the paper's.

    Raises:
        ValueError: for an unknown name or parameter, or another normalisation for the forest.
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"baseline {name!r} is not one of {', '.join(CLASSIFIERS)}")
    if name == "RF" and normalisation is not None:
        raise ValueError(f"normalisation={normalisation!r} does not go with RF, which rounds")
    rounds = name == "RF"
    normaliser = Normaliser("sqrt", LEVELS) if rounds else Normaliser(normalisation or "minmax")
    classifier = clone(CLASSIFIERS[name]).set_params(**parameters)
    return Pipeline([("normalise", normaliser), ("classify", classifier)])
