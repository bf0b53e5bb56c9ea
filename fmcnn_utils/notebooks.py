"""Notebooks run from the command line: executed, read for their numbers, shown as HTML."""

from __future__ import annotations

import html
import logging
import os
import re
import sys
import time
from pathlib import Path

import latex2mathml.converter
import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter

from ._io import ROOT, written_whole

NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
#: Else a kernel warns that it speaks unencrypted to this very process, and logs its own shutdown.
QUIET = ["--IPKernelApp.log_level=CRITICAL"]

#: What ``claims.check`` prints.
_CLAIM = re.compile(
    r"^(?P<number>.+): ≈(?P<value>[-\d.]+), expected (?P<low>[-\d.]+)–(?P<high>[-\d.]+): ok$",
    re.MULTILINE,
)

#: What the exporter writes for every picture: it does not look for the output's own text.
_NO_ALT = 'alt="No description has been provided for this image"'

_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # failures are told below
# The kernels' debugger otherwise greets every start with a warning about frozen modules.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


class NotebookFailed(RuntimeError):
    """A cell raised; the message says which notebook, which cell and what."""


def find(names: list[str] | None = None, folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks in order, or those of them whose names start with one of ``names``.

    Raises:
        FileNotFoundError: if a name fits none.
    """
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    for name in names or [""]:
        if not any(path.name.startswith(name) for path in paths):
            there_are = ", ".join(path.stem for path in paths) or "none"
            raise FileNotFoundError(
                f"no notebook in {folder} has a name that starts with {name!r}; "
                f"there are: {there_are}"
            )
    return [path for path in paths if not names or path.name.startswith(tuple(names))]


def execute(path: Path, output: Path, values: dict[str, object]) -> float:
    """Run a notebook with papermill, saving to ``output`` cell by cell; returns the minutes taken.

    It starts in its own folder, as it does in JupyterLab and under nbval.

    Raises:
        NotebookFailed: if a cell raises; ``output`` keeps what ran, and the error.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    bar = {"desc": path.stem, "leave": False} if sys.stderr.isatty() else False
    try:
        papermill.execute_notebook(
            path,
            output,
            values,
            kernel_name=KERNEL["name"],
            cwd=path.parent,
            progress_bar=bar,
            extra_arguments=QUIET,
            coalesce_streams=True,
        )
    except papermill.PapermillExecutionError as error:
        raise NotebookFailed(
            _failure(path, error.exec_count, error.source, error.ename, error.evalue)
        ) from None
    except DeadKernelError:
        cells = nbformat.read(output, as_version=4).cells
        last = [cell for cell in cells if cell.metadata.papermill.start_time][-1]
        count = last.execution_count or " "  # None if it died before it could say so
        why = "the kernel died, most often for want of memory"
        raise NotebookFailed(_failure(path, count, last.source, "DeadKernel", why)) from None
    return (time.perf_counter() - start) / 60


def refresh(path: Path, output: Path) -> float:
    """Execute a notebook at its defaults, as above, and put it back with nothing of this machine.

    Raises:
        NotebookFailed: if a cell raises; the file at ``path`` is then as it was.
    """
    minutes = execute(path, output, {})
    notebook = _without_widgets(nbformat.read(output, as_version=4))
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
    with written_whole(path) as part:
        nbformat.write(notebook, part)
    return minutes


def _without_widgets(notebook):
    """A notebook whose widgets, which need a running kernel, are the text that stands for them."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def _failure(path, count, source, name, message) -> str:
    first_line = source.strip().splitlines()[0]
    return f"{path.name} failed in cell In [{count}], `{first_line}`:\n    {name}: {message}"


def claims(path: Path) -> pd.DataFrame:
    """The checked numbers printed in an executed notebook, in order.

    Returns:
        One row per claim, all strings: ``number`` (its name), ``value``, ``low``, ``high``.
    """
    text = "\n".join(
        output.text
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    rows = [match.groupdict() for match in _CLAIM.finditer(text)]
    return pd.DataFrame(rows, columns=["number", "value", "low", "high"])


def numbers(folder: Path, names) -> str:
    """The claims of the notebooks ``names`` executed in ``folder``, as a table to print."""
    tables = [claims(folder / f"{name}.ipynb") for name in names]
    for table, name in zip(tables, names, strict=True):
        table.insert(0, "notebook", name[:2])
    table = pd.concat(tables)
    if table.empty:
        return "(They claim no numbers.)"
    return _expected(table).to_string(index=False)


def _expected(table: pd.DataFrame) -> pd.DataFrame:
    """Both ends of the band in one column."""
    band = table["low"] + "–" + table["high"]
    return table.drop(columns=["low", "high"]).assign(expected=band)


def write_html(path: Path) -> Path:
    """Show an executed notebook as one HTML file beside it, with its pictures and alt text."""
    exporter = HTMLExporter(embed_images=True)
    notebook = _without_widgets(nbformat.read(path, as_version=4))
    formulas = []

    def set_aside(formula: re.Match) -> str:  # the exporter would take MathML's tags apart
        formulas.append(_mathml(formula))
        return f"\ue000{len(formulas) - 1}\ue000"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _FORMULA.sub(set_aside, cell.source)
    # Pictures are linked relative to the folder of the committed notebooks.
    where = {"metadata": {"path": str(NOTEBOOKS), "name": path.stem}}
    body, _ = exporter.from_notebook_node(notebook, where)
    body = re.sub("\ue000(\\d+)\ue000", lambda place: formulas[int(place[1])], body)
    alts = iter(_alts(notebook))
    body = re.sub(_NO_ALT, lambda _: f'alt="{html.escape(next(alts, ""))}"', body)
    page = path.with_suffix(".html")
    page.write_text(re.sub(r'href="([\w.-]+)\.ipynb"', r'href="\1.html"', body), encoding="utf-8")
    return page


def _alts(notebook) -> list[str]:
    """The alt text of each picture among the outputs, in their order."""
    return [
        output.metadata.get("image/png", {}).get("alt", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def _mathml(formula: re.Match) -> str:
    """A LaTeX formula as MathML, which browsers draw by themselves: MathJax needs the network."""
    display = "block" if formula["block"] else "inline"
    return latex2mathml.converter.convert(formula["block"] or formula["inline"], display=display)


def title_and_question(path: Path) -> tuple[str, str]:
    """The heading of a notebook, and the paragraph below it: the question that it answers."""
    first = nbformat.read(path, as_version=4).cells[0].source
    heading, _, rest = first.lstrip("# ").partition("\n")
    return heading.strip(), rest.strip().split("\n\n")[0].strip("*_ \n")


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 52rem; margin: 3rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; } p { margin: .3rem 0; }
a { color: #0b5fa5; text-decoration: none; } a:hover { text-decoration: underline; }
.minutes { color: #666; font-size: .9rem; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .95rem; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; }
"""


def write_index(folder: Path, minutes: dict[str, float], intro: str) -> Path:
    """One page that leads to the executed notebooks in ``folder``, with their numbers.

    Args:
        folder: holds ``NAME.ipynb`` and ``NAME.html`` of each notebook.
        minutes: name of each notebook that ran, in order, and how long it took.
        intro: a sentence that says what was run.
    """
    parts = []
    for name, taken in minutes.items():
        title, question = title_and_question(folder / f"{name}.ipynb")
        table = claims(folder / f"{name}.ipynb")
        parts.append(
            f'<h2><a href="{name}.html">{html.escape(title)}</a></h2>\n'
            f"<p>{html.escape(question)}</p>\n"
            f'<p class="minutes">took {taken:.1f} min</p>\n'
            + ("" if table.empty else _expected(table).to_html(index=False, border=0))
        )
    page = folder / "index.html"
    page.write_text(
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>FMCNN companion: executed notebooks</title>\n<style>{_STYLE}</style>\n"
        f"<h1>FMCNN companion: executed notebooks</h1>\n<p>{html.escape(intro)}</p>\n"
        + "\n".join(parts),
        encoding="utf-8",
    )
    return page
