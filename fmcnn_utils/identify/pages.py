"""Answers to look at: a figure, a block of HTML, a page of many, the rows of a CSV."""

from __future__ import annotations

import base64
import html
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from .. import plots
from ..data.spectra import GRID
from ..results import UserError
from .answer import identify

COLUMNS = ["file", "rank", "mineral", "confidence", "similarity", "verdict", "note"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Identified spectra</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem }}
{style}
</style></head><body>
<h1>Identified spectra</h1>
<p>{summary}</p>
{about}
{blocks}
</body></html>
"""
_STYLE = """.spectrum { border-top: 2px solid #ccc; padding-top: .5rem; overflow-x: auto }
.spectrum h2 { font-size: 1.1rem; overflow-wrap: anywhere }
.spectrum img { max-width: 100%; height: auto }
.spectrum table { border-collapse: collapse; margin: .5rem 0 }
.spectrum td, .spectrum th { padding: .15rem .8rem .15rem 0; text-align: left }
.spectrum .verdict { font-weight: bold; padding: 0 .5rem; border-radius: .3rem; background: #eee }
.spectrum .sure { background: #b7e4c7 } .spectrum .likely { background: #e4f1b7 }
.spectrum .unsure { background: #fbe2a8 }
.spectrum .none, .spectrum .error { background: #f3c0b8 }"""
_ABOUT = """<details><summary>How to read this</summary>
<p><b>Confidence</b>: probability of the mineral if it is one of those in the library, from the
network and the library together, calibrated on specimens that neither had seen. <b>Network</b>: the
network's own probability. <b>Similarity</b>: of the library's most similar spectrum of the mineral;
1 is the same. <b>Sure</b> is said of one in fifty spectra of minerals that the library lacks. The
library is rebuilt from measured peaks.</p></details>"""


def rows(one, name: str) -> list[dict]:
    """Of one answer, a row per rank."""
    notes = "; ".join(
        [f"named: {one.name}"] * (one.name != one.table["mineral"].iloc[0]) + one.notes
    )
    return [
        {
            "file": name,
            "rank": line.rank,
            "mineral": line.mineral,
            "confidence": round(line.confidence, 4),
            "similarity": round(float(line.similarity), 4),
            "verdict": one.verdict,
            "note": notes if line.rank == 1 else "",
        }
        for line in one.table.itertuples()
    ]


def error_row(name: str, reason: str) -> dict:
    """The row of a file that cannot be identified."""
    return dict.fromkeys(COLUMNS, "") | {"file": name, "verdict": "error", "note": reason}


def figure(one) -> Figure:
    """The spectrum as measured, as prepared beside the library's, and which bands speak for it."""
    p, library, row = one.prepared, one._reference.library, one._row
    mineral = library.minerals[row]
    weight = np.clip(one.attribution, 0, None)
    fig, axes = plt.subplots(
        3, 1, figsize=(9, 6.4), sharex=True, layout="constrained", height_ratios=[2, 3, 1]
    )
    raw, middle, low = axes
    raw.plot(GRID, p.raw, color=plots.PALETTE[2], lw=1, label="as measured")
    if p.background.any():
        raw.plot(
            GRID,
            np.where(np.isfinite(p.raw), p.background, np.nan),
            "--",
            color=plots.PALETTE[1],
            label="background that is taken away",
        )
    raw.set(ylabel="Intensity", yticks=[])
    theirs = library.X[row] / max(library.X[row].max(), 1e-12)
    middle.plot(GRID, p.x, color=plots.PALETTE[0], label="prepared")
    middle.plot(
        GRID, -theirs, color=plots.PALETTE[4], lw=1, label=f"{mineral} in the library, mirrored"
    )
    middle.axhline(0, color="0.7", lw=0.8)
    for name, sign, marker in (("matched", 1, "o"), ("left_over", 1, "x"), ("missing", -1, "v")):
        found = one.peaks[name]
        if len(found):
            height = np.interp(found[:, 0], GRID, p.x if sign > 0 else -theirs)
            middle.plot(
                found[:, 0],
                height + 0.07 * sign,
                marker,
                ms=5,
                color=plots.PALETTE[5 if name == "matched" else 4],
                label={
                    "matched": "peak in both",
                    "left_over": "peak left over",
                    "missing": "peak missing",
                }[name],
            )
    middle.set(ylabel="Part of the highest", ylim=(-1.25, 1.25))
    low.fill_between(
        GRID,
        weight / max(weight.max(), 1e-12),
        color=plots.PALETTE[3],
        label=f"speaks for {mineral} (integrated gradients)",
    )
    low.set(xlabel=plots.SHIFT, yticks=[], ylim=(0, 1.1), xlim=(GRID[0], GRID[-1]))
    for ax in axes:
        for a, b in ((GRID[0], p.low), (p.high, GRID[-1])):
            if b - a > 2:
                ax.axvspan(
                    a,
                    b,
                    color="0.92",
                    lw=0,
                    label="not measured"
                    if (ax is raw and a == GRID[0]) or (ax is raw and p.low <= GRID[0] + 2)
                    else None,
                )
        ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return fig


def reliability(groups: pd.DataFrame) -> Figure:
    """Confidence against the share of right answers: columns ``confidence`` and ``right``."""
    fig, ax = plt.subplots(figsize=(4.2, 4), layout="constrained")
    ax.plot([0, 1], [0, 1], "--", color="0.6", label="what it says")
    ax.plot(groups["confidence"], groups["right"], "o-", label="left-out specimens")
    ax.set(xlabel="Confidence", ylabel="Right answers", xlim=(0.3, 1.02), ylim=(0.3, 1.02))
    ax.legend(loc="upper left")
    return fig


def upload():
    """A button that opens a file, and the answer below it: for JupyterLab."""
    import ipywidgets as widgets

    button, output = widgets.FileUpload(description="Your spectrum"), widgets.Output()

    def answer(change):
        with output, TemporaryDirectory() as folder:
            output.clear_output()
            for file in change["new"]:
                path = Path(folder) / Path(file["name"]).name
                path.write_bytes(bytes(file["content"]))
                try:
                    display(identify(path))
                except UserError as problem:
                    print(problem)

    button.observe(answer, names="value")
    return widgets.VBox([button, output])


def block(one) -> str:
    """One answer as HTML: verdict, table, notes, peaks, picture."""
    buffer = BytesIO()
    fig = figure(one)
    fig.savefig(buffer, format="png", dpi=110)
    plt.close(fig)
    picture = base64.b64encode(buffer.getvalue()).decode()
    table = one.table.drop(columns=["series", "library"]).round(3)
    peaks = "".join(
        f"<p>Peaks {said}: {_positions(one.peaks[name])} cm⁻¹</p>"
        for name, said in (
            ("matched", "in both"),
            ("missing", "of the library's spectrum that are missing"),
            ("left_over", "that this mineral does not have"),
        )
        if len(one.peaks[name])
    )
    bands = one.bands()
    spoken = "".join(
        f"<li>{b.position:.0f} cm⁻¹ ({b.weight:.0%} of what speaks for it)"
        f"{': may be of ' + html.escape(b.groups) if b.groups else ''}</li>"
        for b in bands[bands["weight"] >= 0.02].itertuples()
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in one.notes)
    css = "none" if one.verdict == "none of these" else one.verdict
    return (
        f'<style>{_STYLE}</style><section class="spectrum">'
        f"<h2>{html.escape(one.prepared.measured.name)}</h2>"
        f'<p>{html.escape(one.name)} <span class="verdict {css}">{one.verdict}</span></p>'
        f"{table.to_html(index=False, border=0, na_rep='–')}"
        f"{'<ul>' + notes + '</ul>' if notes else ''}"
        f'<img alt="{html.escape(_alt(one))}" src="data:image/png;base64,{picture}">'
        f"{peaks}{'<p>Bands that speak for it:</p><ul>' + spoken + '</ul>' if spoken else ''}"
        "</section>"
    )


def page(blocks: list[str], table: pd.DataFrame) -> str:
    """A page of all answers."""
    first = table.drop_duplicates("file")
    said = ", ".join(f"{n} {verdict}" for verdict, n in first["verdict"].value_counts().items())
    return _PAGE.format(
        style=_STYLE, summary=f"{len(first)} files: {said}.", about=_ABOUT, blocks="\n".join(blocks)
    )


def error_block(name: str, reason: str) -> str:
    """A file that cannot be identified, on the page."""
    return (
        f'<section class="spectrum"><h2>{html.escape(name)}</h2>'
        f'<p><span class="verdict error">not identified</span> {html.escape(reason)}</p></section>'
    )


def _positions(found) -> str:
    return ", ".join(f"{position:.0f}" for position in found[:, 0])


def _alt(one) -> str:
    return (
        f"The spectrum as measured, and prepared above the mirrored library spectrum of "
        f"{one.table['mineral'].iloc[0]}; {len(one.peaks['matched'])} peaks are in both, "
        f"{len(one.peaks['missing'])} missing, {len(one.peaks['left_over'])} left over."
    )
