"""Cross-validation, the full protocol, and the statistics of its scores.

======================  ==========================================================================
``cross_validate``      any estimators on any splits: scores and predictions, every fit kept
``fit_and_score``       one of its fits
``protocol``            the full protocol: its models and splits
``benchmark``           anybody's predictions, beside the protocol's models
``compare``             two models on the same folds: intervals and probabilities
======================  ==========================================================================
"""

from . import protocol
from .comparison import Comparison, benchmark, compare
from .cross_validation import Results, cross_validate, fit_and_score, split_table
