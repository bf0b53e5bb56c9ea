"""From a spectrum as measured to one that the network and the library can be asked about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pybaselines import Baseline
from scipy.ndimage import gaussian_filter1d

from ..data.reader import Measured
from ..data.spectra import GRID
from ..results import UserError

BASELINES = ("auto", "none", "iarpls", "arpls", "asls", "snip", "modpoly")
#: Smoothness of the Whittaker baselines on a grid of 1 cm⁻¹.
SMOOTHNESS = 5e5
#: A background is taken away when it is on median more than this part of the highest band above
#: it. Some of RRUFF's processed spectra still have as much: of those in excellent_unoriented two
#: in a hundred (``results/rruff/identify_backgrounds.csv``), of excellent_oriented one in ten.
NEEDED = 0.02
#: Strong enough to be told of: the background's median is more than the highest band.
STRONG = 1.0
#: Noise, as a part of the highest band, above which the spectrum is smoothed, and of what is left
#: of it this many standard deviations are taken away: else the root that lifts weak bands lifts it.
NOISY, BELOW = 0.004, 4.0
#: A spike rises this many times the noise above what is two points away on either side.
SPIKE = 12.0


@dataclass(frozen=True)
class Prepared:
    """A spectrum on the grid, and what was done to it.

    Attributes:
        measured: as it was read.
        x: (1360,), background and spikes removed, highest point 1, and 0 outside the range.
        raw: (1360,), only interpolated; nan outside the range.
        background: (1360,), what was taken away; 0 where nothing was.
        low: lower end of the measured range inside the grid, in cm⁻¹.
        high: upper end.
        noise: standard deviation of the noise, as a part of the highest band.
        notes: a sentence for each thing that was done, or that limits the answer.
    """

    measured: Measured
    x: np.ndarray
    raw: np.ndarray
    background: np.ndarray
    low: float
    high: float
    noise: float
    notes: list[str] = field(default_factory=list)


def prepare(measured: Measured, baseline: str = "auto") -> Prepared:
    """Spikes and background removed where the spectrum needs it, on the common grid.

    Args:
        measured: a spectrum as read.
        baseline: "none"; the name of a method of pybaselines, applied always; or "auto",
            iarpls (Ye et al. 2020) where the background is higher than ``NEEDED``.

    Raises:
        UserError: for an unknown baseline, or if nothing rises above the background.
    """
    if baseline not in BASELINES:
        raise UserError(f"baseline {baseline!r} is not one of {', '.join(BASELINES)}")
    notes = list(measured.notes)
    shift = measured.shift
    y, n_spikes = without_spikes(shift, measured.intensity)
    if n_spikes:
        notes.append(f"{n_spikes} spikes, as of cosmic rays, were replaced by their neighbours")
    low, high = max(GRID[0], shift[0]), min(GRID[-1], shift[-1])
    inside = (low <= GRID) & (high >= GRID)
    raw = np.full(len(GRID), np.nan)
    raw[inside] = np.interp(GRID[inside], shift, y)
    values = raw[inside]
    background = np.zeros(len(GRID))
    if baseline != "none":
        fitted = _background(values, "iarpls" if baseline == "auto" else baseline)
        top = (values - fitted).max()
        share = np.median(np.clip(fitted - min(values.min(), 0), 0, None)) / max(top, 1e-12)
        if baseline != "auto" or share > NEEDED:
            background[inside] = fitted
            strong = "; it is stronger than the bands, and weak ones may be lost"
            notes.append(
                f"a background was taken away ({share:.0%} of the highest band)"
                + strong * bool(share > STRONG)
            )
    values = values - background[inside]
    step = max(np.median(np.diff(shift)), 1.0)
    noise = _noise(y[(low <= shift) & (shift <= high)])
    if values.max() <= 0 or values.max() < 4 * noise:
        raise UserError("no band stands out of its noise: measure longer, or at another spot")
    noise /= values.max()
    values = values / values.max()
    if noise > NOISY:
        sigma = 1.5 * min(noise / 0.01, 2)
        # of white noise, a Gaussian of sigma points leaves this part
        left = noise * np.sqrt(step / (2 * np.sqrt(np.pi) * max(sigma, 0.3)))
        values = gaussian_filter1d(values, sigma) - BELOW * left
    x = np.zeros(len(GRID))
    x[inside] = np.clip(values, 0, None) / values.max()
    if low > GRID[0] + 100 or high < GRID[-1] - 300:
        notes.append(
            f"only {low:.0f} to {high:.0f} cm⁻¹ was measured: what lies outside is unknown, and "
            "the library is compared inside alone"
        )
    if noise > 0.03:
        notes.append(f"the noise is {noise:.0%} of the highest band")
    return Prepared(measured, x.astype(np.float32), raw, background, low, high, noise, notes)


def without_spikes(shift, intensity) -> tuple[np.ndarray, int]:
    """Intensities without spikes of one or two points, and how many points were replaced.

    No band is as narrow: beside a spike, two points away on either side, next to nothing is left
    of its height. Only where points are at most 1.5 cm⁻¹ apart, since else a band may look so.
    """
    y = np.array(intensity, dtype=float)
    if len(y) < 20 or np.median(np.diff(shift)) > 1.5:
        return y, 0
    wide = np.pad(y, 3, mode="edge")
    beside = [wide[3 + k : len(wide) - 3 + k] for k in (-3, -2, 2, 3)]
    level, top = np.median(beside, axis=0), np.max(beside, axis=0)
    height, noise = y - level, max(_noise(y), 1e-12)
    spikes = (height > SPIKE * noise) & (top - level < 0.1 * height)
    spikes &= height > 0.02 * np.ptp(y)
    if spikes.any():
        at = np.arange(len(y))
        y[spikes] = np.interp(at[spikes], at[~spikes], y[~spikes])
    return y, int(spikes.sum())


def _background(y: np.ndarray, method: str) -> np.ndarray:
    fit = Baseline(np.arange(len(y), dtype=float))
    settings = {
        "snip": {"max_half_window": 40, "decreasing": True, "smooth_half_window": 3},
        "modpoly": {"poly_order": 6},
    }.get(method, {"lam": SMOOTHNESS, "max_iter": 20})
    if method != "iarpls":
        return getattr(fit, method)(y, **settings)[0]
    # Its weights harden with each iteration. Under a strong background, or in a spectrum almost
    # without noise, they then follow the first guess, far below the bands' feet. So it stops
    # early, and is fitted again to what is left.
    first = fit.iarpls(y, lam=SMOOTHNESS, max_iter=4)[0]
    return first + fit.iarpls(y - first, lam=SMOOTHNESS, max_iter=10)[0]


def _noise(y: np.ndarray) -> float:
    """Standard deviation of the noise, from second differences; the median passes over bands."""
    return float(1.4826 * np.median(np.abs(y[2:] - 2 * y[1:-1] + y[:-2])) / np.sqrt(6))
