"""The numbers of a notebook: shown to its reader, checked, and kept for programs to read."""

from __future__ import annotations

import json
from typing import NamedTuple

import pandas as pd
from IPython.display import display

#: Where an executed notebook keeps its numbers: a JSON text, beside the table that is shown.
MIME = "application/vnd.fmcnn.numbers+json"


class Number(NamedTuple):
    """A measured number, and the range in which what the notebook says of it is true."""

    name: str
    value: float
    low: float | None = None  # ends of the range, included; None where nothing is expected
    high: float | None = None
    unit: str = ""  # none for a share or a count
    digits: int = 3  # decimals to show

    def text(self, value: float) -> str:
        """A value with the digits and the unit of this number."""
        return f"{value:,.{self.digits}f} {self.unit}".strip()

    @property
    def expected(self) -> str:
        """The range as a text, empty where there is none."""
        if self.low is None:
            return ""
        low, high = self.text(self.low), self.text(self.high)
        return high if low == high else f"{low.removesuffix(self.unit).rstrip()} to {high}"


def show(*numbers: Number) -> None:
    """Display a table of numbers, a row for each; programs read them by ``notebooks.numbers``.

    AssertionError if a value is outside of its range. Training rounds differently on different
    processors: ``≈`` marks such a number everywhere in the notebooks, and their tests do not
    compare what follows it, but rely on the range.
    """
    rows, outside = [], []
    for n in numbers:
        value, exact = n.text(n.value), n.low is not None and n.low == n.high
        rows.append((n.name, value if exact else f"≈{value}", n.expected))
        if n.low is not None and not n.low <= n.value <= n.high:  # as is what is no number
            outside.append(f"{n.name}: {value} is outside of {n.expected}")
    if outside:
        raise AssertionError(f"what is said above does not hold here: {'; '.join(outside)}")
    table = pd.DataFrame(rows, columns=["number", "value", "expected"])
    kept = json.dumps([n._asdict() | {"value": float(n.value)} for n in numbers])
    lines = "\n".join(" · ".join(row).rstrip(" ·") for row in rows)  # columns would move
    html = table.to_html(index=False)
    if len(numbers) > 10:
        opens = f"{len(numbers)} numbers, all of them in the range that is expected"
        html = f"<details><summary>{opens}</summary>{html}</details>"
    display({"text/plain": lines, "text/html": html, MIME: kept}, raw=True)


def approx(value: float, digits: int = 3) -> str:
    """A number that training decides, for a sentence or a table, marked ``≈`` (see ``show``)."""
    return f"≈{value:.{digits}f}"
