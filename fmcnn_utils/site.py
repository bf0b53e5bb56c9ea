"""Executed notebooks as pages: searchable, linked, and read without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

from . import notebooks, scoreboard
from .results import ROOT

#: What the pages show of an output; a running kernel or a program would need the rest.
SHOWN = ("image/png", "text/html", "text/markdown", "text/latex", "text/plain")

ABOUT = (
    "Guo, Yu, Tian, Lv and Xue let a small neural network, FMCNN, name the mineral of a Raman "
    "spectrum (*Spectroscopy* 35(11), 2020). These notebooks check what their paper says of it."
)


def build(folder: Path, paths: list[Path], said: str, minutes: dict[str, float] | None = None):
    """Make the pages of executed notebooks, the README, the data and the package.

    Args:
        folder: gets ``index.html`` and the pages.
        paths: the notebooks.
        said: of the index: the spectra that they used.
        minutes: of each notebook by its name, if this is the report of a run; its numbers are
            then shown, too.

    Returns:
        The path of the index.
    """
    return _pages(folder, paths, _index(paths, said, minutes), ROOT)


def of_sweep(folder: Path, title: str, paths: list[Path]) -> Path:
    """Make the pages of a sweep: its executed notebooks, the summary first; returns its path."""
    pages = "\n".join(f"notebooks/{path.stem}" for path in paths)
    index = f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"
    shutil.rmtree(folder, ignore_errors=True)
    _pages(folder, paths, index)
    return folder / "notebooks" / f"{paths[0].stem}.html"


def _pages(folder: Path, paths: list[Path], index: str, root: Path | None = None) -> Path:
    """Let Sphinx make pages of notebooks and of an index, and of the texts of the repository."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as made:
        source, pages = Path(made, "source"), Path(made, "pages")
        (source / "notebooks").mkdir(parents=True)
        if root:  # laid out as the repository is, so that links lead to pages
            for name in (
                "README.md",
                "CONTRIBUTING.md",
                "data/README.md",
                "docs/teaching.md",
                "docs/api.rst",
            ):
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, source / name)
            shutil.copytree(root / "figures", source / "figures")
        for path in paths:
            nbformat.write(_shown(path), source / "notebooks" / path.name)
        (source / "index.md").write_text(index, encoding="utf-8")
        command = ["-m", "sphinx", "-qN", "-c", ROOT / "docs", "-d", Path(made, "read")]
        # a process of its own: autodoc imports the package without TensorFlow
        subprocess.run([sys.executable, *command, source, pages], cwd=ROOT, check=True)
        shutil.copytree(pages, folder, copy_function=shutil.move, dirs_exist_ok=True)
    return folder / "index.html"


def _shown(path: Path):
    """A notebook with the outputs that pages show, the alt texts of figures in its cells."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {"kernelspec": notebooks.KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        figures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        cell.metadata["alt"] = [f.metadata.get("image/png", {}).get("alt", "") for f in figures]
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
    return notebook


def _index(paths: list[Path], said: str, minutes: dict[str, float] | None) -> str:
    """The index in Markdown: the claims, the questions and answers, the numbers of a run."""
    pages = "\n".join(f"notebooks/{path.stem}" for path in paths)
    parts = [
        f"# The paper's claims, checked\n\n{ABOUT}\n\n{said}",
        f"## What became of the claims\n\n{scoreboard.markdown()}",
        "## The notebooks",
    ]
    for path in paths:
        title, question = notebooks.title_and_question(path)
        parts.append(f"### [{title}](notebooks/{path.name})\n\n**{question}**")
        parts.append(_from_index(notebooks.answer(path)))
        if minutes and path.stem in minutes:
            parts.append(f"*It took {minutes[path.stem]:.1f} minutes.*")
    if minutes is not None:
        parts.append("## The numbers of this run")
        parts += [_numbers(path) for path in paths]
    menu = "For teachers <docs/teaching>\nAbout this project <README>\nThe data <data/README>\n"
    menu += "The package <docs/api>\nWorking on it <CONTRIBUTING>"
    parts.append(f"```{{toctree}}\n:hidden:\n\n{pages}\n{menu}\n```\n")
    return "\n\n".join(parts)


def _from_index(markdown: str) -> str:
    """A text of a notebook with its relative links as the index, a folder above, needs them."""
    return re.sub(r"\]\((?!#|\w+:)", "](notebooks/", markdown)


def _numbers(path: Path) -> str:
    """A table of a notebook's numbers; empty if it has shown none."""
    title, _ = notebooks.title_and_question(path)
    rows = [f"| {n.name} | {n.text(n.value)} | {n.expected} |" for n in notebooks.shown(path)]
    head = [f"**{title}**", "", "| number | this run | expected |", "|---|---|---|"]
    return "\n".join(head + rows) if rows else ""
