"""Spectra: where they come from, which of them are used, and how they are split.

======================  ==========================================================================
``load``                spectra of a source: ``"atlas"``, ``"rruff"``, or a path
``Spectra``             the data type; ``GRID`` is its axis; ``resample``, ``normalise``, ``medoid``
``curation``            ``paper_rule``, ``specimen_rule``, and how the counts compare with the paper
``splits``              ``stratified``, ``by_specimen``, ``limit_training``, ``validation_split``
``peaks``               the peak atlas, and spectra rebuilt from it
``rruff``               the archive: ``fetch``, ``read``; ``manifest`` of the spectra of 2019
``chemistry``           formulas, and which bands belong to which groups of atoms
======================  ==========================================================================
"""

from . import chemistry, curation, peaks, rruff, splits
from .curation import paper_rule, specimen_rule
from .loader import load, load_archive
from .spectra import GRID, INTERPOLATIONS, NORMALISATIONS, Spectra, medoid, normalise, resample
from .splits import Split, by_specimen, limit_training, stratified, validation_split
