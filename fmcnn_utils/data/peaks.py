"""Peaks: measured in a spectrum; the atlas of those of 2019; and spectra rebuilt from them.

A spectrum is described as a sum of pseudo-Voigt peaks, fitted by least squares. They are sought in
what is still unexplained, a few at a time, and after each search all of them are refined together,
until the sum explains the spectrum. What is lost in the noise is not a peak.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls
from scipy.signal import find_peaks, peak_widths

from ..results import DATA
from . import rruff
from .spectra import GRID, Spectra

#: What to write on every plot and score that comes from here.
SOURCE = "atlas (rebuilt from measured peaks)"
PEAKS = DATA / "peaks_2019.csv.gz"
#: For ``identify``, a third of RRUFF's ``excellent_unoriented`` of 2019: which spectra, and the
#: peaks of those that are ``in_library``.
UNORIENTED, UNORIENTED_PEAKS = DATA / "spectra_unoriented.csv.gz", DATA / "peaks_unoriented.csv.gz"

NUMBERS = ["position", "height", "width", "shape"]

MAX_PEAKS = 40
#: Narrowest and widest peak, FWHM in cm⁻¹. RRUFF samples every 1.3 cm⁻¹, so what is narrower than
#: 2 is a spike on one sample; what is wider than 300 cannot be distinguished from the baseline.
WIDTHS = (2.0, 300.0)
#: Least signal-to-noise ratio of a peak as a whole: height · √(points within its FWHM) / noise.
SIGNAL_TO_NOISE = 4.0
#: Fraction of the maximum below which a peak is not sought, and to which heights are rounded.
FAINTEST, RESOLUTION = 0.002, 0.001
#: The search ends when the peaks explain this much of the variance.
GOOD_FIT = 0.997
#: Standard deviation, in points, of the smoothing before each search: sharp peaks, then broad.
SMOOTHING = (1.0, 2.0, 4.0, 1.0, 2.0, 4.0)

_HEIGHT, _POSITION, _WIDTH = range(3)


def peaks() -> pd.DataFrame:
    """All measured peaks, one per row, by ``spectrum`` (row of ``load_atlas()``) and position.

    ``position`` (cm⁻¹), ``height`` (counts), ``width`` (FWHM, cm⁻¹), ``shape`` (Lorentzian
    fraction, 0 to 1); then ``file`` to ``angle`` (degrees) of the spectrum's ``meta``.
    """
    of_spectrum = rruff.manifest().loc[:, "file":"angle"]
    return pd.read_csv(PEAKS, float_precision="round_trip").join(of_spectrum, on="spectrum")


def load_atlas() -> Spectra:
    """All spectra of 2019, rebuilt from their peaks, in raw counts."""
    meta = rruff.manifest()
    return Spectra(rebuild(peaks(), meta), meta, GRID, SOURCE)


def in_library(meta: pd.DataFrame) -> pd.Series:
    """Which unoriented spectra are in the library: of known minerals, not kept for the report."""
    return meta["known"] & (meta["half"] == "development")


def load_unoriented() -> Spectra:
    """Spectra of other lasers, unpolarised, rebuilt from their peaks: those ``in_library``."""
    meta = pd.read_csv(UNORIENTED, float_precision="round_trip")
    table = pd.read_csv(UNORIENTED_PEAKS, float_precision="round_trip")
    meta = meta[in_library(meta)].reset_index(drop=True)
    return Spectra(rebuild(table, meta), meta, GRID, SOURCE)


def rebuild(table: pd.DataFrame, meta: pd.DataFrame, grid=GRID) -> np.ndarray:
    """Counts, float32 (n, points of ``grid``): the sum of the peaks of each spectrum.

    ``table`` holds ``spectrum`` (row of ``meta``, increasing) and the four numbers of each peak;
    outside ``first_shift`` to ``last_shift`` of ``meta``, in cm⁻¹, a spectrum is 0.
    """
    grid = np.asarray(grid, dtype=np.float32)
    numbers = table[NUMBERS].to_numpy(np.float32)
    ends = np.searchsorted(table["spectrum"], np.arange(len(meta) + 1))
    X = np.zeros((len(meta), len(grid)), dtype=np.float32)
    for row, (first, last) in enumerate(zip(meta["first_shift"], meta["last_shift"], strict=True)):
        position, height, width, shape = numbers[ends[row] : ends[row + 1]].T[:, :, None]
        measured = (grid >= first) & (grid <= last)
        X[row, measured] = height[:, 0] @ profile(grid[measured], position, width, shape)
    return X


def profile(shift, position, width, shape) -> np.ndarray:
    """Pseudo-Voigt peaks of height 1: shape · Lorentzian + (1 − shape) · Gaussian.

    Both have the same full width at half maximum, ``width``. All but the shape, 0 to 1, are in
    cm⁻¹, and they broadcast: ``shift`` (m,) with the others (k, 1) gives (k, m).
    """
    squared = ((shift - position) / width) ** 2
    lorentzian, gaussian = 1 / (1 + 4 * squared), np.exp(-4 * math.log(2) * squared)
    return shape * lorentzian + (1 - shape) * gaussian


def measure(shift, intensity) -> np.ndarray:
    """Position, height, width and shape of each peak of one spectrum, (k, 4), by position.

    ``shift`` is (m,) in cm⁻¹, increasing, only where the spectrum was measured. All are rounded to
    0.1, but heights (counts) to ``height_step``. There may be none.
    """
    shift = np.asarray(shift, dtype=float)
    top = np.max(intensity)
    if top <= 0:
        return np.empty((0, 4))
    y = np.asarray(intensity, dtype=float) / top
    noise = _noise(y)
    variation = np.sum((y - y.mean()) ** 2)

    peaks = np.empty((0, 4))
    residual = y
    for smoothing in SMOOTHING:
        room = MAX_PEAKS - len(peaks)
        found = _search(shift, residual, smoothing, noise)[: max(2 * room // 3, 4)]
        peaks = np.concatenate([peaks, found[:room]])
        peaks = _above_noise(_refine(shift, y, peaks, steps=6, enough=2e-3), noise)
        residual = y - peaks[:, _HEIGHT] @ _unit(shift, peaks)
        if residual @ residual < (1 - GOOD_FIT) * variation:
            break
    peaks = _above_noise(_refine(shift, y, peaks, steps=8, enough=5e-4), noise)

    peaks = peaks[np.argsort(peaks[:, _POSITION], kind="stable")].round(1)
    basis = _unit(shift, peaks)  # heights once more, for the rounded positions and widths
    heights, _ = nnls(basis @ basis.T, basis @ y)
    step = height_step(top)
    heights = np.round(heights * top / step) * step
    table = np.column_stack([peaks[:, _POSITION], heights, peaks[:, _WIDTH:]])
    return table[heights > 0]


def height_step(top: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is at most a thousandth of ``top``."""
    limit = RESOLUTION * top
    power = 10.0 ** np.floor(np.log10(limit))
    return max(step for step in (power, 2 * power, 5 * power) if step <= limit)


def _unit(shift, peaks):
    return profile(shift, *peaks[:, _POSITION:].T[:, :, None])


def _noise(y) -> float:
    """Standard deviation of the noise, from how far points are off the line between neighbours.

    Those are two points away: nearer ones share samples, since the grid is interpolated. 1.4826
    makes a standard deviation of the median, which passes over the peaks.
    """
    off = y[2:-2] - (y[:-4] + y[4:]) / 2
    return 1.4826 * np.median(np.abs(off)) / np.sqrt(1.5)


def _search(shift, residual, smoothing, noise):
    """First guesses of the peaks in what is unexplained, the most prominent first."""
    # A zero at either end, so that a peak cut off by the end of the range has two sides as well.
    smooth = np.pad(gaussian_filter1d(residual, smoothing), 1).clip(min=0)
    at, found = find_peaks(smooth, prominence=max(FAINTEST, 1.5 * noise))
    width = peak_widths(smooth, at)[0].clip(3, 150)
    order = np.argsort(-found["prominences"] * np.sqrt(width), kind="stable")
    at, width = at[order], width[order]
    return np.column_stack([0.9 * smooth[at], shift[at - 1], width, np.full(len(at), 0.5)])


def _above_noise(peaks, noise):
    height, width = peaks[:, _HEIGHT], peaks[:, _WIDTH]
    return peaks[(height > RESOLUTION) & (height * np.sqrt(width) > SIGNAL_TO_NOISE * noise)]


def _refine(shift, y, peaks, steps, enough):
    """All four numbers of all peaks, by Levenberg–Marquardt with bounds.

    Own code, an order of magnitude faster here than scipy.optimize.least_squares: the normal matrix
    has at most 160 rows, and bounds are kept by clipping, with a parameter that pushes against its
    bound left out of the step. It ends after so many ``steps``, or when one lowers the sum of
    squares by less than the fraction ``enough``. Each is rounded to 1e-7: far below what the table
    keeps, and far above the last-digit differences between processors, which therefore cannot grow
    from step to step, and everybody measures the same peaks.
    """
    low = np.array([0, shift[0], WIDTHS[0], 0])
    high = np.array([np.inf, shift[-1], WIDTHS[1], 1])
    damping = 1e-2
    for _ in range(steps):
        residual, slopes = _residual_and_slopes(shift, y, peaks)
        cost, normal, gradient = residual @ residual, slopes @ slopes.T, slopes @ residual
        outward = gradient.reshape(-1, 4)
        stuck = ((peaks <= low) & (outward < 0)) | ((peaks >= high) & (outward > 0))
        free = np.flatnonzero(~stuck.ravel() & (np.diag(normal) > 1e-12))
        normal, gradient = normal[np.ix_(free, free)], gradient[free]
        for _ in range(5):
            damped = normal + damping * np.diag(np.diag(normal))
            step = np.zeros(peaks.size)
            step[free] = np.linalg.solve(damped, gradient)
            trial = np.clip(peaks + step.reshape(-1, 4), low, high).round(7)
            off = y - trial[:, _HEIGHT] @ _unit(shift, trial)
            if off @ off < cost:
                break
            damping *= 6
        else:
            return peaks
        peaks, damping = trial, max(damping / 6, 1e-7)
        if 1 - (off @ off) / cost < enough:
            break
    return peaks


def _residual_and_slopes(shift, y, peaks):
    """What the peaks leave of ``y``, (m,), and their derivatives by each parameter, (4k, m)."""
    height, position, width, shape = peaks.T[:, :, None]
    distance = (shift - position) / width
    squared = distance * distance
    lorentzian, gaussian = 1 / (1 + 4 * squared), np.exp(-4 * math.log(2) * squared)
    unit = shape * lorentzian + (1 - shape) * gaussian
    # d unit / d distance, times −height / width: the derivative by position
    by_position = 8 * (shape * lorentzian**2 + math.log(2) * (1 - shape) * gaussian)
    by_position *= distance * height / width
    slopes = [unit, by_position, by_position * distance, height * (lorentzian - gaussian)]
    return y - peaks[:, _HEIGHT] @ unit, np.stack(slopes, axis=1).reshape(-1, len(shift))
