import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from fmcnn_utils import __main__ as commands
from fmcnn_utils import data, identify, results
from fmcnn_utils.data import peaks
from fmcnn_utils.data.reader import without_spikes
from fmcnn_utils.data.spectra import GRID
from fmcnn_utils.identify import pages
from fmcnn_utils.models import RobustFMCNN


@pytest.fixture(scope="module")
def atlas():
    return data.load("atlas")


@pytest.fixture(scope="module")
def kept():
    return identify.kept_reference()


def spectrum(atlas, mineral, noise=0.003, background=0.0, row=0, seed=0):
    x = atlas.X[np.flatnonzero(atlas.minerals == mineral)[row]].astype(float)
    x = x / x.max() + background * np.exp(-(((GRID - 900) / 500) ** 2))
    return x + noise * np.random.default_rng(seed).normal(size=len(x))


# ---------------------------------------------------------------- preparation


@pytest.mark.parametrize("step", [0.5, 1.0, 1.3, 1.9, 4.0])
@pytest.mark.parametrize("shape", [0.0, 1.0])
def test_no_band_is_taken_for_a_spike(step, shape):
    """Bands as narrow as resolution makes them, 4 cm⁻¹, wherever they lie between two points."""
    shift = np.arange(100, 1600, step)
    bands = peaks.profile(shift, np.arange(150, 1500, 51.37)[:, None], 4.0, shape)
    y = bands.sum(axis=0) + 0.002 * np.random.default_rng(0).normal(size=len(shift))
    assert without_spikes(shift, y)[1] == 0


def test_spikes_are_replaced(atlas):
    y = spectrum(atlas, "Quartz")
    spiked = y.copy()
    spiked[[300, 301, 900]] += [2.0, 1.0, 0.7]
    one = identify.prepare(identify.measured(GRID, spiked))
    assert any(note.startswith("3 spikes") for note in one.notes)
    clean = identify.prepare(identify.measured(GRID, y))
    np.testing.assert_allclose(one.x, clean.x, atol=0.03)


@pytest.mark.parametrize("strength", [0.3, 1, 3])
def test_a_background_is_taken_away(atlas, strength):
    clean = spectrum(atlas, "Albite", noise=0)
    one = identify.prepare(identify.measured(GRID, spectrum(atlas, "Albite", 0, strength)))
    assert one.background.max() > 0.5 * strength
    assert np.abs(one.x - clean / clean.max()).mean() < 0.02
    kept = identify.prepare(identify.measured(GRID, spectrum(atlas, "Albite", 0, strength)), "none")
    assert not kept.background.any()


@pytest.mark.drill
def test_processed_spectra_of_rruff_mostly_keep_theirs(real):
    rows = np.random.default_rng(0).choice(len(real), 300, replace=False)
    prepared = []
    for row in rows:
        inside = np.flatnonzero(real.X[row])
        inside = slice(inside[0], inside[-1] + 1)
        prepared.append(identify.prepare(identify.measured(GRID[inside], real.X[row][inside])))
    heights = np.array([np.median(one.background) / np.nanmax(one.raw) for one in prepared])
    assert np.mean(heights > 0) < 0.12
    assert heights.max() < 0.1
    assert np.mean([any("spike" in note for note in one.notes) for one in prepared]) < 0.02


def test_nothing_but_noise_is_refused():
    noise = np.random.default_rng(0).normal(size=len(GRID))
    with pytest.raises(results.UserError, match="no band stands out"):
        identify.prepare(identify.measured(GRID, noise))
    with pytest.raises(results.UserError, match="baseline 'best' is not one of"):
        identify.prepare(identify.measured(GRID, noise), "best")


# ---------------------------------------------------------------- library and calibration


def test_what_lies_outside_the_range_does_not_count(atlas, kept):
    x = atlas.X[:4].copy()
    low, high = [400.0] * 4, [1100.0] * 4
    first, _ = kept.library.similarity(x, low, high)
    x[:, GRID > 1120] = x.max() / 3
    second, _ = kept.library.similarity(x, low, high)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_similarity_of_a_spectrum_of_the_library_is_one(atlas, kept):
    alike, row = kept.library.similarity(atlas.X[:5], [150.0] * 5, [1509.0] * 5)
    best = alike.argmax(axis=1)
    np.testing.assert_allclose(alike.max(axis=1), 1, atol=1e-4)
    assert kept.library.names[best].tolist() == atlas.minerals[:5].tolist()
    for k in range(5):
        np.testing.assert_allclose(kept.library.X[row[k, best[k]]], atlas.X[k])


def test_probabilities_sum_to_one_and_unknown_minerals_share_the_rest():
    calibration = identify.Calibration(1.0, 0.0, (0, 1, -1), 0, 0)
    classes = np.array([identify.OTHER, "A", "B"])
    names = np.array(["A", "B", "X", "Y"])
    P, S = np.array([[0.4, 0.5, 0.1]]), np.zeros((1, 4))
    q, other = calibration.probabilities(P, classes, S, names)
    np.testing.assert_allclose(q, [[0.5, 0.1, 0.2, 0.2]], atol=1e-4)
    assert calibration.odds(0.5, other) == pytest.approx(0.5 - np.log(0.4), abs=1e-4)


def test_series_name_minerals_of_the_atlas(atlas):
    table = pd.read_csv(results.DATA / "series.csv")
    members = table["members"].str.split("; ").explode()
    assert set(members) <= set(atlas.minerals)
    assert table.notna().all().all() and not table["series"].duplicated().any()


def test_a_search_by_peaks_finds_quartz(kept):
    assert identify.by_peaks([464, 206, 128], kept.library)["mineral"][0] == "Quartz"


# ---------------------------------------------------------------- answers

EASY = ["Quartz", "Calcite", "Zircon", "Forsterite", "Rutile", "Gypsum", "Topaz", "Fluorapatite"]


@pytest.mark.parametrize("mineral", EASY)
def test_spectra_of_the_atlas_get_their_names(atlas, mineral):
    one = identify.identify((GRID, spectrum(atlas, mineral, 0.01, 1.0)))
    assert one.table["mineral"][0] == mineral
    assert one.verdict in ("sure", "likely")
    assert one.table["confidence"].is_monotonic_decreasing and len(one.table) == 5


def test_two_minerals_of_a_mixture_are_named(atlas):
    both = spectrum(atlas, "Calcite") + spectrum(atlas, "Quartz")
    one = identify.identify((GRID, both))
    assert set(one.mixture["mineral"]) == {"Calcite", "Quartz"}
    assert one.mixture["share"].sum() == pytest.approx(1)
    assert one.name in ("Calcite with Quartz", "Quartz with Calcite")


def test_a_shifted_axis_is_told_and_not_mended(atlas):
    one = identify.identify((GRID + 10, spectrum(atlas, "Quartz")))
    assert any("moved by -10 cm⁻¹ it would be much more like Quartz" in n for n in one.notes)
    assert GRID[one.prepared.x.argmax()] == pytest.approx(474, abs=3)
    one.peaks["matched"] = one.peaks["matched"][:0]  # as it may be with an axis further off
    assert one.bands().empty and "Bands that speak for it" not in one._repr_html_()


def test_peaks_are_matched_missing_and_left_over(atlas, kept):
    x = atlas.X[np.flatnonzero(atlas.minerals == "Quartz")[0]].astype(float)
    strange = x / x.max() + 0.5 * np.exp(-(((GRID - 1300) / 5) ** 2))
    found = identify.identify((GRID, strange)).peaks
    assert np.abs(found["matched"][:, 0] - 464).min() < 3
    assert found["left_over"][:, 0] == pytest.approx([1300], abs=1)
    without = np.where(np.abs(GRID - 206) < 40, 0, x)
    assert np.abs(identify.identify((GRID, without)).peaks["missing"][:, 0] - 206).min() < 5


def test_an_unusual_laser_is_told(atlas):
    one = identify.identify((GRID, spectrum(atlas, "Quartz")), laser=1064)
    assert any("1064 nm" in note for note in one.notes)


def test_shows_itself(atlas):
    one = identify.identify((GRID, spectrum(atlas, "Quartz")))
    html = one._repr_html_()
    assert "Quartz" in html and "data:image/png;base64," in html and 'alt="The spectrum' in html
    assert str(one).startswith("spectrum: Quartz, ")
    bands = one.bands()
    assert np.abs(bands["position"] - 464).min() < 3
    assert "silicate" in bands["groups"].str.cat()


# ---------------------------------------------------------------- files


def write(path, y, shift=GRID):
    lines = (f"{a},{b:.5f}" for a, b in zip(shift, y, strict=True))
    path.write_text("\n".join(lines), encoding="utf-8")


def test_own_spectra_join_the_library(atlas, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    unknown = sum(
        h * np.exp(-(((GRID - p) / 6) ** 2)) for p, h in ((333, 1), (555, 0.7), (777, 0.4))
    )
    write(folder / "Unobtainium_01.txt", unknown)
    write(folder / "Quartz 2.csv", spectrum(atlas, "Quartz"))
    (folder / "Broken_1.txt").write_text("nothing")
    with pytest.warns(UserWarning, match="left out of the library"):
        library = identify.own_library(folder, kept.library)
    assert len(library.minerals) == len(kept.library.minerals) + 2
    noisy = unknown + 0.003 * np.random.default_rng(0).normal(size=len(GRID))
    one = identify.identify((GRID, noisy), library=library)
    assert one.table["mineral"][0] == "Unobtainium"
    assert one.table["library"][0] == "your library"
    (folder / "labels.csv").write_text("file,mineral\nUnobtainium_01.txt,Kryptonite\n")
    assert "Kryptonite" in identify.own_library(folder, kept.library).names
    (folder / "labels.csv").write_text("file,mineral\nnone.txt,Kryptonite\n")
    with pytest.raises(results.UserError, match=r"names none\.txt"):
        identify.own_library(folder, kept.library)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        identify.own_library(tmp_path / "nowhere", kept.library)


def test_many_files_to_a_table_and_a_page(atlas, tmp_path, capsys):
    for mineral in ("Quartz", "Calcite"):
        write(tmp_path / f"{mineral}.txt", spectrum(atlas, mineral))
    (tmp_path / "bad.txt").write_text("no numbers at all")
    files = [str(tmp_path / name) for name in ("Quartz.txt", "bad.txt", "Calcite.txt", "none.txt")]
    csv, page = tmp_path / "out.csv", tmp_path / "out.html"
    options = ["--csv", str(csv), "--html", str(page), "--top", "3"]
    assert commands.main(["identify", *files, *options]) == 0
    table = pd.read_csv(csv, keep_default_na=False)
    assert table.columns.tolist() == pages.COLUMNS
    assert table["file"].tolist() == [files[0]] * 3 + [files[1]] + [files[2]] * 3 + [files[3]]
    assert table["mineral"][[0, 4]].tolist() == ["Quartz", "Calcite"]
    assert table["verdict"][[3, 7]].tolist() == ["error", "error"]
    assert "no rows of numbers" in table["note"][3] and "does not exist" in table["note"][7]
    text = page.read_text(encoding="utf-8")
    assert text.count("<h2>") == 4 and "<script" not in text
    assert "Quartz, " in capsys.readouterr().out
    assert commands.main(["identify", files[1]]) == 1


def test_what_is_asked_wrongly_is_said(capsys):
    with pytest.raises(results.UserError, match="give the files"):
        commands.main(["identify"])
    assert commands.main(["identify", "--peaks", "464,206,128", "--top", "1"]) == 0
    assert "Quartz" in capsys.readouterr().out


def test_the_button_answers(atlas, tmp_path, capsys):
    write(tmp_path / "mine.txt", spectrum(atlas, "Quartz"))
    box = identify.upload()
    button, output = box.children
    content = (tmp_path / "mine.txt").read_bytes()
    file = {"name": "mine.txt", "type": "text/plain", "size": len(content), "content": content}
    button.value = ({**file, "last_modified": pd.Timestamp(0, tz="UTC").to_pydatetime()},)
    shown = str(output.outputs) + capsys.readouterr().out
    assert "Quartz" in shown or "Identification" in shown


# ---------------------------------------------------------------- the network, and what is kept


def test_robust_network_is_an_estimator(atlas):
    rows = np.flatnonzero(np.isin(atlas.minerals, ["Quartz", "Calcite", "Zircon"]))
    X, y = atlas.X[rows], atlas.minerals[rows].astype(str)
    network = RobustFMCNN(filters=8, epochs=25, random_state=3)
    first, second = clone(network).fit(X, y), clone(network).fit(X, y)
    assert first.score(X, y) > 0.9
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert len(first.history_) == 25


def test_halves_share_no_specimen_and_no_unknown_mineral():
    meta = pd.read_csv(peaks.UNORIENTED)
    for known, column in ((True, "specimen"), (False, "mineral")):
        halves = meta[meta["known"] == known].groupby(column)["half"].nunique()
        assert (halves == 1).all()
    assert set(meta["mineral"][meta["known"]]) <= set(data.rruff.manifest()["mineral"])
    assert len(peaks.load_unoriented()) == peaks.in_library(meta).sum()


def test_kept_answers_are_as_good_as_is_said(kept):
    """What notebook 08 and the README say of the half that was only reported on."""
    report = results.read("identify_report")
    known = report[report["known"]]
    right = known["answer"] == known["mineral"]
    assert right.mean() >= 0.92 and right[~known["seen"]].mean() >= 0.90
    assert known["rank"].between(1, 5).mean() >= 0.98
    draws = results.read("identify_draws")
    own = draws[draws["kind"] == "known"].sort_values("confidence")
    groups = np.array_split(np.arange(len(own)), 10)
    gaps = [abs(own["confidence"].iloc[g].mean() - own["right"].iloc[g].mean()) for g in groups]
    assert np.mean(gaps) <= 0.03
    both = draws[draws["kind"] != "left out"]
    assert roc_auc_score(both["kind"] == "known", both["odds"]) >= 0.96
    # The kept predictions are the kept network's.
    held = results.read("identify_held_out")
    assert (held["predicted"] == known["network"].to_numpy()).all()
    assert set(kept.network.classes_) - {identify.OTHER} <= set(kept.library.names)
