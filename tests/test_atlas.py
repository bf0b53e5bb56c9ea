import gzip
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import rruff_files as rf

from fmcnn_utils import atlas, atlas_quality, datasets, rruff
from fmcnn_utils.peaks import MAX_PEAKS, WIDTHS, height_step, measure, profile
from fmcnn_utils.results import TABLES
from fmcnn_utils.spectra import GRID, Spectra

NUMBERS = ["position", "height", "width", "shape"]


@pytest.fixture(scope="module")
def rebuilt():
    return atlas.load()


@pytest.mark.parametrize("shape", [0, 0.3, 1])
def test_profile_has_the_height_1_and_the_width_at_half_of_it(shape):
    left, middle, right = profile(np.array([396, 400, 404]), 400, 8, shape)
    assert (left, middle, right) == pytest.approx((0.5, 1, 0.5))


def test_opening_the_data_starts_no_library_for_figures_or_models():
    code = (
        "import sys; from fmcnn_utils import datasets; "
        "print({'matplotlib', 'seaborn', 'IPython', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_a_source_that_there_is_not_is_answered_with_those_that_there_are():
    with pytest.raises(FileNotFoundError, match=r"'rruf' is no .* 'atlas', 'rruff', or the path"):
        datasets.load("rruf")


def test_profile_is_gaussian_at_shape_0_and_lorentzian_at_1():
    x = np.linspace(300, 500, 41)
    gaussian = np.exp(-((x - 400) ** 2) / (2 * (20 / (2 * math.sqrt(2 * math.log(2)))) ** 2))
    assert profile(x, 400, 20, 0) == pytest.approx(gaussian)
    assert profile(x, 400, 20, 1) == pytest.approx(10**2 / ((x - 400) ** 2 + 10**2))


def test_rebuild_adds_up_the_peaks_within_the_measured_range():
    table = pd.DataFrame(
        [(0, 400, 1000, 10, 0.5), (0, 410, 300, 40, 1), (2, 900, 50, 7, 0)],
        columns=["spectrum", *NUMBERS],
    )
    meta = pd.DataFrame({"first_shift": [150.0, 150, 880.5], "last_shift": [1509.0, 1509, 1000]})
    X = atlas.rebuild(table, meta)
    assert (X.shape, X.dtype) == ((3, 1360), np.float32)
    by_hand = 1000 * profile(GRID, 400, 10, 0.5) + 300 * profile(GRID, 410, 40, 1)
    assert X[0] == pytest.approx(by_hand, abs=0.01)
    assert not X[1].any()
    inside = (GRID >= 881) & (GRID <= 1000)
    assert X[2, inside] == pytest.approx(50 * profile(GRID[inside], 900, 7, 0), abs=1e-3)
    assert not X[2, ~inside].any()


def test_peaks_of_a_made_up_spectrum_are_found_again():
    made = np.array(
        [[220, 3000, 9, 0.8], [465, 20000, 12, 0.4], [480, 9000, 10, 0.4], [1090, 4000, 30, 0.2]]
    )
    position, height, width, shape = made.T[:, :, None]
    noise = np.random.default_rng(0).normal(0, 15, GRID.size)
    found = measure(GRID, height[:, 0] @ profile(GRID, position, width, shape) + noise)
    main = found[np.argsort(-found[:, 1])[:4]]
    main = main[np.argsort(main[:, 0])]
    assert (np.abs(main - made) <= [0.3, 0.03 * 20000, 1, 0.2]).all()
    assert found[:, 1].sum() < 1.03 * made[:, 1].sum()  # and next to nothing else


def test_noise_alone_has_no_peaks_worth_the_name():
    noise = np.random.default_rng(1).normal(0, 10, GRID.size)
    found = measure(GRID, 100 * profile(GRID, 600, 20, 0) * 10 + noise)
    assert len(found) < 8
    assert len(measure(GRID, np.zeros(GRID.size))) == 0


def test_a_peak_cut_off_by_the_end_of_the_range_is_given_at_that_end():
    found = measure(GRID, 1000 * profile(GRID, 145, 20, 0.2) + 400 * profile(GRID, 800, 20, 0.2))
    assert found[0, 0] == 150
    assert found[0, 1] > 500


@pytest.mark.parametrize(
    ("top", "step"), [(1000, 1), (1999, 1), (2000, 2), (63000, 50), (508, 0.5)]
)
def test_heights_are_rounded_to_a_plain_step_of_a_thousandth_at_most(top, step):
    assert height_step(top) == pytest.approx(step)


def test_the_atlas_is_of_the_spectra_in_the_manifest(rebuilt):
    pd.testing.assert_frame_equal(rebuilt.meta, rruff.manifest())
    assert rebuilt.source == "atlas (rebuilt from measured peaks)"
    assert (rebuilt.X.max(axis=1) > 100).all()  # counts, not a share of the maximum


def test_every_row_is_a_plausible_peak_of_a_known_spectrum():
    table = atlas.peaks()
    assert table["spectrum"].is_monotonic_increasing
    assert table.groupby("spectrum")["position"].is_monotonic_increasing.all()
    per_spectrum = table["spectrum"].value_counts()
    assert len(per_spectrum) == 3696
    assert per_spectrum.max() <= MAX_PEAKS
    assert (table["height"] > 0).all()
    assert table["width"].between(*WIDTHS).all()
    assert table["shape"].between(0, 1).all()
    ends = rruff.manifest().loc[table["spectrum"], ["first_shift", "last_shift"]]
    first, last = ends["first_shift"].clip(lower=GRID[0]), ends["last_shift"].clip(upper=GRID[-1])
    inside = table["position"].between(first.to_numpy() - 0.05, last.to_numpy() + 0.05)
    assert inside.all()
    assert table[["file", "mineral", "specimen", "mount"]].notna().all(axis=None)


def test_both_tables_together_are_smaller_than_2_megabytes():
    assert atlas.PEAKS.stat().st_size + rruff.MANIFEST.stat().st_size < 2_000_000


def test_a_damaged_cache_is_made_anew_with_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "cache_folder", lambda: tmp_path)
    rebuilt = atlas.load()
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="is damaged"):
        again = atlas.load()
    assert (again.X == rebuilt.X).all()
    assert kept.read_bytes() == whole
    assert (atlas.load().X == rebuilt.X).all()


def test_the_kept_figures_are_within_what_is_accepted():
    kept = pd.read_csv(TABLES / "atlas_quality.csv")
    assert len(kept) == 5
    assert kept["atlas"].between(kept["lowest"], kept["highest"]).all()


def test_quality_of_spectra_against_themselves_and_against_others(rebuilt):
    common = rebuilt.meta["mineral"].isin(["Actinolite", "Albite", "Zircon"])
    few = rebuilt.take(common.to_numpy())
    table = atlas_quality.quality(few, few, n_jobs=1)
    assert (table["real"] == table["atlas"]).all()
    blurred = Spectra(few.X + 0.2 * few.X.max(), few.meta, few.grid, "blurred")
    blurred.X[:, ::2] = 0
    assert atlas_quality.r2(few, blurred).max() < 0.9
    with pytest.raises(ValueError, match="in the same order"):
        atlas_quality.r2(few, few.take(np.arange(len(few))[::-1]))


def test_another_archive_is_refused_with_the_number_of_spectra_it_lacks(tmp_path):
    other = rf.zipped(tmp_path / "other.zip", {rf.name(): rf.text()})
    with pytest.raises(ValueError, match=r"lacks 3,696 of the 3,696 spectra of 2019"):
        atlas.build(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_build_gives_the_committed_bytes(archive, tmp_path, monkeypatch):
    """On 25 spectra; see ``peaks._refine`` for why processors agree."""
    rows = range(0, 3696, 150)
    some = rruff.manifest().iloc[rows].reset_index(drop=True)
    monkeypatch.setattr(rruff, "manifest", lambda: some)
    built = gzip.decompress(atlas.build(archive, tmp_path, n_jobs=1).read_bytes()).decode()

    header, *lines = gzip.decompress(atlas.PEAKS.read_bytes()).decode().splitlines(keepends=True)
    number = {str(row): str(n) for n, row in enumerate(rows)}
    parts = (line.partition(",") for line in lines)
    expected = [f"{number[row]},{rest}" for row, _, rest in parts if row in number]
    assert built == header + "".join(expected)


def test_rebuilt_spectra_explain_the_real_ones(real, rebuilt):
    explained = atlas_quality.r2(real, rebuilt)
    assert np.median(explained) >= 0.985
    assert np.percentile(explained, 5) >= 0.93
    kept = pd.read_csv(TABLES / "atlas_r2.csv.gz")
    assert kept["file"].tolist() == real.meta["file"].tolist()
    assert explained == pytest.approx(kept["r2"].to_numpy(), abs=1e-4)
