"""Name a spectrum: read it, prepare it, ask the network and the library, and say how sure.

======================  ==========================================================================
``identify``            the answer for one spectrum: ``table``, ``verdict``, ``plot()``
``read_spectrum``       a spectrum from a file of any sane form
``upload``              a button that opens a file, for JupyterLab
``prepare``             spikes and background removed, on the common grid
``by_peaks``            search in the library by positions of peaks
``run``                 many files: to the terminal, a CSV, a page
``own_library``         a laboratory's own labelled spectra beside the kept ones
======================  ==========================================================================
"""

from ..data.reader import measured, prepare, read_spectrum
from ..models.library import by_peaks
from .answer import (
    OTHER,
    Calibration,
    Identification,
    Reference,
    identify,
    kept_reference,
    own_library,
)
from .pages import run, upload
