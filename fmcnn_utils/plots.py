"""The style of the figures, and those that are drawn in more than one place.

A figure that a single notebook shows is drawn there, in a folded cell. Each function here draws
from tables and arrays and returns a matplotlib figure; ``scripts/figures.py`` makes the kept ones.
"""

from __future__ import annotations

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
import seaborn as sns
from IPython.display import Image, display
from matplotlib.figure import Figure

from . import results
from .data.spectra import Spectra, normalise

SHIFT = "Raman shift (cm⁻¹)"
SCALED = "Scaled to 0…1"

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
    "FMCNN + library": (PALETTE[6], "P"),
}
#: Where a figure's legend stands: below all axes, off the data.
BELOW = {"loc": "outside lower center", "fontsize": 10}
#: Kinds of split, as they stand in the tables and in titles.
SPLITS = {"random": "split at random", "specimen": "by specimen"}


def style() -> None:
    """Set the style of the figures that follow."""
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
            "figure.constrained_layout.wspace": 0.06,
        }
    )


def png(fig: Figure) -> bytes:
    """A figure as a PNG of 64 colours, sharp on a screen of twice the usual points; closes it.

    Lines and areas look the same as with all colours, and take a third of the bytes.
    """
    drawn, file = BytesIO(), BytesIO()
    fig.savefig(drawn, format="png", dpi=2 * fig.dpi)
    plt.close(fig)
    PIL.Image.open(drawn).convert("RGB").quantize(64).save(file, format="png", optimize=True)
    return file.getvalue()


def show(fig: Figure | bytes, number: str, caption: str) -> None:
    """Display a figure, or a PNG, above its caption, which is its alt text, too; closes it.

    The number is of the notebook and of the figure in it, such as "4.2". The caption says what is
    drawn, what each mark means, and what it shows.
    """
    image = fig if isinstance(fig, bytes) else png(fig)
    display(Image(image, format="png", retina=True, alt=caption))
    html = f'<p class="figure-caption"><b>Figure {number}.</b> {caption}</p>'
    display({"text/html": html, "text/plain": f"Figure {number}. {caption}"}, raw=True)


def show_kept(name: str, number: str, caption: str) -> None:
    """Display ``figures/NAME.png``, made from RRUFF; FileNotFoundError with the command for it."""
    path = results.FIGURES / f"{name}.png"
    if not path.exists():
        raise FileNotFoundError(
            f"figures/{name}.png is missing: `{results.made_by(name)}` makes it"
        )
    show(path.read_bytes(), number, caption)


def class_sizes(spectra: Spectra) -> Figure:
    """Number of spectra of each mineral, and of specimens."""
    sizes = spectra.meta["mineral"].value_counts()
    specimens = spectra.meta.groupby("mineral")["specimen"].nunique()
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.stairs(sizes, fill=True)
    left.set(xlabel="Mineral, by number of spectra", ylabel="Spectra", title="Spectra per mineral")
    right.bar(*np.unique(specimens, return_counts=True))
    right.set(xlabel="Specimens", ylabel="Minerals", title="Specimens per mineral")
    right.xaxis.get_major_locator().set_params(integer=True)
    return fig


def variation(spectra: Spectra, mineral: str) -> Figure:
    """All spectra of a mineral, and their median with a 10th to 90th percentile band (Figure 1)."""
    scaled = normalise(spectra.X[spectra.minerals == mineral])
    low, middle, high = np.percentile(scaled, [10, 50, 90], axis=0)
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    top.plot(spectra.grid, scaled.T, color=PALETTE[0], alpha=0.25, linewidth=0.6)
    top.set(ylabel=SCALED, title=f"{mineral}: {len(scaled)} spectra · {spectra.source}")
    bottom.fill_between(spectra.grid, low, high, alpha=0.3, label="10th to 90th percentile")
    bottom.plot(spectra.grid, middle, label="median")
    bottom.set(xlabel=SHIFT, ylabel=SCALED)
    bottom.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return fig


def training_curves(history: pd.DataFrame, taken: int, source: str) -> Figure:
    """Loss and accuracy of one training, epoch by epoch, of the spectra of ``source``.

    ``history`` has ``epoch``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and, where it
    was noted, ``test_accuracy``; ``taken`` is the epoch that early stopping takes.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
    for prefix, line, label in (
        ("", "-o", "fitted on"),
        ("val_", "--s", "validation split"),
        ("test_", ":^", "test fold"),
    ):
        for ax, name in ((left, "loss"), (right, "accuracy")):
            if prefix + name in history:
                ax.plot(history["epoch"], history[prefix + name], line, ms=4, label=label)
    for ax in (left, right):
        ax.axvline(taken, color="0.5", linewidth=1, label="epoch that early stopping takes")
    left.set(xlabel="Epoch", ylabel="Loss (log scale)", yscale="log")
    right.set(xlabel="Epoch", ylabel="Accuracy")
    right.set_ylim(min(0.9, history["val_accuracy"].iloc[-1] - 0.05), 1.005)
    fig.legend(*right.get_legend_handles_labels(), ncols=4, **BELOW)
    fig.suptitle(source)
    return fig


def errors(table: pd.DataFrame) -> Figure:
    """Errors of the models under both kinds of split, from ``report.error_table``."""
    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    colours = [PALETTE[3], PALETTE[4]]
    (100 * table).plot.bar(ax=ax, rot=0, edgecolor="k", color=colours, width=0.8, legend=False)
    plt.setp(ax.containers[1], hatch="//")
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.1f", fontsize=10, padding=2)
    title = "RRUFF, tuned models, the same test spectra"
    ax.set(ylabel="Errors (% of tests)", title=title, xlabel="")
    fig.legend(ncols=2, **BELOW)
    return fig


def returned_signals(grid, upper, lower, titles, labels, source: str, mark=None) -> Figure:
    """Spectra or signals, and below each one a signal; two such pairs in a row (Figure 5).

    ``upper`` and ``lower`` are (n, points), each drawn over its largest size; ``titles`` are of the
    pairs, ``labels`` of the upper and the lower ones, and ``source`` says what networks and spectra
    these are. ``mark(ax, i)`` may add what is known of a spectrum, with labels.
    """
    rows = 2 * ((len(titles) + 1) // 2)
    size = {"figsize": (9, 1.9 * rows), "sharex": True, "layout": "constrained"}
    fig, axes = plt.subplots(rows, 2, **size)
    for ax in axes[:, 1][-2:] if len(titles) % 2 else ():
        ax.remove()
    for i, title in enumerate(titles):
        pair = axes[i // 2 * 2 : i // 2 * 2 + 2, i % 2]
        for ax, signals, label, colour in zip(
            pair, (upper, lower), labels, (PALETTE[0], PALETTE[4]), strict=True
        ):
            if mark is not None:
                mark(ax, i)
            ax.plot(grid, signals[i] / np.abs(signals[i]).max(), color=colour, label=label)
            ax.set_yticks([0, 1] if signals[i].min() >= 0 else [-1, 0, 1])
        pair[0].set_title(title, fontsize=11, pad=10)
    plt.setp(axes[-1], xlabel=SHIFT)
    marks = {}
    for ax in axes[:2, 0]:
        handles, names = ax.get_legend_handles_labels()
        marks |= dict(zip(names, handles, strict=True))
    fig.legend(marks.values(), marks, loc="outside lower center", ncols=4, fontsize=9)
    fig.suptitle(source, fontsize=11)
    return fig


def test_results(tests: pd.DataFrame, names, methods) -> Figure:
    """Four tests of explanations, of ``attribution.csv``: a bar per method, ± sd over the folds.

    ``names`` are the tests, ``methods`` the rows; the deconvolution is hatched, the spectrum a
    dotted line.
    """
    folds = tests.groupby(["test", "method"])["value"].agg(["mean", "std"])
    methods = list(methods)
    size = {"figsize": (9, 0.8 + 0.55 * len(methods)), "layout": "constrained"}
    fig, axes = plt.subplots(2, 2, sharex=True, sharey=True, **size)
    for ax, test in zip(axes.flat, names, strict=True):
        own = folds.loc[test].reindex(methods)
        bars = ax.barh(methods, own["mean"], xerr=own["std"], color=PALETTE[3], ec="k")
        bars[methods.index("deconvolution")].set(facecolor=PALETTE[4], hatch="//")
        itself = ax.axvline(own.loc["spectrum", "mean"], color="k", linestyle=":")
        ax.axvline(0, color="k", linewidth=0.8)
        ax.set_title(test, fontsize=11)
        ax.tick_params(labelsize=9)
    lowest = (folds["mean"] - folds["std"]).loc[list(names)].min()
    axes[0, 0].set_xlim(min(0, 1.1 * lowest), 1.05)
    axes[0, 0].invert_yaxis()
    marks = {"deconvolution": bars[methods.index("deconvolution")], "other methods": bars[-1]}
    marks |= {"value of the spectrum": itself, "± sd over the folds": bars.errorbar}
    fig.legend(marks.values(), marks, loc="outside lower center", ncols=4, fontsize=9)
    fig.suptitle(f"RRUFF, {tests['fold'].nunique()} folds", fontsize=11)
    return fig


def sweep(table: pd.DataFrame, number: str, against: list[str], parameters: list[str]) -> Figure:
    """A number against one parameter (lines), or two (heat maps): mean ± sd over a setting's runs.

    ``table`` has a row per run of the sweep, ``parameters`` are those with several values. What is
    ``against`` may also be a number that was measured. The other parameters part lines and panels.
    """
    others = [name for name in parameters if name not in against]
    if len(against) == 1:
        # A parameter that not all runs have says where on the axis they are.
        others = [name for name in others if table[name].notna().all()]
        hue, column = [*sorted(others, key=table.nunique().get, reverse=True), None, None][:2]
        means = table
        if against[0] not in parameters:  # a measured number: its mean over the runs, too
            at = table.groupby(parameters, dropna=False)[against[0]].transform("mean")
            means = table.assign(**{against[0]: at})
        look = {"errorbar": "sd", "err_style": "bars", "markers": True, "height": 3.4}
        apart = {"hue": hue, "style": hue, "col": column, "aspect": 1.25, **look}
        return sns.relplot(means, x=against[0], y=number, kind="line", **apart).figure
    panels = _panels(table, others)
    size = {"figsize": (4.4 * max(len(panels), 1.2), 3.6), "layout": "constrained"}
    fig, axes = plt.subplots(1, len(panels), squeeze=False, **size)
    scale = {"vmin": table[number].min(), "vmax": table[number].max(), "cmap": "viridis"}
    for ax, (title, part) in zip(axes.flat, panels.items(), strict=True):
        cells = part.pivot_table(number, *against[::-1], aggfunc=["mean", "std"], dropna=False)
        text = cells["mean"].map("{:.3f}".format) + cells["std"].map("\n± {:.3f}".format)
        text = text.where(cells["std"].notna(), cells["mean"].map("{:.3f}".format))
        look = {"annot": text, "fmt": "", "annot_kws": {"size": 9}, "cbar": ax is axes[0, -1]}
        sns.heatmap(cells["mean"], ax=ax, **look, **scale)
        ax.set_title(title)
    fig.suptitle(number)
    return fig


def sweep_cost(
    table: pd.DataFrame, number: str, cost: str, against: list[str], parameters: list[str]
) -> Figure:
    """A number of each setting against what it costs, as means over the runs.

    ``table`` and ``parameters`` as above; ``against``, one or two, are shown as colour and mark.
    """
    panels = _panels(table, [name for name in parameters if name not in against])
    size = {"figsize": (9, 3.8), "sharey": True, "squeeze": False, "layout": "constrained"}
    fig, axes = plt.subplots(1, len(panels), **size)
    for ax, (title, runs) in zip(axes.flat, panels.items(), strict=True):
        found = runs.groupby(against, dropna=False)[[number, cost]].mean().reset_index()
        found = found.astype(dict.fromkeys(against, str))
        look = {"hue": against[0], "style": against[-1], "s": 70, "alpha": 0.8}
        sns.scatterplot(found, x=cost, y=number, ax=ax, legend=ax is axes[0, -1], **look)
        ax.set_title(title)
        ax.xaxis.get_major_locator().set_params(nbins=4)
    sns.move_legend(axes[0, -1], "center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig


def _panels(table: pd.DataFrame, others: list[str]) -> dict[str, pd.DataFrame]:
    """The runs by the values of the other parameters, as the title of each panel."""
    parts = table.groupby(others, dropna=False) if others else [("", table)]
    return {", ".join(map(str, np.atleast_1d(values))): part for values, part in parts}
