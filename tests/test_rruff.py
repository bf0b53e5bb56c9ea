import hashlib
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest
from rruff_files import INTENSITY, SHIFT, name, text, zipped

from fmcnn_utils import _archive, _download, _io, rruff


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    for module in (rruff, _download):
        monkeypatch.setattr(module, "cache_folder", lambda: folder)
    return folder


# One file


AS_WRITTEN = text()
WRITTEN_OTHERWISE = {
    "LF": text(end="\n"),
    "CR": text(end="\r"),
    "blank line": text(blank="\r\n"),
    "blank lines, byte order mark": text(blank="\n\n").encode("utf-8-sig"),
    "cp1252": text().encode("cp1252"),
    "no end": text().replace("##END=", ""),
    "more after the end": text() + "9999.0, 1.0\n",
    "tabs": text().replace(", ", "\t"),
    "spaces": text().replace(", ", "   "),
    "free text": text(blank="The fiducial mark is parallel to c, more or less\n"),
    "descending": text(SHIFT[::-1], INTENSITY[::-1]),
    "not finite": text().replace("##END", "700.5, nan\r\ninf, 3.0\r\n##END"),
}


@pytest.mark.parametrize("content", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
def test_the_oddities_do_not_change_what_is_parsed(content):
    assert content != AS_WRITTEN
    scan = rruff.parse(content)
    np.testing.assert_array_equal(scan.shift, SHIFT)
    np.testing.assert_array_equal(scan.intensity, INTENSITY)
    assert scan.header["LOCALITY"] == "São Paulo"
    assert scan.header["IDEAL CHEMISTRY"].endswith("_Σ")
    assert scan.checksum == rruff.parse(AS_WRITTEN).checksum


def test_checksum_is_that_of_the_numbers_as_little_endian_doubles():
    numbers = [number for point in zip(SHIFT, INTENSITY, strict=True) for number in point]
    packed = struct.pack(f"<{len(numbers)}d", *numbers)
    assert rruff.parse(text()).checksum == hashlib.sha256(packed).hexdigest()[:16]
    assert rruff.parse(text(intensity=INTENSITY + 0.001)).checksum != rruff.parse(text()).checksum


def test_points_that_repeat_a_shift_are_averaged_and_jumps_are_sorted():
    scan = rruff.parse("103,1\n104,5\n102,7\n103,3\n")
    np.testing.assert_array_equal(scan.shift, [102, 103, 104])
    np.testing.assert_array_equal(scan.intensity, [7, 2, 5])


def test_lines_that_are_no_points_are_counted():
    assert rruff.parse("1,1\n2,2\n3,3,3\n4\nfour, 4\n5, 5\n6, 1e40\n7,7\n8,8").set_aside == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no points"),
        (text([], []), "no points"),
        (b"\x00\xff" * 500, "0 of 1 lines"),
        (b"%PDF-1.4\nstream\nendstream\n", "0 of 3 lines"),
        ("300.0, 1.0\n", "1 points"),
        ("300.0, 1.0\n300.0, 2.0\n", "1 points"),
        ("nan, 1.0\n300.0, inf\n", "0 of 2 lines"),
        ("1.0, 2.0\n2.0, 2.0\nthree\nfour\nfive\n", "2 of 5 lines"),
        (text(INTENSITY + 1e5, SHIFT), "0 of 60 lines"),  # columns swapped
    ],
)
def test_what_is_no_spectrum_is_refused_with_a_reason(content, reason):
    with pytest.raises(rruff.UnreadableSpectrum, match=reason):
        rruff.parse(content)


# An archive


def test_read_takes_processed_files_sets_raw_aside_and_reports_the_rest(tmp_path):
    files = {
        name(): text(),
        name(kind="RAW"): text(intensity=INTENSITY + 4000),
        name(angle="45"): "nothing but words",
        name(angle="90"): text(NAMES=None),
        "notes.txt": "read me",
        "photo.jpg": b"\xff\xd8",
    }
    archive = rruff.read(zipped(tmp_path / "a.zip", files))
    assert archive.raw == 1
    assert list(archive.spectra.meta["file"]) == [name()]
    reasons = archive.unreadable.set_index("file")["reason"]
    assert set(reasons.index) == set(files) - {name(), name(kind="RAW")}
    assert reasons[name(angle="90")] == "has no NAMES in its header"
    assert "Raman_Data_Processed" in reasons["photo.jpg"]


def test_load_says_what_was_left_out(tmp_path, capsys):
    path = zipped(tmp_path / "a.zip", {name(): text(), name(kind="RAW"): text(), "b.txt": "?"})
    assert len(rruff.load(path)) == 1
    assert "1 spectra; set aside 1 RAW files and 1 that cannot be read" in capsys.readouterr().out
    rruff.load(zipped(tmp_path / "b.zip", {name(): text()}))
    assert capsys.readouterr().out == ""


def test_lines_set_aside_are_told_by_file_from_the_cache_too(tmp_path, capsys):
    words = text(blank="free text\nand more\n")
    path = zipped(tmp_path / "a.zip", {name(): text(), name(angle="45"): words})
    for _ in range(2):
        rruff.load(path)
        said = capsys.readouterr().out
        assert "2 spectra; set aside 2 lines that are no points, of 1 files" in said
        table = rruff.read(path).set_aside
        assert table.to_numpy().tolist() == [[name(angle="45"), 2]]


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
    ("field", "nm"), [("514", 514), ("514.5", 514.5), ("532_nm", 532), ("632.8", 632.8), ("", None)]
)
def test_laser(tmp_path, field, nm):
    meta = rruff.load(zipped(tmp_path / "a.zip", {name(laser=field): text()})).meta
    np.testing.assert_equal(meta["laser"][0], np.nan if nm is None else nm)


@pytest.mark.parametrize(
    ("status", "identification"),
    [
        ("… is confirmed by single-crystal X-ray diffraction.", "X-ray diffraction"),
        ("… has been determined only by Raman spectroscopy", "Raman only"),
        ("The identification of this mineral is not yet confirmed.", "not stated"),
        (None, "not stated"),
    ],
)
def test_identification(tmp_path, status, identification):
    meta = rruff.load(zipped(tmp_path / "a.zip", {name(): text(STATUS=status)})).meta
    assert list(meta["identification"]) == [identification]


def test_a_folder_is_read_like_a_zip(tmp_path):
    files = {name(): text(), name(angle="45"): text(), "sub/" + name(angle="90"): text()}
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content.encode())
    (folder / "large.txt").write_bytes(b"1, 2\n" * 2_000_000)
    from_folder = rruff.read(folder)
    from_zip = rruff.load(zipped(tmp_path / "a.zip", files))
    pd.testing.assert_frame_equal(from_folder.spectra.meta, from_zip.meta)
    np.testing.assert_array_equal(from_folder.spectra.X, from_zip.X)
    assert list(from_folder.unreadable["file"]) == ["large.txt"]


# Archives that are not to be trusted


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("/etc/x.txt", "points outside"),
        ("../x.txt", "points outside"),
        ("a/../../x.txt", "points outside"),
        ("a\\..\\..\\x.txt", "points outside"),
        ("C:\\x.txt", "points outside"),
    ],
)
def test_a_zip_that_points_outside_is_refused(tmp_path, member, reason):
    path = zipped(tmp_path / "a.zip", {name(): text(), member: text()})
    with pytest.raises(rruff.ArchiveError, match=reason):
        rruff.read(path)


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MAX_FILES", 1, "2 files, more than 1"),
        ("MAX_TOTAL_BYTES", 1000, "zip bomb"),
        ("MAX_FILE_BYTES", 1000, "far more than a spectrum"),
    ],
)
def test_a_zip_beyond_a_limit_is_refused(tmp_path, monkeypatch, limit, value, reason):
    monkeypatch.setattr(_archive, limit, value)
    path = zipped(tmp_path / "a.zip", {name(): text(), name(angle="45"): text()})
    with pytest.raises(rruff.ArchiveError, match=reason):
        rruff.read(path)


def test_a_bomb_is_refused_and_so_is_its_lie_about_the_size(tmp_path):
    zeros = b"0" * 5_000_000
    path = zipped(tmp_path / "a.zip", {name(): text(), name(angle="45"): zeros})
    with pytest.raises(rruff.ArchiveError, match="like a zip bomb"):
        rruff.read(path)
    true, told = (struct.pack("<L", size) for size in (len(zeros), 4000))
    path.write_bytes(path.read_bytes().replace(true, told))
    archive = rruff.read(path)
    assert len(archive.spectra) == 1
    assert archive.unreadable["reason"].str.contains("damaged in the archive").all()


def test_other_compressions_and_encrypted_zips_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(name(), text())
    with pytest.raises(rruff.ArchiveError, match="not compressed with deflate"):
        rruff.read(path)
    content = bytearray(zipped(path, {name(): text()}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(rruff.ArchiveError, match="encrypted"):
        rruff.read(path)


def test_what_is_no_archive_is_refused_with_a_sentence(tmp_path):
    path = zipped(tmp_path / "a.zip", {name(angle=f"{i}"): text() for i in range(20)})
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-500])
    (tmp_path / "page.zip").write_text("<html>404</html>")
    (tmp_path / "nothing.zip").touch()
    for file in ("cut.zip", "page.zip", "nothing.zip"):
        with pytest.raises(rruff.ArchiveError, match=f"{file} is not a whole zip file"):
            rruff.read(tmp_path / file)
    with pytest.raises(rruff.ArchiveError, match="the path of the archive is empty"):
        rruff.read("")
    with pytest.raises(FileNotFoundError, match="there is no archive at"):
        rruff.read(tmp_path / "absent.zip")
    (tmp_path / "folder").mkdir()
    for empty in (zipped(tmp_path / "empty.zip", {}), tmp_path / "folder"):
        with pytest.raises(rruff.ArchiveError, match="holds no Processed spectrum"):
            rruff.read(empty)
    raw = zipped(tmp_path / "raw.zip", {name(kind="RAW"): text()})
    with pytest.raises(rruff.ArchiveError, match="1 RAW files"):
        rruff.read(raw)


def test_a_damaged_member_is_reported_by_name(tmp_path):
    path = zipped(tmp_path / "a.zip", {name(): text(), name(angle="45"): text()})
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    archive = rruff.read(path)
    assert list(archive.unreadable["file"]) == [name()]
    assert archive.unreadable["reason"][0].startswith("damaged in the archive")


# The cache


@pytest.fixture
def small(tmp_path):
    files = {name(angle=f"{i}", laser="" if i else "514"): text() for i in range(3)}
    return zipped(tmp_path / "small.zip", {**files, name(kind="RAW"): text(), "a.txt": "?"})


def assert_same(a, b):
    pd.testing.assert_frame_equal(a.spectra.meta, b.spectra.meta)
    pd.testing.assert_frame_equal(a.unreadable, b.unreadable)
    pd.testing.assert_frame_equal(a.set_aside, b.set_aside)
    np.testing.assert_array_equal(a.spectra.X, b.spectra.X)
    assert (a.raw, a.spectra.X.dtype, a.spectra.source) == (b.raw, b.spectra.X.dtype, "RRUFF")


def test_the_second_reading_comes_from_the_cache_and_is_the_same(small, monkeypatch):
    first = rruff.read(small)
    monkeypatch.setattr(rruff, "_read", lambda path: pytest.fail("was parsed again"))
    assert_same(rruff.read(small), first)


def test_the_cache_belongs_to_the_files_and_the_code(small, tmp_path, cache_folder, monkeypatch):
    rruff.read(small)
    zipped(small, {name(): text(intensity=INTENSITY + 1)})
    assert len(rruff.read(small).spectra) == 1
    changed = tmp_path / "changed.py"
    changed.write_text("# a later version of the parser")
    monkeypatch.setattr(rruff._scan, "__file__", str(changed))
    rruff.read(small)
    assert len(list(cache_folder.glob("*.npz"))) == 3


def test_a_changed_folder_is_read_anew(tmp_path):
    (tmp_path / "files").mkdir()
    for number in (1, 2):
        (tmp_path / "files" / name(number=number)).write_text(text())
        assert len(rruff.load(tmp_path / "files")) == number


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_cache_is_made_anew_with_a_word(small, cache_folder, damage):
    whole = rruff.read(small)
    (kept,) = cache_folder.glob("*.npz")
    content = kept.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    kept.write_bytes({"cut": content[:-99], "flip": flipped, "empty": b""}.get(damage, b"text"))
    with pytest.warns(UserWarning, match="is damaged and made anew"):
        assert_same(rruff.read(small), whole)
    assert kept.read_bytes() == content
    assert_same(rruff.read(small), whole)


def test_a_cache_that_cannot_be_written_costs_a_warning_only(small, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(rruff, "cache_folder", lambda: tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="cannot write the cache"):
        assert len(rruff.read(small).spectra) == 3


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), _io.written_whole(path) as part:
        part.write_text("half of the new")
        raise KeyboardInterrupt
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "old")]


def test_the_cache_is_in_the_checkout_or_else_the_users(tmp_path, monkeypatch):
    assert _io.cache_folder() == _io.ROOT / "data" / "cache"
    monkeypatch.setattr(_io, "ROOT", tmp_path)  # no checkout
    assert _io.cache_folder().name == "fmcnn-companion"


# Download


@pytest.fixture
def server(monkeypatch, small):
    """A server on this machine that answers with what a test puts into ``answers``, in turn."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests += 1
            answers = self.server.answers
            body, length = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(200 if body else 404)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests = 0
    server.whole = small.read_bytes()
    server.sha256 = hashlib.sha256(server.whole).hexdigest()
    monkeypatch.setattr(_download, "URL", f"http://127.0.0.1:{server.server_port}/a.zip")
    monkeypatch.setattr(_download, "SHA256", server.sha256)
    monkeypatch.setattr(_download, "PAUSE", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_fetch_downloads_once(server, cache_folder, capsys):
    server.answers = [(server.whole, len(server.whole))]
    path = rruff.fetch()
    assert path.read_bytes() == server.whole
    assert rruff.fetch() == path
    assert server.requests == 1
    assert list(cache_folder.iterdir()) == [path]
    assert "100%" in capsys.readouterr().err  # the progress bar


@pytest.mark.parametrize("length_told", [True, False])
def test_an_interrupted_download_is_tried_again_and_never_taken_for_whole(
    server, cache_folder, length_told
):
    half = (server.whole[: len(server.whole) // 2], len(server.whole) if length_told else None)
    server.answers = [half, (server.whole, len(server.whole))]
    assert rruff.fetch().read_bytes() == server.whole
    for file in cache_folder.iterdir():
        file.unlink()
    server.answers = [half]
    with pytest.raises(ConnectionError, match="put a copy at"):
        rruff.fetch()
    assert list(cache_folder.iterdir()) == []


def test_a_changed_archive_is_named_by_both_checksums_and_can_be_accepted(server, monkeypatch):
    monkeypatch.setattr(_download, "SHA256", "0" * 64)
    server.answers = [(server.whole, len(server.whole))]
    with pytest.raises(rruff.ArchiveError) as error:
        rruff.fetch()
    for part in ("0" * 64, server.sha256, f'fetch(accept_sha256="{server.sha256}")'):
        assert part in str(error.value)
    assert rruff.fetch(accept_sha256=server.sha256).read_bytes() == server.whole
    assert server.requests == 1


def test_a_damaged_copy_is_downloaded_again(server):
    server.answers = [(server.whole, len(server.whole))]
    path = rruff.fetch()
    path.write_bytes(server.whole[:-1])
    with pytest.warns(UserWarning, match="is damaged"):
        assert rruff.fetch().read_bytes() == server.whole


def test_without_a_network_one_sentence_says_where_to_put_the_file(server, cache_folder):
    server.answers = [(b"", 0)]  # 404, tried again as any failure
    with pytest.raises(ConnectionError) as error:
        rruff.fetch()
    assert str(cache_folder / f"excellent_oriented-{server.sha256[:16]}.zip") in str(error.value)
    assert "404" in str(error.value)
    assert server.requests == _download.ATTEMPTS
