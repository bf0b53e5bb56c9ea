"""FMCNN as a scikit-learn estimator, and the four classifiers that the paper compares it with."""

from __future__ import annotations

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

MONITORS = ("loss", "accuracy")

# Least value of each whole number among the settings, and the numbers that must be below 1.
_COUNTS = {
    **dict.fromkeys(("filters", "kernel", "stride", "squeeze", "expand1", "expand3"), 1),
    **dict.fromkeys(("pool", "batch_size", "epochs", "patience"), 1),
    "dense": 0,
}
_MAY_BE_ZERO = ("bn_momentum", "l2")
_SHARES = (*_MAY_BE_ZERO, "learning_rate", "validation_fraction")


class FMCNNClassifier(ClassifierMixin, BaseEstimator):
    """FMCNN from raw counts to mineral names, with early stopping inside the training data.

    A share of the training spectra is split off to choose the number of epochs, with the lowest
    validation loss. With ``refit`` a new network is then trained on all for as many. What the paper
    gives is marked "paper"; what it leaves open was chosen by ``scripts/search.py``.

    Args:
        normalisation: see ``data.normalise``.
        filters: output maps of the first convolution.
        kernel: its length, in points.
        stride: its stride.
        squeeze: maps of the fire module's 1×1 squeeze.
        expand1: maps of its 1×1 expand.
        expand3: maps of its 3×1 expand.
        pool: length of the non-overlapping max-pool.
        dense: units of a hidden fully connected layer, 0 for none.
        bn_momentum: of batch normalisation's moving statistics; Keras's 0.99 is too slow for so
            few steps.
        l2: λ of the L2 penalty on all kernels (paper, without its value).
        learning_rate: of Adam (paper: 0.001; its β and ε are in ``paper``).
        batch_size: spectra a step.
        epochs: at most.
        patience: epochs without a better one before training stops (paper: early stopping).
        monitor: what early stopping watches on the validation split, "loss" or "accuracy".
        validation_fraction: share of the training spectra that is the validation split.
        refit: train again on all training spectra for the chosen number of epochs.
        random_state: of the validation split, the initial weights and the order of the batches.

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

    def __init__(
        self,
        *,
        normalisation="sqrt",
        filters=16,
        kernel=16,
        stride=4,
        squeeze=4,
        expand1=8,
        expand3=8,
        pool=4,
        dense=0,
        bn_momentum=0.9,
        l2=1e-4,
        learning_rate=0.001,
        batch_size=64,
        epochs=40,
        patience=5,
        monitor="loss",
        validation_fraction=0.1,
        refit=True,
        random_state=None,
    ):
        self.normalisation = normalisation
        self.filters, self.kernel, self.stride = filters, kernel, stride
        self.squeeze, self.expand1, self.expand3 = squeeze, expand1, expand3
        self.pool, self.dense = pool, dense
        self.bn_momentum, self.l2, self.learning_rate = bn_momentum, l2, learning_rate
        self.batch_size, self.epochs, self.patience = batch_size, epochs, patience
        self.monitor, self.validation_fraction = monitor, validation_fraction
        self.refit, self.random_state = refit, random_state

    def fit(self, X, y, groups=None, callbacks=()) -> FMCNNClassifier:
        """Train on raw counts.

        Args:
            X: raw counts, (n, points).
            y: mineral of each, (n,).
            groups: specimen of each, (n,): the validation split then keeps specimens whole.
            callbacks: Keras callbacks for the training of the returned weights.

        Raises:
            ValueError: for a setting out of range, or data that do not fit each other.
        """
        from .fmcnn import keras

        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, number = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]}: give spectra of at least two")
        seed = int(check_random_state(self.random_state).randint(2**31))
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
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        parts = (self.as_input(X[i : i + 512]) for i in range(0, len(X), 512))
        return np.concatenate([self.model_(part, training=False).numpy() for part in parts])

    def predict(self, X) -> np.ndarray:
        """The likeliest mineral of each spectrum, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def as_input(self, X) -> np.ndarray:
        """What the network sees of raw counts (n, points): normalised, float32 (n, points, 1)."""
        return normalise(X, self.normalisation)[..., None]

    def build(self, n_points: int, n_classes: int, seed: int):
        """The untrained Keras model; a subclass may give another one."""
        from . import fmcnn

        return fmcnn.build(self, n_points, n_classes, seed)

    def _train(self, x, number, seed, epochs, validation, callbacks):
        from . import fmcnn

        model = self.build(x.shape[1], len(self.classes_), seed)
        for callback in callbacks:
            if isinstance(callback, fmcnn.TestAccuracy):
                callback.use(self)
        how = {"batch_size": self.batch_size, "epochs": epochs, "validation": validation}
        return model, fmcnn.train(model, x, number, **how, callbacks=callbacks, seed=seed)

    def _check_settings(self) -> None:
        for name, low in _COUNTS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
                raise ValueError(f"{name}={value!r}: give a whole number of at least {low}")
        for name in _SHARES:
            value, low = getattr(self, name), "0 ≤" if name in _MAY_BE_ZERO else "0 <"
            inside = isinstance(value, (int, float, np.floating)) and 0 <= value < 1
            if not inside or (value == 0 and name not in _MAY_BE_ZERO):
                raise ValueError(f"{name}={value!r}: give a number with {low} {name} < 1")
        for name, allowed in (("normalisation", NORMALISATIONS), ("monitor", MONITORS)):
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name}={value!r}: give one of {', '.join(allowed)}")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


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
    scaling = ("sqrt", LEVELS) if name == "RF" else (normalisation or "minmax",)
    classifier = clone(CLASSIFIERS[name]).set_params(**parameters)
    return Pipeline([("normalise", Normaliser(*scaling)), ("classify", classifier)])
