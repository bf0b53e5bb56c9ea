"""One door to the spectra."""

from __future__ import annotations

from pathlib import Path

from . import atlas, rruff
from .spectra import Spectra


def load(data: str = "atlas") -> Spectra:
    """All spectra of a source, as measured counts on the common grid, not yet curated.

    Args:
        data: ``"atlas"``, the embedded reconstruction from measured peaks; ``"rruff"``, the
            archive, downloaded on first use; or the path of an archive (zip file or folder).
            One never stands in for another.

    Raises:
        FileNotFoundError, ValueError: with one sentence, for a path that is not an archive.
    """
    if data == "atlas":
        return atlas.load()
    if data == "rruff":
        return rruff.load(rruff.fetch())
    if not Path(data).expanduser().exists():
        raise FileNotFoundError(
            f"{str(data)!r} is no source of spectra: give 'atlas', 'rruff', or the path of an "
            "archive (zip file or folder) that exists"
        )
    return rruff.load(data)
