"""Models: scikit-learn estimators from raw counts (n, 1360) to mineral names.

======================  ==========================================================================
``FMCNNClassifier``     the paper's network
``RobustFMCNN``         the network behind ``identify``: larger, and trained on changed spectra
``LibraryFMCNN``        such a network and a search in its training spectra, together
``Library``             spectra with names, searched by similarity
``baseline``            the classifiers that it is compared with
``build``, ``train``    the Keras model inside, and its training
``load_pretrained``     the network that comes with the code
======================  ==========================================================================
"""

from .classifier import CLASSIFIERS, FMCNNClassifier, baseline
from .library import Library
from .robust import LibraryFMCNN, RobustFMCNN, load_pretrained

_OF_KERAS = ("TestAccuracy", "build", "keras", "tf", "train")


def __getattr__(name: str):
    """TensorFlow starts when something of it is first asked for."""
    if name in _OF_KERAS:
        from . import fmcnn

        return getattr(fmcnn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
