"""Ideal formulas as RRUFF writes them, and what two minerals have in common by theirs.

RRUFF marks subscripts with underscores and charges with carets: ``Ca_2_Fe^3+^Al_2_(SiO_4_)_3_``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Elements that form the complex anions of minerals, together with oxygen.
_FORMERS = frozenset(("B", "C", "N", "Si", "P", "S", "As", "V", "Cr", "Mo", "W"))
#: What stands at the places of oxygen.
_ANIONS = ("O", "F", "Cl")
_SUBSCRIPTS = str.maketrans("0123456789=+-", "₀₁₂₃₄₅₆₇₈₉₌₊₋")
_SUPERSCRIPTS = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
#: An element, a vacancy, a bracket, a comma between alternatives, how many of what precedes; and
#: the sum of a bracket that gives its parts' numbers, which is passed over.
_TOKEN = re.compile(
    r"([A-Z][a-z]?)|(\[box\])|([(\[])|([)\]])|(,)|_([\d.]+)(?:-[\d.]+)?_|_Σ=[\d.]+_"
)

SAME_COMPOSITION = "same composition"
EXCHANGED = "some ions exchanged"
UNRELATED = "neither"


def readable(formula: str) -> str:
    """A formula with Unicode subscripts and superscripts, for tables and titles of figures."""
    formula = re.sub(r"_Σ=[^_]+_", "", formula).replace("[box]", "□")
    formula = re.sub(r"\^([^^]+)\^", lambda m: m[1].translate(_SUPERSCRIPTS), formula)
    return re.sub(r"_([^_]+)_", lambda m: m[1].translate(_SUBSCRIPTS), formula)


def amounts(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula, without its water of crystallisation.

    Alternatives, as in ``(Mg,Fe)_2_``, get equal shares; of a range the first number counts.

    Raises:
        ValueError: for a formula that holds something else.
    """
    dry = re.sub(r"\^[^^]+\^", "", formula).partition("·")[0]
    tokens = list(_TOKEN.finditer(dry))
    stack = [[[]]]  # per open bracket its alternatives, each a list of parts
    try:
        for token in tokens:
            element, box, opening, closing, comma, number = token.groups()
            if element or box:
                stack[-1][-1].append({element: 1.0} if element else {})
            elif opening:
                stack.append([[]])
            elif closing:
                alternatives = stack.pop()
                whole = _sum(part for parts in alternatives for part in parts)
                stack[-1][-1].append(_times(whole, 1 / len(alternatives)))
            elif comma:
                stack[-1].append([])
            elif number:
                stack[-1][-1].append(_times(stack[-1][-1].pop(), float(number)))
        one = len(stack) == len(stack[0]) == 1  # no bracket left open, no comma outside of one
        complete = one and "".join(token[0] for token in tokens) == dry
    except IndexError:  # a bracket too many, or a number of nothing
        complete = False
    if not complete:
        raise ValueError(f"{formula!r} cannot be read as a formula in the notation of RRUFF")
    return _sum(stack[0][0])


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
    if first.keys() == second.keys() and a.partition("·")[2] == b.partition("·")[2]:
        scale = sum(first.values()) / sum(second.values())
        if all(abs(first[element] - scale * second[element]) < 1e-6 for element in first):
            return SAME_COMPOSITION
    anions = _anions(a)
    with_oxygen = "O" in first and "O" in second  # else sulphides and metals would all be alike
    return EXCHANGED if with_oxygen and anions == _anions(b) else UNRELATED


def _anions(formula: str) -> tuple:
    atoms = amounts(formula)
    n_anions = sum(atoms.get(element, 0) for element in _ANIONS)
    other_than_oxygen = bool({"H", "F", "Cl"} & atoms.keys())
    return _FORMERS & atoms.keys(), round(n_anions, 3), other_than_oxygen, "·" in formula


def _sum(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    total = {}
    for part in parts:
        for element, n in part.items():
            total[element] = total.get(element, 0) + n
    return total


def _times(part: dict[str, float], factor: float) -> dict[str, float]:
    return {element: factor * n for element, n in part.items()}
