"""Measures of whether an explanation shows what the network uses.

An explanation gives every point of a spectrum an importance, larger for more important. The
measures take the importances of n spectra, (n, points), and give one number per spectrum, (n,),
or NaN where a spectrum has nothing to measure. Lengths along the axis are in points: 1 cm⁻¹ each
on ``data.GRID``.

The axis is judged in regions of 20 cm⁻¹, which is about the width of a band with its flanks (the
median peak of the atlas is 15 cm⁻¹ wide at half its height). A region's importance is the mean
over its points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

#: Length of a region; the axis is a whole number of them.
REGION = 20
#: Number of steps that deletion and insertion take, short ones first.
STEPS = 18


def ranking(importance: np.ndarray) -> np.ndarray:
    """Place of each region, (n, regions), 0 for the most important.

    Equal ones are put in a random order, always the same: an order by Raman shift would favour
    low shifts, where minerals have most of their bands.
    """
    n, points = importance.shape
    value = importance.reshape(n, points // REGION, REGION).mean(axis=2, dtype=float)
    drawn = np.random.default_rng(0).random(value.shape)
    return np.argsort(np.lexsort((drawn, -value)), axis=1)


def interpolated(X: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """``X`` with straight lines across what is not ``kept``; 0 if nothing is."""
    axis, filled = np.arange(X.shape[1]), np.zeros_like(X)
    for line, x, on in zip(filled, X, kept, strict=True):
        if on.any():
            line[:] = np.interp(axis, axis[on], x[on])
    return filled


#: What can take the place of a deleted region: 0, the least value of a normalised spectrum, or a
#: straight line.
FILLS = {"zero-filled": np.multiply, "interpolated": interpolated}


def curve(
    score: Callable, X, importance, *, insert: bool = False, fill: str = "zero-filled"
) -> tuple[np.ndarray, np.ndarray]:
    """The score as regions are deleted (or put back: ``insert``), the important ones first.

    ``score`` takes spectra (n, points) to (n,), e.g. the probability of their minerals; ``X`` are
    normalised spectra. Returned are the share of the regions that is deleted (or put back), from 0
    to 1, (steps,), and the score after each step, (n, steps); its mean is the area under the curve.

    What takes a region's place, one of ``FILLS``, decides much, and either way has a bias, so use
    both. Zeros leave steps where the edge of a region cuts a band, and are kind to methods that
    compare with a spectrum of zeros themselves, as occlusion does. Interpolation leaves no steps,
    but takes a broad band away only with its flanks, and so is kind to methods that highlight
    whole bands.
    """
    place = ranking(importance)
    count = place.shape[1]
    steps = np.unique(np.round(np.linspace(0, 1, STEPS) ** 2 * count).astype(int))
    place = np.repeat(place, REGION, axis=1)
    kept = ((place < step) == insert for step in steps)
    return steps / count, np.stack([score(FILLS[fill](X, on)) for on in kept], axis=1)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's, row by row, (n,); 0 where one of the two is constant."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(scale > 0, scale, 1)


def rank_correlation(importance: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's, of the absolute values of two explanations of each spectrum, (n,).

    Absolute values as in Adebayo et al., "Sanity Checks for Saliency Maps" (2018): a change of
    sign alone leaves the picture as it was. NaN where ``importance`` is 0 throughout, as there is
    nothing to compare.
    """
    ranks = (rankdata(np.abs(part), axis=1) for part in (importance, other))
    return np.where(importance.any(axis=1), correlation(*ranks), np.nan)


def hit_rate(importance: np.ndarray, point: np.ndarray) -> np.ndarray:
    """1 where the most important region holds ``point`` (n,) or is next to it, else 0, (n,)."""
    top = ranking(importance).argmin(axis=1)
    return (np.abs(top - point // REGION) <= 1).astype(float)
