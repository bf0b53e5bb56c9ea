"""What may be put into a notebook's parameters cell, read from the cell itself.

Each notebook has one cell tagged ``parameters``: one assignment of a plain value per parameter,
with a comment on the same line that says what it is. The comment may open with what is allowed,
written for people and read by this module:

- ``# "quick" | "full": how much is computed`` — one of the quoted words;
- ``# "atlas" | "rruff" | path of an archive`` — or the path of something that exists;
- ``# 2–10 folds`` — a number from 2 to 10;
- ``# mineral: of Figure 1``, ``# minerals: …`` — a mineral of the archive of 2019.

In a list, each item has to be allowed. After any other comment only the type is checked.
papermill itself merely warns of an unknown name, and takes any value.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

import nbformat

from . import rruff
from ._problem import Refused

_WORDS = re.compile(r'"[^"]*"(?:\s*\|\s*(?:"[^"]*"|path\b))+')
_MINERAL = re.compile(r"minerals?:")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})–(?P<high>{_NUMBER})")


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name = default  # comment``."""

    name: str
    default: object
    comment: str

    def read(self, text: str):
        """The value that ``text``, typed on a command line, stands for.

        Paths are made absolute, since a notebook starts in its own folder.

        Raises:
            Refused: with one sentence, if it has another type than the default or is not allowed.
        """
        value = text if isinstance(self.default, str) else self._literal(text)
        items = value if isinstance(value, list) else [value]
        if words := _WORDS.match(self.comment):
            if all(item in re.findall('"([^"]*)"', words[0]) for item in items):
                return value
            takes_path = words[0].endswith("path")
            if takes_path and value and (path := Path(value).expanduser()).exists():
                return str(path.resolve())
            hint = " (there is no such file or folder)" if takes_path else ""
            raise Refused(f"{self.name} = {text}{hint} is none of {self.comment}")
        if limits := _RANGE.match(self.comment):
            low, high = float(limits["low"]), float(limits["high"])
            if not all(low <= item <= high for item in items):
                raise Refused(f"{self.name} = {text} is out of range: {self.comment}")
        if _MINERAL.match(self.comment):
            self._refuse_unknown_minerals(items)
        return value

    def _refuse_unknown_minerals(self, names: list) -> None:
        known = rruff.manifest()["mineral"].unique()
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(str(name).capitalize(), known, cutoff=0.5)
                hint = f"is it {' or '.join(close)}?" if close else "data/README.md lists them"
                raise Refused(
                    f"{self.name}: {name!r} is not a mineral of the archive of 2019: {hint}"
                )

    def _literal(self, text):
        wanted = type(self.default)
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise Refused(
                f"{self.name} = {text} is not of the type {wanted.__name__}, "
                f"as the default {self.default!r} is: {self.comment}"
            )
        return value


def of_notebook(path: Path) -> dict[str, Parameter]:
    """The parameters of the notebook at ``path``, by name, in the cell's order.

    Raises:
        ValueError: if it has not exactly one cell tagged ``parameters``.
    """
    cells = [
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise ValueError(f"{path.name} has {len(cells)} cells tagged parameters; it needs one")
    comments = {
        token.end[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(cells[0]).readline)
        if token.type == tokenize.COMMENT
    }
    lines = [line for line in ast.parse(cells[0]).body if isinstance(line, ast.Assign)]
    return {
        line.targets[0].id: Parameter(
            line.targets[0].id, ast.literal_eval(line.value), comments.get(line.end_lineno, "")
        )
        for line in lines
    }


def assign(notebooks: list[Path], given: dict[str, str]) -> dict[Path, dict[str, object]]:
    """What each notebook gets of ``given`` (name: text); nothing is run.

    Raises:
        Refused: if none of the notebooks has a parameter of that name, or the value won't do.
    """
    known = {path: of_notebook(path) for path in notebooks}
    for name in given:
        if not any(name in parameters for parameters in known.values()):
            allowed = "; ".join(f"{path.stem}: {', '.join(known[path])}" for path in notebooks)
            raise Refused(f"{name} is not a parameter here. There are: {allowed}")
    return {
        path: {name: parameters[name].read(given[name]) for name in given if name in parameters}
        for path, parameters in known.items()
    }
