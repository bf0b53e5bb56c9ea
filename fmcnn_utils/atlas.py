"""The peak atlas: the peaks measured in each spectrum of 2019, and spectra rebuilt from them."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from . import baselines, curation, figures, results, rruff, spectra, splits
from . import peaks as peaks_module
from ._archive import fingerprint
from ._io import DATA, cache_folder, write_gzip, written_whole
from .peaks import measure, profile
from .spectra import GRID, Spectra, normalise

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
    kept = cache_folder() / f"atlas-{key[:16]}.npz"
    if cache and kept.exists():
        try:
            with np.load(kept, allow_pickle=False) as stored:
                return Spectra(stored["X"], meta, GRID, SOURCE)
        except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
            warnings.warn(f"the cache {kept} is damaged ({error}) and made anew", stacklevel=2)
    X = rebuild(_table(), meta)
    if cache:
        try:
            with written_whole(kept) as part, part.open("wb") as stream:
                np.savez(stream, X=X)
        except OSError as error:
            warnings.warn(f"cannot write the cache {kept}: {error}", stacklevel=2)
    return Spectra(X, meta, GRID, SOURCE)


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
        FileNotFoundError, ValueError: with one sentence, if it is not an archive, or lacks
            spectra of 2019.
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
        ValueError: if one of them is missing or has other numbers than in 2019.
    """
    found, differences = curation.cut_to_manifest(rruff.load(archive))
    wrong = differences["difference"].isin(["missing", "numbers changed"]).sum()
    if wrong:
        raise ValueError(
            f"{archive} lacks {wrong:,} of the {len(rruff.manifest()):,} spectra of 2019, or has "
            "other numbers in them (curation.cut_to_manifest lists them): give the archive of 2019."
        )
    return found


def r2(real: Spectra, rebuilt: Spectra) -> np.ndarray:
    """Share of each spectrum's variance that its rebuilt one explains, (n,).

    1 − SS_res / SS_tot over the points of the grid, after min–max of either spectrum.

    Raises:
        ValueError: if the two are not the same spectra in the same order.
    """
    if real.meta["checksum"].tolist() != rebuilt.meta["checksum"].tolist():
        raise ValueError("the real and the rebuilt spectra are not the same, in the same order")
    truth, guess = (normalise(s.X).astype(float) for s in (real, rebuilt))
    variation = ((truth - truth.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return 1 - ((truth - guess) ** 2).sum(axis=1) / variation


def quality(real: Spectra, rebuilt: Spectra, n_jobs: int = -1) -> pd.DataFrame:
    """How well rebuilt spectra stand in for the real ones.

    R² over all of them, and the accuracy of classifiers that are trained and tested on the one
    or on the other: stratified 10-fold on ``curation.paper_rule``, and 5 folds by specimen on
    ``curation.specimen_rule``, one repeat each.

    Returns:
        ``figure``, its value for ``real`` and ``atlas``, and the ``lowest`` and ``highest`` value
        that is accepted for the atlas.
    """
    explained = r2(real, rebuilt)
    rows = [
        ("R², median", 1.0, np.median(explained), 0.985, 1.0),
        ("R², 5th percentile", 1.0, np.percentile(explained, 5), 0.93, 1.0),
    ]
    random, honest = curation.paper_rule, curation.specimen_rule
    for figure, model, rule, tolerance in (
        ("accuracy of KNN, 10-fold", "KNN", random, 0.01),
        ("accuracy of SVM, 10-fold", "SVM", random, 0.01),
        ("accuracy of KNN, by specimen", "KNN", honest, 0.02),
    ):
        curated = rule(real)
        if rule is random:
            folds = splits.stratified(curated.minerals, n_repeats=1)
        else:
            folds = splits.by_specimen(curated.minerals, curated.meta["specimen"], n_repeats=1)
        of_real = _accuracy(model, curated, folds, n_jobs)
        of_atlas = _accuracy(model, rule(rebuilt), folds, n_jobs)
        rows.append((figure, of_real, of_atlas, of_real - tolerance, of_real + tolerance))
    return pd.DataFrame(rows, columns=["figure", "real", "atlas", "lowest", "highest"])


def assess(archive: str | Path) -> pd.DataFrame:
    """How good the atlas is, measured anew, into ``results/rruff`` and ``figures``.

    Writes ``quality`` (``atlas_quality.csv``), each R² (``atlas_r2.csv.gz``), and the best, the
    median and the worst rebuilt spectrum (``atlas_against_rruff.png``).

    Args:
        archive: RRUFF's excellent_oriented, a zip file or a folder.

    Returns:
        The table of ``quality``.
    """
    real, rebuilt = of_2019(archive), load()
    explained = r2(real, rebuilt)
    table = quality(real, rebuilt).round(4)
    results.keep(table, "atlas_quality")
    each = pd.DataFrame({"file": real.meta["file"], "r2": explained.round(4)})
    results.keep_gzip(each, "atlas_r2")
    figures.style()
    figures.keep(figures.reconstruction(real, rebuilt, explained), "atlas_against_rruff")
    return table


def _accuracy(model: str, curated: Spectra, folds: list[splits.Split], n_jobs: int) -> float:
    def score(fold):
        fitted = baselines.make(model).fit(curated.X[fold.train], curated.minerals[fold.train])
        return fitted.score(curated.X[fold.test], curated.minerals[fold.test])

    return float(np.mean(Parallel(n_jobs=n_jobs)(delayed(score)(fold) for fold in folds)))


def _table() -> pd.DataFrame:
    return pd.read_csv(PEAKS, float_precision="round_trip")
