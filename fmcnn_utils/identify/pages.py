"""Answers to look at: a figure, a block of HTML, and of many files a table and a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2
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

#: HTML of an answer and of the page of many, with all texts of files escaped.
_HTML = jinja2.Environment(loader=jinja2.PackageLoader(__package__, "."), autoescape=True)


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


def block(one) -> str:
    """One answer as HTML: verdict, table, notes, picture, peaks, and what speaks for it."""
    buffer, fig = BytesIO(), figure(one)
    fig.savefig(buffer, format="png", dpi=110)
    plt.close(fig)
    table = one.table.drop(columns=["series", "library"]).round(3)
    table = table.to_html(index=False, border=0, na_rep="–")
    return _template().answer(one, table, base64.b64encode(buffer.getvalue()).decode())


def _template():
    return _HTML.get_template("answers.html").module


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
            blocks.append(_template().failed(name, one) if is_error else block(one))
        if is_error or n <= 10 or not (csv or page):
            tqdm.write(f"{one}\n")
    table = pd.concat(tables)[COLUMNS]
    if csv:
        results.write_text(csv, table.to_csv(index=False, lineterminator="\n"))
        print(f"Table: {csv}")
    if page:
        verdicts = table.drop_duplicates("file")["verdict"].value_counts()
        said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        summary = f"{verdicts.sum()} files: {said}."
        results.write_text(page, _template().page(summary, blocks))
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
