"""Many files at once: to the terminal, a CSV, and a page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from .. import results
from ..data.reader import read_spectrum
from . import pages
from .answer import answers
from .preparation import prepare

#: Files whose answers are computed together.
BATCH = 64


def run(
    files,
    library,
    csv: Path | None = None,
    page: Path | None = None,
    *,
    top: int = 5,
    baseline: str = "auto",
    laser: float | None = None,
) -> int:
    """Identify files, and print or write the answers; returns how many could not be identified.

    With neither ``csv`` nor ``page``, or for a few files, a table per file is printed. Both are
    written whole, at the end.
    """
    rows, blocks, failed = [], [], 0
    quiet = len(files) > 10 and (csv or page)
    with tqdm(total=len(files), desc="identifying", unit="file", disable=len(files) < 3) as bar:
        for start in range(0, len(files), BATCH):
            for name, one in _answers(files[start : start + BATCH], top, baseline, laser, library):
                if isinstance(one, str):
                    failed += 1
                    rows.append(pages.error_row(name, one))
                    blocks.append(pages.error_block(name, one))
                    tqdm.write(f"{one}\n")
                else:
                    rows += pages.rows(one, name)
                    if page:
                        blocks.append(pages.block(one))
                    if not quiet:
                        tqdm.write(f"{one}\n")
                bar.update()
    table = pd.DataFrame(rows, columns=pages.COLUMNS)
    if csv:
        results.write_text(csv, table.to_csv(index=False, lineterminator="\n"))
        print(f"Table: {csv}")
    if page:
        results.write_text(page, pages.page(blocks, table))
        print(f"To look at: {page}")
    return failed


def _answers(files, top, baseline, laser, library) -> list[tuple[str, object]]:
    """In the order of the files: the answer of each, or the sentence why there is none."""
    prepared, found = [], {}
    for file in files:
        try:
            prepared.append((file, prepare(read_spectrum(file), baseline)))
        except (results.UserError, OSError) as problem:
            text = str(problem)
            found[file] = text if str(file) in text else f"{file}: {text}"
    if prepared:
        given = answers([one for _, one in prepared], top, laser, library)
        found |= dict(zip([file for file, _ in prepared], given, strict=True))
    return [(str(file), found[file]) for file in files]
