"""FMCNN as a scikit-learn estimator, and the four classifiers that the paper compares it with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import paper
from ..data.spectra import NORMALISATIONS, Normaliser, normalise
from ..data.splits import validation_split


@dataclass(kw_only=True, eq=False, repr=False)  # writes __init__; the rest is scikit-learn's
class FMCNNClassifier(ClassifierMixin, BaseEstimator):
    """FMCNN from raw counts to mineral names, with early stopping inside the training data.

    A share of the training spectra is split off to choose the number of epochs, with the lowest
    validation loss. With ``refit`` a new network is then trained on all for as many. What the paper
    gives is marked "paper"; what it leaves open was chosen by ``scripts/search.py``.

    Attributes:
        classes_: mineral names, (n_classes,), sorted.
        n_features_in_: points of a spectrum.
        model_: the trained Keras model, from ``as_input(X)`` to probabilities.
        n_epochs_: epochs that its weights were trained for.
        history_: a row per epoch of its training: ``epoch``, ``loss``, ``accuracy``, and what
            ``callbacks`` added.
        validation_history_: the same of the training that chose ``n_epochs_``, with ``val_loss``
            and ``val_accuracy``; without ``refit`` it is ``history_``.
    """

    normalisation: str = "sqrt"  #: see ``data.normalise``
    filters: int = 16  #: output maps of the first convolution
    kernel: int = 16  #: its length, in points
    stride: int = 4  #: its stride
    squeeze: int = 4  #: maps of the fire module's 1×1 squeeze
    expand1: int = 8  #: maps of its 1×1 expand
    expand3: int = 8  #: maps of its 3×1 expand
    pool: int = 4  #: length of the non-overlapping max-pool
    dense: int = 0  #: units of a hidden fully connected layer, 0 for none
    #: of batch normalisation's moving statistics; Keras's 0.99 is too slow for so few steps
    bn_momentum: float = 0.9
    l2: float = 1e-4  #: λ of the L2 penalty on all kernels (paper, without its value)
    learning_rate: float = 0.001  #: of Adam (paper; its β and ε are in ``paper``)
    batch_size: int = 64  #: spectra a step
    epochs: int = 40  #: at most
    patience: int = 5  #: epochs without a better one before training stops (paper: early stopping)
    monitor: str = "loss"  #: watched on the validation split: "loss" or "accuracy"
    validation_fraction: float = 0.1  #: share of the training spectra that is this split
    refit: bool = True  #: train again on all training spectra for the chosen number of epochs
    random_state: int | None = None  #: of the split, the initial weights and the order of batches

    def fit(self, X, y, groups=None, callbacks=()) -> FMCNNClassifier:
        """Train on raw counts (n, points) and minerals (n,).

        With ``groups``, the specimen of each, (n,), the validation split keeps specimens whole.
        ``callbacks`` are Keras's, for the training of the returned weights. ``ValueError`` for a
        setting out of range, or data that do not fit each other.
        """
        from .fmcnn import keras

        X, number, seed = self._begin(X, y)
        x = self.as_input(X)
        fitted, validation = validation_split(number, self.validation_fraction, groups, seed)
        stop = keras.callbacks.EarlyStopping(
            f"val_{self.monitor}", patience=self.patience, restore_best_weights=not self.refit
        )
        watch = [*(() if self.refit else callbacks), stop]
        held_back, part = (x[validation], number[validation]), (x[fitted], number[fitted])
        model, history = self._train(*part, seed, self.epochs, held_back, watch)
        self.n_epochs_ = 1 + stop.best_epoch
        self.validation_history_ = history
        if self.refit:
            model, history = self._train(x, number, seed, self.n_epochs_, None, callbacks)
        self.model_, self.history_ = model, history
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each mineral, (n, n_classes), in the order of ``classes_``."""
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=np.float32, reset=False)
        parts = (self.as_input(X[i : i + 512]) for i in range(0, len(X), 512))
        return np.concatenate([self.model_(part, training=False).numpy() for part in parts])

    def predict(self, X) -> np.ndarray:
        """The likeliest mineral of each spectrum, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)  # first: it checks that the network is fitted
        return self.classes_[best]

    def as_input(self, X) -> np.ndarray:
        """What the network sees of raw counts (n, points): normalised, float32 (n, points, 1)."""
        return normalise(X, self.normalisation)[..., None]

    def build(self, n_points: int, n_classes: int, seed: int):
        """The untrained Keras model; a subclass may give another one."""
        from . import fmcnn

        return fmcnn.build(self, n_points, n_classes, seed)

    def _begin(self, X, y) -> tuple[np.ndarray, np.ndarray, int]:
        """Checked spectra, their class numbers, and a seed."""
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, number = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]}: give spectra of at least two")
        return X, number, int(check_random_state(self.random_state).randint(2**31))

    def _train(self, x, number, seed, epochs, validation, callbacks):
        from . import fmcnn

        model = self.build(x.shape[1], len(self.classes_), seed)
        for callback in callbacks:
            if isinstance(callback, fmcnn.TestAccuracy):
                callback.use(self)
        how = {"batch_size": self.batch_size, "epochs": epochs, "validation": validation}
        return model, fmcnn.train(model, x, number, **how, callbacks=callbacks, seed=seed)

    def _check_settings(self) -> None:
        one_of = {"normalisation": NORMALISATIONS, "monitor": ("loss", "accuracy")}
        for field in fields(self):
            name, value, kind = field.name, getattr(self, field.name), type(field.default)
            least = 0 if name in ("dense", "bn_momentum", "l2") else 1
            if kind is int:
                whole = isinstance(value, Integral) and not isinstance(value, bool)
                right, give = whole and value >= least, f"a whole number of at least {least}"
            elif kind is float:
                right = isinstance(value, Real) and 0 <= value < 1 and (value > 0 or least == 0)
                give = f"a number with 0 {'<' if least else '≤'} {name} < 1"
            elif kind is str:
                right, give = value in one_of[name], f"one of {', '.join(one_of[name])}"
            else:
                continue
            if not right:
                raise ValueError(f"{name}={value!r}: give {give}")


#: Steps of the square root of intensity that the forest tells apart: even steps of the intensity
#: would drop weak bands.
LEVELS = 32

#: The paper's settings; what it leaves open is scikit-learn's default.
CLASSIFIERS = {
    "KNN": KNeighborsClassifier(n_neighbors=paper.KNN_K),
    "RF": RandomForestClassifier(n_estimators=paper.RF_TREES),
    "SVM": SVC(kernel="linear", C=paper.SVM_C),
    "LDA": LinearDiscriminantAnalysis(),
}


def baseline(name: str, normalisation: str | None = None, **parameters) -> Pipeline:
    """One of ``CLASSIFIERS``, as a pipeline from raw counts (n, points) to minerals.

    ``parameters`` stand in place of the paper's. It does not name its normalisation (one of
    ``data.NORMALISATIONS``): min–max is the default, and the forest has its own, see ``LEVELS``.
    Anything else is a ``ValueError``.
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"baseline {name!r} is not one of {', '.join(CLASSIFIERS)}")
    if name == "RF" and normalisation is not None:
        raise ValueError(f"normalisation={normalisation!r} does not go with RF, which rounds")
    scaling = ("sqrt", LEVELS) if name == "RF" else (normalisation or "minmax",)
    classifier = clone(CLASSIFIERS[name]).set_params(**parameters)
    return Pipeline([("normalise", Normaliser(*scaling)), ("classify", classifier)])
