"""Comparing two models over the folds of a repeated cross-validation, and anybody's with ours.

The folds share training spectra, so their scores are not independent, and the standard deviation
over repeats understates how far a new sample of spectra would move the mean. Both tests here widen
the variance by Nadeau and Bengio's factor, "Inference for the generalization error", Machine
Learning 52 (2003): ``1/J + n_test/n_train`` in place of ``1/J`` for J folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import baycomp
import numpy as np
import pandas as pd
from scipy import stats

from .. import results
from ..data.chemistry import same_series
from ..results import UserError
from .cross_validation import macro_f1
from .protocol import MODELS, PROTOCOLS

#: Practically as good: half a point of accuracy is less than what another seed or normalisation
#: does.
ROPE = 0.005


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the same folds; differences are a − b."""

    difference: float  #: mean over the folds
    low: float  #: lower end of its 95% interval by the corrected resampled t-test
    high: float  #: upper end
    p: float  #: two-sided p-value of that test against no difference
    worse: float  #: posterior probability that a is worse than b (see ``compare``)
    equal: float  #: that they are practically as good, within ``ROPE``
    better: float  #: that a is better


def compare(a, b, n_repeats: int) -> Comparison:
    """Scores of two models on the same folds of all repeats, (n_repeats · folds,), in one order.

    The posterior is that of the Bayesian correlated t-test, Corani and Benavoli 2015, from baycomp.
    ``ValueError`` for scores that cannot be of the same folds.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or len(a) % n_repeats or len(a) < 2 * n_repeats:
        raise ValueError(
            f"{len(a)} and {len(b)} scores cannot be the same folds of {n_repeats} repeats"
        )
    # One posterior serves both tests: the corrected t-test is its frequentist reading.
    posterior = baycomp.CorrelatedTTest(a, b, rope=ROPE, runs=n_repeats)
    mean, error, df = -posterior.mean, np.sqrt(posterior.var), posterior.df  # baycomp: b − a
    low, high = mean - error * stats.t.ppf([0.975, 0.025], df)
    p = 2 * stats.t.sf(abs(mean) / error, df) if error > 0 else float(mean == 0)
    better, equal, worse = posterior.probs()
    return Comparison(mean, low, high, p, worse, equal, better)


def benchmark(
    predictions: pd.DataFrame | str | Path, name: str = "yours", protocol: str = "specimen"
) -> pd.DataFrame:
    """Where a model of yours stands among those of the protocol, on the same folds.

    The folds are in ``results/rruff/splits_PROTOCOL.csv.gz``: for each file, the fold of each
    repeat that tests it. Train on the other folds, predict this one, for at least one whole repeat.
    ``predictions`` is a table, or the path of a CSV, with the columns ``file``, ``predicted``, and
    ``repeat`` if there is more than one; else it is a ``UserError``.

    One row per model, the best first: ``accuracy``, ``series as one`` (accuracy if members of a
    series count as one mineral), ``macro-F1``, and ``yours minus it`` in points of accuracy with
    the ``low`` and ``high`` end of its corrected 95 % interval.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if name in MODELS:
        raise UserError(f"the name {name!r} is that of a model of the protocol: give another")
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
    by = [table["repeat"], table["fold"]]
    right = table[models].eq(table["true"], axis=0).groupby(by).mean()
    rows = {}
    for model in models:
        pairs = zip(table["true"], table[model], strict=True)
        rows[model] = {
            "accuracy": right[model].mean(),
            "series as one": np.mean([a == b or same_series(a, b) for a, b in pairs]),
            "macro-F1": np.mean([macro_f1(f["true"], f[model]) for _, f in table.groupby(by)]),
        }
        if model != name:
            test = compare(right[name], right[model], given["repeat"].nunique())
            points = 100 * np.array([test.difference, test.low, test.high])
            rows[model] |= dict(zip(("yours minus it", "low", "high"), points, strict=True))
    order = pd.DataFrame(rows).T.rename_axis("model").sort_values("accuracy", ascending=False)
    return order.round({c: 4 if order[c].abs().max() <= 1 else 2 for c in order})


def _read(predictions) -> pd.DataFrame:
    if not isinstance(predictions, pd.DataFrame):
        try:
            predictions = pd.read_csv(predictions)
        except ValueError as problem:
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
