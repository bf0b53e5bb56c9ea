"""From the archive to the spectra that the models see, with every step counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ..results import UserError
from . import rruff
from .spectra import Spectra

XRD = "X-ray diffraction"


def paper_rule(spectra: Spectra) -> Spectra:
    """The spectra that all models here use: the paper's stated rule, taken at its word.

    "Excluding spectra without independent mineral species identification from XRD analysis, and
    spectra containing only a single sample category": identity confirmed by X-ray diffraction,
    then minerals with at least two spectra. Of the archive of 2019 that leaves 3,683 spectra of
    209 minerals, not the paper's 3,284 of 196. UserError if fewer than two minerals are left.
    """
    return _with_two("file", spectra.take(spectra.meta["identification"] == XRD))


def specimen_rule(spectra: Spectra) -> Spectra:
    """Of ``paper_rule``, the minerals with two specimens (RRUFF IDs), to be split by specimen."""
    return _with_two("specimen", paper_rule(spectra))


def has(n: int, of: str, meta: pd.DataFrame) -> pd.Series:
    """Whether the mineral of each row has ``n`` different values in column ``of``."""
    return meta.groupby("mineral")[of].transform("nunique") >= n


def _with_two(of: str, spectra: Spectra) -> Spectra:
    left = spectra.take(has(2, of, spectra.meta))
    if (minerals := left.meta["mineral"].nunique()) < 2:
        raise UserError(
            "the curation keeps minerals confirmed by X-ray diffraction that have at least two "
            f"{of}s; here it keeps {minerals}, and a classifier needs two: give a larger archive"
        )
    return left


def reconcile(spectra: Spectra, raw: int = 0, unreadable: int = 0) -> pd.DataFrame:
    """Spectra, minerals and specimens that each step leaves of an archive, down to ``paper_rule``.

    The first row counts files: ``raw`` and ``unreadable`` ones, see ``rruff.Archive``, too.
    """
    meta = spectra.meta
    confirmed = meta[meta["identification"] == XRD]
    steps = {
        "archive": meta,
        "Processed, not RAW": meta,
        "identity confirmed by X-ray diffraction": confirmed,
        "at least two spectra per mineral": confirmed[has(2, "file", confirmed)],
    }
    columns = {"file": "spectra", "mineral": "minerals", "specimen": "specimens"}
    table = pd.DataFrame({step: left[list(columns)].nunique() for step, left in steps.items()})
    table = table.T.rename(columns=columns).rename_axis("step").reset_index()
    table.loc[0, "spectra"] += raw + unreadable
    return table


def cut_to_manifest(spectra: Spectra) -> tuple[Spectra, pd.DataFrame]:
    """The spectra of 2019 (``rruff.manifest()``), found again in a later archive.

    A scan is found by its numbers, since files were renamed; failing that by specimen, mount, laser
    and angle. No spectrum is used twice. They come in the order of the manifest, its row as
    ``spectrum`` in ``meta``, under the mineral names of 2019. The table says what differs: ``file``
    (of 2019), ``now`` and ``difference``: ``missing``, ``numbers changed`` or ``now named …``.
    """
    wanted = rruff.manifest()
    scan = ["specimen", "mount", "laser", "angle"]
    found = pd.Series(-1, index=wanted.index)
    # The first round is for scans that hold the same numbers.
    for columns in (["checksum", *scan], ["checksum"], scan):
        missing = wanted.loc[found < 0, columns]
        spare = spectra.meta.loc[~spectra.meta.index.isin(found), columns]
        pairs = _numbered(missing).merge(_numbered(spare), on=[*columns, "nth"])
        found[pairs["row_x"]] = pairs["row_y"].to_numpy()
    now = spectra.meta.reindex(found).set_axis(wanted.index)
    kinds = ["missing", "numbers changed", "now named " + now["mineral"]]
    differ = [found < 0, *(now[what] != wanted[what] for what in ("checksum", "mineral"))]
    differences = pd.DataFrame({"file": wanted["file"], "now": now["file"].fillna("")})
    differences["difference"] = np.select(differ, kinds, "")
    rows = np.flatnonzero(found >= 0)
    cut = spectra.take(found.to_numpy()[rows])
    names = wanted["mineral"].to_numpy()[rows]
    cut = replace(cut, meta=cut.meta.assign(mineral=names, spectrum=rows))
    return cut, differences[np.any(differ, axis=0)].reset_index(drop=True)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with its index as ``row``, and ``nth`` among its equal rows."""
    nth = table.groupby(list(table.columns), dropna=False).cumcount()
    return table.assign(row=table.index, nth=nth)
