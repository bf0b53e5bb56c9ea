"""Comparing two models over the folds of a repeated cross-validation.

The folds share training spectra, so their scores are not independent, and the standard deviation
over repeats understates how far a new sample of spectra would move the mean. Both tests here widen
the variance by Nadeau and Bengio's factor, "Inference for the generalization error", Machine
Learning 52 (2003): ``1/J + n_test/n_train`` in place of ``1/J`` for J folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import baycomp
import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the same folds; differences are a − b.

    Attributes:
        difference: mean over the folds.
        low, high: its 95% interval by the corrected resampled t-test.
        p: two-sided p-value of that test against no difference.
        worse, equal, better: posterior probabilities that a is worse than b, practically as good,
            better (Bayesian correlated t-test, Corani and Benavoli 2015, from baycomp).
        rope: half width of what counts as practically as good.
    """

    difference: float
    low: float
    high: float
    p: float
    worse: float
    equal: float
    better: float
    rope: float


def compare(a, b, n_repeats: int, rope: float = 0.005) -> Comparison:
    """Two models' scores on the same folds.

    Args:
        a: scores of one model, (n_repeats · folds,), in the same order as ``b``.
        b: scores of the other.
        n_repeats: how often the cross-validation was repeated.
        rope: region of practical equivalence: half a point of accuracy is less than what the
            choice of another seed or normalisation does.

    Raises:
        ValueError: if the scores are not of the same folds, or not of whole repeats.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or len(a) % n_repeats or len(a) < 2 * n_repeats:
        raise ValueError(
            f"{len(a)} and {len(b)} scores cannot be the same folds of {n_repeats} repeats"
        )
    # One posterior serves both tests: the corrected t-test is its frequentist reading.
    posterior = baycomp.CorrelatedTTest(a, b, rope=rope, runs=n_repeats)
    mean, error, df = -posterior.mean, np.sqrt(posterior.var), posterior.df  # baycomp: b − a
    low, high = mean - error * stats.t.ppf([0.975, 0.025], df)
    p = 2 * stats.t.sf(abs(mean) / error, df) if error > 0 else float(mean == 0)
    better, equal, worse = posterior.probs()
    return Comparison(mean, low, high, p, worse, equal, better, rope)
