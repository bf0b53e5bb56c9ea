"""The peak atlas: the peaks measured in each spectrum of 2019, and spectra rebuilt from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from . import curation, rruff, spectra
from . import peaks as peaks_module
from ._archive import fingerprint
from ._io import DATA, cache_folder, cached, write_gzip
from ._problem import Refused
from .peaks import measure, profile
from .spectra import GRID, Spectra

#: What to write on every plot and score that comes from here.
SOURCE = "atlas (rebuilt from measured peaks)"
PEAKS = DATA / "peaks_2019.csv.gz"

_NUMBERS = ["position", "height", "width", "shape"]
_SPECTRUM = ["file", "mineral", "specimen", "mount", "laser", "angle"]


def peaks() -> pd.DataFrame:
    """All measured peaks, one per row, by spectrum and then by position.

    Returns:
        ``spectrum`` (row of ``load()``), ``position`` (cm⁻¹), ``height`` (counts), ``width``
        (FWHM, cm⁻¹), ``shape`` (Lorentzian fraction, 0 to 1), and of the spectrum ``file``,
        ``mineral``, ``specimen``, ``mount``, ``laser`` (nm) and ``angle`` (degrees).
    """
    return _table().join(rruff.manifest()[_SPECTRUM], on="spectrum")


def load(cache: bool = True) -> Spectra:
    """All spectra of 2019, rebuilt from their peaks, in raw counts.

    Args:
        cache: keep the rebuilt intensities in ``data/cache``, and take them from there next time.
            The cache belongs to these very data files and this very code.
    """
    meta = rruff.manifest()
    made_from = (PEAKS, rruff.MANIFEST, __file__, peaks_module.__file__, spectra.__file__)
    key = hashlib.sha256("".join(fingerprint(Path(p)) for p in made_from).encode()).hexdigest()

    def make():
        return {"X": rebuild(_table(), meta)}

    arrays = cached(cache_folder() / f"atlas-{key[:16]}.npz", make) if cache else make()
    return Spectra(arrays["X"], meta, GRID, SOURCE)


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
    numbers = table[_NUMBERS].to_numpy(np.float32)
    ends = np.searchsorted(table["spectrum"], np.arange(len(meta) + 1))
    X = np.zeros((len(meta), len(grid)), dtype=np.float32)
    for row, (first, last) in enumerate(zip(meta["first_shift"], meta["last_shift"], strict=True)):
        position, height, width, shape = numbers[ends[row] : ends[row + 1]].T[:, :, None]
        measured = (grid >= first) & (grid <= last)
        X[row, measured] = height[:, 0] @ profile(grid[measured], position, width, shape)
    return X


def build(archive: str | Path, out_dir: str | Path = DATA, n_jobs: int = -1) -> Path:
    """Measure the peaks of the 2019 spectra in an archive, into ``peaks_2019.csv.gz``.

    The same bytes each time. A few minutes on two cores; a progress bar shows how far it is.

    Args:
        archive: RRUFF's excellent_oriented, a zip file or a folder.
        out_dir: folder of the table.
        n_jobs: processes; −1 is one per core.

    Returns:
        Path of the table.

    Raises:
        FileNotFoundError, Refused: with one sentence, if it is not an archive, or lacks spectra
            of 2019.
    """
    found = of_2019(archive)
    table = measure_all(found, n_jobs).to_csv(
        index=False, lineterminator="\n", float_format="%.10g"
    )
    out = Path(out_dir) / PEAKS.name
    write_gzip(out, table.encode())
    return out


def measure_all(found: Spectra, n_jobs: int = -1) -> pd.DataFrame:
    """The peaks of each of the spectra: ``spectrum`` (row), then the four numbers of a peak."""
    ranges = found.meta[["first_shift", "last_shift"]].to_numpy()
    measured = [(found.grid >= first) & (found.grid <= last) for first, last in ranges]
    tables = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(measure)(found.grid[on], x[on]) for x, on in zip(found.X, measured, strict=True)
    )
    tables = list(tqdm(tables, total=len(found), desc="measuring peaks", unit="spectrum"))
    table = pd.DataFrame(np.concatenate(tables), columns=_NUMBERS)
    table.insert(0, "spectrum", np.repeat(np.arange(len(found)), [len(t) for t in tables]))
    return table


def of_2019(archive: str | Path) -> Spectra:
    """The spectra of the manifest, in its order, out of an archive.

    Raises:
        Refused: if one of them is missing or has other numbers than in 2019.
    """
    found, differences = curation.cut_to_manifest(rruff.load(archive))
    wrong = differences["difference"].isin(["missing", "numbers changed"]).sum()
    if wrong:
        raise Refused(
            f"{archive} lacks {wrong:,} of the {len(rruff.manifest()):,} spectra of 2019, or has "
            "other numbers in them (curation.cut_to_manifest lists them): give the archive of 2019."
        )
    return found


def _table() -> pd.DataFrame:
    return pd.read_csv(PEAKS, float_precision="round_trip")
