"""Cross-validation, the full protocol, and the statistics of its scores.

======================  ==========================================================================
``cross_validate``      any estimators on any splits: scores and predictions, every fit kept
``fit_and_score``       one of its fits
``protocol``            the full protocol: its models, splits and tables
``benchmark``           anybody's predictions, beside the protocol's models
``compare``             two models on the same folds: intervals and probabilities
======================  ==========================================================================
"""

from . import protocol
from .benchmark import benchmark
from .cross_validation import Results, cross_validate, fit_and_score, split_table
from .statistics import Comparison, compare
