"""The kept results: tables and figures of the full protocol on the RRUFF archive.

``make paper`` writes them, but for those named after ``make atlas`` and ``make search``; the
notebooks and the README read them. Nothing else does either.
"""

from __future__ import annotations

import pandas as pd

from ._io import ROOT, write_gzip, written_whole

TABLES = ROOT / "results" / "rruff"
FIGURES = ROOT / "figures"


def headline(source: str, profile: str, seed: int) -> bool:
    """Whether a run is one to keep: the full profile on the archive, with the usual seed."""
    return (source, profile, seed) == ("RRUFF", "full", 0)


def keep(table: pd.DataFrame, name: str) -> None:
    """Write a table to ``results/rruff/NAME.csv``, whole or not at all."""
    with written_whole(TABLES / f"{name}.csv") as part:
        table.to_csv(part, index=False, lineterminator="\n")


def keep_gzip(table: pd.DataFrame, name: str) -> None:
    """The same to ``results/rruff/NAME.csv.gz``, for long tables."""
    text = table.to_csv(index=False, lineterminator="\n")
    write_gzip(TABLES / f"{name}.csv.gz", text.encode())


def read(name: str) -> pd.DataFrame:
    """A kept table.

    Raises:
        FileNotFoundError: with the command that makes it.
    """
    for path in (TABLES / f"{name}.csv", TABLES / f"{name}.csv.gz"):
        if path.exists():
            return pd.read_csv(path)
    raise FileNotFoundError(f"results/rruff/{name}.csv is missing: `{made_by(name)}` makes it")


def made_by(name: str) -> str:
    """The command that makes a kept table or figure."""
    command = name.partition("_")[0]
    if command not in ("atlas", "search"):
        command = "paper"
    return f"make {command} DATA=path/to/archive.zip"
