"""The house style of the figures: units, colours that survive grey print, alt text."""

from __future__ import annotations

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import display
from matplotlib.figure import Figure

SHIFT = "Raman shift (cm⁻¹)"
INTENSITY = "Intensity (a.u.)"

#: Okabe and Ito's palette, which readers with any common colour vision can tell apart, ordered so
#: that neighbours also differ in lightness (https://jfly.uni-koeln.de/color/).
PALETTE = ["#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7"]
#: One colour and one marker per model, the same in every figure.
MODEL_STYLES = {
    "FMCNN": (PALETTE[0], "o"),
    "SVM": (PALETTE[4], "s"),
    "KNN": (PALETTE[5], "^"),
    "RF": (PALETTE[1], "D"),
    "LDA": (PALETTE[2], "v"),
}


def style() -> None:
    """Set the house style for the figures that follow."""
    sns.set_theme(context="notebook", style="ticks", palette=PALETTE)
    plt.rcParams.update(
        {
            "figure.figsize": (9, 3.6),
            "figure.dpi": 80,
            "savefig.bbox": "tight",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "lines.linewidth": 1.2,
        }
    )


def show(fig: Figure, alt: str) -> None:
    """Display a figure with its alt text, and close it.

    Args:
        fig: the figure.
        alt: what a reader who cannot see it needs to know: what is drawn and what it shows.
    """
    display(fig, metadata={"image/png": {"alt": alt}})
    plt.close(fig)
