"""The README's table of results, written from ``results/rruff`` and from nowhere else."""

from __future__ import annotations

import pandas as pd

from . import paper, protocol, results
from ._io import ROOT, written_whole
from ._problem import Refused

README = ROOT / "README.md"
START, END = "<!-- results: written by `make paper` -->", "<!-- end of results -->"


def mean_and_sd(summary: pd.DataFrame, model: str) -> str:
    """Accuracy ± standard deviation over the repeats, or a dash for a model that was not run.

    A single repeat has no standard deviation.
    """
    if model not in summary.index:
        return "–"
    row = summary.loc[model]
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}"
    return f"{row['accuracy']:.3f}{spread}"


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
        table[f"{name}, tuned"] = [mean_and_sd(summary, protocol.tuned(m)) for m in table.index]
    return table


def markdown(scores: pd.DataFrame) -> str:
    """``table_1`` as Markdown, with a line that says what it was made from."""
    table = table_1(scores).reset_index()
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.itertuples(index=False)]
    repeats = scores["repeat"].nunique()
    first = scores[(scores["model"] == "FMCNN") & (scores["repeat"] == 0)]
    sizes = first.groupby("protocol")["n_test"].sum()
    minerals = scores.groupby("protocol")["n_classes"].max()
    hours = scores["seconds"].sum() / 3600
    what = f"mean ± standard deviation over {repeats} repeats" if repeats > 1 else "one repeat"
    lines += [
        "",
        f"Accuracy on RRUFF, {what}; {len(scores):,} fits, {hours:.1f} hours of one core. "
        f"Random split: stratified 10-fold, {sizes['random']:,} spectra of {minerals['random']} "
        f"minerals. By specimen: 5-fold, no RRUFF ID on both sides, {sizes['specimen']:,} spectra "
        f"of {minerals['specimen']} minerals. As in paper: the settings that the paper gives, the "
        "baselines on min–max scaled spectra; what it leaves open for FMCNN comes from the same "
        "search as the tuned settings, so its two columns are one network. "
        "Derived: from the gains that the paper's text states, in points or as ratios.",
    ]
    return "\n".join(lines)


def readme_parts() -> tuple[str, str]:
    """The README up to and with the mark before the table, and from the mark after it.

    Raises:
        Refused: if one of the marks is not there once, or they stand the wrong way round.
    """
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end or text.count(START) + text.count(END) != 2:
        raise Refused(
            f"{README.name} needs the lines `{START}` and `{END}` once each, in this order, to "
            "show the results: put them in and run the command again"
        )
    return before + START, END + after


def update_readme() -> None:
    """Write the table between its two marks in the README.

    Raises:
        Refused: see ``readme_parts``.
    """
    before, after = readme_parts()
    body = markdown(results.read("scores"))
    with written_whole(README) as part:
        part.write_text(f"{before}\n{body}\n{after}", encoding="utf-8")
