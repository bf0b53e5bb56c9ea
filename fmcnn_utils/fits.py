"""One model, trained on one fold and scored on the spectra that the fold leaves out."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from . import baselines
from .config import FMCNNConfig
from .spectra import normalise
from .splits import Split


@dataclass(frozen=True)
class Predicted:
    """What a trained model says about test spectra.

    Attributes:
        classes: the predicted class number of each, (n,).
        scores: of every class, (n, n_classes), higher is likelier; −inf where unknown.
        confidence: probability of the predicted class, (n,); NaN if the model gives none.
        notes: further columns for the table of scores.
    """

    classes: np.ndarray
    scores: np.ndarray
    confidence: np.ndarray
    notes: dict[str, float] = field(default_factory=dict)


class Model(Protocol):
    """A model to cross-validate; its ``repr`` must name all its settings: it is the cache's key."""

    #: Modules of this package whose code decides the outcome, besides this one.
    modules: ClassVar[tuple[str, ...]]

    def predict(self, X, y, X_test, *, n_classes: int, seed: int, y_test) -> Predicted:
        """Train on raw counts ``X`` of classes ``y``; ``y_test`` is for marked extras only."""


@dataclass(frozen=True)
class FMCNN:
    """FMCNN, stopped early on a part of the training fold.

    Attributes:
        config: its settings; ``n_classes`` is set to what the data have.
        optimistic: also note ``optimistic_accuracy``: the best test accuracy over the epochs of
            the final training run, which is what stopping early on the test fold would report.
    """

    config: FMCNNConfig = field(default_factory=FMCNNConfig)
    optimistic: bool = False
    modules: ClassVar = (
        *("spectra", "splits", "config", "model"),
        *("weights", "convolutions", "fastpath", "training"),
    )

    def predict(self, X, y, X_test, *, n_classes: int, seed: int, y_test) -> Predicted:
        """See ``Model``."""
        from . import training  # starts TensorFlow, which the baselines' workers can do without

        config = replace(self.config, n_classes=n_classes)
        X, X_test = (normalise(part, config.normalisation) for part in (X, X_test))
        watch = (X_test, y_test) if self.optimistic else None
        trained = training.fit_fold(config, X, y, watch=watch, seed=seed)
        scores = np.asarray(trained.model(X_test[..., None], training=False))
        notes = {"epochs": trained.epochs, "weights": trained.model.count_params()}
        if self.optimistic:
            run = trained.history if trained.refit_history is None else trained.refit_history
            notes["optimistic_accuracy"] = run["watch_accuracy"].max()
        return Predicted(scores.argmax(axis=1), scores, scores.max(axis=1), notes)


@dataclass(frozen=True)
class Baseline:
    """One of the paper's baselines.

    Attributes:
        name: see ``baselines.make``.
        options: further arguments for it.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    modules: ClassVar = ("spectra", "baselines", "paper")

    def predict(self, X, y, X_test, *, n_classes: int, seed: int, y_test) -> Predicted:
        """See ``Model``."""
        estimator = baselines.make(self.name, **self.options, seed=seed).fit(X, y)
        scores = np.full((len(X_test), n_classes), -np.inf)
        confidence = np.full(len(X_test), np.nan)
        if hasattr(estimator, "predict_proba"):
            scores[:, estimator.classes_] = estimator.predict_proba(X_test)
            confidence = scores.max(axis=1)
        elif hasattr(estimator, "decision_function"):
            scores[:, estimator.classes_] = estimator.decision_function(X_test)
        return Predicted(estimator.predict(X_test), scores, confidence)


def fit(model: Model, X: np.ndarray, y: np.ndarray, split: Split, seed: int) -> dict:
    """Train and score one model on one fold, on one thread.

    Args:
        model: what to train.
        X: raw counts of all spectra, float32 (n, points).
        y: class numbers of all, (n,), 0 … n_classes − 1.
        split: which of them train and which test.
        seed: for whatever the model draws.

    Returns:
        Only numbers, strings and lists: ``scores`` (one value per column of the table of scores),
        and ``predictions`` (``spectrum``, ``predicted``, ``p``: one list entry per test spectrum).
    """
    start = time.perf_counter()
    n_classes = int(y.max()) + 1
    with threadpool_limits(limits=1):
        predicted = model.predict(
            X[split.train],
            y[split.train],
            X[split.test],
            n_classes=n_classes,
            seed=seed,
            y_test=y[split.test],
        )
    true = y[split.test]
    scores = {
        "n_train": len(split.train),
        "n_test": len(split.test),
        "n_classes": len(np.unique(y[split.train])),
        "accuracy": float(np.mean(predicted.classes == true)),
        "macro_f1": float(macro_f1(true, predicted.classes)),
        "top3": float(np.mean(rank(predicted.scores, true) <= 3)),
        "seconds": round(time.perf_counter() - start, 2),
        "seed": seed,
        "versions": versions(),
        **{name: float(value) for name, value in predicted.notes.items()},
    }
    return {
        "scores": scores,
        "predictions": {
            "spectrum": split.test.tolist(),
            "predicted": predicted.classes.tolist(),
            "p": np.round(predicted.confidence, 4).tolist(),
        },
    }


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that the test fold holds."""
    return f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)


def rank(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Place of the true class among the scores, 1 for the best; ties count against it."""
    own = scores[np.arange(len(true)), true][:, None]
    return (scores >= own).sum(axis=1)


def versions() -> str:
    """What the fits of this machine are made with."""
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # one of TensorFlow's two builds
            continue
    return " · ".join(found)


def code_version(model: Model) -> str:
    """Checksum of the code that a fit of this model runs through."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in model.modules:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()
