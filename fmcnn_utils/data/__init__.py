"""Spectra: where they come from, which of them are used, and how they are split.

``load`` gives them as ``Spectra`` on ``GRID``; ``curation`` leaves those of the paper; ``splits``
says which train and which test; ``peaks`` is the atlas, ``rruff`` the archive, and ``chemistry``
knows which bands belong to which groups of atoms.
"""

from pathlib import Path

from ..results import UserError
from . import chemistry, curation, peaks, rruff, splits
from .curation import paper_rule, specimen_rule
from .spectra import GRID, INTERPOLATIONS, NORMALISATIONS, Spectra, medoid, normalise, resample
from .splits import Split, by_specimen, limit_training, stratified, validation_split

#: Sources that have a name. To add one: a function that returns ``Spectra``, and a line here.
SOURCES = {"atlas": peaks.load_atlas, "rruff": rruff.load}


def load(data: str | Path = "atlas") -> Spectra:
    """All spectra of a source, as measured counts on the common grid, not yet curated.

    ``data`` is ``"atlas"``, the embedded reconstruction from measured peaks; ``"rruff"``, the
    archive, downloaded on first use; or the path of an archive (zip file or folder): else
    FileNotFoundError or UserError. One never stands in for another.
    """
    if data in SOURCES:
        return SOURCES[data]()
    if not data or not Path(data).expanduser().exists():  # Path("") is the working folder
        raise FileNotFoundError(
            f"{str(data)!r} is no source of spectra: give {', '.join(SOURCES)}, or the path of an "
            "archive (zip file or folder) that exists"
        )
    return rruff.load(data)


def load_archive(data: str | Path = "rruff") -> Spectra:
    """``load``, but not of the atlas: what is kept in ``results/rruff`` comes from the archive."""
    if data == "atlas":
        raise UserError("atlas is not the RRUFF archive: give rruff or the path of an archive")
    return load(data)
