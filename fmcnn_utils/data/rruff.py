"""The RRUFF archive: download it, and read its text files without trusting them."""

from __future__ import annotations

import hashlib
import html
import os
import re
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import pooch

from ..results import DATA, Cache, UserError, cache_folder
from .spectra import GRID, Spectra, resample

URL = "https://www.rruff.net/zipped_data_files/raman/excellent_oriented.zip"
#: sha256 of the archive at ``URL``, as reported by others who downloaded it in 2026.
SHA256 = "51b026d8087fd010d6d87b40cb626e486d96e971512a7d62287457672c0e762b"
#: What is known of each of the 3,696 spectra of the archive of July 2019.
MANIFEST = DATA / "spectra_2019.csv.gz"

# RRUFF's largest file has 161 kB, its archive of 2026 7,668 files and about 160 MB. Text of
# numbers deflates 2 to 4 times, a bomb of zeros about 1,000 times.
MAX_FILES, MAX_FILE_BYTES, MAX_TOTAL_BYTES, MAX_RATIO = 100_000, 8_000_000, 2_000_000_000, 100
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: A point beyond this Raman shift in cm⁻¹, or these counts, is damaged. Shifts end near 4,500, and
#: counts near 1e6; float32 near 3e38.
MAX_POINT = (20_000.0, 1e30)

#: How a specimen was identified, by what STATUS contains.
IDENTIFICATIONS = {
    "X-ray diffraction": "X-ray diffraction",
    "electron back-scatter diffraction": "electron back-scatter diffraction",
    "only by Raman": "Raman only",
}


class UnreadableSpectrum(ValueError):
    """One file cannot be read as a spectrum; the message is the reason."""


class Scan(NamedTuple):
    """One text file as parsed, see ``parse``."""

    header: dict[str, str]  # value of each ##KEY=
    shift: np.ndarray  # Raman shift in cm⁻¹, (m,), finite and strictly increasing, m ≥ 2
    intensity: np.ndarray  # counts, (m,), finite
    checksum: str  # of the numbers alone
    skipped: int  # number of lines that are neither header nor a point


class Archive(NamedTuple):
    """All of an archive, see ``read``."""

    spectra: Spectra  # the Processed files, in the order of their names
    unreadable: pd.DataFrame  # file and reason of each that is not among them, RAW excepted
    raw: int  # number of RAW files, not read: the same scans before baseline correction
    skipped: pd.DataFrame  # file, and number of lines of it that are neither header nor a point


def fetch() -> Path:
    """The archive that RRUFF serves today, downloaded on first use (about 80 MB).

    Downloads are kept in ``data/cache`` under their checksum, so that one version is never taken
    for another, nor a part for the whole.

    Raises:
        ConnectionError: if it cannot be downloaded; says where to put a copy.
        UserError: if the archive is not the known one; says where it is kept: RRUFF adds spectra
            now and then.
    """
    kept = cache_folder() / f"excellent_oriented-{SHA256[:16]}.zip"

    def download(url: str, part: str, _) -> None:
        pooch.HTTPDownloader(progressbar=True, timeout=30)(url, part, None)
        if not zipfile.is_zipfile(part):  # its directory is at its end
            raise OSError("cut short, or not a zip file")
        served = pooch.file_hash(part)
        if served != SHA256:
            other = kept.with_name(f"excellent_oriented-{served[:16]}.zip")
            os.replace(part, other)
            raise UserError(
                f"{url} has changed: its sha256 is {served}, and {SHA256} was expected. If you "
                f"trust it, give {other} as the path of the data; curation.cut_to_manifest cuts "
                "it to the spectra of 2019."
            )

    try:
        pooch.retrieve(URL, SHA256, kept.name, kept.parent, downloader=download)
    except OSError as error:  # requests' errors are OSErrors
        raise ConnectionError(
            f"{URL} could not be downloaded ({textwrap.shorten(str(error), 120)}): check the "
            f"network and try again, put a copy at {kept}, or give the path of a copy as the data."
        ) from error
    return kept


def load(path: str | Path | None = None) -> Spectra:
    """The Processed spectra of an archive, see ``read``; prints what was left out, if anything.

    Args:
        path: a zip file or a folder; by default what ``fetch`` downloads.
    """
    path = fetch() if path is None else path
    spectra, unreadable, raw, skipped = read(path)
    if raw or len(unreadable) or len(skipped):
        print(
            f"{path}: {len(spectra):,} spectra; left out: {raw:,} RAW files, {len(unreadable):,} "
            f"unreadable ones, and {skipped['lines'].sum():,} skipped lines (see rruff.read)"
        )
    return spectra


def read(path: str | Path) -> Archive:
    """The Processed spectra of an archive on the common grid, and what else it holds.

    The result is kept in ``data/cache``, for these very files.

    Args:
        path: a zip file or a folder.

    Raises:
        FileNotFoundError: if there is nothing at ``path``.
        UserError: for what is not a zip file or folder, is unsafe, or holds no spectrum.
    """
    if not str(path):  # pathlib takes it for the working folder
        raise UserError("the path of the archive is empty: give that of a zip file or folder")
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no archive at {path}: give the path of a zip or folder")
    if path.is_dir():
        stats = [(name, file.stat()) for name, file in _in_folder(path)]
        version = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    else:
        version = pooch.file_hash(str(path))
    return Cache(cache_folder() / "archives").call(lambda: _read(path), "rruff", version)


def _read(path: Path) -> Archive:
    rows, X, unreadable, skipped, raw = [], [], [], [], 0
    for file, open_file in _files(path):
        if "__Raman_Data_RAW__" in file:
            raw += 1
            continue
        try:
            scan = parse(_content(open_file))
            rows.append(_describe(file, scan))
        except UnreadableSpectrum as error:
            unreadable.append((file, str(error)))
            continue
        X.append(resample(scan.shift, scan.intensity))
        if scan.skipped:
            skipped.append((file, scan.skipped))
    if not rows:
        first = f"; the first, {unreadable[0][0]}, {unreadable[0][1]}" if unreadable else ""
        raise UserError(
            f"{path} holds no Processed spectrum ({raw} RAW files, {len(unreadable)} that cannot "
            f"be read{first}): give RRUFF's excellent_oriented.zip or its text files in a folder."
        )
    return Archive(
        Spectra(np.stack(X), pd.DataFrame(rows), GRID, "RRUFF"),
        pd.DataFrame(unreadable, columns=["file", "reason"]),
        raw,
        pd.DataFrame(skipped, columns=["file", "lines"]),
    )


def _in_folder(folder: Path) -> list[tuple[str, Path]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return sorted((file.relative_to(folder).as_posix(), file) for file in files)


def _files(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Name of each file, in the order of names, and how to open it: nothing is unpacked to disk."""
    if path.is_dir():
        for name, file in _in_folder(path):
            yield name, partial(file.open, "rb")
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged directory may raise anything
        raise UserError(
            f"{path} is not a whole zip file (cut short, or of another kind): {error}. "
            "Download it again, or give the folder that holds its text files."
        ) from error
    with archive:
        members = [(info.filename.replace("\\", "/"), info) for info in archive.infolist()]
        _refuse_unsafe(path, members)
        for name, info in sorted(members, key=lambda member: member[0]):
            if not name.endswith("/"):
                yield name, partial(archive.open, info)


def _refuse_unsafe(path: Path, members: list[tuple[str, zipfile.ZipInfo]]) -> None:
    total = sum(info.file_size for _, info in members)
    if len(members) > MAX_FILES or total > MAX_TOTAL_BYTES:
        raise UserError(
            f"{path} is refused: it unpacks to {len(members):,} files of {total:,} bytes together, "
            "far more than an archive of spectra."
        )
    for name, info in members:
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
            reason = "points outside the archive"
        elif info.flag_bits & 1 or info.compress_type not in COMPRESSIONS:
            reason = "is encrypted, or not compressed with deflate"
        elif info.file_size > min(MAX_FILE_BYTES, MAX_RATIO * max(info.compress_size, 1)):
            reason = "unpacks to far more than a spectrum, like a zip bomb"
        else:
            continue
        raise UserError(f"{path} is refused: its member {name!r} {reason}.")


def _content(open_file: Callable[[], BinaryIO]) -> bytes:
    try:
        with open_file() as stream:
            content = stream.read(MAX_FILE_BYTES + 1)  # the size in a zip's directory may lie
    except Exception as error:  # a damaged member may raise anything
        raise UnreadableSpectrum(f"is damaged or cannot be opened: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableSpectrum(f"has more than {MAX_FILE_BYTES:,} bytes")
    return content


def parse(content: bytes) -> Scan:
    """One RRUFF text file.

    Lines ``##KEY=value`` are the header, wherever they stand; what follows ``##END`` is ignored.
    A point is a line of two numbers, between them a comma or white space. Line ends may be mixed,
    the encoding UTF-8 or cp1252. Points are sorted by Raman shift, and those that repeat a shift
    (files whose shifts were rounded) are replaced by their mean. Points that are not finite or
    beyond ``MAX_POINT`` are skipped, as are lines of free text.

    The checksum is the first 16 hex digits of the sha256 of the points, sorted by shift (stable)
    but not yet averaged, as little-endian float64 pairs shift, intensity: it does not change with
    line ends, header, encoding or machine.

    Raises:
        UnreadableSpectrum: for less than two different shifts, or if less than half of the lines
            outside the header are points.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    header, lines = {}, []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.startswith("##END"):
            break
        if line.startswith("##"):
            key, _, value = line[2:].partition("=")
            header.setdefault(key.strip(), html.unescape(value.strip()))
        elif line:
            lines.append(line)
    if not lines:
        raise UnreadableSpectrum("holds no points")
    points = _points(lines)
    points = points[(np.abs(points) < MAX_POINT).all(axis=1)]  # nan is not
    if 2 * len(points) < len(lines):
        raise UnreadableSpectrum(f"only {len(points)} of {len(lines)} lines are points")
    points = points[np.argsort(points[:, 0], kind="stable")]
    checksum = hashlib.sha256(points.astype("<f8").tobytes()).hexdigest()[:16]
    shift, group, size = np.unique(points[:, 0], return_inverse=True, return_counts=True)
    if len(shift) < 2:
        raise UnreadableSpectrum(f"holds {len(shift)} points at different Raman shifts, not 2")
    intensity = np.bincount(group, points[:, 1]) / size
    return Scan(header, shift, intensity, checksum, len(lines) - len(points))


def _points(lines: list[str]) -> np.ndarray:
    """Points of the lines that are points, float64 (m, 2)."""
    try:
        points = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
        if points.shape[1] == 2:
            return points
    except ValueError:  # free text among the points, or columns separated by white space
        pass
    points = []
    for line in lines:
        try:
            shift, intensity = map(float, line.replace(",", " ").split())
        except ValueError:
            continue
        points.append((shift, intensity))
    return np.array(points, dtype=float).reshape(-1, 2)


def _describe(file: str, scan: Scan) -> dict:
    """What is known of a spectrum, from its header and what only the file's name says."""
    fields, header = file.rsplit("/", 1)[-1].split("__"), scan.header
    if len(fields) != 8 or fields[6] != "Raman_Data_Processed" or not file.endswith(".txt"):
        raise UnreadableSpectrum(
            "is not named Mineral__mount__Raman__laser__angle__polarization__"
            "Raman_Data_Processed__number.txt"
        )
    for key in ("NAMES", "RRUFFID"):
        if not header.get(key):
            raise UnreadableSpectrum(f"has no {key} in its header")
    status = header.get("STATUS", "")
    identified = (how for part, how in IDENTIFICATIONS.items() if part in status)
    return {
        "file": file,
        # The header is right where the file name differs: Axinite-(Fe), not AxiniteFe.
        "mineral": header["NAMES"],
        "specimen": header["RRUFFID"],
        "mount": fields[1],
        "laser": _number(fields[3]),
        "angle": _number(fields[4].replace("-", ".")),
        "polarization": fields[5],
        "formula": header.get("IDEAL CHEMISTRY", ""),
        "identification": next(identified, "not stated"),
        "measured_chemistry": bool(header.get("MEASURED CHEMISTRY")),
        "first_shift": scan.shift[0],
        "last_shift": scan.shift[-1],
        "points": len(scan.shift),
        "checksum": scan.checksum,
    }


def _number(field: str) -> float:
    """Of 514, 514.5, 532_nm, or nothing; of 45, since 2026 45-000."""
    found = re.match(r"\d+(\.\d+)?", field)
    return float(found[0]) if found else np.nan


def manifest(path: str | Path = MANIFEST) -> pd.DataFrame:
    """``Spectra.meta`` of the archive of 2019, column for column and type for type."""
    numbers = {"laser": [""], "angle": [""]}  # an empty one is nan; an empty text is a text
    return pd.read_csv(
        path,
        dtype={"checksum": object},
        keep_default_na=False,
        na_values=numbers,
        float_precision="round_trip",
    )
