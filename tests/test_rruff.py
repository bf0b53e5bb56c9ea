import hashlib
import struct
import threading
import zipfile
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pandas as pd
import pytest
from rruff_files import HEADER, INTENSITY, SHIFT, name, text, zipped

from fmcnn_utils import data, results
from fmcnn_utils.data import rruff


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DATA", tmp_path)
    return tmp_path / "cache"


# One file

WRITTEN_OTHERWISE = {
    "LF": text(end="\n"),
    "CR": text(end="\r"),
    "blank lines": text(blank="\r\n\n"),
    "byte order mark": b"\xef\xbb\xbf" + text(),
    "cp1252": text().decode().encode("cp1252"),
    "more after the end": text() + b"9999.0, 1.0\n",
    "white space": text().replace(b", ", b" \t "),
    "free text": text(blank="The fiducial mark is parallel to c, more or less\n"),
    "descending": text(SHIFT[::-1], INTENSITY[::-1]),
    "not finite": text().replace(b"##END", b"700.5, nan\r\ninf, 3.0\r\n##END"),
}


@pytest.mark.parametrize("content", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
def test_the_oddities_do_not_change_what_is_parsed(content):
    assert content != text()
    scan = rruff.parse(content)
    np.testing.assert_array_equal(scan.shift, SHIFT)
    np.testing.assert_array_equal(scan.intensity, INTENSITY)
    assert scan.header["LOCALITY"] == "São Paulo"
    assert scan.header["IDEAL CHEMISTRY"].endswith("_Σ")
    assert scan.checksum == rruff.parse(text()).checksum


def test_checksum_is_that_of_the_numbers_as_little_endian_doubles():
    packed = np.column_stack([SHIFT, INTENSITY]).astype("<f8").tobytes()
    assert rruff.parse(text()).checksum == hashlib.sha256(packed).hexdigest()[:16]


def test_points_are_sorted_and_averaged_and_other_lines_are_counted():
    scan = rruff.parse(b"103,1\n104,5\n102,7\n103,3\n3,3,3\n4\nfour, 4\n6, 1e40\n")
    np.testing.assert_array_equal(scan.shift, [102, 103, 104])
    np.testing.assert_array_equal(scan.intensity, [7, 2, 5])
    assert scan.skipped == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 points"),
        (text([], []), "0 points"),
        (b"%PDF-1.4\nstream\nendstream\n", "0 of 3 lines"),
        (b"300.0, 1.0\n300.0, 2.0\n", "1 points"),
        (b"nan, 1.0\n300.0, inf\n", "0 of 2 lines"),
        (b"1.0, 2.0\n2.0, 2.0\nthree\nfour\nfive\n", "2 of 5 lines"),
    ],
)
def test_what_is_no_spectrum_is_refused_with_a_reason(content, reason):
    with pytest.raises(rruff.UnreadableSpectrum, match=reason):
        rruff.parse(content)


# An archive


def test_processed_files_are_read_and_all_others_are_counted_or_named(tmp_path, capsys):
    files = {
        name(): text(),
        name(angle="30"): text(blank="free text\nand more\n"),
        name(kind="RAW"): text(intensity=INTENSITY + 4000),
        name(angle="45"): "nothing but words",
        name(angle="90"): text(NAMES=None),
        "renamed.txt": text(),
        "photo.jpg": b"\xff\xd8",
    }
    path = zipped(tmp_path / "a.zip", files)
    for archive in (rruff.read(path), rruff.read(path)):  # the second is from the cache
        assert archive.raw == 1
        assert archive.spectra.meta["file"].tolist() == [name(), name(angle="30")]
        assert archive.skipped == 2
        reasons = archive.unreadable.set_index("file")["reason"]
        assert set(reasons.index) == set(list(files)[3:])
        assert reasons[name(angle="90")] == "has no NAMES in its header"
        assert "Raman_Data_Processed" in reasons["renamed.txt"]
    rruff.load(path)
    said = "2 spectra; left out: 1 RAW files, 4 unreadable ones, and 2 skipped lines"
    assert said in capsys.readouterr().out
    assert len(rruff.load(zipped(path, {name(): text()}))) == 1
    assert capsys.readouterr().out == ""


def test_meta_comes_from_the_header_and_the_file_name(tmp_path):
    status = "The identification of this mineral is confirmed by electron back-scatter diffraction"
    file = name(mount="X070005.3", mineral="AxiniteFe", laser="632.8", angle="45-000")
    content = text(RRUFFID="X070005", STATUS=status, **{"MEASURED CHEMISTRY": None})
    (row,) = rruff.load(zipped(tmp_path / "a.zip", {file: content})).meta.to_dict("records")
    assert row == {
        "file": file,
        "mineral": "Axinite-(Fe)",
        "specimen": "X070005",
        "mount": "X070005.3",
        "laser": 632.8,
        "angle": 45.0,
        "polarization": "ccw",
        "formula": "Ca_2_Fe^2+^Al_2_BSi_4_O_15_OH_Σ",
        "identification": "electron back-scatter diffraction",
        "measured_chemistry": False,
        "first_shift": 120.0,
        "last_shift": 1520.0,
        "points": 60,
        "checksum": rruff.parse(text()).checksum,
    }


@pytest.mark.parametrize(
    ("laser", "status", "nm", "identification"),
    [
        ("514.5", HEADER["STATUS"], 514.5, "X-ray diffraction"),
        ("532_nm", "… only by Raman spectroscopy", 532, "Raman only"),
        ("", "… is not yet confirmed", np.nan, "not stated"),
        ("785", None, 785, "not stated"),
    ],
)
def test_lasers_and_identifications(tmp_path, laser, status, nm, identification):
    path = zipped(tmp_path / "a.zip", {name(laser=laser): text(STATUS=status)})
    found = rruff.load(path).meta[["laser", "identification"]].to_numpy()
    np.testing.assert_equal(found.tolist(), [[nm, identification]])


def test_a_folder_is_read_like_a_zip_and_anew_when_it_changes(tmp_path):
    files = {name(): text(), "sub/" + name(angle="90"): text(), "large.txt": b"1, 2\n" * 2_000_000}
    (tmp_path / "files" / "sub").mkdir(parents=True)
    for file, content in files.items():
        (tmp_path / "files" / file).write_bytes(content)
    folder = rruff.read(tmp_path / "files")
    zip_file = rruff.read(zipped(tmp_path / "a.zip", files))
    for archive in (folder, zip_file):
        assert archive.unreadable["file"].tolist() == ["large.txt"]
    pd.testing.assert_frame_equal(folder.spectra.meta, zip_file.spectra.meta)
    np.testing.assert_array_equal(folder.spectra.X, zip_file.spectra.X)
    (tmp_path / "files" / name(angle="30")).write_bytes(text())
    assert len(data.load(tmp_path / "files")) == 3


# Archives that are not to be trusted


def refused(path, reason):
    with pytest.raises(results.UserError, match=reason):
        data.load(path)


def test_a_zip_that_unpacks_to_too_much_or_is_not_deflated_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(name(), text())
    refused(path, "compressed with deflate")
    monkeypatch.setattr(rruff, "MAX_TOTAL_BYTES", 1)
    refused(zipped(path, {name(): text()}), "far more than an archive of spectra")


@pytest.mark.parametrize("member", ["/etc/x.txt", "a/../../x.txt", "..\\x.txt", "C:\\x.txt"])
def test_a_zip_that_points_outside_is_refused(tmp_path, member):
    refused(zipped(tmp_path / "a.zip", {name(): text(), member: text()}), "points outside of it")


def test_a_bomb_is_not_read_to_its_end_and_neither_is_one_that_lies_about_its_size(tmp_path):
    zeros = b"0" * 9_000_000
    path = zipped(tmp_path / "a.zip", {name(): text(), name(angle="45"): zeros})
    true, false = (struct.pack("<L", size) for size in (len(zeros), 4000))
    lying = path.with_name("b.zip")
    lying.write_bytes(path.read_bytes().replace(true, false))
    for file, reason in ((path, "has more than 8,000,000 bytes"), (lying, "is damaged")):
        archive = rruff.read(file)
        assert archive.spectra.meta["file"].tolist() == [name()]
        assert archive.unreadable["reason"].str.startswith(reason).tolist() == [True]


def test_what_is_no_archive_is_refused_with_a_sentence(tmp_path):
    whole = zipped(tmp_path / "a.zip", {name(angle=f"{i}"): text() for i in range(20)})
    for content in (whole.read_bytes()[:-500], b"<html>404</html>", b""):
        (tmp_path / "b.zip").write_bytes(content)
        refused(tmp_path / "b.zip", "b.zip is not a whole zip file")
    encrypted = bytearray(zipped(tmp_path / "b.zip", {name(): text()}).read_bytes())
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(encrypted)
    refused(tmp_path / "b.zip", "holds no Processed spectrum .*encrypted")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "holds no Processed spectrum")
    refused(zipped(tmp_path / "raw.zip", {name(kind="RAW"): text()}), "1 RAW files")
    for path in ("atlsa", "", tmp_path / "absent.zip"):
        with pytest.raises(FileNotFoundError, match="' is no source of spectra: give atlas, rr"):
            data.load(path)
    with pytest.raises(results.UserError, match="atlas is not the RRUFF archive"):
        data.load_archive("atlas")


# Download


@pytest.fixture
def served(monkeypatch, tmp_path):
    """An archive that a server on this machine offers; without the file, it answers 404."""
    (tmp_path / "served").mkdir()
    path = zipped(tmp_path / "served" / "a.zip", {name(): text()})
    handler = partial(SimpleHTTPRequestHandler, directory=path.parent)
    server = HTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setattr(rruff, "URL", f"http://127.0.0.1:{server.server_port}/a.zip")
    monkeypatch.setattr(rruff, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield path
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_fetch_downloads_once(served, cache_folder, capsys):
    path = rruff.fetch()
    assert "100%" in capsys.readouterr().err  # the progress bar
    served.unlink()
    assert rruff.fetch() == path
    assert len(data.load("rruff")) == 1
    assert list(cache_folder.glob("*.*")) == [path]


def test_a_changed_archive_is_named_with_both_checksums_and_kept(served, monkeypatch):
    now = rruff.SHA256
    monkeypatch.setattr(rruff, "SHA256", "0" * 64)
    with pytest.raises(results.UserError, match=f"{now}.*{'0' * 64}.*or give its path") as error:
        data.load("rruff")
    path = str(error.value).partition(" ")[0]
    assert len(data.load(path)) == 1


def test_a_download_that_fails_leaves_nothing_and_says_where_to_put_a_copy(
    served, cache_folder, monkeypatch
):
    cut_short = lambda self, source, out: out.write(source.read(99))  # noqa: E731
    monkeypatch.setattr(SimpleHTTPRequestHandler, "copyfile", cut_short)
    for reason in ("IncompleteRead", "404"):
        with pytest.raises(ConnectionError, match=reason) as error:
            rruff.fetch()
        assert str(cache_folder / "excellent_oriented.zip") in str(error.value)
        assert list(cache_folder.iterdir()) == []
        served.unlink(missing_ok=True)
