"""From the archive to the spectra that the models see, with every step counted."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from .. import paper
from ..results import UserError
from . import rruff
from .spectra import Spectra

XRD = "X-ray diffraction"
#: In the archive, but no minerals.
NOT_MINERALS = ("Silicon", "Cubic zirconia")


def paper_rule(spectra: Spectra) -> Spectra:
    """The spectra that all models here use: the paper's stated rule, taken at its word.

    "Excluding spectra without independent mineral species identification from XRD analysis, and
    spectra containing only a single sample category": identity confirmed by X-ray diffraction,
    then minerals with at least two spectra. Of the archive of 2019 that leaves 3,683 spectra of
    209 minerals, not the paper's 3,284 of 196: see ``variants``. The three spectra without X-ray
    diffraction are the only ones of their minerals, so either step alone drops them.

    Raises:
        UserError: if fewer than two minerals are left.
    """
    return _with_two("file", spectra.take(spectra.meta["identification"] == XRD))


def specimen_rule(spectra: Spectra) -> Spectra:
    """Of ``paper_rule``, the minerals with at least two specimens (RRUFF IDs).

    Only these can be split by specimen: 2,705 spectra, 97 minerals, 324 specimens in 2019.

    Raises:
        UserError: if fewer than two minerals are left.
    """
    return _with_two("specimen", paper_rule(spectra))


def _has(n: int, of: str, meta: pd.DataFrame) -> pd.Series:
    """Whether the mineral of each row has ``n`` different values in column ``of``."""
    return meta.groupby("mineral")[of].transform("nunique") >= n


def _with_two(of: str, spectra: Spectra) -> Spectra:
    left = spectra.take(_has(2, of, spectra.meta))
    if (minerals := left.meta["mineral"].nunique()) < 2:
        raise UserError(
            "the curation keeps minerals that are confirmed by X-ray diffraction and have at "
            f"least two {of}s; here it keeps {minerals}, and a classifier needs two: give an "
            "archive with more spectra"
        )
    return left


def reconcile(spectra: Spectra, raw: int = 0, unreadable: int = 0) -> pd.DataFrame:
    """What each step of the curation leaves, down to ``paper_rule``.

    Args:
        spectra: all Processed spectra of an archive.
        raw: number of RAW files that the archive holds besides, see ``rruff.Archive``.
        unreadable: number of files that cannot be read.

    Returns:
        ``step``, ``spectra`` (files in the first row), ``minerals``, ``specimens``.
    """
    meta = spectra.meta
    confirmed = meta[meta["identification"] == XRD]
    steps = {
        "archive": meta,
        "Processed, not RAW": meta,
        "identity confirmed by X-ray diffraction": confirmed,
        "at least two spectra per mineral": confirmed[_has(2, "file", confirmed)],
    }
    columns = {"file": "spectra", "mineral": "minerals", "specimen": "specimens"}
    table = pd.DataFrame({step: left[list(columns)].nunique() for step, left in steps.items()})
    table = table.T.rename(columns=columns).rename_axis("step").reset_index()
    table.loc[0, "spectra"] += raw + unreadable
    return table


def variants(spectra: Spectra) -> pd.DataFrame:
    """The curations that the paper's sentence allows, and how many spectra each of them leaves.

    Four questions that the sentence leaves open, and all combinations of the answers that we could
    think of; the first answer of each is that of ``paper_rule``:

    - what is not "a single sample category": a mineral with two spectra, or three, or five, or
      with two mounts, or two specimens;
    - is a measured chemistry part of the identification;
    - must a spectrum cover the range that is sampled, at its start, its end, or both. ("From 160"
      is a tolerance that was chosen by looking at the result: the sentence says nothing of it.)
    - are repeated files, synthetic non-minerals, or lasers other than 514 nm left out.

    The number per mineral is asked last, of the spectra that the other answers leave.

    Returns:
        One row per combination, the closest to the paper first: the four answers, ``spectra``,
        ``minerals``, ``deviations`` (how many answers are not those of ``paper_rule``) and
        ``distance``, the sum of the two counts' relative differences from the paper's.
    """
    meta = spectra.meta[spectra.meta["identification"] == XRD]
    start, end = meta["first_shift"] <= paper.FIRST_SHIFT, meta["last_shift"] >= paper.LAST_SHIFT
    everything = pd.Series(True, index=meta.index)
    answers = {
        "at least": {
            "2 spectra": (2, "file"),
            "3 spectra": (3, "file"),
            "5 spectra": (5, "file"),
            "2 mounts": (2, "mount"),
            "2 specimens": (2, "specimen"),
        },
        "identity": {"X-ray": everything, "X-ray and chemistry": meta["measured_chemistry"]},
        "range": {
            "any": everything,
            "from 150": start,
            "from 160": meta["first_shift"] <= 160,
            "to 1510": end,
            "150–1510": start & end,
        },
        "left out": {
            "nothing": everything,
            "repeated data": ~meta.duplicated("checksum"),
            "non-minerals": ~meta["mineral"].isin(NOT_MINERALS),
            "other lasers": meta["laser"].between(514, 514.5),
        },
    }
    rows = []
    for choice in product(*(of_question.items() for of_question in answers.values())):
        names, (number, *conditions) = zip(*choice, strict=True)
        kept = meta[np.logical_and.reduce(conditions)]
        kept = kept[_has(*number, kept)]
        rows.append((*names, len(kept), kept["mineral"].nunique()))
    questions, counts = list(answers), ["spectra", "minerals"]
    table = pd.DataFrame(rows, columns=questions + counts)
    # The first row has the answers of paper_rule.
    table["deviations"] = (table[questions] != table[questions].iloc[0]).sum(axis=1)
    stated = [paper.CURATED_SPECTRA, paper.CURATED_MINERALS]
    table["distance"] = (table[counts] / stated - 1).abs().sum(axis=1)
    return table.sort_values(["distance", "deviations"], kind="stable", ignore_index=True)


def cut_to_manifest(spectra: Spectra) -> tuple[Spectra, pd.DataFrame]:
    """The spectra of 2019 (``rruff.manifest()``), found again in a later archive.

    A scan is found by its numbers, since files were renamed; failing that by specimen, mount,
    laser and angle, when its numbers have been changed. No spectrum is used twice.

    Args:
        spectra: all Processed spectra of an archive.

    Returns:
        The spectra that were found, in the order of the manifest and under the mineral name of
        2019, so that classes are the same, with the manifest's row as ``spectrum`` in ``meta``;
        and a table of what differs: ``file`` (of 2019), ``now`` (of this archive) and
        ``difference``: ``missing``, ``numbers changed`` or ``now named …``.
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
    differences = differences.assign(difference=np.select(differ, kinds, ""))
    rows = np.flatnonzero(found >= 0)
    cut = spectra.take(found.to_numpy()[rows])
    names = wanted["mineral"].to_numpy()[rows]
    cut = replace(cut, meta=cut.meta.assign(mineral=names, spectrum=rows))
    return cut, differences[np.any(differ, axis=0)].reset_index(drop=True)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with its index as ``row``, and ``nth`` among its equal rows."""
    nth = table.groupby(list(table.columns), dropna=False).cumcount()
    return table.assign(row=table.index, nth=nth)
