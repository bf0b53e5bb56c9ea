"""Notebooks run from the command line: executed, read for what they show, and made into pages."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from .numbers import MIME, Number
from .results import ROOT, UserError, atomic_write

NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
#: Otherwise a kernel warns that its connection to this very process is not encrypted.
QUIET = ["--IPKernelApp.log_level=CRITICAL"]
#: What the pages show of an output; a running kernel or a program would need the rest.
SHOWN = ("image/png", "text/html", "text/markdown", "text/latex", "text/plain")
#: What becomes pages beside the notebooks; laid out as here, so that links lead somewhere.
TEXTS = "README.md", "CONTRIBUTING.md", "data/README.md", "docs/teaching.md", "docs/api.rst"
ABOUT = (
    "Guo, Yu, Tian, Lv and Xue let a small neural network, FMCNN, name the mineral of a Raman "
    "spectrum (*Spectroscopy* 35(11), 2020). These notebooks check what their paper says of it."
)

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # NotebookFailed says what failed
# The kernels' debugger otherwise begins with a warning about frozen modules.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


class NotebookFailed(RuntimeError):
    """A cell raised, or the kernel died; the message has the notebook, the cell and the error."""


def find(names: list[str] | None = None, everywhere: bool = False) -> list[Path]:
    """The numbered notebooks in order, or those whose names start with one of ``names``.

    With ``everywhere`` those of ``notebooks/sweeps``, too. UserError if no name starts so.
    """
    names = names or [""]
    paths = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    if everywhere:
        paths += sorted(NOTEBOOKS.glob("sweeps/*.ipynb"))
    for name in names:
        if not any(path.name.startswith(name) for path in paths):
            said = f"no notebook in {NOTEBOOKS} has a name that starts with {name!r}; there are: "
            raise UserError(said + (", ".join(path.stem for path in paths) or "none"))
    return [path for path in paths if path.name.startswith(tuple(names))]


def parameters(path: Path) -> dict[str, object]:
    """The parameters of a notebook and their defaults, in the order of its parameters cell."""
    found = papermill.inspect_notebook(path)
    return {name: ast.literal_eval(about["default"]) for name, about in found.items()}


def assign(paths: list[Path], given: dict[str, object]) -> dict[Path, dict[str, object]]:
    """What each notebook gets of ``given``, name → value, or the text of it that was typed.

    UserError for a name that no notebook has (papermill would only warn), or a value of another
    type than the default.
    """
    known = {path: parameters(path) for path in paths}
    for name in given:
        if not any(name in defaults for defaults in known.values()):
            there_are = "; ".join(f"{path.stem}: {', '.join(known[path])}" for path in paths)
            raise UserError(f"{name} is not a parameter here; there are: {there_are}")
    return {
        path: {name: _value(name, str(given[name]), own[name]) for name in own if name in given}
        for path, own in known.items()
    }


def _value(name: str, text: str, default):
    """The value that a typed text stands for: of the default's type."""
    if isinstance(default, str):
        # A notebook starts in its own folder, so the path of an archive has to be absolute.
        path = Path(text).expanduser()
        return str(path.resolve()) if name == "DATA" and text and path.exists() else text
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        wanted = type(default).__name__
        raise UserError(f"{name} = {text} is not of the type {wanted}: its default is {default!r}")
    return value


def execute(path: Path, output: Path, values: dict[str, object]) -> float:
    """Run a notebook with papermill, saving to ``output`` cell by cell; returns the minutes taken.

    It starts in its own folder, as it does in JupyterLab and under nbval. NotebookFailed if a cell
    raises, and ``output`` keeps what ran, and the error; or if no kernel starts.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        _execute(path, output, values)
        return minutes(output)
    except papermill.PapermillExecutionError as error:
        source, count, problem = error.source, error.exec_count, f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        begun = [cell for cell in code_cells(output) if cell.metadata.papermill.start_time]
        source, count = begun[-1].source, begun[-1].execution_count
        problem = "the kernel died, most often for want of memory"
    place = f"cell In [{count or ' '}], `{source.strip().splitlines()[0]}`"
    raise NotebookFailed(f"{path.name} failed in {place}:\n    {problem}")


def _execute(path: Path, output: Path, values: dict[str, object]) -> None:
    """The same, with papermill's errors; a kernel that does not start is tried three times.

    It is talked to through files (not on Windows): two that start at the same moment may want the
    same port, and one of them dies (nteract/papermill#511).
    """
    how = {"kernel_name": KERNEL["name"], "extra_arguments": QUIET, "cwd": path.parent}
    how |= {"progress_bar": {"desc": path.stem, "leave": False} if sys.stderr.isatty() else False}
    for starts_left in (2, 1, 0):
        with TemporaryDirectory() as folder:
            files = {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name != "nt" else {}
            how["config"] = Config(KernelManager=files)
            try:
                papermill.execute_notebook(path, output, values, coalesce_streams=True, **how)
                return
            except RuntimeError as error:  # nbclient has no class for it
                if "before replying" not in str(error) and "didn't respond" not in str(error):
                    raise
                if not starts_left:
                    raise NotebookFailed(f"{path.name} failed: no kernel starts") from error


def refresh(path: Path, output: Path) -> float:
    """Execute a notebook at its defaults, as above, and put it back with nothing of this machine.

    If a cell raises, the file at ``path`` stays as it was.
    """
    taken = execute(path, output, {})
    notebook = without_widgets(nbformat.read(output, as_version=4))
    notebook.metadata = METADATA
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if "hide-input" in tags:  # folded on the pages, and in JupyterLab
            cell.metadata["jupyter"] = {"source_hidden": True}
    with atomic_write(path) as part:
        nbformat.write(notebook, part)
    return taken


def code_cells(path: Path, kind: str = "code") -> list:
    """The code cells of a notebook, or those of another kind."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def minutes(path: Path) -> float:
    """How long a notebook took that papermill has executed."""
    return nbformat.read(path, as_version=4).metadata.papermill.duration / 60


def without_widgets(notebook):
    """A notebook whose widgets, which need a running kernel, are the text that stands for them."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def numbers(path: Path) -> list[Number]:
    """The numbers that an executed notebook has shown by ``numbers.show``, in order."""
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    kept = [output.data[MIME] for output in outputs if MIME in output.get("data", {})]
    return [Number(**row) for text in kept for row in json.loads(text)]


def title_and_question(path: Path) -> tuple[str, str]:
    """The heading of a notebook, and the paragraph below it: the question that it answers."""
    cells = code_cells(path, "markdown")  # papermill puts one above all when a run fails
    heading = next(cell.source for cell in cells if cell.source.startswith("# "))
    title, _, rest = heading.removeprefix("# ").partition("\n")
    return title.strip(), rest.strip().split("\n\n")[0].strip("*_ \n")


def answer(path: Path) -> str:
    """The paragraph below a notebook's heading "The answer"; empty if there is none."""
    text = "\n\n".join(cell.source for cell in code_cells(path, "markdown"))
    found = re.search(r"^#+ [\d. ]*The answer\s+(.+?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


def make_pages(folder: Path, paths: list[Path], said: str, minutes: dict | None = None) -> Path:
    """Make pages of executed notebooks, the README, the data and the package; returns the index.

    It has the claims, questions and answers, and what is ``said`` of the spectra. Of a run,
    ``minutes`` of each notebook by its name are given; its numbers are then shown, too.
    """
    from . import scoreboard  # only here: a kernel's worker needs none of it

    parts = [
        f"# The paper's claims, checked\n\n{ABOUT}\n\n{said}",
        f"## What became of the claims\n\n{scoreboard.markdown()}",
        "## The notebooks",
    ]
    tables = ["## The numbers of this run"]
    for path in paths:
        title, question = title_and_question(path)
        parts.append(f"### [{title}](notebooks/{path.name})\n\n**{question}**")
        # its relative links as the index, a folder above, needs them
        parts.append(re.sub(r"\]\((?!#|\w+:)", "](notebooks/", answer(path)))
        if minutes and path.stem in minutes:
            parts.append(f"*It took {minutes[path.stem]:.1f} minutes.*")
        if found := numbers(path):
            rows = [f"| {n.name} | {n.text(n.value)} | {n.expected} |" for n in found]
            head = f"**{title}**\n\n| number | this run | expected |\n|---|---|---|"
            tables.append("\n".join([head, *rows]))
    if minutes is not None:
        parts += tables
    menu = "\n".join(f"notebooks/{path.stem}" for path in paths)
    menu += "\nFor teachers <docs/teaching>\nAbout this project <README>\nThe data <data/README>"
    menu += "\nThe package <docs/api>\nWorking on it <CONTRIBUTING>"
    parts.append(f"```{{toctree}}\n:hidden:\n\n{menu}\n```\n")
    return _pages(folder, paths, "\n\n".join(parts), TEXTS)


def sweep_pages(folder: Path, title: str, paths: list[Path]) -> Path:
    """Make the pages of a sweep: its executed notebooks, the summary first; returns its path."""
    shutil.rmtree(folder, ignore_errors=True)
    menu = "\n".join(f"notebooks/{path.stem}" for path in paths)
    _pages(folder, paths, f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{menu}\n```\n")
    return folder / "notebooks" / f"{paths[0].stem}.html"


def _pages(folder: Path, paths: list[Path], index: str, texts=()) -> Path:
    """Let Sphinx make pages of notebooks and of an index, and of texts of the repository."""
    with TemporaryDirectory() as made:  # where myst-nb leaves a folder beside the pages
        source, pages = Path(made, "source"), Path(made, "pages")
        (source / "notebooks").mkdir(parents=True)
        for name in texts:
            (source / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
        if texts:
            shutil.copytree(ROOT / "figures", source / "figures")
        for path in paths:
            nbformat.write(_for_pages(path), source / "notebooks" / path.name)
        (source / "index.md").write_text(index, encoding="utf-8")
        command = ["-m", "sphinx", "-qN", "-c", ROOT / "docs", "-d", Path(made, "read")]
        # a process of its own: autodoc imports the package without TensorFlow
        subprocess.run([sys.executable, *command, source, pages], cwd=ROOT, check=True)
        shutil.copytree(pages, folder, dirs_exist_ok=True)
    return folder / "index.html"


def _for_pages(path: Path):
    """A notebook with the outputs that pages show, the alt texts of figures in its cells."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = METADATA
    for cell in notebook.cells:
        outputs = [output for output in cell.get("outputs", []) if "data" in output]
        figures = [output.metadata for output in outputs if "image/png" in output.data]
        cell.metadata["alt"] = [about.get("image/png", {}).get("alt", "") for about in figures]
        for output in outputs:
            output.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
    return notebook
