"""What became of the paper's claims, from ``results/rruff`` and ``paper`` and nothing else.

A verdict is chosen by the numbers beside it: other kept tables give other words.
"""

from __future__ import annotations

import pandas as pd

from . import paper, report, results
from .evaluation import protocol

COLUMNS = ["about", "claim", "where", "measured", "verdict", "notebook"]


def table() -> pd.DataFrame:
    """The paper's claims beside what was measured.

    Returns:
        One row per claim: ``about`` (``data``, ``accuracy``, ``network``, ``picture`` or
        ``beyond``), ``claim``, ``where`` in the paper, ``measured``, ``verdict``, and the number of
        the ``notebook`` that shows it; all are texts.

    Raises:
        FileNotFoundError: for a kept table that is missing, with the command that makes it.
    """
    scores = results.read("scores")
    rows = [*_data(), *_accuracy(scores), *_network(scores), *_picture(), *_beyond(scores)]
    return pd.DataFrame(rows, columns=COLUMNS)


def markdown(folder: str = "notebooks/") -> str:
    """The scoreboard as a Markdown table; the claim and its place in the paper share a column.

    Args:
        folder: where the notebooks lie, seen from the page that shows the table.
    """
    lines = ["| the paper claims | measured on RRUFF | verdict | shown in |", "|---|---|---|---|"]
    for row in table().itertuples():
        (path,) = (results.ROOT / "notebooks").glob(f"{row.notebook}_*.ipynb")
        where = f" <br>*{row.where}*" if row.where else ""
        link = f"[{row.notebook}]({folder}{path.name})"
        lines.append(f"| {row.claim}{where} | {row.measured} | **{row.verdict}** | {link} |")
    return "\n".join(lines)


def _data() -> list[tuple]:
    steps = results.read("reconciliation").set_index("step")[["spectra", "minerals"]]
    first, last = steps.iloc[0], steps.iloc[-1]
    variants = results.read("variants")
    closest = variants.iloc[0]
    counts = paper.ARCHIVE_SPECTRA, paper.ARCHIVE_MINERALS
    curated = paper.CURATED_SPECTRA, paper.CURATED_MINERALS
    reached = (variants[["spectra", "minerals"]] == curated).all(axis=1).any()
    return [
        (
            "data",
            f"{counts[0]:,} spectra of {counts[1]} minerals in the archive",
            "Dataset Description",
            f"{first['spectra']:,} of {first['minerals']}",
            "holds" if tuple(first) == counts else "does not hold",
            "01",
        ),
        (
            "data",
            f"{curated[0]:,} spectra of {curated[1]} minerals after curation",
            "Dataset Description",
            f"{last['spectra']:,} of {last['minerals']} by the rules as they are written; "
            f"{closest['spectra']:,} of {closest['minerals']} by the closest of "
            f"{len(variants)} variants",
            "reached by a variant" if reached else "not reached by any variant",
            "01",
        ),
    ]


def _accuracy(scores: pd.DataFrame) -> list[tuple]:
    random = protocol.summary(scores)
    fmcnn, lines = random.loc["FMCNN", "accuracy"], protocol.per_repeat(scores)
    papers = lines[list(protocol.AS_IN_PAPER)]
    won, repeats = (papers.idxmax(axis=1) == "FMCNN").sum(), len(papers)
    rivals = [name for name in protocol.AS_IN_PAPER if name != "FMCNN"]
    best = random.loc[[protocol.tuned(name) for name in rivals], "accuracy"]
    svm, tuned = (report.difference(scores, name, "random")[1] for name in ("SVM", "SVM tuned"))
    lda = {name: 100 * (fmcnn - random.loc[name, "accuracy"]) for name in _LDA}
    said, off = f"{100 * paper.GAIN_OVER_LDA:.0f}", 100 * paper.GAIN_OVER_LDA
    matching = [kind for name, kind in _LDA.items() if abs(lda[name] - off) < 2]
    spread = papers.std()
    sizes = random.loc["FMCNN"], scores[scores["protocol"] == "random"]["n_classes"].max()
    return [
        (
            "accuracy",
            f"{paper.FMCNN_ACCURACY} in 10 × 10-fold cross-validation",
            "Abstract; Evaluation Protocol",
            f"{report.mean_and_sd(random, 'FMCNN')}, {sizes[1]} minerals",
            "holds" if abs(fmcnn - paper.FMCNN_ACCURACY) < 0.003 else "does not hold",
            "03",
        ),
        (
            "accuracy",
            "the best of five models",
            "on Table I",
            f"best in {won} of {repeats} repeats at the paper's settings; "
            f"{best.idxmax()} {best.max():.3f}",
            "holds"
            if svm.low > 0 and best.max() < fmcnn
            else "not shown: level with SVM" + (", behind SVM tuned" if tuned.high < 0 else ""),
            "04",
        ),
        (
            "accuracy",
            f"+{100 * paper.GAIN_OVER_SVM:.1f} % over SVM",
            "on Table I",
            f"{_points(svm)} at the paper's settings; {_points(tuned)} over SVM tuned",
            "holds" if svm.low <= paper.GAIN_OVER_SVM <= svm.high else "does not hold",
            "04",
        ),
        (
            "accuracy",
            f"+{said} % over LDA",
            "on Table I",
            "; ".join(f"{lda[name]:+.1f} points {kind}" for name, kind in _LDA.items()),
            f"only {' and '.join(matching)}" if matching else "does not hold",
            "04",
        ),
        (
            "accuracy",
            "stable over ten repeats",
            "on Figure 4",
            f"standard deviation over repeats {spread['FMCNN']:.4f}; "
            f"the four others {spread[rivals].min():.4f} to {spread[rivals].max():.4f}",
            ("true" if spread["FMCNN"] < 0.005 else "does not hold")
            + (", but the least so of the five" if spread.idxmax() == "FMCNN" else ""),
            "04",
        ),
    ]


_LDA = {"LDA raw": "on raw counts", "LDA": "on min–max", "LDA tuned": "over LDA tuned"}


def _points(test) -> str:
    """A difference in points of accuracy, with its 95 % interval."""
    low, high = (f"{100 * end:+.2f}".replace("-", "−") for end in (test.low, test.high))
    middle = f"{100 * test.difference:+.2f}".replace("-", "−")
    return f"{middle} points (95 %: {low} to {high})"


def _network(scores: pd.DataFrame) -> list[tuple]:
    tried = results.read("search_fmcnn")
    weights = tried.loc[tried["chosen"], "weights"].iloc[0]
    classes = scores.query("protocol == 'random'")["n_classes"].max()
    linear = (paper.POINTS + 1) * classes
    return [
        (
            "network",
            "lightweight",
            "Abstract",
            f"{weights:,.0f} weights; a linear classifier of the {paper.POINTS:,} points has "
            f"{linear:,}",
            "holds" if weights < linear / 2 else "as large as a linear classifier",
            "02",
        )
    ]


def _picture() -> list[tuple]:
    mean = results.read("attribution").groupby(["test", "method"])["value"].mean().unstack()
    precise, between = mean.loc["precision at strong peaks"], mean.loc["importance between peaks"]
    own, hits = mean.loc["distinctive over shared"], mean.loc["inserted peak hit rate"]
    softmax = mean.loc["softmax re-initialised", "deconvolution"]
    strong = precise["deconvolution"] > mean.loc["precision at strong peaks", "random"] + 0.2
    found = hits["deconvolution"]
    returned = results.read("deconvolution").query("layer == 'pool' and network == 'trained'")
    quiet = returned["background"].iloc[0]
    return [
        (
            "picture",
            "“strong highlights at strong Raman-peak regions”",
            "on Figure 5",
            f"of the tenth of the axis that it puts highest, {precise['deconvolution']:.2f} holds "
            f"a strong peak; by chance {precise['random']:.2f}, by the spectrum's own height "
            f"{precise['spectrum']:.2f}",
            ("true" if strong else "does not hold")
            + (", but the spectrum does better" if precise.idxmax() == "spectrum" else ""),
            "06",
        ),
        (
            "picture",
            "“near-zero values … at the background level region”",
            "on Figure 5",
            f"far from all peaks, {between['deconvolution']:.2f} of its highest on average (the "
            f"spectrum {between['spectrum']:.2f}); but {quiet:.2f} of the squared signal lies "
            "where the spectrum is below a tenth of its highest band",
            "does not hold"
            if between["deconvolution"] > 0.1
            else "only far from all peaks"
            if quiet > 0.1
            else "holds",
            "06",
        ),
        (
            "picture",
            "a band that other minerals share is small, one of its own large",
            "on Figure 5",
            f"its own ranks above a shared one of the same height in {own['deconvolution']:.2f} "
            "of pairs; by chance 0.50, by what the network loses "
            f"{own['network, zero-filled']:.2f}",
            "holds" if own["deconvolution"] > 0.6 else "no more than by chance",
            "06",
        ),
        (
            "picture",
            "it “can help identify key Raman bands”",
            "Conclusions",
            f"finds {found:.2f} of the inserted peaks that decide the answer; integrated gradients "
            f"{hits['integrated gradients']:.2f}, the spectrum {hits['spectrum']:.2f}",
            "holds" if found > 0.9 else f"for {100 * found:.0f} % of them; other methods find more",
            "06",
        ),
        (
            "picture",
            "it can “ensure the reliability of the classification”",
            "Conclusions",
            f"rank correlation of the picture before and after a new last layer: {softmax:.2f}, by "
            "construction",
            "no: the same picture for any answer" if softmax > 0.99 else "not settled",
            "06",
        ),
    ]


def _beyond(scores: pd.DataFrame) -> list[tuple]:
    random, summary = (protocol.summary(scores, kind) for kind in protocol.PROTOCOLS)
    minerals = scores.query("protocol == 'specimen'")["n_classes"].max()
    names = [protocol.tuned(name) for name in protocol.AS_IN_PAPER]
    tuned = summary.loc[names, "accuracy"]
    first, more = tuned.idxmax(), (tuned < random.loc[names, "accuracy"]).all()
    beyond = results.read("beyond_scores")
    (better,) = beyond["model"].unique()
    both = protocol.summary(pd.concat([scores, beyond]), "specimen")
    ahead = both.loc[better, "accuracy"] > tuned[first]
    return [
        (
            "beyond",
            "(not asked) specimens that the model has never seen",
            "",
            f"FMCNN {report.mean_and_sd(summary, 'FMCNN')}; {first} "
            f"{report.mean_and_sd(summary, first)}; {minerals} minerals",
            "every model makes more errors" if more else "not all models make more errors",
            "04",
        ),
        (
            "beyond",
            "(not asked) a better model on new specimens",
            "",
            f"{better} {report.mean_and_sd(both, better)}, on the same folds",
            "ahead of all five" if ahead else "not ahead of all five",
            "10",
        ),
    ]
