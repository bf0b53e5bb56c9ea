"""Search in a library of spectra: which minerals look like this one, and which peaks say so.

Similarity is the cosine between two spectra, after two steps. The fourth root lifts weak bands, as
relative heights change with the orientation of the crystal. Whitening by the pooled covariance
within minerals makes small what differs among spectra of one mineral.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.linalg import cholesky, solve_triangular
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import find_peaks

from ..data.spectra import GRID

#: Smoothing and bins, in points; the root; shrinkage of the covariance, as a part of its mean
#: variance. Chosen on half of the specimens of another archive (``scripts/identify.py``).
SMOOTHING, BIN, ROOT, SHRINKAGE = 2.0, 2, 0.25, 0.1
#: Ends of a measured range are rounded inward to this, in cm⁻¹, so that few are different.
RANGE_STEP = 50.0
#: Peaks of two spectra are the same if they are at most so far apart, in cm⁻¹.
TOLERANCE = 7.0
#: Least height of a peak, as a part of the highest, to be told as missing or left over.
TOLD = 0.15


class Library:
    """Spectra (n, 1360), 0 outside the measured range, with names (n,), searched by similarity.

    ``sources`` says where each comes from, or all do; ``whitening`` is the covariance within
    minerals and the mean of ``features``, by default its own.
    """

    def __init__(self, X, minerals, sources="kept", whitening: tuple | None = None):
        order = np.argsort(minerals, kind="stable")
        self.X = np.asarray(X, dtype=np.float32)[order]
        self.minerals = np.asarray(minerals).astype(str)[order]
        self.sources = np.broadcast_to(sources, len(order))[order]
        self.names, self._starts = np.unique(self.minerals, return_index=True)
        self._features = features(self.X)
        self.whitening = whitening or _within(self._features, self.minerals)
        self._kept: dict = {}

    def join(self, X, minerals, source: str) -> Library:
        """This library and other spectra; what is common within a mineral stays as it was."""
        sources = np.concatenate([self.sources, np.full(len(X), source)])
        X, minerals = np.concatenate([self.X, X]), np.concatenate([self.minerals, minerals])
        return Library(X, minerals, sources, self.whitening)

    def similarity(self, X, low, high) -> tuple[np.ndarray, np.ndarray]:
        """How alike each spectrum is to each mineral: the most similar of its library spectra.

        Of prepared spectra (n, 1360), measured from ``low`` to ``high`` cm⁻¹, (n,): similarity, −1
        to 1, (n, minerals), in the order of ``names``, and the library row that has it.
        """
        X = np.asarray(X, dtype=np.float32)
        ends = np.column_stack(_inward(low, high))
        best = np.empty((len(X), len(self.names)), dtype=np.float32)
        row = np.empty(best.shape, dtype=int)
        for pair in np.unique(ends, axis=0):
            these = np.flatnonzero((ends == pair).all(axis=1))
            z = self.whiten(X[these], *pair)
            alike = z.astype(np.float32) @ self._whitening(*pair)[-1].T
            for k, rows in enumerate(np.split(np.arange(len(self.X)), self._starts[1:])):
                row[these, k] = rows[0] + alike[:, rows].argmax(axis=1)
            best[these] = np.take_along_axis(alike, row[these], axis=1)
        return best, row

    def scaled(self, row: int) -> np.ndarray:
        """A spectrum of the library, its highest point 1."""
        return self.X[row] / max(self.X[row].max(), 1e-12)

    def envelope(self, mineral: str) -> np.ndarray:
        """The highest that any scaled spectrum of a mineral is, within ``TOLERANCE``: (1360,)."""
        rows = np.flatnonzero(self.minerals == mineral)
        highest = np.max([self.scaled(row) for row in rows], axis=0)
        return maximum_filter1d(highest, 2 * int(TOLERANCE) + 1)

    def whiten(self, X, low: float, high: float) -> np.ndarray:
        """Spectra (n, 1360) as the library compares them in a range, in cm⁻¹: rows of length 1."""
        inside, mean, factor, _ = self._whitening(*map(float, _inward(low, high)))
        return _white(features(X)[:, inside], mean, factor)

    def _whitening(self, low: float, high: float):
        """Which bins lie in a range, their mean, the factor that whitens, and the white library."""
        if (low, high) not in self._kept:
            if len(self._kept) >= 16:
                self._kept.pop(next(iter(self._kept)))
            inside = (GRID[::BIN] >= low) & (GRID[::BIN] < high)
            covariance, mean = self.whitening[0][np.ix_(inside, inside)], self.whitening[1][inside]
            shrunk = SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
            factor = cholesky(covariance + shrunk, lower=True)
            white = _white(self._features[:, inside], mean, factor).astype(np.float32)
            self._kept[low, high] = inside, mean, factor, white
        return self._kept[low, high]


def measured_range(X) -> tuple[np.ndarray, np.ndarray]:
    """First and last Raman shift, in cm⁻¹, (n,), where raw counts (n, 1360) are not 0."""
    measured = np.asarray(X) != 0
    return GRID[measured.argmax(axis=1)], GRID[::-1][measured[:, ::-1].argmax(axis=1)]


def _inward(low, high):
    whole = np.asarray(high) >= GRID[-1] - BIN
    high = np.where(whole, GRID[-1] + 1, np.floor(np.asarray(high) / RANGE_STEP) * RANGE_STEP)
    return np.ceil(np.asarray(low) / RANGE_STEP) * RANGE_STEP, high


def to_one(X) -> np.ndarray:
    """Spectra (n, points) over their maximum, what is below zero cut off."""
    X = np.clip(X, 0, None)
    return X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)


def features(X) -> np.ndarray:
    """Fourth root of smoothed spectra over their maximum, in bins: (n, 680)."""
    X = np.clip(gaussian_filter1d(to_one(X), SMOOTHING, axis=1), 0, None) ** ROOT
    return X.reshape(len(X), -1, BIN).mean(axis=2)


def _within(F, minerals) -> tuple[np.ndarray, np.ndarray]:
    """Pooled covariance within minerals, and the mean of all."""
    names, group = np.unique(minerals, return_inverse=True)
    means = np.stack([F[group == k].mean(axis=0) for k in range(len(names))])
    residual = F - means[group]
    return residual.T @ residual / max(len(F) - len(names), 1), F.mean(axis=0)


def _white(F, mean, factor) -> np.ndarray:
    Z = solve_triangular(factor, (F - mean).T, lower=True).T
    return Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)


def peaks_of(x, noise: float = 0.0) -> np.ndarray:
    """Position (cm⁻¹) and prominence of the peaks of a spectrum with maximum 1, (k, 2)."""
    smooth = np.pad(gaussian_filter1d(x, 1.0), 1)
    at, found = find_peaks(smooth, prominence=max(0.03, 6 * noise))
    return np.column_stack([GRID[at - 1], found["prominences"]])


def compare_peaks(x, noise: float, library: Library, row: int, low: float, high: float) -> dict:
    """``matched``, ``missing`` and ``left_over`` peaks: positions in cm⁻¹ and heights, (k, 2).

    Missing are those of the most similar library spectrum (``row``), left over those where no
    library spectrum of the mineral is half as high: heights change with the orientation. Of both,
    only what is at least ``TOLD`` high.
    """
    own, theirs = peaks_of(x, noise), peaks_of(library.scaled(row))
    theirs = theirs[(theirs[:, 0] >= low) & (theirs[:, 0] <= high)]
    over = own[:, 1] - np.interp(own[:, 0], GRID, library.envelope(library.minerals[row]))
    left_over = own[(own[:, 1] >= TOLD) & (over > own[:, 1] / 2)]
    matched = own[_near(own[:, 0], theirs[:, 0])]
    missing = theirs[(theirs[:, 1] >= TOLD) & ~_near(theirs[:, 0], own[:, 0])]
    return {"matched": matched, "missing": missing, "left_over": left_over}


def _near(a, b) -> np.ndarray:
    """Which of the positions ``a`` have one of ``b`` within ``TOLERANCE``."""
    return (np.abs(np.subtract.outer(a, b)) <= TOLERANCE).any(axis=1)


def by_peaks(positions, library: Library) -> pd.DataFrame:
    """Minerals with peaks at these positions, in cm⁻¹, those that explain them best first.

    ``matched`` is how many of the positions a ``mineral`` has; ``score`` is the matched share of
    the positions times the share of its own heights that lie at one of them.
    """
    rows = []
    for row, mineral in enumerate(library.minerals):
        at, heights = peaks_of(library.scaled(row)).T
        if len(at):
            found = _near(positions, at)
            share = heights[_near(at, positions)].sum() / heights.sum()
            rows.append((mineral, found.sum(), found.mean() * share))
    table = pd.DataFrame(rows, columns=["mineral", "matched", "score"])
    table = table.sort_values("score", ascending=False, kind="stable").drop_duplicates("mineral")
    return table.reset_index(drop=True)
