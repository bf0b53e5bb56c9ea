"""Measure the peak atlas in the spectra of 2019: data/peaks_2019.csv.gz, and how good it is.

    python scripts/atlas.py --data path/to/excellent_oriented.zip

A spectrum is described as a sum of pseudo-Voigt peaks. They are sought in what is still
unexplained, a few at a time, and after each search all of them are refined together by
least squares, until the sum explains the spectrum. What is lost in the noise is not a peak.

The broad humps of luminescence and of glass come out as broad peaks, and a band of an unusual
form as two or three that overlap: a row of the result is a component, and most of the time a band.

The spectra rebuilt from the peaks are then compared with the real ones:
results/rruff/atlas_quality.csv, and R² of each spectrum in atlas_r2.csv.gz.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls
from scipy.signal import find_peaks, peak_widths
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from tqdm import tqdm

from fmcnn_utils import data, results
from fmcnn_utils.data.peaks import NUMBERS, profile
from fmcnn_utils.evaluation import protocol
from fmcnn_utils.models import baseline

#: Most peaks that are measured in one spectrum.
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


def of_2019(spectra: data.Spectra) -> data.Spectra:
    """The spectra of the manifest, in its order, out of an archive.

    Raises:
        UserError: if one of them is missing or has other numbers than in 2019.
    """
    known = data.rruff.manifest()["checksum"]
    if lacks := (~known.isin(spectra.meta["checksum"])).sum():
        raise results.UserError(
            f"the archive lacks {lacks:,} of the {len(known):,} spectra of 2019, or has other "
            "numbers in them: give the archive of 2019"
        )
    return data.curation.cut_to_manifest(spectra)[0]


def measure_all(spectra: data.Spectra) -> str:
    """The peaks of each spectrum, as the text of data/peaks_2019.csv.gz; the same at each call."""
    ranges = spectra.meta[["first_shift", "last_shift"]].to_numpy()
    inside = [(spectra.grid >= first) & (spectra.grid <= last) for first, last in ranges]
    tables = Parallel(return_as="generator")(
        delayed(measure)(spectra.grid[on], x[on]) for x, on in zip(spectra.X, inside, strict=True)
    )
    tables = list(tqdm(tables, total=len(spectra), desc="measuring peaks", unit="spectrum"))
    table = pd.DataFrame(np.concatenate(tables), columns=NUMBERS)
    table.insert(0, "spectrum", np.repeat(np.arange(len(spectra)), [len(t) for t in tables]))
    return table.to_csv(index=False, lineterminator="\n", float_format="%.10g")


def measure(shift, intensity) -> np.ndarray:
    """The peaks of one spectrum.

    Args:
        shift: Raman shift in cm⁻¹, (m,), increasing; only where the spectrum was measured.
        intensity: counts, (m,).

    Returns:
        position, height, width, shape of each peak, (k, 4), in order of position: cm⁻¹ to 0.1,
        counts to a thousandth of the largest (or finer: see ``height_step``), FWHM in cm⁻¹ to
        0.1, Lorentzian fraction to 0.1. No row for a spectrum that never rises above 0.
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
    """The step, in counts, to which heights are rounded in a spectrum with the maximum ``top``.

    The largest of 1, 2 or 5 times a power of ten that is at most a thousandth of ``top``.
    """
    limit = RESOLUTION * top
    power = 10.0 ** np.floor(np.log10(limit))
    return max(step for step in (power, 2 * power, 5 * power) if step <= limit)


def _unit(shift, peaks):
    return profile(shift, *peaks[:, _POSITION:].T[:, :, None])


def _noise(y) -> float:
    """Standard deviation of the noise, from how far points are off the line between neighbours.

    The neighbours are two points away: nearer ones share samples, since the grid is interpolated.
    The median passes over the peaks; 1.4826 makes it a standard deviation.
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
    """The peaks that stand out of the noise."""
    height, width = peaks[:, _HEIGHT], peaks[:, _WIDTH]
    return peaks[(height > RESOLUTION) & (height * np.sqrt(width) > SIGNAL_TO_NOISE * noise)]


def _refine(shift, y, peaks, steps, enough):
    """All four numbers of all peaks, by Levenberg–Marquardt with bounds.

    Own code, because it is an order of magnitude faster here than scipy.optimize.least_squares:
    the normal matrix has at most 160 rows, and bounds are kept by clipping, with a parameter that
    pushes against its bound left out of the step.

    It ends after that many ``steps``, or when one lowers the sum of squares by less than the
    fraction ``enough``. Each step is rounded to 1e-7: far below what the table keeps, and far
    above the last-digit differences between processors, which therefore cannot grow from step to
    step, and everybody measures the same peaks.
    """
    low = np.array([0, shift[0], WIDTHS[0], 0])
    high = np.array([np.inf, shift[-1], WIDTHS[1], 1])
    damping = 1e-2
    residual, slopes = _residual_and_slopes(shift, y, peaks)
    cost = residual @ residual
    for _ in range(steps):
        normal = slopes @ slopes.T
        gradient = slopes @ residual
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
        gain = 1 - (off @ off) / cost
        peaks, damping = trial, max(damping / 6, 1e-7)
        residual, slopes = _residual_and_slopes(shift, y, peaks)
        cost = residual @ residual
        if gain < enough:
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


def r2(real: data.Spectra, rebuilt: data.Spectra) -> np.ndarray:
    """Share of each spectrum's variance that its rebuilt one explains, (n,).

    1 − SS_res / SS_tot over the points of the grid, after min–max of either spectrum. The two are
    the same spectra, in the same order.
    """
    truth, guess = (data.normalise(spectra.X).astype(float).T for spectra in (real, rebuilt))
    return r2_score(truth, guess, multioutput="raw_values")


def quality(real: data.Spectra, rebuilt: data.Spectra) -> pd.DataFrame:
    """How well rebuilt spectra replace the real ones.

    R² over all of them, and the accuracy of classifiers that are trained and tested on the one
    or on the other, one repeat of the protocol.

    Args:
        real: the spectra of the manifest, see ``of_2019``.
        rebuilt: the same ones from the atlas, in the same order.

    Returns:
        ``quantity``, its value for ``real`` and ``atlas``, and the ``lowest`` and ``highest``
        value that is accepted for the atlas.
    """
    explained = r2(real, rebuilt)
    rows = [
        ("R², median", 1.0, np.median(explained), 0.985, 1.0),
        ("R², 5th percentile", 1.0, np.percentile(explained, 5), 0.93, 1.0),
    ]
    for name, model, kind, tolerance in (
        ("accuracy of KNN, 10-fold", "KNN", "random", 0.01),
        ("accuracy of SVM, 10-fold", "SVM", "random", 0.01),
        ("accuracy of KNN, by specimen", "KNN", "specimen", 0.02),
    ):
        accuracy = []
        for spectra in (real, rebuilt):
            curated, splits = protocol.plan(spectra, kind, n_repeats=1)
            cv = [(split.train, split.test) for split in splits]
            X, y = curated.X, curated.minerals
            accuracy.append(cross_val_score(baseline(model), X, y, cv=cv).mean())
        rows.append((name, *accuracy, accuracy[0] - tolerance, accuracy[0] + tolerance))
    return pd.DataFrame(rows, columns=["quantity", "real", "atlas", "lowest", "highest"])


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="rruff, or the path of an archive")
    parser.add_argument("--jobs", type=int, default=-1, help="processes (default: one per core)")
    parser.add_argument("--manifest", action="store_true", help="only write the manifest")
    args = parser.parse_args()
    spectra = data.load_archive(args.data)
    if args.manifest:
        table = spectra.meta.to_csv(index=False, lineterminator="\n")
        return results.write_text(data.rruff.MANIFEST, table)
    real = of_2019(spectra)
    with parallel_config(n_jobs=args.jobs):
        results.write_text(data.peaks.PEAKS, measure_all(real))
        rebuilt = data.load("atlas")
        table = quality(real, rebuilt).round(4)
    results.write(table, "atlas_quality.csv")
    each = pd.DataFrame({"file": real.meta["file"], "r2": r2(real, rebuilt).round(4)})
    results.write(each, "atlas_r2.csv.gz")
    print(table.to_string(index=False))


if __name__ == "__main__":
    results.in_a_sentence(main)
