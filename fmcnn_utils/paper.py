"""Every number that the paper states, with the place where it states it.

Guo, Yu, Tian, Lv and Xue, "Raman Spectroscopy Analysis of Minerals Based on Feature
Visualization", Spectroscopy 35(11), 37–46, 2020. The image of its Table I is not in our text.
"""

from __future__ import annotations

import pandas as pd

# Section "Dataset Description"
ARCHIVE_SPECTRA = 3696
ARCHIVE_MINERALS = 222
CURATED_SPECTRA = 3284
CURATED_MINERALS = 196
POINTS = 1360
FIRST_SHIFT, LAST_SHIFT = 150, 1510  # cm⁻¹

# Section "FMCNN Model Architecture"
LEAKY_SLOPE = 0.2

# Section "Model Training"
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-8

# Section "Comparison with Other Methods"
KNN_K = 1
RF_TREES = 500
SVM_C, SVM_GAMMA = 100, 0.0078  # the kernel is linear, and a linear kernel has no gamma

# Section "Evaluation Protocol"
FOLDS, REPEATS = 10, 10

# Abstract, and the prose on Table I
FMCNN_ACCURACY = 0.988
GAIN_OVER_SVM, GAIN_OVER_LDA = 0.024, 0.15

#: Minerals of Figure 1 and Figure 5.
FIGURE_1_MINERAL = "Albite"
FIGURE_5_MINERALS = ("Actinolite", "Adamite", "Witherite", "Zircon")


def table_1() -> pd.DataFrame:
    """Table I, as far as the paper's prose gives it away: a row per model.

    "Improved by 15%" and "improvement is 2.4%" can be read as percentage points, ``accuracy``, or
    as ratios, ``accuracy_if_relative``. ``how`` says how it is known; KNN and RF are missing.
    """
    derived = "derived: FMCNN's accuracy minus the stated gain"
    rows = {
        "FMCNN": (FMCNN_ACCURACY, FMCNN_ACCURACY, "stated in the abstract"),
        "SVM": (FMCNN_ACCURACY - GAIN_OVER_SVM, FMCNN_ACCURACY / (1 + GAIN_OVER_SVM), derived),
        "KNN": (None, None, "not in the text; between SVM and LDA"),
        "RF": (None, None, "not in the text; between SVM and LDA"),
        "LDA": (FMCNN_ACCURACY - GAIN_OVER_LDA, FMCNN_ACCURACY / (1 + GAIN_OVER_LDA), derived),
    }
    columns = ["accuracy", "accuracy_if_relative", "how"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("model")
