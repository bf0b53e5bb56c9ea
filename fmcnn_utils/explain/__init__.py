"""Explanations: which points of a spectrum matter to FMCNN, and whether that can be believed.

======================  ==========================================================================
``deconvolve``          the paper's deconvolution network
``attribute``           importance of each point by one of ``METHODS``; ``centres`` of a layer
``metrics``             measures of whether an importance shows what the network uses
``summary``             of the tests of all methods, which ``scripts/explanations.py`` runs
``never_trained``       a network with random weights; ``untrained`` compares deconvolutions
``band_agreement``      importance against the formulas' groups of atoms; ``highest_point``
``insert_peaks``        spectra in which the peak that decides is known
======================  ==========================================================================
"""

from . import metrics
from .attribution import METHODS, attribute, centres
from .deconvolution import deconvolve
from .experiments import (
    LAYERS,
    SHOWN_TESTS,
    band_agreement,
    highest_point,
    insert_peaks,
    never_trained,
    summary,
    untrained,
)
