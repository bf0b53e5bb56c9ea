"""Formulas of minerals: what is in them, how two are related, and which Raman bands they allow.

RRUFF marks subscripts with underscores and charges with carets: ``Ca_2_Fe^3+^Al_2_(SiO_4_)_3_``.
The bands are those of ``data/bands.csv``; ``data/README.md`` says where each range comes from.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import pandas as pd

from ..results import DATA, UserError

#: Elements that form the complex anions of minerals, together with oxygen.
_FORMERS = frozenset(("B", "C", "N", "Si", "P", "S", "As", "V", "Cr", "Mo", "W"))
#: What stands at the places of oxygen.
_ANIONS = ("O", "F", "Cl")

#: A charge, or the sum of a bracket that gives the numbers of its parts.
_NO_ATOM = re.compile(r"\^[^^]*\^|<sup>[^<]*</sup>|_Σ=[^_]*_")
#: A comma separates alternatives. A number may be a range (6-7) or unknown (1-x, n).
_TOKEN = re.compile(
    r"(?P<element>REE|[A-Z][a-z]?)|(?P<vacancy>\[box\]|[□☐])"
    r"|(?P<opening>[(\[{])|(?P<closing>[)\]}])|(?P<comma>,)"
    r"|(?P<number>_[^_A-Z]+_|[\dnxy.+\-–≤≥<>~/]+)|(?P<between>[\s·])|(?P<wrong>.)"
)
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
    """The elements in a formula in RRUFF's notation, or a plain one such as CaSO4·2H2O.

    Raises:
        UserError: if it holds no element, or anything else that is not part of a formula.
    """
    return {text for kind, text in _tokens(formula) if kind == "element"}


def amounts(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula, without its water of crystallisation.

    Alternatives, as in ``(Mg,Fe)_2_``, get equal shares; of a range the first number counts; an
    unknown number is NaN.

    Raises:
        UserError: for a formula that cannot be read, or not be counted.
    """
    stack = [[[]]]  # of each open bracket its alternatives; of these the parts; of these the atoms
    tokens = _tokens(_atoms(formula).partition("·")[0])
    try:
        for kind, text in tokens:
            if kind == "element":
                stack[-1][-1].append([(text, 1.0)])
            elif kind == "vacancy":
                stack[-1][-1].append([])
            elif kind == "opening":
                stack.append([[]])
            elif kind == "comma":
                stack[-1].append([])
            elif kind == "closing":
                alternatives = stack.pop()
                atoms = [atom for parts in alternatives for part in parts for atom in part]
                stack[-1][-1].append(_times(atoms, 1 / len(alternatives)))
            elif kind == "number":
                stack[-1][-1].append(_times(stack[-1][-1].pop(), _number(text)))
        ((parts,),) = stack  # no bracket left open, no comma outside of brackets
    except (IndexError, ValueError) as error:
        raise _unreadable(formula, "its brackets, commas or numbers do not add up") from error
    total = defaultdict(float)
    for element, n in chain.from_iterable(parts):
        total[element] += n
    return dict(total)


def relation(a: str, b: str) -> str:
    """What two formulas say of how alike the minerals are.

    Returns:
        ``SAME_COMPOSITION``: the same elements in the same proportions, so two minerals are
        polymorphs. ``EXCHANGED``: the same anion-forming elements, as many anions (O, OH, F,
        Cl) a formula, and OH, F or Cl among them, and water beside them, in both or in neither:
        so it is in a solid-solution series, and most often within a group of one structure (but
        zircon and olivine share that much, too). Else ``UNRELATED``, also where one formula is
        written for a larger cell than the other.
    """
    first, second = amounts(a), amounts(b)
    water, other_water = (_atoms(formula).partition("·")[2] for formula in (a, b))
    if first.keys() == second.keys() and water == other_water:
        scale = sum(first.values()) / sum(second.values())
        if all(abs(first[element] - scale * second[element]) < 1e-6 for element in first):
            return SAME_COMPOSITION
    with_oxygen = "O" in first and "O" in second  # else sulphides and metals would all be alike
    alike = _anions(first) == _anions(second) and bool(water) == bool(other_water)
    return EXCHANGED if with_oxygen and alike else UNRELATED


def bands() -> pd.DataFrame:
    """Characteristic Raman bands, one mode of one group of atoms per row.

    Returns:
        ``group``, ``mode``, ``low`` and ``high`` (cm⁻¹), ``strength`` in Raman (strong, medium or
        weak), ``kind`` (inorganic or organic), ``needs`` and ``without`` (what must be and what
        must not be in the formula, see ``fits``), ``source``, and ``in_paper``: whether the
        paper's Tables II and III name the group, which its text leaves unknown.
    """
    return pd.read_csv(DATA / "bands.csv", keep_default_na=False)


def fits(formula: str, rows: pd.DataFrame) -> pd.Series:
    """Whether a formula allows each row of ``bands()``.

    ``needs`` and ``without`` are words with blanks between them. A word that is an element's
    symbol asks for that element; any other (CO3, OH, H2O) asks for these very letters in the
    formula, charges aside. All of ``needs`` must be there, and none of ``without``. A formula
    distinguishes a carbonate from an oxalate, but not a chain silicate from a sheet: those need
    Si and O, no more.

    Args:
        formula: see ``elements``.
        rows: some or all rows of ``bands()``.

    Returns:
        Booleans with the index of ``rows``.

    Raises:
        UserError: for a formula that cannot be read.
    """
    present, written = elements(formula), _atoms(formula).replace("_", "")

    def has(word: str) -> bool:
        return word in (present if re.fullmatch("[A-Z][a-z]?", word) else written)

    needed = rows["needs"].map(lambda words: all(map(has, words.split())))
    return needed & ~rows["without"].map(lambda words: any(map(has, words.split())))


def explain(regions: Iterable, formula: str) -> pd.DataFrame:
    """The groups of atoms that each region may belong to, and whether the formula allows them.

    Args:
        regions: each a position in cm⁻¹, or a pair: its lower and upper end.
        formula: see ``elements``.

    Returns:
        One row per region and candidate, by region, allowed ones first: ``from`` and ``to`` (the
        region, cm⁻¹), ``allowed``, and the columns of ``bands()``. A region that no range of the
        table touches has no row.

    Raises:
        UserError: for a formula that cannot be read.
        ValueError: for a region that is not finite, or whose ends are in the wrong order.
    """
    rows = bands()
    rows.insert(0, "allowed", fits(formula, rows))
    found = [rows.iloc[:0]]
    for region in regions:
        low, high = np.broadcast_to(np.asarray(region, dtype=float), 2)
        if not -np.inf < low <= high < np.inf:
            raise ValueError(f"region {region!r} is not a position or a range in cm⁻¹")
        touched = rows[(rows["low"] <= high) & (rows["high"] >= low)]
        touched = touched.sort_values("allowed", ascending=False, kind="stable")
        found.append(touched.assign(**{"from": low, "to": high}))
    return pd.concat(found, ignore_index=True).reindex(columns=["from", "to", *rows.columns])


def agreement(
    positions: Mapping[str, Iterable[float]],
    formulas: Mapping[str, str],
    rows: pd.DataFrame,
) -> pd.DataFrame:
    """How often a group of the table that covers a position is one that the formula allows.

    Wide ranges fit much, so the same share for the formulas of the other minerals stands beside
    it: compare the means of the two columns.

    Args:
        positions: of each mineral, the Raman shifts in cm⁻¹ that a method highlights.
        formulas: of each of these minerals, see ``elements``.
        rows: the rows of ``bands()`` that count.

    Returns:
        One row per mineral: the share of its positions that a row allowed by its formula
        ``fits``, and the mean of this share over the formulas of all other minerals, ``chance``.

    Raises:
        UserError: for a formula that cannot be read.
        ValueError: for fewer than two minerals, or one without positions.
    """
    if len(positions) < 2:
        raise ValueError("chance is measured on formulas of other minerals: give two or more")
    allowed = np.stack([fits(formulas[mineral], rows) for mineral in positions]).astype(int)
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    share = []  # of the positions of each mineral (row), for each formula (column)
    for mineral, shifts in positions.items():
        shifts = np.array([*shifts], dtype=float)[:, None]
        if not shifts.size:
            raise ValueError(f"{mineral} has no positions: leave it out")
        covered = (low <= shifts) & (shifts <= high)
        share.append((covered @ allowed.T > 0).mean(axis=0))
    own = np.diagonal(share)
    chance = (np.sum(share, axis=1) - own) / (len(share) - 1)
    index = pd.Index(positions, name="mineral")
    return pd.DataFrame({"fits": own, "chance": chance}, index=index)


def _atoms(formula: str) -> str:
    return _NO_ATOM.sub("", html.unescape(formula))


def _tokens(formula: str) -> list[tuple[str, str]]:
    """Kind and text of each part of a formula."""
    tokens = [(match.lastgroup, match[0]) for match in _TOKEN.finditer(_atoms(formula))]
    kinds = [kind for kind, _ in tokens]
    if "wrong" in kinds:
        raise _unreadable(formula, f"{tokens[kinds.index('wrong')][1]!r} in it is no element")
    if "element" not in kinds:
        raise _unreadable(formula, "it holds no element")
    return tokens


def _unreadable(formula: str, reason: str) -> UserError:
    return UserError(
        f"cannot read the formula {formula!r}: {reason}; give it as in RRUFF's IDEAL CHEMISTRY "
        "(CaSO_4_·2H_2_O) or plainly (CaSO4·2H2O)"
    )


def _number(text: str) -> float:
    known = re.fullmatch(r"_?(\d+(?:\.\d+)?)(?:[-–][\d.]+)?_?", text)
    return float(known[1]) if known else np.nan


def _times(atoms: list[tuple[str, float]], factor: float) -> list[tuple[str, float]]:
    return [(element, factor * n) for element, n in atoms]


def _anions(atoms: dict[str, float]) -> tuple:
    n_anions = sum(atoms.get(element, 0) for element in _ANIONS)
    other_than_oxygen = bool({"H", "F", "Cl"} & atoms.keys())
    return _FORMERS & atoms.keys(), round(n_anions, 3), other_than_oxygen
