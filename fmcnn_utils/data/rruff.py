"""The RRUFF archive: download it, and read its text files without trusting them."""

from __future__ import annotations

import hashlib
import html
import re
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import pooch

from ..results import DATA, Cache, UserError, atomic_write, cache_folder
from .spectra import GRID, Spectra, resample

URL = "https://www.rruff.net/zipped_data_files/raman/excellent_oriented.zip"
#: sha256 of the archive at ``URL``, as reported by others who downloaded it in 2026.
SHA256 = "51b026d8087fd010d6d87b40cb626e486d96e971512a7d62287457672c0e762b"
#: What is known of each of the 3,696 spectra of the archive of July 2019: ``Spectra.meta``.
MANIFEST = DATA / "spectra_2019.csv.gz"

#: RRUFF's largest file has 161 kB, its archive of 2026 about 160 MB.
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 8_000_000, 2_000_000_000
#: A point with a larger number is damaged: counts end near 1e6, float32 near 3e38.
MAX_NUMBER = 1e30

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
    skipped: int  # number of lines in the Processed files that are neither header nor a point


def fetch() -> Path:
    """The archive that RRUFF serves, downloaded to ``data/cache`` on first use (about 80 MB)."""
    path = cache_folder() / "excellent_oriented.zip"
    try:
        if not path.exists():
            with atomic_write(path) as part:
                pooch.HTTPDownloader(progressbar=True, timeout=30)(URL, str(part), None)
    except OSError as error:  # requests' errors are OSErrors
        raise ConnectionError(
            f"{URL} could not be downloaded ({textwrap.shorten(str(error), 120)}): check the "
            f"network and try again, put a copy at {path}, or give the path of a copy as the data"
        ) from error
    if (found := pooch.file_hash(str(path))) != SHA256:
        raise UserError(
            f"{path} (sha256 {found}) is not the archive that is known of {URL} (sha256 {SHA256}): "
            "RRUFF adds spectra now and then, or the copy is damaged; remove it to download it "
            "again, or give its path as the data"
        )
    return path


def load(path: str | Path | None = None) -> Spectra:
    """The spectra of ``read(path)``, by default of ``fetch()``; prints what was left out."""
    path = fetch() if path is None else path
    spectra, unreadable, raw, skipped = read(path)
    if raw or skipped or len(unreadable):
        print(
            f"{path}: {len(spectra):,} spectra; left out: {raw:,} RAW files, {len(unreadable):,} "
            f"unreadable ones, and {skipped:,} skipped lines (see rruff.read)"
        )
    return spectra


def read(path: str | Path) -> Archive:
    """The Processed spectra of a zip file or folder on the common grid, and what else it holds.

    What is in a zip file is kept in ``data/cache``. UserError for what is unsafe or no archive.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _read(path)
    cache, checksum = Cache(cache_folder() / "archives"), pooch.file_hash(str(path))
    return cache.call(lambda: _read(path), "RRUFF", checksum)


def _read(path: Path) -> Archive:
    rows, X, unreadable, skipped, raw = [], [], [], 0, 0
    for file, open_file in _files(path):
        if "__Raman_Data_RAW__" in file:
            raw += 1
            continue
        try:
            scan = parse(_content(open_file))
            rows.append(_describe(file, scan))
            X.append(resample(scan.shift, scan.intensity))
            skipped += scan.skipped
        except UnreadableSpectrum as error:
            unreadable.append((file, str(error)))
    if not rows:
        first = f"; the first, {unreadable[0][0]}, {unreadable[0][1]}" if unreadable else ""
        raise UserError(
            f"{path} holds no Processed spectrum ({raw} RAW files, {len(unreadable)} that cannot "
            f"be read{first}): give RRUFF's excellent_oriented.zip or its text files in a folder"
        )
    spectra = Spectra(np.stack(X), pd.DataFrame(rows), GRID, "RRUFF")
    return Archive(spectra, pd.DataFrame(unreadable, columns=["file", "reason"]), raw, skipped)


def scans(path: str | Path) -> Iterator[tuple[str, Scan]]:
    """Name and content of each Processed file of an archive that can be read, as measured."""
    for name, open_file in _files(Path(path)):
        if "__Raman_Data_RAW__" not in name:
            with suppress(UnreadableSpectrum):
                yield Path(name).name, parse(_content(open_file))


def _files(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Name of each file, in the order of names, and how to open it: nothing is unpacked to disk."""
    if path.is_dir():
        files = (f for f in path.rglob("*") if f.is_file())
        yield from sorted((f.relative_to(path).as_posix(), partial(f.open, "rb")) for f in files)
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged directory may raise anything
        raise UserError(
            f"{path} is not a whole zip file ({error}): give another, or a folder of text files"
        ) from error
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        size = sum(member.file_size for member in members)
        # Only these two can be unpacked in part, which _content does.
        deflated = {m.compress_type for m in members} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        if size > MAX_TOTAL_BYTES or not deflated:
            raise UserError(
                f"{path} is refused: it unpacks to {size:,} bytes, far more than an archive of "
                "spectra, or not all of it is compressed with deflate"
            )
        files = {m.filename.replace("\\", "/"): partial(archive.open, m) for m in members}
        for name in files:
            if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
                raise UserError(f"{path} is refused: its member {name!r} points outside of it")
        yield from sorted(files.items())


def _content(open_file: Callable[[], BinaryIO]) -> bytes:
    try:
        with open_file() as stream:
            content = stream.read(MAX_FILE_BYTES + 1)  # the size in a zip's directory may lie
    except Exception as error:  # a damaged or encrypted member may raise anything
        raise UnreadableSpectrum(f"is damaged or cannot be opened: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableSpectrum(f"has more than {MAX_FILE_BYTES:,} bytes, like a zip bomb")
    return content


def parse(content: bytes) -> Scan:
    """One RRUFF text file; UnreadableSpectrum where most lines outside the header are no points.

    Lines ``##KEY=value`` are the header, wherever they stand, until ``##END``. A point is a line of
    two numbers, between them a comma or white space; others are skipped, as are numbers beyond
    ``MAX_NUMBER``. Points that repeat a Raman shift (some files' are rounded) are averaged. The
    checksum, sha256 of the sorted points before that as little-endian float64 pairs, does not
    change with line ends, header, encoding or machine.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    header, points, n_lines = {}, [], 0
    for line in text.splitlines():
        if line.startswith("##END"):
            break
        if line.startswith("##"):
            key, _, value = line[2:].partition("=")
            header.setdefault(key.strip(), html.unescape(value.strip()))
        elif line:
            n_lines += 1
            try:
                shift, intensity = map(float, line.replace(",", " ").split())
                points.append((shift, intensity))
            except ValueError:
                continue
    points = np.array(points, dtype=float).reshape(-1, 2)
    points = points[(np.abs(points) < MAX_NUMBER).all(axis=1)]  # nan is not
    if 2 * len(points) < n_lines:
        raise UnreadableSpectrum(f"only {len(points)} of {n_lines} lines are points")
    points = points[np.argsort(points[:, 0], kind="stable")]
    checksum = hashlib.sha256(points.astype("<f8").tobytes()).hexdigest()[:16]
    shift, group, size = np.unique(points[:, 0], return_inverse=True, return_counts=True)
    if len(shift) < 2:
        raise UnreadableSpectrum(f"holds {len(shift)} points at different Raman shifts, not 2")
    intensity = np.bincount(group, points[:, 1]) / size
    return Scan(header, shift, intensity, checksum, n_lines - len(points))


def _describe(file: str, scan: Scan) -> dict:
    """What is known of a spectrum, from its header and what only the file's name says."""
    fields, header = file.rsplit("/", 1)[-1].split("__"), scan.header
    if len(fields) != 8 or fields[6] != "Raman_Data_Processed":
        form = "Mineral__mount__Raman__laser__angle__polarization__Raman_Data_Processed__number.txt"
        raise UnreadableSpectrum(f"is not named {form}")
    for key in ("NAMES", "RRUFFID"):
        if not header.get(key):
            raise UnreadableSpectrum(f"has no {key} in its header")
    status = header.get("STATUS", "")
    identification = (how for part, how in IDENTIFICATIONS.items() if part in status)
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
        "identification": next(identification, "not stated"),
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


def manifest() -> pd.DataFrame:
    """What is known of each spectrum of 2019: all columns of ``Spectra.meta``."""
    how = {"keep_default_na": False, "na_values": {"laser": [""]}}  # other empty fields are texts
    return pd.read_csv(MANIFEST, float_precision="round_trip", **how)
