"""FMCNN as a scikit-learn estimator."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.spectra import NORMALISATIONS, normalise
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

    A share of the training spectra is split off to choose the number of epochs: the epoch after
    which the validation loss is lowest. With ``refit`` a new network is then trained on all
    training spectra for as many epochs. What the paper gives is marked "paper"; what it leaves open
    was chosen by ``scripts/search.py``.

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
        self.filters = filters
        self.kernel = kernel
        self.stride = stride
        self.squeeze = squeeze
        self.expand1 = expand1
        self.expand3 = expand3
        self.pool = pool
        self.dense = dense
        self.bn_momentum = bn_momentum
        self.l2 = l2
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.monitor = monitor
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.random_state = random_state

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
        watch = () if self.refit else callbacks
        model, history = self._train(
            x[fitted],
            number[fitted],
            seed,
            self.epochs,
            (x[validation], number[validation]),
            [*watch, stop],
        )
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
        parts = (X[i : i + 512] for i in range(0, len(X), 512))
        return np.concatenate(
            [self.model_(self.as_input(part), training=False).numpy() for part in parts]
        )

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
        history = fmcnn.train(
            model,
            x,
            number,
            batch_size=self.batch_size,
            epochs=epochs,
            validation=validation,
            callbacks=callbacks,
            seed=seed,
        )
        return model, history

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
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: give one of {', '.join(allowed)}"
                )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")
