"""Reading the files of an archive, zip or folder, without trusting it."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pooch

from ._problem import Refused

# RRUFF's largest file has 161 kB, its archive of 2026 7,668 files and about 160 MB.
MAX_FILE_BYTES = 8_000_000
MAX_TOTAL_BYTES = 2_000_000_000
MAX_FILES = 100_000
#: Text of numbers deflates 2 to 4 times; a bomb of zeros about 1,000 times.
MAX_RATIO = 100

#: What zipfile raises for a damaged file; RuntimeError for features and encryption made up by it.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


class ArchiveError(Refused):
    """The archive as a whole is refused."""


class UnreadableSpectrum(ValueError):
    """One file cannot be read as a spectrum; the message is the reason."""


def fingerprint(path: Path) -> str:
    """What the archive is: sha256 of a zip, or of a folder's names, sizes and times of change."""
    if path.is_file():
        return pooch.file_hash(str(path))
    state = hashlib.sha256()
    for name, file in _files(path):
        status = file.stat()
        state.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return state.hexdigest()


def members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name of each file, in the order of names, with a function that reads it.

    Nothing is unpacked to disk. The function raises ``UnreadableSpectrum`` for a damaged file.

    Raises:
        FileNotFoundError: if there is nothing at ``path``.
        ArchiveError: for what is not a zip file or folder, or is unsafe or too large to read.
    """
    if path.is_dir():
        for name, file in _files(path):
            yield name, partial(_read, file)
    elif path.exists():
        try:
            archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise ArchiveError(
                f"{path} is not a whole zip file (cut short, or of another kind): {error}. "
                "Download it again, or give the folder that holds its text files."
            ) from error
        with archive:
            infos = sorted((i for i in archive.infolist() if i.filename[-1:] != "/"), key=_name)
            _refuse_unsafe(path, infos)
            for info in infos:
                yield _name(info), partial(_extract, archive, info)
    else:
        raise FileNotFoundError(f"there is no archive at {path}: give the path of a zip or folder")


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = ((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*"))
    return sorted((name, file) for name, file in found if file.is_file())


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")


def _refuse_unsafe(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MAX_FILES:
        raise ArchiveError(f"{path} holds {len(infos):,} files, more than {MAX_FILES:,}: refused.")
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        raise ArchiveError(f"{path} would unpack to {total:,} bytes: refused as a zip bomb.")
    for info in infos:
        name = _name(info)
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
            reason = "points outside the archive"
        elif info.flag_bits & 1:
            reason = "is encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            reason = "is not compressed with deflate"
        elif info.file_size > MAX_FILE_BYTES:
            reason = f"has {info.file_size:,} bytes, far more than a spectrum"
        elif info.file_size > MAX_RATIO * max(info.compress_size, 1):
            reason = "unpacks to more than 100 times its size, like a zip bomb"
        else:
            continue
        raise ArchiveError(f"{path} is refused: its member {name!r} {reason}.")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # A bounded read: the size in the zip's directory may lie.
    try:
        with archive.open(info) as stream:
            return stream.read(info.file_size + 1)
    except DAMAGE as error:
        raise UnreadableSpectrum(f"damaged in the archive: {error}") from error


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableSpectrum(f"cannot be opened: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableSpectrum(f"has more than {MAX_FILE_BYTES:,} bytes")
    return content
