"""Spectra in which the deciding peak is known, to see whether an explanation finds it.

The backgrounds are real spectra, dealt to the classes by lot, so that they say nothing about the
class. A narrow peak is added to each, at a place that is the class's own. A network that names the
classes can only have used that peak, although most spectra hold higher ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import training
from .config import FMCNNConfig
from .faithfulness import REGION, ranking
from .peaks import profile
from .spectra import normalise
from .trials import FOLD, Explained, rows

#: Number of classes; FWHM of the planted peak, in points; and the range of its height, as a share
#: of the highest peak of the background.
CLASSES, WIDTH, HEIGHTS = 6, 8.0, (0.2, 0.6)
#: Planted spectra to train on, and epochs: enough to name nearly all others right.
TRAINED_ON, EPOCHS = 1200, 10


@dataclass(frozen=True)
class Planted:
    """Planted spectra.

    Attributes:
        X: normalised, float32 (n, points).
        y: class numbers, (n,).
        point: where the peak of each spectrum was planted, (n,).
    """

    X: np.ndarray
    y: np.ndarray
    point: np.ndarray


def places(points: int, seed: int, classes: int = CLASSES) -> np.ndarray:
    """Where each class has its peak, (classes,): anywhere, but at least two regions apart.

    Drawn on the axis shortened by the gaps, which are then put in between.
    """
    gap = 2 * REGION
    free = points - gap * (classes + 1)
    drawn = np.sort(np.random.default_rng(seed).integers(0, free, classes))
    return drawn + gap * np.arange(1, classes + 1)


def plant(backgrounds: np.ndarray, at: np.ndarray, normalisation: str, seed: int) -> Planted:
    """One spectrum of a drawn class on each background.

    Args:
        backgrounds: intensities of real spectra, (n, points).
        at: the place of each class's peak.
        normalisation: see ``spectra.normalise``.
        seed: of the classes and heights.
    """
    random = np.random.default_rng(seed)
    y = random.permutation(np.arange(len(backgrounds)) % len(at))
    height = random.uniform(*HEIGHTS, len(backgrounds))
    axis = np.arange(backgrounds.shape[1])
    peak = profile(axis, at[y][:, None], WIDTH, 0.5)
    X = normalise(backgrounds, "minmax") + height[:, None] * peak
    return Planted(normalise(X, normalisation), y, at[y])


def found(importance: np.ndarray, point: np.ndarray) -> np.ndarray:
    """1 where the most important region has the planted peak in it or next door, else 0, (n,)."""
    top = ranking(importance).argmin(axis=1)
    return (np.abs(top - point // REGION) <= 1).astype(float)


def share(importance: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Share of all absolute importance that is within a region's length of the peak, (n,)."""
    near = np.abs(np.arange(importance.shape[1]) - point[:, None]) <= REGION
    size = np.abs(importance)
    whole = size.sum(axis=1)
    return (size * near).sum(axis=1) / np.where(whole > 0, whole, 1)


def trial(X_train, X_test, config: FMCNNConfig, seed: int) -> Iterator[pd.DataFrame]:
    """Whether the planted peak is found, in the spectra that a network trained on such names right.

    Args:
        X_train: spectra, in counts, to plant the training peaks in.
        X_test: the same for those to explain.
        config: of the network.
        seed: of all that is drawn.
    """
    at = places(config.n_points, seed)
    config = replace(config, n_classes=len(at))
    some = np.random.default_rng(seed).permutation(len(X_train))[:TRAINED_ON]
    learnt = plant(X_train[some], at, config.normalisation, seed)
    asked = plant(X_test, at, config.normalisation, seed + 1)
    model, _ = training.fit(config, learnt.X, learnt.y, epochs=EPOCHS, seed=seed)
    shown = Explained.by(model, asked.X, asked.y, seed)
    right = shown.classes == asked.y
    yield rows(FOLD, asked.y, {"recall of planted peaks": right})
    for method, importance in shown.take(right).maps:
        hit = found(importance, asked.point[right])
        part = share(importance, asked.point[right])
        values = {"planted peak: found": hit, "planted peak: share": part}
        yield rows(method, asked.y[right], values)
