"""The peak atlas: the peaks measured in each spectrum of 2019, and spectra rebuilt from them.

``scripts/atlas.py`` measured them.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

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


def peaks() -> pd.DataFrame:
    """All measured peaks, one per row, by spectrum and then by position.

    Returns:
        ``spectrum`` (row of ``load_atlas()``), ``position`` (cm⁻¹), ``height`` (counts), ``width``
        (FWHM, cm⁻¹), ``shape`` (Lorentzian fraction, 0 to 1), and of the spectrum ``file``,
        ``mineral``, ``specimen``, ``mount``, ``laser`` (nm) and ``angle`` (degrees).
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
    """The sum of its peaks for each spectrum, and 0 outside the range that it was measured in.

    Args:
        table: ``spectrum`` (row of ``meta``, increasing) and the four numbers of each peak.
        meta: ``first_shift`` and ``last_shift`` of each spectrum, in cm⁻¹, n rows.
        grid: Raman shift in cm⁻¹, (m,).

    Returns:
        Counts, float32 (n, m).
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
    """Pseudo-Voigt peaks of height 1.

    shape · Lorentzian + (1 − shape) · Gaussian, both of the same full width at half maximum.
    The arguments broadcast: ``shift`` (m,) with the others (k, 1) gives (k, m).

    Args:
        shift: Raman shift in cm⁻¹.
        position: of the maximum, in cm⁻¹.
        width: full width at half maximum (FWHM) in cm⁻¹.
        shape: fraction of the Lorentzian, 0 to 1.
    """
    squared = ((shift - position) / width) ** 2
    lorentzian, gaussian = 1 / (1 + 4 * squared), np.exp(-4 * math.log(2) * squared)
    return shape * lorentzian + (1 - shape) * gaussian
