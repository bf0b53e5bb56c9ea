"""Answers to look at: a figure, a block of HTML, and of many files a table and a page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import plots, results
from ..data.reader import prepare, read_spectrum
from ..data.spectra import GRID
from .answer import answers, identify

COLUMNS = ["file", "rank", "mineral", "confidence", "similarity", "verdict", "note"]
#: Files whose answers are computed together.
BATCH = 64

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Identified spectra</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem }}
{style}
</style></head><body>
<h1>Identified spectra</h1>
<p>{summary}</p>
<details><summary>How to read this</summary>
<p><b>Confidence</b>: probability of the mineral if it is one of those in the library, from the
network and the library together, calibrated on specimens that neither had seen. <b>Network</b>: the
network's own probability. <b>Similarity</b>: of the library's most similar spectrum of the mineral;
1 is the same. <b>Sure</b> is said of one in fifty spectra of minerals that the library lacks. The
library is rebuilt from measured peaks.</p></details>
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
_ERROR = (
    '<section class="spectrum"><h2>{}</h2>'
    '<p><span class="verdict error">not identified</span> {}</p></section>'
)


def figure(one) -> Figure:
    """The spectrum as measured, as prepared beside the library's, and which bands speak for it."""
    p, colours, mineral = one.prepared, plots.PALETTE, one.table["mineral"].iloc[0]
    theirs, weight = one._reference.library.scaled(one._row), np.clip(one.attribution, 0, None)
    size = {"figsize": (9, 6.4), "height_ratios": [2, 3, 1]}
    fig, (raw, middle, low) = plt.subplots(3, 1, sharex=True, layout="constrained", **size)
    raw.plot(GRID, p.raw, color=colours[2], lw=1, label="as measured")
    if p.background.any():
        taken = np.where(np.isfinite(p.raw), p.background, np.nan)
        raw.plot(GRID, taken, "--", color=colours[1], label="background that is taken away")
    raw.set(ylabel="Intensity", yticks=[])
    middle.plot(GRID, p.x, color=colours[0], label="prepared")
    label = f"{mineral} in the library, mirrored"
    middle.plot(GRID, -theirs, color=colours[4], lw=1, label=label)
    middle.axhline(0, color="0.7", lw=0.8)
    for name, line, away, marker, colour, label in (
        ("matched", p.x, 0.07, "o", colours[5], "peak in both"),
        ("left_over", p.x, 0.07, "x", colours[4], "peak left over"),
        ("missing", -theirs, -0.07, "v", colours[4], "peak missing"),
    ):
        if len(at := one.peaks[name][:, 0]):
            height = np.interp(at, GRID, line) + away
            middle.plot(at, height, marker, ms=5, color=colour, label=label)
    middle.set(ylabel="Part of the highest", ylim=(-1.25, 1.25))
    label = f"speaks for {mineral} (integrated gradients)"
    low.fill_between(GRID, weight / max(weight.max(), 1e-12), color=colours[3], label=label)
    low.set(xlabel=plots.SHIFT, yticks=[], ylim=(0, 1.1), xlim=(GRID[0], GRID[-1]))
    ends = [(a, b) for a, b in ((GRID[0], p.low), (p.high, GRID[-1])) if b - a > 2]
    for ax in fig.axes:
        for end in ends:
            label = "not measured" if ax is raw and end is ends[0] else None
            ax.axvspan(*end, color="0.92", lw=0, label=label)
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


def block(one) -> str:
    """One answer as HTML: verdict, table, notes, peaks, picture."""
    buffer, fig = BytesIO(), figure(one)
    fig.savefig(buffer, format="png", dpi=110)
    plt.close(fig)
    picture = base64.b64encode(buffer.getvalue()).decode()
    table = one.table.drop(columns=["series", "library"]).round(3)
    alt = (
        f"The spectrum as measured, and prepared above the mirrored library spectrum of "
        f"{table['mineral'].iloc[0]}; {len(one.peaks['matched'])} peaks are in both, "
        f"{len(one.peaks['missing'])} missing, {len(one.peaks['left_over'])} left over."
    )
    peaks = ""
    for name, said in (
        ("matched", "in both"),
        ("missing", "of the library's spectrum that are missing"),
        ("left_over", "that this mineral does not have"),
    ):
        if at := [f"{position:.0f}" for position in one.peaks[name][:, 0]]:
            peaks += f"<p>Peaks {said}: {', '.join(at)} cm⁻¹</p>"
    spoken = "".join(
        f"<li>{b.position:.0f} cm⁻¹ ({b.weight:.0%} of what speaks for it)"
        f"{': may be of ' + html.escape(b.groups) if b.groups else ''}</li>"
        for b in one.bands().query("weight >= 0.02").itertuples()
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in one.notes)
    return (
        f'<style>{_STYLE}</style><section class="spectrum">'
        f"<h2>{html.escape(one.prepared.measured.name)}</h2><p>{html.escape(one.name)} "
        f'<span class="verdict {one.verdict.split()[0]}">{one.verdict}</span></p>'
        f"{table.to_html(index=False, border=0, na_rep='–')}"
        f"{'<ul>' + notes + '</ul>' if notes else ''}"
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">'
        f"{peaks}{'<p>Bands that speak for it:</p><ul>' + spoken + '</ul>' if spoken else ''}"
        "</section>"
    )


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
                except results.UserError as problem:
                    print(problem)

    button.observe(answer, names="value")
    return widgets.VBox([button, output])


def run(files, library, csv: Path | None, page: Path | None, *, top, baseline, laser) -> int:
    """Identify files, and print or write the answers; returns how many could not be identified.

    With neither ``csv`` nor ``page``, or for a few files, a table per file is printed. Both are
    written whole, at the end. The rest is as of ``identify``.
    """
    tables, blocks, failed, n = [], [], 0, len(files)
    found = _answers(files, top, baseline, laser, library)
    for name, one in tqdm(found, "identifying", n, unit="file", disable=n < 3):
        is_error = isinstance(one, str)
        failed += is_error
        tables.append(_rows(name, one))
        if page:
            error = _ERROR.format(html.escape(name), html.escape(str(one)))
            blocks.append(error if is_error else block(one))
        if is_error or n <= 10 or not (csv or page):
            tqdm.write(f"{one}\n")
    table = pd.concat(tables)[COLUMNS]
    if csv:
        results.write_text(csv, table.to_csv(index=False, lineterminator="\n"))
        print(f"Table: {csv}")
    if page:
        verdicts = table.drop_duplicates("file")["verdict"].value_counts()
        said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        text = {"summary": f"{verdicts.sum()} files: {said}.", "blocks": "\n".join(blocks)}
        results.write_text(page, _PAGE.format(style=_STYLE, **text))
        print(f"To look at: {page}")
    return failed


def _answers(files, top, baseline, laser, library) -> Iterator[tuple[str, object]]:
    """In the order of the files: the answer of each, or the sentence why there is none."""
    for start in range(0, len(files), BATCH):
        batch, prepared, found = files[start : start + BATCH], {}, {}
        for file in batch:
            try:
                prepared[file] = prepare(read_spectrum(file), baseline)
            except (results.UserError, OSError) as problem:
                text = str(problem)
                found[file] = text if str(file) in text else f"{file}: {text}"
        if prepared:
            given = answers(list(prepared.values()), top, laser, library)
            found |= dict(zip(prepared, given, strict=True))
        yield from ((str(file), found[file]) for file in batch)


def _rows(name: str, one) -> pd.DataFrame:
    """A row per rank of an answer, with ``COLUMNS``; of an error, one."""
    if isinstance(one, str):
        row = dict.fromkeys(COLUMNS, "") | {"file": name, "verdict": "error", "note": one}
        return pd.DataFrame([row])
    named = [f"named: {one.name}"] * (one.name != one.table["mineral"].iloc[0])
    notes = ["; ".join(named + one.notes), *[""] * (len(one.table) - 1)]
    table = one.table.astype({"similarity": float}).round(4)
    return table.assign(file=name, verdict=one.verdict, note=notes)
