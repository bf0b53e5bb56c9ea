"""A laboratory's own labelled spectra, beside those that come with the code."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.measure import measure
from ..data.peaks import NUMBERS, rebuild
from ..data.reader import MAKERS, read_spectrum
from ..data.spectra import GRID
from ..models.library import Library
from ..results import Cache, UserError, cache_folder
from .preparation import prepare

#: What is written beside a mineral that comes from such a folder.
SOURCE = "your library"
LABELS = "labels.csv"
SUFFIXES = {".txt", ".csv", ".dat", ".asc", ".tsv", ".xy", *MAKERS}


def own_library(folder: str | Path, kept: Library) -> Library:
    """``kept``, joined by the spectra of a folder, without any training.

    The mineral of each file stands in ``labels.csv`` (columns ``file`` and ``mineral``), else it is
    the start of the file's name, up to the first underscore, or a number or blank at the end:
    ``Quartz_01.txt``, ``Quartz 2.csv``, RRUFF's names. The peaks of each are measured once and kept
    in ``data/cache``; a file that cannot be read is warned of and left out.

    Raises:
        FileNotFoundError: if there is no such folder.
        UserError: if it holds no spectrum that can be used, or labels.csv does not fit.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give one of labelled spectra as library")
    names = _labels(folder)
    cache = Cache(cache_folder() / "libraries")
    minerals, tables, ranges = [], [], []
    for path, mineral in names.items():
        try:
            table, *ends = cache.call(
                lambda path=path: _measured(path), path.read_bytes(), path.name
            )
        except (UserError, FileNotFoundError) as problem:
            warnings.warn(f"left out of the library: {problem}", stacklevel=2)
            continue
        minerals.append(mineral)
        ranges.append(ends)
        tables.append(table)
    if not minerals:
        raise UserError(
            f"{folder} holds no spectrum that can be used: give text files named after minerals"
        )
    peaks = pd.DataFrame(np.concatenate(tables), columns=NUMBERS)
    peaks.insert(0, "spectrum", np.repeat(np.arange(len(tables)), [len(t) for t in tables]))
    X = rebuild(peaks, pd.DataFrame(ranges, columns=["first_shift", "last_shift"]))
    return kept.join(X, minerals, SOURCE)


def _measured(path: Path) -> tuple[np.ndarray, float, float]:
    one = prepare(read_spectrum(path))
    inside = (one.low <= GRID) & (one.high >= GRID)
    found = measure(GRID[inside], one.x[inside])
    if not len(found):
        raise UserError(f"{path}: no peak stands out of its noise")
    return found, one.low, one.high


def _labels(folder: Path) -> dict[Path, str]:
    if (labels := folder / LABELS).exists():
        table = pd.read_csv(labels, dtype=str, skipinitialspace=True)
        if not {"file", "mineral"} <= set(table.columns):
            raise UserError(f"{labels} needs the columns file and mineral")
        table = table.dropna(subset=["file", "mineral"])
        if lacking := [f for f in table["file"] if not (folder / f).is_file()]:
            raise UserError(f"{labels} names {lacking[0]}, which is not in {folder}")
        return {folder / f: m.strip() for f, m in zip(table["file"], table["mineral"], strict=True)}
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    stems = {path: re.split(r"_|[\s-]*\d+$", path.stem)[0].strip() for path in files}
    return {path: mineral for path, mineral in stems.items() if mineral}
