"""Anybody's predictions, scored on the splits of the protocol and set beside its models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .. import results
from ..data.chemistry import same_series
from ..results import UserError
from .cross_validation import macro_f1
from .protocol import MODELS, PROTOCOLS
from .statistics import compare


def benchmark(
    predictions: pd.DataFrame | str | Path, name: str = "yours", protocol: str = "specimen"
) -> pd.DataFrame:
    """Where a model of yours stands among those of the protocol, on the same folds.

    The folds are in ``results/rruff/splits_PROTOCOL.csv.gz``: for each file, the fold of each
    repeat that tests it. Train on the other folds, predict this one, for at least one whole repeat.

    Args:
        predictions: a table, or the path of a CSV, with the columns ``file``, ``predicted``, and
            ``repeat`` if there is more than one.
        name: of the model in the table.
        protocol: "specimen" (no specimen on both sides) or "random".

    Returns:
        One row per model, the best first: ``accuracy``, ``series as one`` (accuracy if members of a
        series count as one mineral), ``macro-F1``, and ``yours minus it`` in points of accuracy
        with the ``low`` and ``high`` end of its corrected 95 % interval.

    Raises:
        UserError: if a column is missing, or the files are not those of whole repeats.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    given = _read(predictions)
    kept = results.read(f"predictions_{protocol}")
    kept = kept[kept["repeat"].isin(set(given["repeat"]))]
    table = kept.merge(given, on=["repeat", "file"], how="outer", indicator=True)
    for side, what in (("left_only", "lack"), ("right_only", "have, and the split lacks,")):
        wrong = table[table["_merge"] == side]
        if len(wrong):
            raise UserError(
                f"the predictions {what} {len(wrong):,} files (first: {wrong['file'].iloc[0]}, "
                f"repeat {wrong['repeat'].iloc[0]}): predict each file of "
                f"results/rruff/splits_{protocol}.csv.gz once in each repeat that you give"
            )
    table = table.rename(columns={"predicted": name})
    models = [name, *(model for model in MODELS if model in table)]
    folds = [fold for _, fold in table.groupby(["repeat", "fold"])]
    right = {m: np.array([(f[m] == f["true"]).mean() for f in folds]) for m in models}
    n_repeats = given["repeat"].nunique()
    rows = []
    for model in models:
        pairs = table.groupby(["true", model]).size()
        alike = sum(n for (a, b), n in pairs.items() if a == b or same_series(a, b)) / len(table)
        row = {"model": model, "accuracy": right[model].mean(), "series as one": alike}
        row["macro-F1"] = np.mean([macro_f1(f["true"], f[model]) for f in folds])
        if model != name:
            test = compare(right[name], right[model], n_repeats)
            ends = {"yours minus it": test.difference, "low": test.low, "high": test.high}
            row |= {column: 100 * value for column, value in ends.items()}
        rows.append(row)
    order = pd.DataFrame(rows).set_index("model").sort_values("accuracy", ascending=False)
    return order.round({c: 4 if order[c].abs().max() <= 1 else 2 for c in order})


def _read(predictions) -> pd.DataFrame:
    if not isinstance(predictions, pd.DataFrame):
        try:
            predictions = pd.read_csv(predictions)
        except (ValueError, UnicodeDecodeError) as problem:
            raise UserError(f"{predictions} cannot be read as a CSV: {problem}") from None
    for column in ("file", "predicted"):
        if column not in predictions:
            raise UserError(f"the predictions lack the column {column!r}")
    if "repeat" not in predictions:
        predictions = predictions.assign(repeat=0)
    predictions = predictions[["repeat", "file", "predicted"]]
    if predictions["predicted"].isna().any():
        raise UserError("some predictions are empty: give a mineral's name in each row")
    if (twice := predictions.duplicated(["repeat", "file"])).any():
        first = predictions[twice].iloc[0]
        raise UserError(f"{first['file']} is predicted more than once in repeat {first['repeat']}")
    return predictions
