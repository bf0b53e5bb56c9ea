"""The numbers of a notebook: shown to its reader, checked, and kept for programs to read."""

from __future__ import annotations

import json
from typing import NamedTuple

import pandas as pd
from IPython.display import display

#: Where an executed notebook keeps its numbers: a JSON text, beside the table that is shown.
MIME = "application/vnd.fmcnn.numbers+json"


class Number(NamedTuple):
    """A measured number, and the range in which what the notebook says of it is true.

    Attributes:
        name: what was measured.
        value: the number.
        low: lower end of the range, included; None where nothing is expected.
        high: upper end, included.
        unit: of the value; empty for a share or a count.
        digits: decimals to show.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    digits: int = 3

    def text(self, value: float) -> str:
        """A value with the digits and the unit of this number."""
        return f"{value:,.{self.digits}f} {self.unit}".strip()

    @property
    def expected(self) -> str:
        """The range as a text, empty where there is none."""
        if self.low is None:
            return ""
        low, high = (self.text(end) for end in (self.low, self.high))
        return high if low == high else f"{low.removesuffix(self.unit).rstrip()} to {high}"

    @property
    def shown(self) -> str:
        """The value as a text, marked ``≈`` (see ``show``) unless only one value is expected."""
        exact = self.low is not None and self.low == self.high
        return ("" if exact else "≈") + self.text(self.value)

    @property
    def holds(self) -> bool:
        """Whether the value is in its range; a number that is no number is not."""
        return self.low is None or self.low <= self.value <= self.high


def show(*numbers: Number) -> None:
    """Display a table of numbers, a row for each; programs read them by ``notebooks.numbers``.

    Training rounds differently on different processors. ``≈`` marks such a number everywhere in the
    notebooks: their tests do not compare what follows it, and rely on the range instead.

    Raises:
        AssertionError: if a value is outside of its range.
    """
    outside = (n for n in numbers if not n.holds)
    said = "; ".join(f"{n.name}: {n.text(n.value)} is outside of {n.expected}" for n in outside)
    if said:
        raise AssertionError(f"what is said above does not hold here: {said}")
    rows = [(n.name, n.shown, n.expected) for n in numbers]
    table = pd.DataFrame(rows, columns=["number", "value", "expected"])
    kept = json.dumps([n._asdict() | {"value": float(n.value)} for n in numbers])
    lines = "\n".join(" · ".join(row).rstrip(" ·") for row in rows)  # columns would move
    html = table.to_html(index=False)
    if len(numbers) > 10:
        opens = f"{len(numbers)} numbers, all of them in the range that is expected"
        html = f"<details><summary>{opens}</summary>{html}</details>"
    shown = {"text/plain": lines, "text/html": html}
    display(shown | {MIME: kept}, raw=True)


def approx(value: float, digits: int = 3) -> str:
    """A number that training decides, for a sentence or a table, marked ``≈`` (see ``show``)."""
    return f"≈{value:.{digits}f}"
