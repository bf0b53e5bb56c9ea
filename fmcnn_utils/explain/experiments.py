"""Networks that were never trained, spectra whose deciding peak is known, and bands by formulas.

The tests that are kept of all methods are run by ``scripts/explanations.py``.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d

from .. import data, models
from ..data import chemistry, peaks
from . import metrics
from .attribution import attribute
from .deconvolution import deconvolve, in_batches

#: Tests that ask for what the paper says of its pictures.
SHOWN_TESTS = (
    "precision at strong peaks",
    "importance between peaks",
    "distinctive over shared",
    "inserted peak hit rate",
)
#: Layers that deconvolution is compared from, trained and untrained.
LAYERS = ("conv", "squeeze", "expand1", "expand3", "pool")

#: Of a test's method, if it is a number about the network.
CONTROL = "(control)"
#: Of the inserted peaks: classes; FWHM in points; heights, as shares of the spectrum's highest.
CLASSES, FWHM, HEIGHTS = 6, 8.0, (0.2, 0.6)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Methods (rows) by tests (columns): mean ± standard deviation over the folds, as text."""

    def text(values):
        spread = f" ± {values.std():.2f}" if len(values) > 1 else ""
        return f"{values.mean().round(2) + 0:.2f}{spread}"  # + 0: no minus before 0.00

    own = table[table["method"] != CONTROL]
    wide = own.groupby(["method", "test"])["value"].agg(text).unstack(fill_value="")
    return wide.loc[own["method"].unique(), own["test"].unique()]


def insert_peaks(X: np.ndarray, seed: int, points_seed: int = 0):
    """Spectra of made-up classes, each of which is known by one inserted peak alone.

    The backgrounds ``X``, raw counts (n, points), are real spectra, assigned to the classes at
    random, so that they say nothing about the class. A network that predicts the classes can only
    have used the inserted peak, although most spectra hold higher ones. ``seed`` draws classes and
    heights, ``points_seed`` the places of the peaks: anywhere, but at least two regions apart.
    Returns spectra (n, points), their classes (n,), and the points of their inserted peaks (n,).
    """
    random, gap = np.random.default_rng(seed), 2 * metrics.REGION
    # Drawn on the axis shortened by the gaps, which are then put in between.
    free = np.random.default_rng(points_seed).integers(0, X.shape[1] - gap * (CLASSES + 1), CLASSES)
    number = random.permutation(np.arange(len(X)) % CLASSES)
    point = (np.sort(free) + gap * np.arange(1, CLASSES + 1))[number]
    height = random.uniform(*HEIGHTS, len(X))[:, None]
    peak = peaks.profile(np.arange(X.shape[1]), point[:, None], FWHM, 0.5)
    return data.normalise(X) + height * peak, np.char.add("class ", number.astype(str)), point


def never_trained(classifier: models.FMCNNClassifier, X, seed: int) -> models.FMCNNClassifier:
    """A classifier like the given, fitted one with random weights, from another seed than its own.

    Batch normalisation takes the mean and variance of its maps from ``X``, raw counts (n, points).
    """
    other = random_weights(classifier, seed)
    before = models.keras.Model(other.model_.input, other.model_.get_layer("conv_leaky").output)
    maps = in_batches(partial(before, training=False), classifier.as_input(X))
    norm = other.model_.get_layer("batch_norm")
    norm.moving_mean.assign(maps.mean(axis=(0, 1)))
    norm.moving_variance.assign(maps.var(axis=(0, 1)))
    return other


def random_weights(classifier: models.FMCNNClassifier, seed: int) -> models.FMCNNClassifier:
    """The classifier with random weights in it."""
    other, size = copy(classifier), (classifier.n_features_in_, len(classifier.classes_))
    other.model_ = models.build(classifier, *size, seed=seed)
    return other


def untrained(
    classifier: models.FMCNNClassifier, spectra: data.Spectra, rows, *, draws=5, seed=0
) -> pd.DataFrame:
    """Deconvolution of a trained network beside that of ``draws`` networks never trained.

    The ``rows`` of ``spectra``, raw counts, are explained; to a fifth of all of them, batch
    normalisation is fitted. A row per layer and network: ``layer``, ``network`` (trained or
    untrained), ``draw``, ``correlation`` of what comes back with the spectrum, and ``background``,
    the share of its sum of squares where the intensity is below a tenth of the highest band;
    medians. ValueError for ``draws`` out of range.
    """
    if draws not in range(2, 51):
        raise ValueError(f"draws={draws!r}: give a whole number from 2 to 50")
    networks = [("trained", 0, classifier)]
    for i in range(draws):
        networks.append(("untrained", i, never_trained(classifier, spectra.X[::5], seed + 1 + i)))
    X = spectra.X[rows]
    x, quiet = classifier.as_input(X)[..., 0], data.normalise(X) < 0.1
    found = []
    for (kind, draw, network), layer in product(networks, LAYERS):
        signal = deconvolve(network, X, layer)
        share = (signal**2 * quiet).sum(axis=1) / (signal**2).sum(axis=1)
        alike = metrics.correlation(signal, x)
        found.append((layer, kind, draw, np.median(alike), np.median(share)))
    return pd.DataFrame(found, columns=["layer", "network", "draw", "correlation", "background"])


def highest_point(importance: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Raman shift where the size of each importance is highest, as a running mean of 16 points."""
    return grid[uniform_filter1d(np.abs(importance), 16, axis=1).argmax(axis=1)]


def band_agreement(
    classifier: models.FMCNNClassifier, spectra: data.Spectra, rows, *, layer: str = "pool"
) -> pd.DataFrame:
    """How often a group of atoms at the most important point is one that the formula allows.

    Asked of the medoid of each mineral among ``rows``, held-out spectra of minerals that the
    network knows; deconvolution starts from ``layer``. ``method``, ``bands`` (all rows of the
    table, or the strong ones), ``fits`` and ``chance``: means over the minerals, see
    ``data.chemistry.agreement``.
    """
    rows = np.asarray(rows)
    minerals = np.unique(spectra.minerals[rows].astype(str))
    medoids = [data.medoid(spectra, rows[spectra.minerals[rows] == m]) for m in minerals]
    formulas = dict(zip(minerals, spectra.meta["formula"].iloc[medoids], strict=True))
    table, found = chemistry.bands(), []
    parts = {"all": table, "strong": table[table["strength"] == "strong"]}
    for method in ("deconvolution", "integrated gradients", "spectrum"):
        importance = attribute(method, classifier, spectra.X[medoids], layer=layer)
        highest = highest_point(importance, spectra.grid)
        positions = {mineral: [at] for mineral, at in zip(minerals, highest, strict=True)}
        for which, part in parts.items():
            means = chemistry.agreement(positions, formulas, part).mean()
            found.append((method, which, means["fits"], means["chance"]))
    return pd.DataFrame(found, columns=["method", "bands", "fits", "chance"])
