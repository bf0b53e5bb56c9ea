"""The one data type: spectra on a common grid, and what is known about each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline, PchipInterpolator, interp1d
from sklearn.base import BaseEstimator, TransformerMixin

#: Raman shift of the 1,360 points, in cm⁻¹. The paper samples "from 150 to 1510 cm⁻¹" and keeps
#: 1,360 values: at a step of 1 cm⁻¹ both ends would make 1,361, so the last one is left out.
GRID = np.arange(150.0, 1510.0)

NORMALISATIONS = ("none", "minmax", "l2", "sqrt")
#: How ``resample`` interpolates.
INTERPOLATIONS = {
    "linear": partial(interp1d, bounds_error=False, fill_value=0),
    "nearest": partial(interp1d, kind="nearest", bounds_error=False, fill_value=0),
    "cubic": partial(CubicSpline, extrapolate=False),
    "pchip": partial(PchipInterpolator, extrapolate=False),
}


@dataclass(frozen=True)
class Spectra:
    """A set of spectra on one grid.

    ``meta`` has one row per spectrum: ``file``, ``mineral``, ``specimen`` (RRUFF ID), ``mount``,
    ``laser`` (nm), ``angle`` (degrees), and what else the source knows.
    """

    X: np.ndarray  # intensities, float32 (n, 1360), in the counts of the file they come from
    meta: pd.DataFrame
    grid: np.ndarray  # Raman shift of the columns of X, (1360,), in cm⁻¹
    source: str  # what to write on a figure or score made from these spectra

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def minerals(self) -> np.ndarray:
        """Mineral name of each spectrum, (n,): the class to predict."""
        return self.meta["mineral"].to_numpy()

    def take(self, rows) -> Spectra:
        """The spectra at ``rows`` (a boolean mask or positions), with a fresh 0…n−1 index."""
        rows = np.asarray(rows)
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        meta = self.meta.iloc[positions].reset_index(drop=True)
        return replace(self, X=self.X[positions], meta=meta)


def resample(shift, intensity, grid=GRID, method: str = "linear") -> np.ndarray:
    """One spectrum, (m,) at strictly increasing ``shift`` in cm⁻¹, on ``grid``: float32.

    Outside the measured range it is 0: RRUFF's processed spectra are baseline-corrected, so 0 reads
    "nothing above the baseline". ``method`` is one of ``INTERPOLATIONS``; the paper settles on
    linear.
    """
    values = INTERPOLATIONS[method](shift, intensity)(grid)
    return np.nan_to_num(values, nan=0.0).astype(np.float32)


def normalise(X: np.ndarray, how: str = "minmax") -> np.ndarray:
    """Each spectrum of (n, points), scaled by itself: nothing is learnt, so no fold can leak.

    ``minmax`` to 0…1; ``l2`` to unit Euclidean length; ``sqrt``, the square root of ``minmax``,
    which lifts weak bands; or ``none``. A flat spectrum becomes zeros.
    """
    if how not in NORMALISATIONS:
        raise ValueError(f"normalisation {how!r} is not one of {', '.join(NORMALISATIONS)}")
    X = np.asarray(X, dtype=np.float32)
    if how == "none":
        return X
    if how == "l2":
        span = np.linalg.norm(X, axis=-1, keepdims=True)
    else:
        X = X - X.min(axis=-1, keepdims=True)
        span = X.max(axis=-1, keepdims=True)
    scaled = X / np.where(span > 0, span, 1)
    return np.sqrt(scaled) if how == "sqrt" else scaled


def medoid(spectra: Spectra, rows) -> int:
    """Which of ``rows``, spectra of one mineral, is closest to the mineral's median spectrum.

    Both are min–max scaled; the distance is the sum of absolute differences.
    """
    rows = np.asarray(rows)
    own = normalise(spectra.X[spectra.minerals == spectra.minerals[rows[0]]])
    distance = np.abs(normalise(spectra.X[rows]) - np.median(own, axis=0)).sum(axis=1)
    return int(rows[distance.argmin()])


class Normaliser(TransformerMixin, BaseEstimator):
    """``normalise`` as a step of a scikit-learn pipeline; then round to even steps, 0 … levels − 1.

    ``levels`` are for a normalisation that ends at 1. A tree looks for its thresholds among the
    distinct values of a feature, and with fewer of them the same forest is several times faster
    (``benchmarks/forest.py``).
    """

    def __init__(self, how: str = "minmax", levels: int | None = None):
        self.how = how
        self.levels = levels

    def fit(self, X, y=None) -> Normaliser:
        """Nothing is learnt."""
        return self

    def transform(self, X) -> np.ndarray:
        """Normalised spectra, float32 (n, points)."""
        X = normalise(X, self.how)
        return X if self.levels is None else np.round(X * (self.levels - 1))
