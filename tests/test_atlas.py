import gzip
import math

import numpy as np
import pandas as pd
import pytest
import rruff_files as rf

from fmcnn_utils import data, results
from fmcnn_utils.data import peaks
from fmcnn_utils.data.peaks import NUMBERS, PEAKS, profile, rebuild
from scripts import atlas


def test_profile_is_gaussian_at_shape_0_and_lorentzian_at_1():
    x = np.linspace(300, 500, 41)
    gaussian = np.exp(-((x - 400) ** 2) / (2 * (20 / (2 * math.sqrt(2 * math.log(2)))) ** 2))
    lorentzian = 10**2 / ((x - 400) ** 2 + 10**2)
    for shape in (0, 0.3, 1):
        mixed = shape * lorentzian + (1 - shape) * gaussian
        assert profile(x, 400, 20, shape) == pytest.approx(mixed)


def test_rebuild_adds_up_the_peaks_within_the_measured_range():
    table = pd.DataFrame(
        [(0, 400, 1000, 10, 0.5), (0, 410, 300, 40, 1), (2, 900, 50, 7, 0)],
        columns=["spectrum", *NUMBERS],
    )
    meta = pd.DataFrame({"first_shift": [150.0, 150, 880.5], "last_shift": [1509.0, 1509, 1000]})
    X = rebuild(table, meta)
    assert (X.shape, X.dtype) == ((3, 1360), np.float32)
    by_hand = 1000 * profile(data.GRID, 400, 10, 0.5) + 300 * profile(data.GRID, 410, 40, 1)
    assert X[0] == pytest.approx(by_hand, abs=0.01)
    assert not X[1].any()
    inside = (data.GRID >= 881) & (data.GRID <= 1000)
    assert X[2, inside] == pytest.approx(50 * profile(data.GRID[inside], 900, 7, 0), abs=1e-3)
    assert not X[2, ~inside].any()


def test_peaks_of_a_made_up_spectrum_are_found_again():
    made = np.array(
        [[220, 3000, 9, 0.8], [465, 20000, 12, 0.4], [480, 9000, 10, 0.4], [1090, 4000, 30, 0.2]]
    )
    position, height, width, shape = made.T[:, :, None]
    noise = np.random.default_rng(0).normal(0, 15, data.GRID.size)
    signal = height[:, 0] @ profile(data.GRID, position, width, shape)
    found = peaks.measure(data.GRID, signal + noise)
    main = found[np.argsort(-found[:, 1])[:4]]
    main = main[np.argsort(main[:, 0])]
    assert (np.abs(main - made) <= [0.3, 0.03 * 20000, 1, 0.2]).all()
    assert found[:, 1].sum() < 1.03 * made[:, 1].sum()  # and next to nothing else
    assert len(peaks.measure(data.GRID, np.zeros(data.GRID.size))) == 0


def test_a_peak_cut_off_by_the_end_of_the_range_is_given_at_that_end():
    cut, whole = profile(data.GRID, np.array([[145], [800]]), 20, 0.2)
    found = peaks.measure(data.GRID, 1000 * cut + 400 * whole)
    assert found[0, 0] == 150
    assert found[0, 1] > 500


@pytest.mark.parametrize(("top", "step"), [(1999, 1), (2000, 2), (63000, 50), (508, 0.5)])
def test_heights_are_rounded_to_a_plain_step_of_a_thousandth_at_most(top, step):
    assert peaks.height_step(top) == pytest.approx(step)


def test_every_row_is_a_plausible_peak_of_a_known_spectrum():
    rebuilt = data.load("atlas")
    pd.testing.assert_frame_equal(rebuilt.meta, data.rruff.manifest())
    assert rebuilt.source == "atlas (rebuilt from measured peaks)"
    assert (rebuilt.X.max(axis=1) > 100).all()  # counts, not a share of the maximum
    table = data.peaks.peaks()
    assert table["spectrum"].is_monotonic_increasing
    assert table.groupby("spectrum")["position"].is_monotonic_increasing.all()
    per_spectrum = table["spectrum"].value_counts()
    assert len(per_spectrum) == 3696
    assert per_spectrum.max() <= peaks.MAX_PEAKS
    assert (table["height"] > 0).all()
    assert table["width"].between(*peaks.WIDTHS).all()
    assert table["shape"].between(0, 1).all()
    ends = data.rruff.manifest().loc[table["spectrum"], ["first_shift", "last_shift"]].to_numpy()
    first, last = ends.clip(data.GRID[0], data.GRID[-1]).T
    assert table["position"].between(first - 0.05, last + 0.05).all()
    assert PEAKS.stat().st_size + data.rruff.MANIFEST.stat().st_size < 2_000_000


def test_quality_of_spectra_against_themselves_and_of_the_atlas():
    rebuilt = data.load("atlas")
    few = rebuilt.take(np.isin(rebuilt.minerals, ["Actinolite", "Albite", "Zircon"]))
    table = atlas.quality(few, few)
    assert (table["real"] == table["atlas"]).all()
    kept = results.read("atlas_quality")
    assert kept.iloc[:, 0].tolist() == table["quantity"].tolist()
    assert kept["atlas"].between(kept["lowest"], kept["highest"]).all()


def test_another_archive_is_refused_with_the_number_of_spectra_it_lacks(tmp_path):
    other = rf.zipped(tmp_path / "other.zip", {rf.name(): rf.text()})
    with pytest.raises(results.UserError, match=r"lacks 3,696 of the 3,696 spectra of 2019"):
        atlas.of_2019(data.load(str(other)))


def test_measuring_gives_the_committed_bytes(real):
    """Of 25 spectra; see ``peaks._refine`` for why processors agree."""
    rows = range(0, 3696, 150)
    built = atlas.measure_all(atlas.of_2019(real).take(list(rows)))
    header, *lines = gzip.decompress(PEAKS.read_bytes()).decode().splitlines(keepends=True)
    number = {str(row): str(n) for n, row in enumerate(rows)}
    parts = (line.partition(",") for line in lines)
    expected = [f"{number[row]},{rest}" for row, _, rest in parts if row in number]
    assert built == header + "".join(expected)


def test_rebuilt_spectra_explain_the_real_ones(real):
    kept = results.read("atlas_r2")
    assert kept["file"].tolist() == real.meta["file"].tolist()
    assert atlas.r2(real, data.load("atlas")) == pytest.approx(kept["r2"].to_numpy(), abs=1e-4)
