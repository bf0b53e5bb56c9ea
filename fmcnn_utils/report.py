"""Tables made of the kept scores and predictions: the README's, and those behind figures."""

from __future__ import annotations

import pandas as pd

from . import data, paper, results
from .data import chemistry
from .evaluation import compare, protocol


def mean_and_sd(summary: pd.DataFrame, model: str) -> str:
    """Accuracy ± standard deviation over the repeats; a dash for a model that was not run."""
    if model not in summary.index:
        return "–"
    row = summary.loc[model]
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}"
    return f"{row['accuracy']:.3f}{spread}"


def _stated(row) -> str:
    if pd.isna(row.accuracy):
        return "–" if pd.isna(row.how) else "not in the text"
    if row.accuracy == row.accuracy_if_relative:
        return f"{row.accuracy:.3f}"
    return f"{row.accuracy:.3f} or {row.accuracy_if_relative:.3f} (derived)"


def table_1(scores: pd.DataFrame) -> pd.DataFrame:
    """Table I: the paper, and here on raw counts, its settings and tuned; then by specimen."""
    known, stated = protocol.AS_IN_PAPER | protocol.TUNED | protocol.RAW, paper.table_1()
    others = [model for model in scores["model"].unique() if model not in known]
    stated = stated.reindex([*stated.index, *others])
    table = pd.DataFrame({"paper": [_stated(row) for row in stated.itertuples()]}, stated.index)
    random, specimen = (protocol.summary(scores, kind) for kind in protocol.PROTOCOLS)
    settings = {model: model for model in protocol.AS_IN_PAPER}
    for title, summary, name in (
        ("random: raw counts", random, "{} raw".format),
        ("random: paper's settings, min–max", random, settings.get),
        ("random: tuned", random, protocol.tuned),
        ("specimen: paper's settings", specimen, settings.get),
        ("specimen: tuned", specimen, protocol.tuned),
    ):
        table[title] = [mean_and_sd(summary, name(model)) for model in table.index]
    return table


def confused_pairs(formula: pd.Series) -> pd.DataFrame:
    """Pairs of minerals that FMCNN confuses, in either direction, the most frequent first.

    Columns: ``protocol``, ``pair``, ``times``, ``spectra`` and ``specimens`` (how many were
    mistaken), and ``related by``, from the minerals' ``formula``.
    """
    specimen = data.rruff.manifest().set_index("file")["specimen"]
    tables = [
        results.read(f"predictions_{kind}").assign(protocol=kind) for kind in protocol.PROTOCOLS
    ]
    wrong = pd.concat(tables).query("FMCNN != true")
    pair = [tuple(sorted(both)) for both in wrong[["true", "FMCNN"]].to_numpy()]
    wrong = wrong.assign(pair=pair, specimen=wrong["file"].map(specimen))
    pairs = wrong.groupby(["protocol", "pair"], as_index=False).agg(
        times=("file", "size"), spectra=("file", "nunique"), specimens=("specimen", "nunique")
    )
    pairs["related by"] = [chemistry.relation(*formula[list(pair)]) for pair in pairs["pair"]]
    return pairs.sort_values(["protocol", "times"], ascending=[True, False], ignore_index=True)


def difference(scores: pd.DataFrame, rival: str, kind: str):
    """FMCNN minus a rival on the same folds: of each fold, (fits,), and their ``Comparison``."""
    mine, others = (protocol.fold_scores(scores, model, kind) for model in ("FMCNN", rival))
    return mine - others, compare(mine, others, scores["repeat"].nunique())


def error_table() -> pd.DataFrame:
    """Errors of the tuned models (rows) under both kinds of split, on the same test spectra.

    Shares of the tests of the protocol, of spectra that the split by specimen has.
    """
    tuned = {protocol.tuned(name): name for name in protocol.AS_IN_PAPER}
    random, specimen = (results.read(f"predictions_{kind}") for kind in protocol.PROTOCOLS)
    random = random[random["file"].isin(specimen["file"])]
    tables = {"at random": random, "by specimen": specimen}
    wrong = {title: t[list(tuned)].ne(t["true"], axis=0).mean() for title, t in tables.items()}
    return pd.DataFrame(wrong).rename(tuned)
