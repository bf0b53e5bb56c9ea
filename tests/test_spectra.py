import numpy as np
import pandas as pd
import pytest

from fmcnn_utils.data import GRID, Spectra, medoid, normalise, resample
from fmcnn_utils.data.spectra import INTERPOLATIONS, NORMALISATIONS


def spectra(n=4):
    meta = pd.DataFrame({"mineral": [f"m{i}" for i in range(n)]})
    return Spectra(np.ones((n, 1360), np.float32), meta, GRID, "test")


def test_grid_is_the_papers_1360_points_from_150():
    assert (len(GRID), GRID[0], GRID[-1]) == (1360, 150, 1509)


def test_take_by_mask_and_by_position_agree():
    mask = np.array([True, False, True, False])
    for rows in (mask, [0, 2]):
        taken = spectra().take(rows)
        assert taken.minerals.tolist() == ["m0", "m2"]
        assert taken.meta.index.tolist() == [0, 1]
        assert len(taken.X) == 2


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_resampling_keeps_measured_points_and_is_zero_outside(method):
    shift = np.arange(200.0, 1401.0, 2.0)
    intensity = 5 + np.sin(shift / 40)
    out = resample(shift, intensity, method=method)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[np.isin(GRID, shift)], intensity, rtol=1e-6)
    assert not out[GRID < 200].any()
    assert not out[GRID > 1400].any()


def test_linear_resampling_by_hand():
    out = resample([150, 152, 1600], [0.0, 2.0, 2.0])
    assert out[:4].tolist() == [0, 1, 2, 2]


def test_normalisations_by_hand():
    X = np.array([[1.0, 5.0, 3.0], [2.0, 2.0, 2.0]])
    assert normalise(X, "none").tolist() == X.tolist()
    assert normalise(X, "minmax").tolist() == [[0, 1, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(normalise(X, "sqrt")[0], [0, 1, np.sqrt(0.5)], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normalise(X, "l2"), axis=1), 1, rtol=1e-6)


def test_a_flat_spectrum_becomes_zeros_and_an_unknown_choice_is_named():
    for how in NORMALISATIONS:
        assert not normalise(np.zeros((2, 10)), how).any()
    with pytest.raises(ValueError, match="'zscore' is not one of none, minmax, l2, sqrt"):
        normalise(np.ones((1, 3)), "zscore")


def test_the_medoid_is_closest_to_the_median_of_its_mineral():
    three = spectra(4)
    three.meta["mineral"] = ["a", "a", "a", "b"]
    three.X[:, 100] = [9, 4, 2, 4]
    three.X[:, 200] = 11
    assert medoid(three, [0, 1, 2]) == 1
    assert medoid(three, [0, 2]) == 2
