"""Downloading the RRUFF archive, whole or not at all."""

from __future__ import annotations

import os
import tempfile
import textwrap
import time
import warnings
import zipfile
from pathlib import Path

import pooch

from ._archive import ArchiveError
from ._io import cache_folder

URL = "https://www.rruff.net/zipped_data_files/raman/excellent_oriented.zip"
#: sha256 of the archive at ``URL``, as reported by others who downloaded it in 2026.
SHA256 = "51b026d8087fd010d6d87b40cb626e486d96e971512a7d62287457672c0e762b"
ATTEMPTS = 3
PAUSE = 3.0  # seconds before the next attempt


def fetch(accept_sha256: str | None = None) -> Path:
    """The archive that RRUFF serves today, downloaded on first use (about 80 MB).

    Downloads are kept in ``data/cache`` under their checksum, so that one version is never taken
    for another, nor a part for the whole.

    Args:
        accept_sha256: checksum of a later archive that is as welcome as the known one: RRUFF adds
            spectra now and then. The message about a changed archive names it.

    Raises:
        ConnectionError: if it cannot be downloaded; says where to put a copy.
        ArchiveError: if the archive is neither the known nor the accepted one.
    """
    wanted = (accept_sha256 or SHA256).lower()
    kept = _kept_as(wanted)
    if kept.exists():
        if pooch.file_hash(str(kept)) == wanted:
            return kept
        warnings.warn(f"{kept} is damaged: its sha256 is not {wanted}; downloading", stacklevel=2)
    served = _download(kept)
    if served != wanted:
        raise ArchiveError(
            f"{URL} has changed: its sha256 is {served}, and {wanted} was expected. If you trust "
            f'it, accept it with rruff.fetch(accept_sha256="{served}"), or give {_kept_as(served)} '
            "as the path of the data; curation.cut_to_manifest cuts it to the spectra of 2019."
        )
    return kept


def _kept_as(sha256: str) -> Path:
    return cache_folder() / f"excellent_oriented-{sha256[:16]}.zip"


def _download(wanted: Path) -> str:
    """Download the archive, keep it under its checksum, and return that."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as unfinished:
        part = Path(unfinished) / "archive.zip"
        for attempt in range(ATTEMPTS):
            try:
                time.sleep(PAUSE if attempt else 0)
                pooch.HTTPDownloader(progressbar=True, timeout=30)(URL, str(part), None)
                # A zip's directory stands at its end, so a download cut short has none.
                if not zipfile.is_zipfile(part):
                    raise OSError("cut short, or not a zip file")
                break
            except OSError as error:  # requests' errors are OSErrors
                failure = error
        else:
            raise ConnectionError(
                f"{URL} could not be downloaded ({textwrap.shorten(str(failure), 120)}): look to "
                f"the network and try again, put a copy at {wanted}, or give the path of a copy "
                "as the data."
            ) from failure
        served = pooch.file_hash(str(part))
        os.replace(part, _kept_as(served))
    return served
