"""Measures of whether an explanation shows what the network uses.

An explanation gives every point of a spectrum an importance, larger for more important. The
measures take the importances of n spectra, (n, points), and give one number per spectrum, (n,),
or NaN where a spectrum has nothing to measure. Lengths along the axis are in points: 1 cm⁻¹ each
on ``spectra.GRID``.

The axis is judged in regions of 20 cm⁻¹, which is about the width of a band with its flanks (the
median peak of the atlas is 15 cm⁻¹ wide at half its height). A region's importance is the mean
over its points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

#: Length of a region.
REGION = 20
#: Share of the regions that counts as highlighted, for every method alike: 7 of 68, which is as
#: many as hold a strong peak in a usual spectrum.
HIGHLIGHTED = 0.1
#: Number of steps that deletion and insertion take, short ones first.
STEPS = 18


def regions(importance: np.ndarray, width: int = REGION) -> np.ndarray:
    """Mean importance of each region, (n, regions); the last one may be shorter."""
    starts = np.arange(0, importance.shape[1], width)
    lengths = np.diff(np.append(starts, importance.shape[1]))
    return np.add.reduceat(importance, starts, axis=1, dtype=float) / lengths


def ranking(importance: np.ndarray, width: int = REGION) -> np.ndarray:
    """Place of each region, (n, regions), 0 for the most important.

    Equal ones are put in an order that is drawn, always the same: an order by Raman shift would
    favour low shifts, where minerals have most of their bands.
    """
    value = regions(importance, width)
    drawn = np.random.default_rng(0).random(value.shape)
    return np.argsort(np.lexsort((drawn, -value)), axis=1)


def random_importance(n: int, points: int, seed: int) -> np.ndarray:
    """Importances that know nothing, (n, points): what every method must beat."""
    return np.random.default_rng(seed).random((n, points), dtype=np.float32)


def emptied(X: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """``X`` with what is not ``kept`` set to 0, the least value of a normalised spectrum."""
    return X * kept


def bridged(X: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """``X`` with straight lines across what is not ``kept``; 0 if nothing is."""
    axis, bridged = np.arange(X.shape[1]), np.zeros_like(X)
    for line, x, on in zip(bridged, X, kept, strict=True):
        if on.any():
            line[:] = np.interp(axis, axis[on], x[on])
    return bridged


def curve(
    score: Callable[[np.ndarray], np.ndarray],
    X: np.ndarray,
    importance: np.ndarray,
    *,
    insert: bool = False,
    fill: Callable[[np.ndarray, np.ndarray], np.ndarray] = emptied,
    width: int = REGION,
) -> tuple[np.ndarray, np.ndarray]:
    """The score as regions are deleted (or put back), the important ones first.

    What takes a region's place decides much, and either way has a bias, so use both. ``emptied``
    leaves steps where the edge of a region cuts a band, and is kind to methods that compare with
    an empty spectrum themselves, as occlusion does. ``bridged`` leaves no steps, but takes a
    broad band away only with its flanks, and so is kind to methods that highlight whole bands.

    Args:
        score: of each of n spectra, (n, points) to (n,), e.g. the probability of its mineral.
        X: normalised spectra, (n, points).
        importance: (n, points).
        insert: start from nothing and put regions back, rather than delete them.
        fill: ``emptied`` or ``bridged``.
        width: of a region.

    Returns:
        Share of the regions that is deleted (or put back), (steps,), from 0 to 1, and the score
        after each step, (n, steps).
    """
    place = ranking(importance, width)
    count = place.shape[1]
    steps = np.unique(np.round(np.linspace(0, 1, STEPS) ** 2 * count).astype(int))
    place = np.repeat(place, width, axis=1)[:, : X.shape[1]]
    kept = ((place < step) == insert for step in steps)
    return steps / count, np.stack([score(fill(X, on)) for on in kept], axis=1)


def area(share: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under each curve, (n,): the mean score on the way."""
    return np.trapezoid(scores, share, axis=1)


def precision_recall(
    importance: np.ndarray,
    truth: np.ndarray,
    width: int = REGION,
    highlighted: float = HIGHLIGHTED,
) -> tuple[np.ndarray, np.ndarray]:
    """How well the most important regions are those that they should be.

    Args:
        importance: (n, points).
        truth: whether a region should be highlighted, (n, regions).
        width: of a region.
        highlighted: share of the regions that counts as highlighted.

    Returns:
        Share of the highlighted regions that should be, (n,), and share of those that should be
        that are; NaN for a spectrum in which none should be.
    """
    count = max(round(highlighted * truth.shape[1]), 1)
    hits = (truth & (ranking(importance, width) < count)).sum(axis=1)
    wanted = np.where(truth.any(axis=1), truth.sum(axis=1), np.nan)
    return np.where(np.isnan(wanted), np.nan, hits / count), hits / wanted


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation of the absolute values of two explanations of each spectrum, (n,).

    Absolute values as in Adebayo et al., "Sanity Checks for Saliency Maps" (2018): a change of
    sign alone leaves the picture as it was. 0 where one of them is constant, as it ranks nothing.
    """
    return _correlation(*(rankdata(np.abs(part), axis=1) for part in (a, b)))


# ---------------------------------------------------------------- peaks
#
# Peaks of n spectra are two arrays, one number per peak: ``row``, the spectrum (0 … n − 1), and
# ``point``, its position on the axis.


def covered(row, point, shape: tuple[int, int], reach: int) -> np.ndarray:
    """Whether a point is at most ``reach`` from a peak: bool of ``shape``, (n, points)."""
    ends = np.zeros((shape[0], shape[1] + 1), dtype=int)
    np.add.at(ends, (row, np.maximum(point - reach, 0)), 1)
    np.add.at(ends, (row, np.minimum(point + reach + 1, shape[1])), -1)
    return ends[:, :-1].cumsum(axis=1) > 0


def holding(row, point, shape: tuple[int, int], width: int = REGION) -> np.ndarray:
    """Whether a region holds a peak: bool (n, regions), for spectra of ``shape`` (n, points)."""
    held = np.zeros((shape[0], -(-shape[1] // width)), dtype=bool)
    held[row, point // width] = True
    return held


def at_peaks(importance: np.ndarray, row, point, reach: int = 5) -> np.ndarray:
    """Mean importance within ``reach`` points of each peak, (peaks,)."""
    total = np.pad(importance, ((0, 0), (1, 0))).cumsum(axis=1, dtype=float)
    first = np.maximum(point - reach, 0)
    last = np.minimum(point + reach + 1, importance.shape[1])
    return (total[row, last] - total[row, first]) / (last - first)


def rivals(X, minerals, X_train, y_train, k: int) -> np.ndarray:
    """The ``k`` minerals whose mean training spectrum is most like each spectrum, (n, k).

    Likeness is the cosine, on spectra as the network sees them.

    Args:
        X: normalised spectra, (n, points).
        minerals: class number of each, (n,): no rival of itself.
        X_train: normalised training spectra.
        y_train: their class numbers, each class at least once.
        k: how many, at most all others.
    """
    means = np.stack([X_train[y_train == c].mean(axis=0) for c in range(y_train.max() + 1)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    likeness = X @ means.T  # the length of a spectrum does not change the order of its rivals
    likeness[np.arange(len(X)), minerals] = -np.inf
    return np.argsort(-likeness, axis=1, kind="stable")[:, : min(k, len(means) - 1)]


def usual(present: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where at least half of a mineral's spectra have a peak: bool (minerals, points).

    Args:
        present: whether a training spectrum has a peak near a point, bool (n, points).
        y: class numbers, (n,), each class at least once.
    """
    return np.stack([present[y == c].mean(axis=0) >= 0.5 for c in range(y.max() + 1)])


def distinctive(row, point, its_rivals: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Whether each peak is one that every rival lacks, bool (peaks,); the others are shared.

    Args:
        row: spectrum of each peak.
        point: its position.
        its_rivals: of each spectrum, (n, k).
        has: whether a mineral usually has a peak near a point, (minerals, points).
    """
    return ~has[its_rivals[row], point[:, None]].any(axis=1)


def preference(value, height, row, distinct, n: int, ratio: float = 1.1) -> np.ndarray:
    """How often a distinctive peak is more important than a shared one of equal height, (n,).

    Over all pairs of a distinctive and a shared peak in a spectrum whose heights are within
    ``ratio`` of each other; a tie counts half. 0.5 is no preference; NaN, no such pair.

    Args:
        value: importance at each peak, (peaks,).
        height: of the spectrum at each peak.
        row: spectrum of each peak.
        distinct: whether it is distinctive.
        n: number of spectra.
        ratio: of two heights that count as equal.
    """
    found = np.full(n, np.nan)
    for i in np.unique(row):
        one, other = (row == i) & distinct, (row == i) & ~distinct
        of_pair = height[one][:, None], height[other]
        equal = np.maximum(*of_pair) <= ratio * np.minimum(*of_pair)
        if equal.any():
            better = np.sign(value[one][:, None] - value[other]) / 2 + 0.5
            found[i] = better[equal].mean()
    return found


def agreement(value, effect, row, n: int) -> np.ndarray:
    """Rank correlation of two numbers of each peak over the peaks of a spectrum, (n,).

    Args:
        value: importance at each peak, (peaks,).
        effect: what the network loses without it.
        row: spectrum of each peak.
        n: number of spectra.

    Returns:
        NaN for a spectrum with fewer than three peaks; 0 where either number is constant.
    """
    found = np.full(n, np.nan)
    for i in np.flatnonzero(np.bincount(row, minlength=n) >= 3):
        own = row == i
        found[i] = _correlation(*(rankdata(part[own])[None] for part in (value, effect)))[0]
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's, row by row; 0 where one of the two is constant."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(scale > 0, scale, 1)
