import numpy as np
import pytest

from fmcnn_utils.evaluation import compare

RNG = np.random.default_rng(0)
B = RNG.normal(0.95, 0.01, 100)


def test_a_clear_winner_a_draw_and_a_loser():
    noise = RNG.normal(0, 0.004, 100)
    better = compare(B + 0.03 + noise, B, n_repeats=10)
    assert better.better > 0.99
    assert better.p < 1e-3
    assert better.low < better.difference < better.high
    draw = compare(B + noise / 10, B, n_repeats=10)
    assert draw.equal > 0.99
    worse = compare(B - 0.03 + noise, B, n_repeats=10)
    assert worse.worse > 0.99
    assert worse.difference == pytest.approx(noise.mean() - 0.03)


def test_corrected_variance_by_hand():
    a, b = np.array([3.0, 1.0, 4.0, 2.0]), np.array([1.0, 1.0, 1.0, 1.0])
    # differences 2, 0, 3, 1: mean 1.5, variance 5/3; two repeats of two folds: 1/4 + 1/1
    result = compare(a, b, n_repeats=2)
    half = 3.182446 * np.sqrt(5 / 3 * 1.25)  # t quantile 0.975 at 3 degrees of freedom
    assert (result.low, result.high) == pytest.approx((1.5 - half, 1.5 + half), rel=1e-5)


def test_the_correction_widens_the_interval_of_the_plain_t_test():
    from scipy.stats import ttest_rel

    a = B + RNG.normal(0.002, 0.01, 100)
    assert compare(a, B, n_repeats=10).p > ttest_rel(a, B).pvalue


def test_scores_of_different_folds_are_refused():
    with pytest.raises(ValueError, match="99 and 100 scores"):
        compare(B[:99], B, n_repeats=10)
