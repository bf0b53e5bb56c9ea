"""Which groups of atoms a band may belong to, and whether a mineral's formula has them.

The table is ``data/bands.csv``; ``data/README.md`` says where each of its ranges comes from.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ._io import DATA
from ._problem import Refused

BANDS = DATA / "bands.csv"

#: Hydrogen to uranium.
_SYMBOLS = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se
    Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy
    Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U
"""
ELEMENTS = frozenset(_SYMBOLS.split())

#: RRUFF's mark-up of what is no atom: charges as ``^2+^``, the sum of a site as ``_Σ=5_``, and
#: the vacancy. Subscripts, ``_3_``, are left.
_NO_ATOM = re.compile(r"\^[^^]*\^|_Σ=[^_]*_|\[box\]|[☐□]")
_SYMBOL = re.compile(r"[A-Z][a-z]?")
#: What may stand between symbols: numbers, ranges and unknowns (n, x, y), brackets, commas, dots.
_BETWEEN = re.compile(r"[\d\s.,:·•*+\-–≤≥<>~#/nxy()\[\]{}]")


def table() -> pd.DataFrame:
    """Characteristic Raman bands, one mode of one group per row.

    Returns:
        ``group``, ``mode``, ``low`` and ``high`` (cm⁻¹), ``strength`` in Raman (strong, medium or
        weak), ``kind`` (inorganic or organic), ``needs`` and ``without`` (what must be and what
        must not be in the formula, see ``fits``), ``source``, and ``in_paper``: whether the
        paper's Tables II and III name the group, which its text leaves unknown.
    """
    return pd.read_csv(BANDS, keep_default_na=False)


def elements(formula: str) -> set[str]:
    """The elements in a formula in RRUFF's notation, or a plain one such as CaSO4·2H2O.

    Raises:
        Refused: if there is no element in it, or something that is neither an element nor a
            number, bracket, vacancy or charge.
    """
    text = re.sub(r"_[^_]*_", " ", _atoms(formula))  # "S_x_" is no element Sx
    found = set(_SYMBOL.findall(text))
    wrong = [*sorted(found - ELEMENTS), *_BETWEEN.sub("", _SYMBOL.sub("", text))]
    if wrong or not found:
        what = f"{wrong[0]!r} in it is no element" if wrong else "it holds no element"
        raise Refused(
            f"cannot read the formula {formula!r}: {what}; give it as in RRUFF's IDEAL CHEMISTRY "
            "(CaSO_4_·2H_2_O) or plainly (CaSO4·2H2O)"
        )
    return found


def fits(formula: str, rows: pd.DataFrame | None = None) -> pd.Series:
    """Whether a formula allows each row of the table.

    ``needs`` and ``without`` are words parted by blanks. A word that is an element's symbol asks
    for that element; any other (CO3, OH, H2O) asks for these very letters in the formula, charges
    aside. All of ``needs`` must be there, and none of ``without``. A formula tells a carbonate
    from an oxalate, but not a chain silicate from a sheet: those need Si and O, no more.

    Args:
        formula: see ``elements``.
        rows: rows of ``table()``; all by default.

    Returns:
        Booleans with the index of ``rows``.

    Raises:
        Refused: for a formula that cannot be read.
    """
    rows = table() if rows is None else rows
    there, written = elements(formula), _atoms(formula).replace("_", "")

    def has(word: str) -> bool:
        return word in there if word in ELEMENTS else word in written

    return pd.Series(
        [
            all(map(has, needs.split())) and not any(map(has, without.split()))
            for needs, without in zip(rows["needs"], rows["without"], strict=True)
        ],
        index=rows.index,
        dtype=bool,
    )


def assign(position: float, width: float = 0, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """The rows of the table that a band or a region may belong to, formula aside.

    Args:
        position: middle of the band or region, in cm⁻¹.
        width: its full width, in cm⁻¹; a row counts as soon as its range touches the region.
        rows: rows of ``table()`` to choose from; all by default.

    Raises:
        Refused: for a position or width that is not finite, or a negative width.
    """
    if not np.isfinite([position, width]).all() or width < 0:
        raise Refused(
            f"a band at {position} with a width of {width} cannot be looked up: give a Raman shift "
            "in cm⁻¹ and a width of 0 or more"
        )
    rows = table() if rows is None else rows
    return rows[(rows["low"] <= position + width / 2) & (rows["high"] >= position - width / 2)]


def explain(regions: Iterable, formula: str) -> pd.DataFrame:
    """The groups that each region may belong to, and whether the formula allows them.

    Args:
        regions: each a position in cm⁻¹, or a pair: its lower and upper end.
        formula: see ``elements``.

    Returns:
        One row per region and candidate, by region, allowed ones first: ``from`` and ``to`` (the
        region, cm⁻¹), ``allowed``, and the columns of ``table()``. A region that no range of the
        table touches has no row.

    Raises:
        Refused: for a region that is neither, or a formula that cannot be read.
    """
    rows = table()
    rows.insert(0, "allowed", fits(formula, rows))
    found = []
    for region in regions:
        try:
            low, high = np.broadcast_to(np.asarray(region, dtype=float), 2)
        except ValueError as error:
            raise Refused(
                f"{region!r} is no region: give a position in cm⁻¹, or its lower and upper end"
            ) from error
        candidates = assign((low + high) / 2, high - low, rows)
        candidates = candidates.sort_values("allowed", ascending=False, kind="stable")
        found.append(candidates.assign(**{"from": low, "to": high}))
    together = pd.concat(found, ignore_index=True) if found else rows.iloc[:0]
    return together.reindex(columns=["from", "to", *rows.columns])


def agreement(
    positions: Mapping[str, Iterable[float]],
    formulas: Mapping[str, str],
    rows: pd.DataFrame | None = None,
    permutations: int = 1000,
    seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:
    """How often a group of the table that covers a position is one that the formula allows.

    Wide ranges fit much, so the same share for the formulas of other minerals stands beside it.
    Compare the mean of ``fits`` with the mean of ``chance`` and with the permuted means.

    Args:
        positions: of each mineral, the Raman shifts in cm⁻¹ that a method highlights.
        formulas: of each of these minerals, see ``elements``.
        rows: rows of ``table()`` that count; all by default.
        permutations: how often each mineral is given the formula of another, at random.
        seed: of the permutations.

    Returns:
        A table, one row per mineral: number of ``positions``; the share of them that any row
        ``covers``, that a row allowed by the formula ``fits``, and the latter's mean over the
        formulas of all other minerals, ``chance``. And the mean over minerals under each of the
        permutations, (permutations,).

    Raises:
        Refused: for less than two minerals, one without positions or formula, or a formula that
            cannot be read.
    """
    minerals = list(positions)
    if len(minerals) < 2:
        raise Refused("chance is measured on the formulas of other minerals: give two or more")
    if missing := [mineral for mineral in minerals if mineral not in formulas]:
        raise Refused(f"there is no formula for {missing[0]}: add it to formulas")
    rows = table() if rows is None else rows
    allowed = np.stack([fits(formulas[mineral], rows) for mineral in minerals]).astype(int)
    count, covers, share = [], [], []  # share: of the positions of one mineral, for each formula
    for mineral in minerals:
        shifts = np.array([*positions[mineral]], dtype=float)[:, None]
        if not shifts.size or not np.isfinite(shifts).all():
            raise Refused(
                f"{mineral} has no positions, or one that is not finite: give Raman shifts in "
                "cm⁻¹, or leave the mineral out"
            )
        within = (shifts >= rows["low"].to_numpy()) & (shifts <= rows["high"].to_numpy())
        count.append(len(shifts))
        covers.append(within.any(axis=1).mean())
        share.append((within @ allowed.T > 0).mean(axis=0))
    share = np.array(share)
    per_mineral = pd.DataFrame(
        {
            "positions": count,
            "covers": covers,
            "fits": share.diagonal(),
            "chance": (share.sum(axis=1) - share.diagonal()) / (len(minerals) - 1),
        },
        index=pd.Index(minerals, name="mineral"),
    )
    rng = np.random.default_rng(seed)
    permuted = np.empty(permutations)
    for i in range(permutations):
        order = rng.permutation(len(minerals))
        permuted[i] = share[order, np.roll(order, 1)].mean()  # none keeps its own formula
    return per_mineral, permuted


def _atoms(formula: str) -> str:
    return _NO_ATOM.sub("", html.unescape(formula))
