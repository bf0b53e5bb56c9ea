"""Formulas of minerals: what is in them, how two are related, and which Raman bands they allow.

RRUFF marks subscripts with underscores and charges with carets: ``Ca_2_Fe^3+^Al_2_(SiO_4_)_3_``.
The bands are those of ``data/bands.csv``; ``data/README.md`` says where each range comes from.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from ..results import DATA, UserError

#: Elements that form the complex anions of minerals, together with oxygen.
_FORMERS = frozenset(("B", "C", "N", "Si", "P", "S", "As", "V", "Cr", "Mo", "W"))

#: A charge, or the sum of a bracket that gives the numbers of its parts.
_NO_ATOM = re.compile(r"\^[^^]*\^|<sup>[^<]*</sup>|_Σ=[^_]*_")
#: An element, or @the number of a bracket that has been counted@ in its place; and how often, which
#: may be a range (6-7) or unknown (1-x, n).
_PART = re.compile(r"(REE|[A-Z][a-z]?|@\d+@)([\dnxy.+\-–≤≥<>~/]+)?")
_INNERMOST_BRACKET = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_SUBSCRIPTS = str.maketrans("0123456789=+-", "₀₁₂₃₄₅₆₇₈₉₌₊₋")
_SUPERSCRIPTS = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")

SAME_COMPOSITION = "same composition"
EXCHANGED = "some ions exchanged"
UNRELATED = "neither"


def readable(formula: str) -> str:
    """A formula with Unicode subscripts and superscripts, for tables and titles of figures."""
    formula = re.sub(r"_Σ=[^_]+_", "", formula).replace("[box]", "□")
    formula = re.sub(r"\^([^^]+)\^", lambda m: m[1].translate(_SUPERSCRIPTS), formula)
    return re.sub(r"_([^_]+)_", lambda m: m[1].translate(_SUBSCRIPTS), formula)


def elements(formula: str) -> set[str]:
    """The elements in a formula in RRUFF's notation, or plain, as CaSO4·2H2O; or UserError."""
    return {element for part in _plain(formula).split("·") for element in _count(part)}


def amounts(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula, without its water of crystallisation.

    Alternatives, ``(Mg,Fe)_2_``, get equal shares; the first of a range counts; unknown is NaN.
    """
    return _count(_plain(formula).partition("·")[0])


def relation(a: str, b: str) -> str:
    """What two formulas say of how alike the minerals are.

    ``SAME_COMPOSITION``: the same elements in the same proportions: polymorphs. ``EXCHANGED``: the
    same anion-forming elements, as many anions (O, OH, F, Cl) a formula, and OH, F or Cl among
    them, and water, in both or in neither: as in a solid-solution series, and most groups of one
    structure (but zircon and olivine, too). Else ``UNRELATED``, also for formulas of other cells.
    """
    first, second = amounts(a), amounts(b)
    water, other_water = (_plain(formula).partition("·")[2] for formula in (a, b))
    if first.keys() == second.keys() and water == other_water:
        scale = sum(first.values()) / sum(second.values())
        if all(abs(first[element] - scale * second[element]) < 1e-6 for element in first):
            return SAME_COMPOSITION
    with_oxygen = "O" in first and "O" in second  # else sulphides and metals would all be alike
    alike = _anions(first) == _anions(second) and bool(water) == bool(other_water)
    return EXCHANGED if with_oxygen and alike else UNRELATED


def _anions(atoms: dict[str, float]) -> tuple:
    n_anions = sum(atoms.get(element, 0) for element in ("O", "F", "Cl"))
    other_than_oxygen = bool({"H", "F", "Cl"} & atoms.keys())
    return _FORMERS & atoms.keys(), round(n_anions, 3), other_than_oxygen


def bands() -> pd.DataFrame:
    """Characteristic Raman bands, one mode of one group of atoms per row.

    ``low`` and ``high`` are in cm⁻¹; for ``needs`` and ``without`` see ``fits``. ``in_paper``:
    whether the paper's Tables II and III name the group, which its text leaves unknown.
    """
    return pd.read_csv(DATA / "bands.csv", keep_default_na=False)


def fits(formula: str, rows: pd.DataFrame) -> pd.Series:
    """Whether a formula allows each of these rows of ``bands()``.

    All words of ``needs`` must be in it, and none of ``without``. An element's symbol asks for that
    element; any other word (CO3, OH, H2O) for these very letters, charges aside. So a carbonate is
    distinguished from an oxalate, but not a chain silicate from a sheet: those need Si and O.
    """
    present, written = elements(formula), _plain(formula)

    def has(word: str) -> bool:
        return word in (present if re.fullmatch("[A-Z][a-z]?", word) else written)

    needed = rows["needs"].map(lambda words: all(map(has, words.split())))
    return needed & ~rows["without"].map(lambda words: any(map(has, words.split())))


def explain(regions: Iterable[tuple[float, float]], formula: str) -> pd.DataFrame:
    """The groups of atoms that each region may belong to, and whether the formula allows them.

    One row per region (``from`` and ``to``, in cm⁻¹) and row of ``bands()`` whose range it touches.
    """
    rows = bands()
    rows["allowed"] = fits(formula, rows)
    pairs = pd.DataFrame(regions, columns=["from", "to"]).merge(rows, how="cross")
    return pairs[(pairs["low"] <= pairs["to"]) & (pairs["high"] >= pairs["from"])]


def agreement(
    positions: Mapping[str, Iterable[float]], formulas: Mapping[str, str], rows: pd.DataFrame
) -> pd.DataFrame:
    """How often one of ``rows`` of ``bands()`` that the formula allows covers a position.

    ``positions`` are the Raman shifts in cm⁻¹ that a method highlights, at least one for each of at
    least two minerals. Of each: the share of them that its own formula ``fits``, and the mean share
    by the formulas of the others, ``chance``. Wide ranges fit much: compare the two means.
    """
    at = pd.Series(positions, name="at").explode().astype(float).rename_axis("mineral")
    allowed = np.stack([fits(formulas[mineral], rows) for mineral in positions])
    covered = [rows["low"].le(shift) & rows["high"].ge(shift) for shift in at]
    # Of the positions of each mineral (row), for each formula (column).
    share = pd.DataFrame(covered @ allowed.T, at.index).groupby(level=0, sort=False).mean()
    own = np.diagonal(share)
    chance = (share.sum(axis=1) - own) / (len(share) - 1)
    return pd.DataFrame({"fits": own, "chance": chance})


def _plain(formula: str) -> str:
    """A formula without charges, and with its subscripts as numbers; n where one is unknown."""
    text = _NO_ATOM.sub("", formula).replace("[box]", "□")
    return re.sub(r"_([^_A-Z]+)_", lambda m: "n" if re.search(r"[^\d.–-]", m[1]) else m[1], text)


def _count(text: str) -> dict[str, float]:
    """Atoms of each element in a plain formula, or one part of it."""
    whole, brackets = text, []

    def add_up(text: str) -> Counter:
        total, n_alternatives = Counter(), 1 + text.count(",")
        for part, number in _PART.findall(text):
            atoms = brackets[int(part[1:-1])] if part[0] == "@" else {part: 1.0}
            for element, n in atoms.items():
                total[element] += n * _amount(number) / n_alternatives
        return total

    def replace(bracket: re.Match) -> str:
        brackets.append(add_up(bracket[1]))
        return f"@{len(brackets) - 1}@"

    while _INNERMOST_BRACKET.search(text):
        text = _INNERMOST_BRACKET.sub(replace, text)
    atoms = add_up(text)
    if not atoms or re.search(r"[()\[\]{},]", text):
        raise UserError(
            f"cannot read the formula {whole!r}; give it as in RRUFF (CaSO_4_·2H_2_O) or plainly"
        )
    return dict(atoms)


def _amount(number: str) -> float:
    """Of an atom or bracket: 1 where there is no number, the first of a range, else NaN."""
    known = re.fullmatch(r"(\d+(?:\.\d+)?)(?:[-–][\d.]+)?", number or "1")
    return float(known[1]) if known else np.nan


@lru_cache(maxsize=1)
def series() -> dict[str, dict[str, dict]]:
    """Of each mineral in ``data/series.csv``: series or other relation → its row, members split."""
    of = defaultdict(dict)
    for row in pd.read_csv(DATA / "series.csv").to_dict("records"):
        row["members"] = row["members"].split("; ")
        for member in row["members"]:
            of[member][row["series"]] = row
    return dict(of)


def same_series(a: str, b: str) -> bool:
    """Whether two minerals are members of one series."""
    return bool(series().get(a, {}).keys() & series().get(b, {}).keys())
