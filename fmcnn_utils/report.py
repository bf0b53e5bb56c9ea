"""What is made of the kept tables: the README's table, the tables behind figures, the figures."""

from __future__ import annotations

from itertools import combinations

import numpy as np
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


def _of_the_paper(model: str) -> str:
    return model if model in protocol.AS_IN_PAPER else ""


def table_1(scores: pd.DataFrame) -> pd.DataFrame:
    """Table I: the paper, and here on raw counts, its settings and tuned; then by specimen."""
    known = protocol.AS_IN_PAPER | protocol.TUNED | protocol.RAW
    stated = paper.table_1()
    stated = stated.reindex(
        [*stated.index, *(m for m in scores["model"].unique() if m not in known)]
    )
    random, specimen = (protocol.summary(scores, kind) for kind in protocol.PROTOCOLS)
    columns = {
        "random: raw counts": (random, "{} raw".format),
        "random: paper's settings, min–max": (random, _of_the_paper),
        "random: tuned": (random, protocol.tuned),
        "specimen: paper's settings": (specimen, _of_the_paper),
        "specimen: tuned": (specimen, protocol.tuned),
    }
    table = pd.DataFrame({"paper": [_stated(row) for row in stated.itertuples()]}, stated.index)
    for title, (summary, name) in columns.items():
        table[title] = [mean_and_sd(summary, name(model)) for model in table.index]
    return table


# ---------------------------------------------------------------- tables behind figures

#: Names of the paper's settings among the candidates of the search.
PAPER_SETTINGS = {
    "KNN": "normalisation=minmax metric=euclidean",
    "RF": "as in paper",
    "SVM": "normalisation=minmax C=100",
    "LDA": "normalisation=minmax",
}


def searches() -> tuple[dict[str, pd.DataFrame], pd.Series]:
    """The search table of each model, and the score of the paper's setting where there is one."""
    tables = {name: results.read(f"search_{name.lower()}") for name in protocol.AS_IN_PAPER}
    scores = {n: tables[n].set_index("setting")["mean"][s] for n, s in PAPER_SETTINGS.items()}
    return tables, pd.Series(scores)


def by_class_size(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FMCNN's accuracy by the number of spectra that a mineral has, of ``predictions_random``.

    Returns:
        A row per mineral: ``spectra``, ``tests``, ``errors``, ``size``, ``accuracy``; and a row per
        size: ``minerals``, ``tests``, ``errors``, ``accuracy``.
    """
    wrong = (predictions["FMCNN"] != predictions["true"]).rename("errors")
    by_mineral = pd.concat([predictions, wrong], axis=1).groupby("true")
    minerals = by_mineral.agg(
        spectra=("file", "nunique"), tests=("file", "size"), errors=("errors", "sum")
    )
    edges, names = [1, 5, 10, 20, 40, np.inf], ["2–5", "6–10", "11–20", "21–40", "over 40"]
    minerals["size"] = pd.cut(minerals["spectra"], edges, labels=names)
    minerals["accuracy"] = 1 - minerals["errors"] / minerals["tests"]
    sizes = minerals.groupby("size", observed=True)[["tests", "errors"]].sum()
    sizes.insert(0, "minerals", minerals["size"].value_counts())
    sizes["accuracy"] = 1 - sizes["errors"] / sizes["tests"]
    return minerals, sizes


def related_pairs(formula: pd.Series) -> pd.Series:
    """How each two minerals are related by their formulas, indexed by the sorted pair."""
    pairs = list(combinations(sorted(formula.index), 2))
    kinds = [chemistry.relation(*formula[list(pair)]) for pair in pairs]
    return pd.Series(kinds, pd.Index(pairs, tupleize_cols=False))


def confused_pairs(formula: pd.Series) -> pd.DataFrame:
    """Pairs of minerals that FMCNN confuses, in either direction, the most frequent first.

    Returns:
        ``protocol``, ``pair``, ``times``, ``spectra`` and ``specimens`` (how many were mistaken),
        and ``related by``.
    """
    specimen = data.rruff.manifest().set_index("file")["specimen"]
    tables = []
    for kind in protocol.PROTOCOLS:
        table = results.read(f"predictions_{kind}")
        wrong = table[table["FMCNN"] != table["true"]]
        pair = [tuple(sorted(both)) for both in wrong[["true", "FMCNN"]].to_numpy()]
        wrong = wrong.assign(pair=pair, specimen=wrong["file"].map(specimen))
        counts = wrong.groupby("pair").agg(
            times=("file", "size"), spectra=("file", "nunique"), specimens=("specimen", "nunique")
        )
        tables.append(counts.reset_index().assign(protocol=kind))
    pairs = pd.concat(tables, ignore_index=True)
    pairs["related by"] = [chemistry.relation(*formula[list(pair)]) for pair in pairs["pair"]]
    return pairs.sort_values(["protocol", "times"], ascending=[True, False], ignore_index=True)


def scaling_steps(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at random of KNN, SVM and LDA: on raw counts, min–max scaled, and tuned."""
    accuracy, names = protocol.summary(scores)["accuracy"], ["KNN", "SVM", "LDA"]
    kinds = {
        "raw counts": [f"{name} raw" for name in names],
        "min–max": names,
        "tuned": [protocol.tuned(name) for name in names],
    }
    return pd.DataFrame({kind: accuracy[of].to_numpy() for kind, of in kinds.items()}, names)


def difference(scores: pd.DataFrame, rival: str, kind: str):
    """FMCNN minus a rival on the same folds: of each fold, (fits,), and their ``Comparison``."""
    mine, others = (protocol.fold_scores(scores, model, kind) for model in ("FMCNN", rival))
    return mine - others, compare(mine, others, scores["repeat"].nunique())


def differences(scores: pd.DataFrame) -> dict[str, dict]:
    """Kind of split → rival → ``difference``: the SVM with the paper's settings, and all tuned."""
    rivals = ["SVM", *(protocol.tuned(name) for name in ("SVM", "KNN", "RF", "LDA"))]
    kinds = protocol.PROTOCOLS
    return {kind: {rival: difference(scores, rival, kind) for rival in rivals} for kind in kinds}


def error_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Errors of the tuned models (rows) under both kinds of split, shares of the test spectra."""
    tuned, table = [protocol.tuned(name) for name in protocol.AS_IN_PAPER], {}
    columns = {"random": "at random, 209 minerals", "specimen": "by specimen, 97 minerals"}
    for kind, title in columns.items():
        table[title] = 1 - protocol.summary(scores, kind)["accuracy"][tuned].to_numpy()
    return pd.DataFrame(table, index=list(protocol.AS_IN_PAPER))


# ---------------------------------------------------------------- the kept figures
