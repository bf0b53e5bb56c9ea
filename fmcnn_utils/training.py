"""Training FMCNN: a trained Keras model and what happened epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .config import FMCNNConfig
from .fastpath import FastPath, cross_entropy
from .model import build, keras
from .splits import hold_back


@dataclass(frozen=True)
class Trained:
    """A trained FMCNN.

    Attributes:
        model: a Keras model, with its trained weights.
        epochs: how many epochs these weights were trained for.
        history: one row per epoch of the run that chose ``epochs``, see ``fit``.
        refit_history: the same of the run on all data, if there was one.
    """

    model: keras.Model
    epochs: int
    history: pd.DataFrame
    refit_history: pd.DataFrame | None


def fit(
    config: FMCNNConfig,
    X: np.ndarray,
    y: np.ndarray,
    *,
    X_stop: np.ndarray | None = None,
    y_stop: np.ndarray | None = None,
    watch: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    progress: Callable[[dict], None] | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train one FMCNN on one core.

    With ``X_stop`` and ``y_stop`` training stops after ``patience`` epochs in which what
    ``config.monitor`` names did not get better on them, and goes back to the best epoch's
    weights; without, it runs for ``epochs``. The same seed gives the same weights, bit for bit,
    on one machine.

    Args:
        config: the settings.
        X: normalised spectra, float32 (n, n_points).
        y: class numbers (n,), 0 … n_classes − 1.
        X_stop: spectra held back, to stop early on.
        y_stop: their classes.
        watch: spectra and classes to report ``watch_accuracy`` on, which nothing depends on.
        epochs: at most; by default the config's.
        patience: by default the config's.
        seed: of the initial weights and of the order of the batches.
        progress: called after each epoch with its row of the history.

    Returns:
        The model, and a history with a row per epoch: ``epoch`` (from 1), ``loss`` and
        ``accuracy`` over the epoch's batches, and ``stop_loss``, ``stop_accuracy``,
        ``watch_accuracy`` after it, where asked for. Losses include the L2 penalty, as Keras's do.

    Raises:
        ValueError: if the data do not fit each other or the config.
    """
    _check(config, X, y, "X")
    if X_stop is not None:
        _check(config, X_stop, y_stop, "X_stop")
    epochs = config.epochs if epochs is None else epochs
    patience = config.patience if patience is None else patience
    model = build(config, seed)
    fast = FastPath(config, {weight.path: weight.numpy() for weight in model.weights})
    random = np.random.default_rng(seed)
    best, best_epoch, best_values, rows = np.inf, 0, None, []
    with threadpool_limits(limits=1, user_api="blas"):  # the order of sums is part of the result
        for epoch in range(1, epochs + 1):
            row = {"epoch": epoch} | _run_epoch(fast, X, y, random.permutation(len(y)))
            if X_stop is not None:
                row["stop_loss"], row["stop_accuracy"] = _score(fast, X_stop, y_stop)
            if watch is not None:
                row["watch_accuracy"] = _score(fast, *watch)[1]
            rows.append(row)
            if progress is not None:
                progress(row)
            if X_stop is None:
                continue
            value = row["stop_loss"] if config.monitor == "loss" else -row["stop_accuracy"]
            if value < best:
                best, best_epoch, best_values = value, epoch, fast.values()
            if epoch - best_epoch >= patience:
                break
    values = fast.values() if best_values is None else best_values
    model.set_weights([values[weight.path] for weight in model.weights])
    return model, pd.DataFrame(rows)


def fit_fold(
    config: FMCNNConfig,
    X: np.ndarray,
    y: np.ndarray,
    *,
    watch: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
    progress: Callable[[dict], None] | None = None,
) -> Trained:
    """Train on one training fold, stopping early on a part of it, as the config says.

    ``config.hold_back`` of the fold is held back to choose the number of epochs; with
    ``config.refit`` a fresh network is then trained on the whole fold for as many.

    Args:
        config: the settings.
        X: normalised spectra of the whole training fold, float32 (n, n_points).
        y: their class numbers (n,).
        watch: see ``fit``; watched by the run whose weights are returned.
        seed: of the part held back and of the training.
        progress: see ``fit``.

    Returns:
        The trained model and how it got there.
    """
    kept, stop = hold_back(y, np.arange(len(y)), config.hold_back, seed)
    model, history = fit(
        config,
        X[kept],
        y[kept],
        X_stop=X[stop],
        y_stop=y[stop],
        watch=None if config.refit else watch,
        seed=seed,
        progress=progress,
    )
    epochs = best_epoch(history, config.monitor)
    if not config.refit:
        return Trained(model, epochs, history, None)
    model, refit = fit(config, X, y, watch=watch, epochs=epochs, seed=seed, progress=progress)
    return Trained(model, epochs, history, refit)


def best_epoch(history: pd.DataFrame, monitor: str) -> int:
    """The first epoch with the lowest ``stop_loss``, or the highest ``stop_accuracy``."""
    stop = history[f"stop_{monitor}"]
    return int(history["epoch"][stop.idxmin() if monitor == "loss" else stop.idxmax()])


def _run_epoch(fast: FastPath, X, y, order) -> dict[str, float]:
    loss, right, batch = 0.0, 0, fast.config.batch
    for start in range(0, len(y), batch):
        rows = order[start : start + batch]
        batch_loss, batch_right = fast.train_batch(X[rows], y[rows])
        loss += batch_loss * len(rows)
        right += batch_right
    return {"loss": loss / len(y), "accuracy": right / len(y)}


def _score(fast: FastPath, X, y) -> tuple[float, float]:
    """Loss with its penalty, and accuracy."""
    logits = fast.logits(X)
    loss = float(cross_entropy(logits, y)[0].mean()) + fast.penalty()
    return loss, float((logits.argmax(axis=1) == y).mean())


def _check(config: FMCNNConfig, X, y, name: str) -> None:
    if X.ndim != 2 or X.shape[1] != config.n_points:
        raise ValueError(f"{name} has shape {X.shape}: give (spectra, {config.n_points})")
    if y is None or len(y) != len(X) or not len(X):
        raise ValueError(
            f"{name} has {len(X)} spectra: give one class number for each, at least one"
        )
    if not np.isfinite(X).all():
        raise ValueError(f"{name} holds values that are not finite numbers: clean it first")
    if np.min(y) < 0 or np.max(y) >= config.n_classes:
        raise ValueError(
            f"class numbers run from {np.min(y)} to {np.max(y)}: "
            f"n_classes={config.n_classes} allows 0 to {config.n_classes - 1}"
        )
