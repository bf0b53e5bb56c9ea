import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import paper, results
from fmcnn_utils.data import GRID, Spectra, curation, paper_rule, rruff, specimen_rule
from scripts.paper import variants


def made(minerals, specimens, confirmed) -> Spectra:
    """Spectra of these, not all confirmed by X-rays; the numbers of each are its own."""
    number = np.arange(len(minerals))
    meta = pd.DataFrame(
        {
            "file": [f"{n}.txt" for n in number],
            "mineral": minerals,
            "specimen": specimens,
            "mount": [f"{specimen}-1" for specimen in specimens],
            "laser": np.where(number < number[-1], 514.0, np.nan),
            "angle": number % 3 * 45.0,
            "identification": np.where(confirmed, curation.XRD, "Raman only"),
            "measured_chemistry": True,
            "first_shift": 100.0,
            "last_shift": 1600.0,
            "checksum": [f"{n:016x}" for n in number],
        }
    )
    return Spectra(np.tile(number[:, None], len(GRID)).astype("f4"), meta, GRID, "RRUFF")


MINERALS = ["Albite"] * 3 + ["Quartz"] * 3 + ["Zircon"] * 2 + ["Sinoite"]
SPECIMENS = ["R1", "R2", "R2", "R3", "R3", "R4", "R5", "R6", "R7"]


@pytest.fixture
def spectra():
    return made(MINERALS, SPECIMENS, [1, 1, 1, 1, 1, 0, 1, 0, 0])


def test_the_rules_count_only_spectra_that_x_rays_confirm(spectra):
    assert paper_rule(spectra).minerals.tolist() == MINERALS[:5]
    assert specimen_rule(made(MINERALS, SPECIMENS, [1] * 9)).minerals.tolist() == MINERALS[:8]


def test_a_rule_that_leaves_less_than_two_minerals_says_so_in_a_sentence(spectra):
    with pytest.raises(results.UserError, match="at least two specimens; here it keeps 1, and a"):
        specimen_rule(spectra)
    with pytest.raises(results.UserError, match="at least two files; here it keeps 0, and a"):
        paper_rule(made(["Albite", "Quartz"], ["R1", "R3"], [1, 1]))


def test_reconcile_starts_from_every_file_and_ends_with_the_paper_rule(spectra):
    table = curation.reconcile(spectra, raw=9, unreadable=1)
    assert table["spectra"].tolist() == [19, 9, 6, 5]
    assert table["minerals"].tolist() == [4, 4, 3, 2]
    assert table["specimens"].tolist() == [7, 7, 4, 3]


def test_variants_hold_the_rule_in_use_and_the_closest_first(spectra):
    table = variants(spectra)
    (usual,) = table[table["deviations"] == 0].to_dict("records")
    assert (usual["spectra"], usual["minerals"]) == (5, 2)
    assert usual["distance"] == pytest.approx(2 - 5 / 3284 - 2 / 196)
    assert table["distance"].is_monotonic_increasing
    assert len(table.drop_duplicates(["at least", "identity", "range", "left out"])) == 200


@pytest.fixture
def manifest(spectra, monkeypatch):
    manifest = spectra.meta.copy()
    monkeypatch.setattr(rruff, "manifest", lambda: manifest)
    return manifest


def test_the_spectra_of_the_manifest_are_found_in_a_later_archive(spectra, manifest):
    later = spectra.take([8, 3, 2, 6, 1, 0, 7, 5])  # 4 is gone
    later.meta["file"] = "new " + later.meta["file"]
    later.meta.loc[later.meta["file"] == "new 3.txt", "checksum"] = "changed"
    later.meta.loc[later.meta["file"] == "new 1.txt", "mineral"] = "Oligoclase"
    later.meta.loc[later.meta["file"] == "new 2.txt", "mount"] = "moved"
    added = made(["Gypsum"] * 2, ["R8"] * 2, [1, 1])
    added.meta["checksum"] = ["a", "b"]
    meta = pd.concat([added.meta, later.meta], ignore_index=True)
    later = Spectra(np.concatenate([added.X, later.X]), meta, GRID, "RRUFF")
    cut, differences = curation.cut_to_manifest(later)
    assert cut.X[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert cut.meta["spectrum"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert cut.minerals.tolist() == manifest["mineral"].drop(4).tolist()
    assert differences.to_numpy().tolist() == [
        ["1.txt", "new 1.txt", "now named Oligoclase"],
        ["3.txt", "new 3.txt", "numbers changed"],
        ["4.txt", "", "missing"],
    ]


def test_scans_that_hold_the_same_numbers_are_not_confused(spectra, manifest):
    spectra.meta["checksum"] = manifest["checksum"] = "same"
    later = spectra.take(np.arange(len(spectra))[::-1])
    cut, differences = curation.cut_to_manifest(later)
    assert cut.X[:, 0].tolist() == list(range(len(spectra)))
    assert differences.empty


# The real archive


def test_the_archive_of_2019(real):
    meta = real.meta
    assert real.X.shape == (3696, 1360)
    assert np.isfinite(real.X).all()
    assert meta[["mineral", "specimen", "mount"]].nunique().tolist() == [222, 449, 1218]
    misnamed = meta["file"].str.partition("__")[0] != meta["mineral"]
    assert (misnamed.sum(), meta["mineral"][misnamed].nunique()) == (351, 25)
    assert (meta["laser"].isna().sum(), meta["angle"].isna().sum()) == (1, 0)
    covered = (meta["first_shift"] <= 150) & (meta["last_shift"] >= 1510)
    assert (covered.sum(), meta["mineral"][covered].nunique()) == (2508, 186)
    assert real.meta.duplicated("checksum", keep=False).sum() == 14


def test_the_manifest_is_measured_and_finds_the_archive_of_2019_in_itself(real):
    pd.testing.assert_frame_equal(rruff.manifest(), real.meta)
    cut, differences = curation.cut_to_manifest(real)
    pd.testing.assert_frame_equal(cut.meta.drop(columns="spectrum"), real.meta)
    assert differences.empty


def test_the_counts_of_2019(real):
    table = curation.reconcile(real).set_index("step")
    assert table.iloc[0].tolist() == [paper.ARCHIVE_SPECTRA, paper.ARCHIVE_MINERALS, 449]
    assert table.loc["identity confirmed by X-ray diffraction"].tolist() == [3693, 219, 446]
    assert table.iloc[-1].tolist() == [3683, 209, 436]
    assert len(paper_rule(real)) == 3683
    by_specimen = specimen_rule(real).meta
    assert by_specimen[["file", "mineral", "specimen"]].nunique().tolist() == [2705, 97, 324]


def test_no_variant_gives_the_papers_counts(real):
    table = variants(real)
    assert table["distance"].min() > 0
    closest = table.loc[0, ["at least", "range", "deviations", "spectra", "minerals"]]
    assert closest.tolist() == ["2 spectra", "from 160", 1, 3278, 195]


def test_actinolite_is_found_again_in_the_archive_of_2026(archive):
    sample = archive.with_name("excellent_oriented_2026_sample.zip")
    if not sample.exists():
        pytest.skip(f"needs {sample.name} beside the archive of 2019")
    later = rruff.read(sample)
    assert (len(later.spectra), later.raw, len(later.unreadable)) == (57, 57, 0)
    cut, differences = curation.cut_to_manifest(later.spectra)
    assert len(cut) == 57
    assert differences["difference"].eq("missing").all()
    assert not differences["file"].str.startswith("Actinolite__").any()
