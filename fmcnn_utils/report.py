"""The README's table of results, written from ``results/rruff`` and from nowhere else."""

from __future__ import annotations

import pandas as pd

from . import paper, protocol, results
from ._io import ROOT, written_whole

README = ROOT / "README.md"
START, END = "<!-- results: written by `make paper` -->", "<!-- end of results -->"


def mean_and_sd(summary: pd.DataFrame, model: str) -> str:
    """Accuracy ± standard deviation over the repeats, or a dash for a model that was not run."""
    if model not in summary.index:
        return "–"
    row = summary.loc[model]
    return f"{row['accuracy']:.3f} ± {row['sd']:.3f}"


def _stated(row) -> str:
    if pd.isna(row.accuracy):
        return "not in the text"
    if row.accuracy == row.accuracy_if_relative:
        return f"{row.accuracy:.3f}"
    return f"{row.accuracy:.3f} or {row.accuracy_if_relative:.3f} (derived)"


def table_1(scores: pd.DataFrame) -> pd.DataFrame:
    """Table I: the paper, its settings here, tuned here; the last two also by specimen."""
    stated = paper.table_1()
    random, specimen = (protocol.summary(scores, kind) for kind in protocol.PROTOCOLS)
    table = pd.DataFrame(index=stated.index)
    table["paper"] = [_stated(row) for row in stated.itertuples()]
    for name, summary in (("random split", random), ("by specimen", specimen)):
        table[f"{name}, as in paper"] = [mean_and_sd(summary, m) for m in table.index]
        table[f"{name}, tuned"] = [mean_and_sd(summary, f"{m} tuned") for m in table.index]
    return table


def markdown(scores: pd.DataFrame) -> str:
    """``table_1`` as Markdown, with a line that says what it was made from."""
    table = table_1(scores).reset_index()
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.itertuples(index=False)]
    repeats = scores["repeat"].nunique()
    first = scores[(scores["model"] == "FMCNN") & (scores["repeat"] == 0)]
    sizes = first.groupby("protocol")["n_test"].sum()
    lines += [
        "",
        f"Accuracy on RRUFF, mean ± standard deviation over {repeats} repeats; {len(scores):,} "
        f"fits. Random split: stratified 10-fold, {sizes['random']:,} spectra of 209 minerals. By "
        f"specimen: 5-fold, no RRUFF ID on both sides, {sizes['specimen']:,} spectra of 97 "
        "minerals. As in paper: the settings that the paper gives, on min–max scaled spectra. "
        "Derived: from the gains that the paper's text states, in points or as ratios.",
    ]
    return "\n".join(lines)


def update_readme() -> None:
    """Write the table between its two marks in the README."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    with written_whole(README) as part:
        body = markdown(results.read("scores"))
        part.write_text(f"{before}{START}\n{body}\n{END}{after}", encoding="utf-8")
