"""The style of the figures, and the figures that are kept in ``figures/`` and shown in notebooks.

Each function draws from tables and arrays, and returns a matplotlib figure; ``scripts/figures.py``
makes the kept ones.
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

from . import paper, results
from .data.spectra import Spectra, normalise

SHIFT = "Raman shift (cm⁻¹)"
INTENSITY = "Intensity (a.u.)"
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
    """Display a figure above its caption, which is its alt text, too.

    Args:
        fig: the figure, which is closed, or a PNG.
        number: of the notebook and of the figure in it, such as "4.2".
        caption: what is drawn, what each mark means, and what it shows.
    """
    image = fig if isinstance(fig, bytes) else png(fig)
    display(Image(image, format="png", retina=True, alt=caption))
    html = f'<p class="figure-caption"><b>Figure {number}.</b> {caption}</p>'
    display({"text/html": html, "text/plain": f"Figure {number}. {caption}"}, raw=True)


def show_kept(name: str, number: str, caption: str) -> None:
    """Display ``figures/NAME.png``, made from the RRUFF archive by a documented command.

    Raises:
        FileNotFoundError: with that command.
    """
    path = results.FIGURES / f"{name}.png"
    if not path.exists():
        raise FileNotFoundError(
            f"figures/{name}.png is missing: `{results.made_by(name)}` makes it"
        )
    show(path.read_bytes(), number, caption)


# ---------------------------------------------------------------- spectra


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


# ---------------------------------------------------------------- the network and its training


def architecture(model) -> Figure:
    """A Keras model as three rows of boxes, the fire module in the middle (Figure 2 of the paper).

    Args:
        model: a functional model with the layers of ``models.build``, in this order.

    Returns:
        The figure: a box per layer with its name, output shape and weights, arrows from the model.
    """
    fig, ax = plt.subplots(figsize=(9, 5.2), layout="constrained")
    of_tensor, places = {id(layer.output): layer.name for layer in model.layers}, {}
    colours = {"fire module": "#F6D18B", "other layers": "#DCEAF5"}
    rows, row = (0, -2.2, -4.4), 0
    for layer in model.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        sources = [places[of_tensor[id(tensor)]] for tensor in inputs if places]
        column = 1 + max((x for x, _, _ in sources), default=0)
        if layer.name in ("squeeze", "pool"):  # a new row, and the way to it
            row, column = row + 1, 1
            x, y, _ = sources.pop()
            turn = rows[row] + 1.15
            ax.plot([x, x, 1], [y - 0.4, turn, turn], color="0.3", linewidth=1, zorder=0)
            sources = [(1, turn, 0)]
        lane = {"expand1": 0.6, "expand3": -0.6}.get(layer.name.partition("_")[0], 0)
        shape = " × ".join(str(n) for n in layer.output.shape[1:])
        n = layer.count_params()
        lines = [layer.name, shape, f"{n:,} weights"][: 3 if n else 2]
        box = {"facecolor": [*colours.values()][row != 1], "boxstyle": "round,pad=0.4"}
        box |= {"edgecolor": "k", "linewidth": 2 if n else 0.6}
        x, y = column, rows[row] + lane
        ax.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=10, bbox=box)
        half = 8 + 3 * max(map(len, lines))  # width of the box, points
        for x_from, y_from, half_from in sources:
            ends = {"shrinkA": half_from, "shrinkB": half if half_from else 30}
            arrow = {"arrowstyle": "->", "color": "0.3", **ends}
            ax.annotate("", (x, y), (x_from, y_from), arrowprops=arrow, zorder=0)
        places[layer.name] = x, y, half
    for name, colour in colours.items():
        ax.fill_between([], [], color=colour, label=name)
    ax.plot([], [], "k", linewidth=2, label="thick frame: has weights")
    ax.set(xlim=(0.5, 5.5), ylim=(-5, 0.5))
    ax.axis("off")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def training_curves(history: pd.DataFrame, taken: int, source: str) -> Figure:
    """Loss and accuracy of one training, epoch by epoch.

    Args:
        history: ``epoch``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and, where it was
            noted, ``test_accuracy``.
        taken: the epoch that early stopping takes.
        source: where the spectra come from.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
    marks = {
        "": ("-o", "fitted on"),
        "val_": ("--s", "validation split"),
        "test_": (":^", "test fold"),
    }
    for prefix, (line, label) in marks.items():
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


def fmcnn_fits(scores: pd.DataFrame) -> Figure:
    """Chosen epochs and accuracies of FMCNN's fits at random.

    Args:
        scores: rows of ``scores.csv`` of FMCNN, split at random.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
    epochs = scores["epochs"].astype(int)
    left.hist(epochs, bins=np.arange(epochs.min() - 0.5, epochs.max() + 1.5), color=PALETTE[3])
    left.set(xlabel="Epochs of training", ylabel="Fits")
    left.yaxis.get_major_locator().set_params(integer=True)
    share = np.arange(1, len(scores) + 1) / len(scores)
    for column, line, colour, label in (
        ("accuracy", "-", PALETTE[0], "stopped on the validation split"),
        ("best_epoch_accuracy", "--", PALETTE[4], "at the best test epoch"),
    ):
        right.step(np.sort(scores[column]), share, line, where="post", color=colour, label=label)
    right.axvline(paper.FMCNN_ACCURACY, color="k", linestyle=":", label="the paper's 0.988")
    right.set(xlabel="Accuracy on the test fold", ylabel="Share of fits up to it")
    fig.legend(*right.get_legend_handles_labels(), ncols=3, **BELOW)
    fig.suptitle(f"RRUFF, {len(scores)} fits")
    return fig


# ---------------------------------------------------------------- the search


def smallest_as_good(tried: pd.DataFrame) -> pd.Series:
    """Of the networks within 0.5 points of the best at random, the one with the fewest weights."""
    enough = tried[tried["random"] >= tried["random"].max() - 0.005]
    return enough.loc[enough["weights"].idxmin()]


def accuracy_against_weights(tried: pd.DataFrame) -> Figure:
    """Accuracy of every network that the search tried against its weights.

    Args:
        tried: ``search_fmcnn.csv``.
    """
    marked = {
        "best mean of the two": (tried.loc[tried["mean"].idxmax()], "D", PALETTE[1], 9),
        "reported": (tried[tried["chosen"]].iloc[0], "s", PALETTE[0], 9),
        "smallest above the dotted line": (smallest_as_good(tried), "^", "k", 6),
    }
    fig, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained")
    for ax, (kind, title) in zip(axes, SPLITS.items(), strict=True):
        ax.plot(tried["weights"] / 1e6, tried[kind], "o", color="0.6", label="tried")
        for label, (row, marker, colour, size) in marked.items():
            place = row["weights"] / 1e6, row[kind]
            ax.plot(*place, marker, color=colour, ms=size, label=label)
        ax.set(xlabel="Weights (millions)", ylabel="Accuracy", title=f"RRUFF, {title}")
        ax.set_xlim(left=0)
    near = tried["random"].max() - 0.005
    axes[0].axhline(near, color="0.4", linestyle=":", label="0.5 points below the best at random")
    fig.legend(*axes[0].get_legend_handles_labels(), ncols=3, **BELOW)
    return fig


def candidates(searches: dict[str, pd.DataFrame], papers: pd.Series) -> Figure:
    """Every candidate of the search on the line of its model.

    Args:
        searches: name of a model → its ``search_MODEL.csv``.
        papers: score of the paper's setting of the models that have one.
    """
    fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for row, (name, table) in enumerate(searches.items()):
        ax.plot(table["mean"], [row] * len(table), "o", color="0.6", alpha=0.7, label="tried")
        chosen = table.loc[table["chosen"], "mean"]
        ax.plot(chosen, [row], "s", color=PALETTE[0], ms=9, label="chosen")
        ax.plot(papers.get(name, np.nan), row, "kX", ms=8, label="the paper's setting")
    ax.set(yticks=range(len(searches)), yticklabels=searches, ylim=(len(searches) - 0.5, -0.5))
    ax.set(
        xlabel="Accuracy, mean of the two kinds of split", title="RRUFF, the folds of the search"
    )
    handles = (part[:3] for part in ax.get_legend_handles_labels())
    fig.legend(*handles, ncols=3, **BELOW)
    return fig


# ---------------------------------------------------------------- the full protocol


def accuracy_by_class_size(minerals: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Accuracy of every mineral by the number of its spectra, and who makes the errors.

    Args:
        minerals: a row per mineral: ``size`` (categorical) and ``accuracy``.
        sizes: a row per size: ``accuracy``, ``tests`` and ``errors``.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained")
    at = minerals["size"].cat.codes + np.random.default_rng(0).uniform(-0.25, 0.25, len(minerals))
    left.plot(at, minerals["accuracy"], "o", color="0.6", ms=4, alpha=0.7, label="a mineral")
    group = {"color": "k", "ms": 28, "mew": 2.5, "label": "all of a size"}
    left.plot(range(len(sizes)), sizes["accuracy"], "_", **group)
    left.set(xticks=range(len(sizes)), xticklabels=sizes.index, ylabel="Accuracy")
    shares = 100 * sizes[["tests", "errors"]] / sizes[["tests", "errors"]].sum()
    shares = shares.set_axis(["share of the tests", "share of the errors"], axis=1)
    colours = [PALETTE[3], PALETTE[4]]
    shares.plot.bar(ax=right, rot=0, edgecolor="k", color=colours, legend=False)
    plt.setp(right.containers[1], hatch="//")
    right.set(ylabel="Share (%)")
    plt.setp([left, right], xlabel="Spectra of the mineral")
    fig.legend(ncols=4, markerscale=0.6, **BELOW)
    fig.suptitle("RRUFF, split at random")
    return fig


def scaling(steps: pd.DataFrame, stated: pd.DataFrame, fmcnn: float) -> Figure:
    """Accuracy of the baselines on raw counts, min–max scaled and tuned, beside the paper's.

    Args:
        steps: models (rows) by kind of scaling (columns).
        stated: ``paper.table_1()``.
        fmcnn: FMCNN's accuracy.
    """
    fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for name in steps.index:
        colour, marker = MODEL_STYLES[name]
        ax.plot(range(1, 4), steps.loc[name], color=colour, marker=marker, ms=8, label=name)
        derived = stated.loc[name, ["accuracy", "accuracy_if_relative"]]
        ax.plot([0, 0], derived, color=colour, marker=marker, ms=8, mfc="w", linestyle="none")
    ax.plot([], [], "o", color="0.4", ms=8, mfc="w", label="from the paper's text")
    ax.axhline(fmcnn, color=PALETTE[0], linestyle="--", label="FMCNN")
    ax.set(xticks=range(4), xticklabels=["the paper", *steps.columns])
    ax.set(ylabel="Accuracy", title="RRUFF, split at random")
    fig.legend(ncols=5, **BELOW)
    return fig


def repeats(lines: pd.DataFrame, folds: dict[str, np.ndarray]) -> Figure:
    """Mean accuracy of each repeat, as the paper's Figure 4, and every single fit.

    Args:
        lines: repeats (rows) by models (columns).
        folds: model → accuracy of each of its fits.
    """
    size = {"figsize": (8, 7.5), "height_ratios": [2.4, 0.8, 3], "layout": "constrained"}
    fig, (upper, lower, boxes) = plt.subplots(3, 1, **size)
    for ax, apart in ((upper, False), (lower, True)):  # one axis, broken between LDA and the rest
        for name in folds:
            if (name == "LDA") == apart:
                colour, marker = MODEL_STYLES[name]
                ax.plot(lines.index + 1, lines[name], color=colour, marker=marker, label=name)
        ax.set(xlim=(0.5, paper.REPEATS + 0.5), xticks=range(1, paper.REPEATS + 1))
        ax.margins(y=0.3)
    upper.spines["bottom"].set_visible(False)
    upper.tick_params(bottom=False, labelbottom=False)
    cut = {"marker": [(-1, -0.6), (1, 0.6)], "ms": 10, "color": "k", "linestyle": "none"}
    for ax, end in ((upper, 0), (lower, 1)):
        ax.plot(0, end, transform=ax.transAxes, clip_on=False, **cut)
    upper.set(ylabel="Mean of ten folds", title="RRUFF, as the paper's Figure 4 (axis broken)")
    lower.set(xlabel="Repeat")
    drawn = boxes.boxplot(
        list(folds.values()),
        orientation="horizontal",
        tick_labels=list(folds),
        showmeans=True,
        widths=0.6,
        medianprops={"color": PALETTE[4], "linewidth": 2},
        meanprops={"mfc": "k", "mec": "k"},
        flierprops={"ms": 5},
    )
    boxes.invert_yaxis()
    boxes.set(xlabel="Accuracy of one fold", title="RRUFF, every fit")
    drawn["boxes"][0].set_label("box: middle half of the fits")
    for part, label in (("medians", "median"), ("means", "mean"), ("fliers", "far from the box")):
        drawn[part][0].set_label(label)
    fig.legend(ncols=5, **BELOW)
    return fig


def paired_differences(differences: dict[str, dict]) -> Figure:
    """FMCNN minus each rival: a dot per fold, the mean and its corrected 95% interval.

    Args:
        differences: kind of split → rival → difference of each fold, and the ``Comparison``.
    """
    fig, axes = _rivals(differences)
    for ax, rivals in zip(axes, differences.values(), strict=True):
        ax.axvspan(-0.5, 0.5, color="0.88", label="practically equal")
        ax.axvline(0, color="0.5", linewidth=1)
        for row, (folds, test) in enumerate(rivals.values()):
            spread = row + np.random.default_rng(0).uniform(-0.25, 0.25, len(folds))
            ax.plot(100 * folds, spread, "o", color=PALETTE[3], ms=4, alpha=0.6, label="a fold")
            interval, mean = [100 * test.low, 100 * test.high], 100 * test.difference
            ax.plot(interval, [row, row], "k-", linewidth=2.5, label="corrected 95 % interval")
            ax.plot(mean, row, "D", color=PALETTE[1], mec="k", ms=7, label="mean")
    axes[1].set_xlabel("FMCNN − rival (points of accuracy)")
    fig.legend(*(part[:4] for part in ax.get_legend_handles_labels()), ncols=4, **BELOW)
    return fig


def verdicts(differences: dict[str, dict]) -> Figure:
    """How probable it is that FMCNN is worse than each rival, practically equal, or better.

    Args:
        differences: as above.
    """
    kinds = {"worse": (PALETTE[4], "//"), "equal": ("0.88", None), "better": (PALETTE[3], "..")}
    labels = ("worse by more than ½ point", "practically equal", "better by more than ½ point")
    fig, axes = _rivals(differences)
    for ax, rivals in zip(axes, differences.values(), strict=True):
        left = np.zeros(len(rivals))
        for (kind, (colour, hatch)), label in zip(kinds.items(), labels, strict=True):
            share = np.array([100 * getattr(test, kind) for _, test in rivals.values()])
            look = {"color": colour, "hatch": hatch, "edgecolor": "k", "label": label}
            bars = ax.barh(range(len(rivals)), share, left=left, height=0.7, **look)
            shown = [f"{size:.0f}" if size >= 4 else "" for size in share]
            patch = {"facecolor": "w", "edgecolor": "none", "pad": 1.5}
            ax.bar_label(bars, shown, label_type="center", fontsize=10, bbox=patch)
            left += share
    axes[1].set_xlabel("Probability (%)")
    fig.legend(*ax.get_legend_handles_labels(), ncols=3, **BELOW)
    return fig


def _rivals(differences: dict[str, dict]):
    """A figure with a panel for each kind of split, and a row in it for each rival."""
    fig, axes = plt.subplots(2, 1, figsize=(8, 6.4), sharex=True, layout="constrained")
    for ax, (kind, rivals) in zip(axes, differences.items(), strict=True):
        names = [r if r.endswith("tuned") else f"{r}, paper's settings" for r in rivals]
        ax.set(yticks=range(len(rivals)), yticklabels=names, ylim=(len(rivals) - 0.5, -0.5))
        ax.set_title(f"RRUFF, {SPLITS[kind]}")
    return fig, axes


def errors(table: pd.DataFrame) -> Figure:
    """Errors of the models under both kinds of split.

    Args:
        table: models (rows) by kind of split (two columns), shares of the test spectra.
    """
    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    colours = [PALETTE[3], PALETTE[4]]
    (100 * table).plot.bar(ax=ax, rot=0, edgecolor="k", color=colours, width=0.8, legend=False)
    plt.setp(ax.containers[1], hatch="//")
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.1f", fontsize=10, padding=2)
    ax.set(ylabel="Errors (% of test spectra)", title="RRUFF, tuned models", xlabel="")
    fig.legend(ncols=2, **BELOW)
    return fig


# ---------------------------------------------------------------- explanations


def returned_signals(
    grid, upper: np.ndarray, lower: np.ndarray, titles, labels, source: str, mark=None
) -> Figure:
    """Spectra or signals, and below each one a signal; two such pairs in a row (Figure 5).

    Args:
        grid: Raman shift, (points,).
        upper: (n, points), each scaled to its largest size.
        lower: the same.
        titles: of the pairs.
        labels: of the upper and the lower ones.
        source: what networks and spectra these are.
        mark: called as ``mark(ax, i)`` to add what is known of a spectrum, with labels.
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


def attributions(grid, spectrum, importances: dict[str, np.ndarray], title: str) -> Figure:
    """A spectrum and the importance of its points, a row per method.

    Args:
        grid: Raman shift, (points,).
        spectrum: as the network sees it, (points,).
        importances: method → (points,).
        title: of the figure.
    """
    rows = len(importances)
    size = {"figsize": (9, 1.1 * rows), "sharex": True, "layout": "constrained"}
    fig, axes = plt.subplots(rows, 1, **size)
    for ax, (method, importance) in zip(axes, importances.items(), strict=True):
        size = np.abs(importance).max() or 1  # Grad-CAM may have nothing to show
        ax.fill_between(grid, importance / size, color=PALETTE[4], label="importance")
        ax.plot(grid, spectrum, color="0.4", linewidth=0.8, label="√ spectrum")
        ax.set_yticks([])
        ax.set_ylabel(
            method.replace(" gradients", "\ngradients"), rotation=0, ha="right", va="center"
        )
    axes[-1].set_xlabel(SHIFT)
    handles = axes[0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=2, fontsize=9)
    fig.suptitle(title, fontsize=11)
    return fig


def test_results(tests: pd.DataFrame, names, methods) -> Figure:
    """Four tests of explanations: a bar per method, with the spread over the folds.

    Args:
        tests: ``attribution.csv``.
        names: of the tests.
        methods: rows of the figure; the deconvolution is hatched, the spectrum a dotted line.
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


# ---------------------------------------------------------------- sweeps


def sweep(table: pd.DataFrame, number: str, against: list[str], parameters: list[str]) -> Figure:
    """A number against one parameter (lines), or two (heat maps), over the runs of a sweep.

    Args:
        table: a row per run, with parameters and numbers as columns.
        number: what to draw: its mean over the runs of a setting, and the standard deviation.
        against: one or two parameters; one may be a number that was measured.
        parameters: all parameters with several values: the others part lines and panels.
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
        grid = sns.relplot(
            means, x=against[0], y=number, hue=hue, style=hue, col=column,
            kind="line", errorbar="sd", err_style="bars", markers=True, height=3.4, aspect=1.25,
        )  # fmt: skip
        return grid.figure
    panels = list(table.groupby(others, dropna=False)) if others else [("", table)]
    size = {"figsize": (4.4 * max(len(panels), 1.2), 3.6), "layout": "constrained"}
    fig, axes = plt.subplots(1, len(panels), squeeze=False, **size)
    scale = {"vmin": table[number].min(), "vmax": table[number].max(), "cmap": "viridis"}
    for ax, (values, part) in zip(axes.flat, panels, strict=True):
        cells = part.pivot_table(number, *against[::-1], aggfunc=["mean", "std"], dropna=False)
        text = cells["mean"].map("{:.3f}".format) + cells["std"].map("\n± {:.3f}".format)
        text = text.where(cells["std"].notna(), cells["mean"].map("{:.3f}".format))
        look = {"annot": text, "fmt": "", "annot_kws": {"size": 9}, "cbar": ax is axes[0, -1]}
        sns.heatmap(cells["mean"], ax=ax, **look, **scale)
        ax.set_title(", ".join(map(str, np.atleast_1d(values))))
    fig.suptitle(number)
    return fig


def sweep_cost(
    table: pd.DataFrame, number: str, cost: str, against: list[str], parameters: list[str]
) -> Figure:
    """A number of each setting against what it costs: means over the runs, bars for the spread.

    Args:
        table: a row per run, with parameters and numbers as columns.
        number: on the upright axis.
        cost: on the other one.
        against: one or two parameters, shown as colour and as kind of mark.
        parameters: all that have several values; those not in ``against`` part the panels.
    """
    others = [name for name in parameters if name not in against]
    panels = list(table.groupby(others, dropna=False)) if others else [("", table)]
    size = {"figsize": (9, 3.8), "sharey": True, "squeeze": False, "layout": "constrained"}
    fig, axes = plt.subplots(1, len(panels), **size)
    for ax, (values, runs) in zip(axes.flat, panels, strict=True):
        found = runs.groupby(against, dropna=False)[[number, cost]].agg(["mean", "std"])
        spread = found[number, "std"].to_numpy()
        found = found.xs("mean", axis=1, level=1).reset_index().astype(dict.fromkeys(against, str))
        ax.errorbar(found[cost], found[number], spread, fmt="none", ecolor="0.6", capsize=2)
        look = {"hue": against[0], "style": against[-1], "s": 70, "zorder": 3}
        sns.scatterplot(found, x=cost, y=number, ax=ax, legend=ax is axes[0, -1], **look)
        ax.set_title(", ".join(map(str, np.atleast_1d(values))))
        ax.xaxis.get_major_locator().set_params(nbins=4)
    sns.move_legend(axes[0, -1], "center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig
