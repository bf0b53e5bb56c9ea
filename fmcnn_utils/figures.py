"""The house style of the figures: units, colours that survive grey print, alt text."""

from __future__ import annotations

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import Image, display
from matplotlib.figure import Figure

from . import results
from ._io import written_whole
from .spectra import normalise

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


def show(fig: Figure, alt: str, keep_as: str | None = None) -> None:
    """Display a figure with its alt text, and close it.

    Args:
        fig: the figure.
        alt: what a reader who cannot see it needs to know: what is drawn and what it shows.
        keep_as: also write it to ``figures/`` under this name (a headline run's figures).
    """
    if keep_as:
        keep(fig, keep_as)
    display(fig, metadata={"image/png": {"alt": alt}})
    plt.close(fig)


def keep(fig: Figure, name: str) -> None:
    """Write ``figures/NAME.png``."""
    with written_whole(results.FIGURES / f"{name}.png") as part:
        fig.savefig(part, format="png", dpi=100, metadata={"Software": None})


def show_kept(name: str, alt: str) -> None:
    """Display ``figures/NAME.png``, made from the RRUFF archive by a documented command.

    Raises:
        FileNotFoundError: with that command.
    """
    path = results.FIGURES / f"{name}.png"
    if not path.exists():
        raise FileNotFoundError(
            f"figures/{name}.png is missing: `{results.made_by(name)}` makes it"
        )
    display(Image(path), metadata={"image/png": {"alt": alt}})


def reconstruction(real, rebuilt, r2) -> Figure:
    """The best, the median and the worst of rebuilt spectra, over the real ones.

    Args:
        real: the spectra of an archive.
        rebuilt: the same ones from the atlas, in the same order.
        r2: share of each one's variance that is explained, (n,).
    """
    order = r2.argsort()
    rows = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    fig, axes = plt.subplots(3, 1, figsize=(9, 7.5), sharex=True)
    for ax, (which, row) in zip(axes, rows.items(), strict=True):
        for spectra, line, colour in ((real, "-", "0.6"), (rebuilt, "--", PALETTE[4])):
            scaled = normalise(spectra.X[row])
            ax.plot(spectra.grid, scaled, line, color=colour, label=spectra.source)
        ax.set(ylabel="Scaled to 0…1")
        ax.set_title(f"{which}: {real.meta['mineral'][row]}, R² = {r2[row]:.4f}", fontsize=10)
    axes[0].legend()
    axes[-1].set_xlabel(SHIFT)
    return fig


def architecture(model) -> Figure:
    """A Keras model as a row of boxes, after Figure 2 of the paper.

    Args:
        model: a functional model whose only branches are the two expand convolutions.

    Returns:
        The figure: one box per layer with its name and output shape, arrows from the model.
    """
    fig, ax = plt.subplots(figsize=(13, 2.6))
    of_tensor = {id(layer.output): layer.name for layer in model.layers}
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#E8F1F8", "edgecolor": PALETTE[0]}
    arrow = {"arrowstyle": "->", "color": "0.4", "shrinkA": 24, "shrinkB": 24}
    places = {}
    for layer in model.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        sources = [places[of_tensor[id(tensor)]] for tensor in inputs if places]
        column = 1 + max((x for x, _ in sources), default=0)
        row = 0.8 if "expand1" in layer.name else -0.8 if "expand3" in layer.name else 0
        places[layer.name] = column, row
        shape = " × ".join(str(n) for n in layer.output.shape[1:])
        label = f"{layer.name.replace('_', chr(10))}\n{shape}"
        ax.text(column, row, label, ha="center", va="center", fontsize=7.5, bbox=box)
        for source in sources:
            ax.annotate("", places[layer.name], source, arrowprops=arrow, zorder=0)
    ax.set(xlim=(0.4, column + 0.6), ylim=(-1.4, 1.4))
    ax.axis("off")
    return fig
