"""The RRUFF archive: download it, parse its text files, keep the result at hand."""

from __future__ import annotations

import hashlib
import html
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from . import _archive, spectra
from ._archive import ArchiveError, UnreadableSpectrum, fingerprint, members
from ._io import cache_folder, written_whole
from .spectra import GRID, Spectra, resample

#: Limits of what counts as a measured point. Raman shifts end near 4,500 cm⁻¹; the margin lets
#: anti-Stokes and luminescence scans pass, and keeps a damaged digit from stretching the axis.
SHIFT_LIMITS = (-5_000.0, 20_000.0)
#: Counts beyond this overflow float32 arithmetic; the largest in RRUFF are near 1e6.
MAX_COUNT = 1e30


@dataclass(frozen=True)
class Scan:
    """One text file as parsed.

    Attributes:
        header: value of each ``##KEY=``, with HTML entities decoded.
        shift: Raman shift in cm⁻¹, (m,), finite and strictly increasing, m ≥ 2.
        intensity: counts, (m,), finite.
        checksum: of the numbers alone, see ``parse``.
        set_aside: lines that are neither header nor a point.
    """

    header: dict[str, str]
    shift: np.ndarray
    intensity: np.ndarray
    checksum: str
    set_aside: int


@dataclass(frozen=True)
class Archive:
    """All of an archive.

    Attributes:
        spectra: the Processed files, in the order of their names.
        unreadable: ``file`` and ``reason`` of each file that is not among them, RAW excepted.
        raw: number of RAW files, set aside: they are the same scans before baseline correction.
    """

    spectra: Spectra
    unreadable: pd.DataFrame
    raw: int


def parse(content: bytes | str) -> Scan:
    """One RRUFF text file.

    Lines ``##KEY=value`` are the header, wherever they stand; what follows ``##END`` is ignored.
    A point is a line of two numbers, between them a comma or white space. Line ends may be mixed,
    the encoding UTF-8 or cp1252. Points are sorted by Raman shift, and those that repeat a shift
    (files whose shifts were rounded) are replaced by their mean. Points that are not finite or
    beyond ``SHIFT_LIMITS`` are set aside, as are lines of free text.

    The checksum is the first 16 hex digits of the sha256 of the points, sorted by shift (stable)
    but not yet averaged, as little-endian float64 pairs shift, intensity: it does not change with
    line ends, header, encoding or machine.

    Raises:
        UnreadableSpectrum: for less than two different shifts, or if less than half of the lines
            outside the header are points.
    """
    text = _decode(content) if isinstance(content, bytes) else content
    text = "\n" + text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.partition("\n##END")[0]
    last = text.rfind("\n##")  # of the header; the points come in one block behind it
    body = text.find("\n", last + 1) if last >= 0 else 0
    header, lines = {}, []
    for line in text[:body].split("\n") if body >= 0 else text.split("\n"):
        key, equals, value = line.partition("=")
        if line.startswith("##") and equals:
            header.setdefault(key[2:].strip(), html.unescape(value.strip()))
        elif line and not line.isspace():
            lines.append(line)
    if body >= 0:
        lines.extend(filter(None, text[body:].split("\n")))

    points = _points(lines)
    measured = np.isfinite(points).all(axis=1) & (np.abs(points[:, 1]) < MAX_COUNT)
    measured &= (points[:, 0] > SHIFT_LIMITS[0]) & (points[:, 0] < SHIFT_LIMITS[1])
    if not measured.all():
        points = points[measured]
    if 2 * len(points) < len(lines):
        raise UnreadableSpectrum(f"only {len(points)} of {len(lines)} lines are points")
    if (np.diff(points[:, 0]) < 0).any():
        points = points[np.argsort(points[:, 0], kind="stable")]
    checksum = hashlib.sha256(points.astype("<f8").tobytes()).hexdigest()[:16]
    shift, intensity = points.T
    if not (np.diff(shift) > 0).all():
        shift, group, size = np.unique(shift, return_inverse=True, return_counts=True)
        intensity = np.bincount(group, intensity) / size
    if len(shift) < 2:
        raise UnreadableSpectrum(f"holds {len(shift)} points at different Raman shifts, not 2")
    return Scan(header, shift, intensity, checksum, len(lines) - len(points))


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _points(lines: list[str]) -> np.ndarray:
    """Points of the lines that are points, float64 (m, 2)."""
    try:
        # Nearly all files: one comma in every line, so the numbers pair up even when joined.
        if all(line.count(",") == 1 for line in lines):
            return np.array(list(map(float, ",".join(lines).split(",")))).reshape(-1, 2)
    except ValueError:
        pass
    points = []
    for line in lines:
        try:
            shift, intensity = map(float, line.replace(",", " ").split())
        except ValueError:
            continue
        points.append((shift, intensity))
    return np.array(points, dtype=float).reshape(-1, 2)


def read(path: str | Path, cache: bool = True) -> Archive:
    """The Processed spectra of an archive on the common grid, and what else it holds.

    Args:
        path: a zip file or a folder.
        cache: keep the result in ``data/cache``, and take it from there next time. The cache
            belongs to these very files and this very code: when either changes, it is made anew.

    Raises:
        FileNotFoundError, ArchiveError: with one sentence.
    """
    path = Path(path).expanduser()
    if not cache or not path.exists():
        return _read(path)
    code = "".join(_archive.fingerprint(Path(m)) for m in (__file__, spectra.__file__))
    key = hashlib.sha256((fingerprint(path) + code).encode()).hexdigest()[:16]
    kept = cache_folder() / f"rruff-{key}.npz"
    try:
        return _restore(kept)
    except FileNotFoundError:
        pass
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
        warnings.warn(f"the cache {kept} is damaged ({error}) and made anew", stacklevel=2)
    archive = _read(path)
    try:
        _keep(archive, kept)
    except OSError as error:
        warnings.warn(f"cannot write the cache {kept}: {error}", stacklevel=2)
    return archive


def load(path: str | Path, cache: bool = True) -> Spectra:
    """The Processed spectra of an archive, see ``read``; prints what was left out, if anything."""
    archive = read(path, cache)
    if archive.raw or len(archive.unreadable):
        print(
            f"{path}: {len(archive.spectra):,} spectra; set aside {archive.raw:,} RAW files and "
            f"{len(archive.unreadable):,} that cannot be read (rruff.read(path).unreadable)"
        )
    return archive.spectra


def _read(path: Path) -> Archive:
    rows, X, unreadable, raw = [], [], [], 0
    for file, content in members(path):
        if file.endswith("RAW.txt") or "__Raman_Data_RAW__" in file:
            raw += 1
            continue
        try:
            place = _from_name(file)
            scan = parse(content())
            rows.append({"file": file, **_describe(scan, place)})
        except UnreadableSpectrum as error:
            unreadable.append((file, str(error)))
            continue
        X.append(resample(scan.shift, scan.intensity))
    if not rows:
        first = f"; the first, {unreadable[0][0]}, {unreadable[0][1]}" if unreadable else ""
        raise ArchiveError(
            f"{path} holds no Processed spectrum ({raw} RAW files, {len(unreadable)} that cannot "
            f"be read{first}): give RRUFF's excellent_oriented.zip or its text files in a folder."
        )
    return Archive(
        Spectra(np.stack(X), pd.DataFrame(rows), GRID, "RRUFF"),
        pd.DataFrame(unreadable, columns=["file", "reason"], dtype=object),
        raw,
    )


def _from_name(file: str) -> dict:
    """What only the file name says: mount, laser, angle, polarization."""
    fields = file.rsplit("/", 1)[-1].split("__")
    if len(fields) != 8 or fields[6] != "Raman_Data_Processed" or not file.endswith(".txt"):
        raise UnreadableSpectrum(
            "is not named Mineral__mount__Raman__laser__angle__polarization__"
            "Raman_Data_Processed__number.txt"
        )
    number = re.match(r"\d+(\.\d+)?", fields[3])  # 514, 514.5, 532_nm, or nothing
    angle = re.fullmatch(r"(\d+)(?:[-.](\d+))?", fields[4])  # 45, since 2026 45-000
    return {
        "mount": fields[1],
        "laser": float(number[0]) if number else np.nan,
        "angle": float(f"{angle[1]}.{angle[2] or 0}") if angle else np.nan,
        "polarization": fields[5],
    }


def _describe(scan: Scan, place: dict) -> dict:
    for key in ("NAMES", "RRUFFID"):
        if not scan.header.get(key):
            raise UnreadableSpectrum(f"has no {key} in its header")
    return {
        # The header is right where the file name differs: Axinite-(Fe), not AxiniteFe.
        "mineral": scan.header["NAMES"],
        "specimen": scan.header["RRUFFID"],
        **place,
        "formula": scan.header.get("IDEAL CHEMISTRY", ""),
        "identification": _identification(scan.header.get("STATUS", "")),
        "first_shift": scan.shift[0],
        "last_shift": scan.shift[-1],
        "points": len(scan.shift),
        "checksum": scan.checksum,
    }


def _identification(status: str) -> str:
    """How the specimen was identified, from the sentence in STATUS."""
    if "X-ray diffraction" in status:
        return "X-ray diffraction"
    if "electron back-scatter diffraction" in status:
        return "electron back-scatter diffraction"
    if "only by Raman" in status:
        return "Raman only"
    return "not stated"


def _keep(archive: Archive, path: Path) -> None:
    tables = {"meta": archive.spectra.meta, "unreadable": archive.unreadable}
    columns = {
        f"{table}/{name}": column.to_numpy(dtype="U" if column.dtype == object else None)
        for table, frame in tables.items()
        for name, column in frame.items()
    }
    with written_whole(path) as part, part.open("wb") as stream:
        np.savez(stream, X=archive.spectra.X, raw=archive.raw, **columns)


def _restore(path: Path) -> Archive:
    tables = {"meta": {}, "unreadable": {}}
    with np.load(path, allow_pickle=False) as kept:
        for key in kept.files:
            table, _, name = key.partition("/")
            if name:
                column = kept[key]
                tables[table][name] = column.astype(object) if column.dtype.kind == "U" else column
        meta, unreadable = (pd.DataFrame(columns) for columns in tables.values())
        return Archive(Spectra(kept["X"], meta, GRID, "RRUFF"), unreadable, int(kept["raw"]))
