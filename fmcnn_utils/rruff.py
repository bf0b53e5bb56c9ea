"""The RRUFF archive: download it, parse its text files, keep the result at hand."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from . import _archive, _scan, spectra
from ._archive import ArchiveError, UnreadableSpectrum, fingerprint, members
from ._download import fetch
from ._io import DATA, cache_folder, cached, write_gzip
from ._scan import Scan, parse
from .spectra import GRID, Spectra, resample

__all__ = [
    "Archive",
    "ArchiveError",
    "Scan",
    "UnreadableSpectrum",
    "fetch",
    "load",
    "manifest",
    "parse",
    "read",
    "write_manifest",
]

#: What is known of each of the 3,696 spectra of the archive of July 2019, see ``write_manifest``.
MANIFEST = DATA / "spectra_2019.csv.gz"


@dataclass(frozen=True)
class Archive:
    """All of an archive.

    Attributes:
        spectra: the Processed files, in the order of their names.
        unreadable: ``file`` and ``reason`` of each file that is not among them, RAW excepted.
        raw: number of RAW files, set aside: they are the same scans before baseline correction.
        set_aside: ``file`` and number of ``lines`` of each spectrum some of whose lines are
            neither header nor a point, see ``parse``.
    """

    spectra: Spectra
    unreadable: pd.DataFrame
    raw: int
    set_aside: pd.DataFrame


def read(path: str | Path, cache: bool = True) -> Archive:
    """The Processed spectra of an archive on the common grid, and what else it holds.

    Args:
        path: a zip file or a folder.
        cache: keep the result in ``data/cache``, and take it from there next time. The cache
            belongs to these very files and this very code: when either changes, it is made anew.

    Raises:
        FileNotFoundError, ArchiveError: with one sentence.
    """
    if not str(path):  # pathlib takes it for the working folder
        raise ArchiveError("the path of the archive is empty: give that of a zip file or folder")
    path = Path(path).expanduser()
    if not cache or not path.exists():
        return _read(path)
    code = "".join(
        fingerprint(Path(module))
        for module in (__file__, _archive.__file__, _scan.__file__, spectra.__file__)
    )
    key = hashlib.sha256((fingerprint(path) + code).encode()).hexdigest()[:16]
    return _unpack(cached(cache_folder() / f"rruff-{key}.npz", lambda: _pack(_read(path))))


def load(path: str | Path, cache: bool = True) -> Spectra:
    """The Processed spectra of an archive, see ``read``; prints what was left out, if anything."""
    archive = read(path, cache)
    left_out = []
    if archive.raw or len(archive.unreadable):
        left_out.append(
            f"{archive.raw:,} RAW files and {len(archive.unreadable):,} that cannot be read "
            "(rruff.read(path).unreadable)"
        )
    if lines := archive.set_aside["lines"].sum():
        left_out.append(
            f"{lines:,} lines that are no points, of {len(archive.set_aside):,} files "
            "(rruff.read(path).set_aside)"
        )
    if left_out:
        print(f"{path}: {len(archive.spectra):,} spectra; set aside {', and '.join(left_out)}")
    return archive.spectra


def _read(path: Path) -> Archive:
    rows, X, unreadable, set_aside, raw = [], [], [], [], 0
    for file, content in members(path):
        if "__Raman_Data_RAW__" in file:
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
        if scan.set_aside:
            set_aside.append((file, scan.set_aside))
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
        pd.DataFrame(set_aside, columns=["file", "lines"]).astype({"lines": int}),
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
        "measured_chemistry": bool(scan.header.get("MEASURED CHEMISTRY")),
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


def _pack(archive: Archive) -> dict[str, np.ndarray]:
    """An archive as plain arrays, ``TABLE/COLUMN`` for each column of its tables."""
    tables = {"meta": archive.spectra.meta, "unreadable": archive.unreadable}
    tables["set_aside"] = archive.set_aside
    columns = {
        f"{table}/{name}": column.to_numpy(dtype="U" if column.dtype == object else None)
        for table, frame in tables.items()
        for name, column in frame.items()
    }
    return {"X": archive.spectra.X, "raw": np.array(archive.raw), **columns}


def _unpack(packed: dict[str, np.ndarray]) -> Archive:
    tables = {"meta": {}, "unreadable": {}, "set_aside": {}}
    for key, column in packed.items():
        table, _, name = key.partition("/")
        if name:
            tables[table][name] = column.astype(object) if column.dtype.kind == "U" else column
    meta, unreadable, set_aside = (pd.DataFrame(columns) for columns in tables.values())
    spectra = Spectra(packed["X"], meta, GRID, "RRUFF")
    return Archive(spectra, unreadable, int(packed["raw"]), set_aside)


def write_manifest(path: str | Path, out: str | Path = MANIFEST) -> None:
    """Write what is known of each spectrum of an archive, the same bytes at each call.

    Args:
        path: the archive of 2019, a zip file or a folder.
        out: gzipped CSV, all columns of ``Spectra.meta``, one row per spectrum.
    """
    table = load(path).meta.to_csv(index=False, lineterminator="\n")
    write_gzip(Path(out), table.encode())


def manifest(path: str | Path = MANIFEST) -> pd.DataFrame:
    """The table that ``write_manifest`` wrote, column for column and type for type."""
    text = ["file", "mineral", "specimen", "mount", "polarization", "formula", "checksum"]
    return pd.read_csv(
        path,
        dtype=dict.fromkeys([*text, "identification"], object),
        keep_default_na=False,
        na_values={"laser": [""], "angle": [""]},
        float_precision="round_trip",
    )
