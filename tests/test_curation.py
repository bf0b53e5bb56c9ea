import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import curation, paper, rruff
from fmcnn_utils.spectra import GRID, Spectra


def made(rows) -> Spectra:
    """Spectra from (mineral, specimen, identification); the numbers of each are its own."""
    meta = pd.DataFrame(rows, columns=["mineral", "specimen", "identification"])
    number = np.arange(len(meta))
    meta = meta.assign(
        file=[f"{n}.txt" for n in number],
        mount=meta["specimen"] + "-1",
        laser=[514.0] * (len(meta) - 1) + [np.nan],
        angle=number % 3 * 45.0,
        measured_chemistry=True,
        first_shift=100.0,
        last_shift=1600.0,
        checksum=[f"{n:016x}" for n in number],
    )
    return Spectra(np.tile(number[:, None], len(GRID)).astype("f4"), meta, GRID, "RRUFF")


@pytest.fixture
def spectra():
    xrd = curation.XRD
    return made(
        [
            ("Albite", "R1", xrd),
            ("Albite", "R2", xrd),
            ("Albite", "R2", xrd),
            ("Quartz", "R3", xrd),
            ("Quartz", "R3", xrd),
            ("Quartz", "R4", "Raman only"),
            ("Zircon", "R5", xrd),
            ("Zircon", "R6", "Raman only"),
            ("Sinoite", "R7", "Raman only"),
        ]
    )


def test_paper_rule_counts_only_spectra_that_x_rays_confirm(spectra):
    assert curation.paper_rule(spectra).minerals.tolist() == ["Albite"] * 3 + ["Quartz"] * 2
    assert curation.specimen_rule(spectra).minerals.tolist() == ["Albite"] * 3


def test_reconcile_starts_from_every_file_and_ends_with_the_paper_rule(spectra):
    table = curation.reconcile(spectra, raw=9, unreadable=1)
    assert table["spectra"].tolist() == [19, 9, 6, 5]
    assert table["minerals"].tolist() == [4, 4, 3, 2]
    assert table["specimens"].tolist() == [7, 7, 4, 3]


def test_readings_hold_the_rule_in_use_and_the_closest_first(spectra):
    table = curation.readings(spectra)
    (usual,) = table[table["departures"] == 0].to_dict("records")
    assert (usual["spectra"], usual["minerals"]) == (5, 2)
    assert usual["distance"] == pytest.approx(2 - 5 / 3284 - 2 / 196)
    assert table["distance"].is_monotonic_increasing
    assert not table.duplicated(["at least", "identity", "range", "left out"]).any()


def test_repeated_lists_spectra_with_the_same_numbers(spectra):
    spectra.meta.loc[4, "checksum"] = spectra.meta.loc[1, "checksum"]
    assert sorted(curation.repeated(spectra)["file"]) == ["1.txt", "4.txt"]


def test_cut_finds_the_spectra_of_the_manifest_in_a_later_archive(spectra):
    manifest = spectra.meta.copy()
    later = spectra.take([8, 3, 2, 6, 1, 0, 7, 5])  # 4 is gone
    later.meta["file"] = "new " + later.meta["file"]
    later.meta.loc[later.meta["file"] == "new 3.txt", "checksum"] = "changed"
    later.meta.loc[later.meta["file"] == "new 1.txt", "mineral"] = "Oligoclase"
    later.meta.loc[later.meta["file"] == "new 2.txt", "mount"] = "moved"
    added = made([("Gypsum", "R8", curation.XRD)] * 2)
    added.meta["checksum"] = ["a", "b"]
    later = Spectra(
        np.concatenate([added.X, later.X]),
        pd.concat([added.meta, later.meta], ignore_index=True),
        GRID,
        "RRUFF",
    )
    cut, report = curation.cut_to_manifest(later, manifest)
    assert cut.X[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert cut.minerals.tolist() == manifest["mineral"].drop(4).tolist()
    assert report.to_numpy().tolist() == [
        ["4.txt", "", "missing"],
        ["3.txt", "new 3.txt", "numbers changed"],
        ["1.txt", "new 1.txt", "now named Oligoclase"],
    ]


def test_cut_tells_apart_scans_that_hold_the_same_numbers(spectra):
    spectra.meta["checksum"] = "same"
    later = spectra.take(np.arange(len(spectra))[::-1])
    cut, report = curation.cut_to_manifest(later, spectra.meta)
    assert cut.X[:, 0].tolist() == list(range(len(spectra)))
    assert report.empty


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
    assert len(curation.repeated(real)) == 14


def test_the_manifest_is_measured_and_has_the_same_bytes_each_time(archive, real, tmp_path):
    for out in ("a.csv.gz", "b.csv.gz"):
        rruff.write_manifest(archive, tmp_path / out)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(rruff.manifest(tmp_path / "a.csv.gz"), real.meta)
    pd.testing.assert_frame_equal(rruff.manifest(), real.meta)


def test_reconciliation_of_2019_starts_from_the_papers_counts(real):
    table = curation.reconcile(real).set_index("step")
    assert table.iloc[0].tolist() == [paper.ARCHIVE_SPECTRA, paper.ARCHIVE_MINERALS, 449]
    assert table.iloc[-1].tolist() == [3683, 209, 436]
    assert table.loc["identity confirmed by X-ray diffraction"].tolist() == [3693, 219, 446]
    by_specimen = curation.specimen_rule(real).meta
    assert (len(by_specimen), by_specimen["mineral"].nunique()) == (2705, 97)
    assert by_specimen["specimen"].nunique() == 324


def test_no_reading_gives_the_papers_counts(real):
    table = curation.readings(real)
    assert table["distance"].min() > 0
    plain = table[(table["identity"] == "X-ray") & (table["left out"] == "nothing")]
    counts = plain.set_index(["at least", "range"])[["spectra", "minerals"]].T.to_dict("list")
    assert counts["3 spectra", "any"] == [3681, 208]
    assert counts["5 spectra", "any"] == [3617, 187]
    assert counts["2 spectra", "from 160"] == [3278, 195]
    assert plain.index[0] == 0  # and that is the closest
    assert (plain["at least"][0], plain["range"][0]) == ("2 spectra", "from 160")


def test_the_manifest_cuts_the_archive_of_2019_to_itself(real):
    cut, report = curation.cut_to_manifest(real)
    pd.testing.assert_frame_equal(cut.meta, real.meta)
    assert report.empty


def test_actinolite_is_found_again_in_the_archive_of_2026(archive):
    sample = archive.with_name("excellent_oriented_2026_sample.zip")
    if not sample.exists():
        pytest.skip(f"needs {sample.name} beside the archive of 2019")
    later = rruff.read(sample)
    assert (len(later.spectra), later.raw, len(later.unreadable)) == (57, 57, 0)
    cut, report = curation.cut_to_manifest(later.spectra)
    assert len(cut) == 57
    assert report["difference"].eq("missing").all()
    assert len(report) == 3696 - 57
    assert not report["file"].str.startswith("Actinolite__").any()
