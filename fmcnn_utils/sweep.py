"""Sweeps: one notebook for many values of its parameters, in parallel, taken up where it stopped.

A sweep is a small YAML file (``notebooks/sweeps/*.yaml``)::

    title: How wide must the network be?
    notebook: experiment              # or the beginning of any notebook's name, such as 03
    parameters:                       # grid, zip and list may stand together: all combinations
      grid: {FILTERS: [8, 16], POOL: [2, 4]}
      zip: {L2: [0.0001, 0.001], PATIENCE: [5, 10]}
      list: [{SPLIT: random}, {SPLIT: specimen}]
    repeats: 3                        # each of them for SEED 0, 1, 2
    plot:
      numbers: [accuracy, weights]    # names that the notebook gives its numbers
      against: [FILTERS, POOL]        # one or two parameters
      cost: [weights]                 # numbers to draw the first one against
"""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from unittest.mock import patch

import joblib
import pandas as pd
import yaml
from tqdm.auto import tqdm

from . import data, notebooks, parallel, results
from .results import UserError

#: Keys of a sweep's file, and of its parts that have keys of their own.
KEYS = {
    "": ("title", "notebook", "parameters", "repeats", "plot"),
    "parameters": ("grid", "zip", "list"),
    "plot": ("numbers", "against", "cost"),
}
#: Kernels of one thread each: as many of them as cores do not get in each other's way.
ONE_THREAD = "LOKY_MAX_CPU_COUNT OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS"
ONE_THREAD += " TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS"
ONE_THREAD = dict.fromkeys(ONE_THREAD.split(), "1")


@dataclass(frozen=True)
class Sweep:
    """What is to be run, and drawn; ``name`` is that of the folder of its results."""

    name: str
    title: str
    path: Path  # of the notebook
    runs: list[dict[str, object]]  # parameters of each
    numbers: list[str]  # to draw
    against: list[str]  # one or two parameters
    cost: list[str]  # numbers to draw the first one against


def read(path: Path, given: dict[str, object] | None = None) -> Sweep:
    """A sweep from its YAML file; ``given`` are parameters of all its runs.

    UserError for a file that is not YAML, and for what ``build`` or the keys above do not allow.
    """
    try:
        text = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", "it is not text")
        raise UserError(f"{path}{line}: this is not YAML ({problem})") from error
    try:
        for part, allowed in KEYS.items():
            found = text.get(part, {}) if part else text
            if not isinstance(found, dict):
                raise UserError(f"{part or 'the file'} must have the keys {', '.join(allowed)}")
            _check_known(found, allowed, "a key here")
        for key in ("notebook", "parameters"):
            if key not in text:
                raise UserError(f"the key {key!r} is missing")
        how = {"name": path.stem, "title": text.get("title"), **text.get("plot", {})}
        runs = [own | (given or {}) for own in _combinations(text["parameters"])]
        return build(str(text["notebook"]), runs, text.get("repeats", 1), **how)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def build(notebook, runs, repeats=1, name=None, title=None, numbers=(), against=(), cost=()):
    """A ``Sweep`` of the notebook whose name begins with ``notebook``.

    Each of ``runs``, parameters in a dict, is made for the values 0 to ``repeats`` - 1 of ``SEED``.
    By default the first number of the notebook is drawn against the first two parameters with
    several values. UserError for what is not known or of the wrong type.
    """
    path, *others = notebooks.find([notebook], everywhere=True)
    if others:
        raise UserError(f"{notebook!r} begins more than one notebook's name")
    if type(repeats) is not int or repeats < 1:
        raise UserError(f"repeats = {repeats!r}: give a whole number from 1")
    if repeats > 1:
        if any("SEED" in own for own in runs):
            raise UserError("SEED is among the parameters, and repeats would set it: leave one out")
        runs = [own | {"SEED": seed} for own in runs for seed in range(repeats)]
    # each value as from the command line: of the default's type, or refused
    runs = [notebooks.assign([path], own)[path] for own in runs]
    runs = [own for i, own in enumerate(runs) if own not in runs[:i]]
    known = [n.name for n in notebooks.numbers(path)]
    _check_known([*numbers, *cost], known, f"a number of {path.stem}")
    swept = list(dict.fromkeys(name for own in runs for name in own))
    _check_known(against, [*swept, *known], "a parameter of this sweep")
    several = [n for n in swept if n != "SEED" and len({str(own.get(n)) for own in runs}) > 1]
    title = title or notebooks.title_and_question(path)[0]
    drawn = list(numbers) or known[:1], list(against)[:2] or several[:2] or swept[:1], list(cost)
    return Sweep(name or path.stem, title, path, runs, *drawn)


def _check_known(names, known, what: str) -> None:
    """Refuse a name that is not known, with the nearest that is."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            meant = f": did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"
            raise UserError(f"{name!r} is not {what}{meant}")


def _combinations(parts: dict) -> list[dict]:
    """All combinations of the rows of ``grid``, ``zip`` and ``list``."""
    grid, zipped, rows = parts.get("grid", {}), parts.get("zip", {}), parts.get("list", [{}])
    for part, columns in (("grid", grid), ("zip", zipped)):
        if not isinstance(columns, dict):
            raise UserError(f"{part} must hold parameters and their values, such as {{SEED: [0]}}")
        for name, values in columns.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{name} has no list of values: give it, such as [1, 2]")
    if len({len(values) for values in zipped.values()}) > 1:
        raise UserError(f"the lists of zip ({', '.join(zipped)}) differ in length")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError("list must hold combinations, such as [{SEED: 0}, {SEED: 1}]")
    if not any(parts.values()):
        raise UserError("parameters holds no values: give a grid, a zip or a list")
    factors = [[{name: value} for value in values] for name, values in grid.items()]
    together = [dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)]
    found = product(*factors, together or [{}], rows)
    return [{name: row[name] for row in combined for name in row} for combined in found]


def run(sweep: Sweep, folder: Path, n_jobs: int = 2, scheduler: str | None = None) -> pd.DataFrame:
    """Run what ``folder`` does not hold yet; returns its ``numbers.csv``, written after each run.

    It has a row per run and number; of a run that failed, one row with its ``error``. An executed
    notebook is kept as ``run-KEY.ipynb``, whole or not at all. There are ``n_jobs`` kernels at a
    time, at most one for each core, or those of the Dask cluster at the address ``scheduler``,
    whose workers have this repository (and the archive) at the same path.
    """
    keys = _keys(sweep)
    paths = {key: folder / f"{key}.ipynb" for key in keys}
    rows = {key: _rows(path, keys[key]) for key, path in paths.items() if path.exists()}
    left = {key: (str(sweep.path), values) for key, values in keys.items() if key not in rows}
    n_jobs = min(n_jobs, joblib.cpu_count())
    minutes, rest = [notebooks.minutes(paths[key]) for key in rows], ""
    if minutes and not scheduler:
        rest = f", about {sum(minutes) / len(minutes) * len(left) / n_jobs:.0f} min"
    print(f"{len(keys)} runs, {len(rows)} done, {len(left)} to run{rest}", flush=True)
    with tqdm(total=len(keys), initial=len(rows), unit="run", smoothing=0) as bar:
        for key, (text, error) in parallel.run(execute, left, n_jobs, scheduler):
            failed = folder / f"{key}.failed.ipynb"
            failed.unlink(missing_ok=True)
            results.write_text(failed if error else paths[key], text)
            if error:
                bar.write(error)
            rows[key] = _rows(paths[key], keys[key], error)
            _write_numbers(keys, rows, folder)
            bar.update()
    return _write_numbers(keys, rows, folder)


def execute(path: str, values: dict) -> tuple[str, str]:
    """Run a notebook in a kernel of one thread; its text, and the error if it failed."""
    # the kernel gets the variables
    with patch.dict(os.environ, ONE_THREAD), tempfile.TemporaryDirectory() as folder:
        output, error = Path(folder) / "run.ipynb", ""
        try:
            notebooks.execute(Path(path), output, values)
        except notebooks.NotebookFailed as failure:
            error = str(failure)
        except Exception as failure:  # whatever it is, the other runs go on
            error = f"{Path(path).name} failed: {type(failure).__name__}: {failure}"
        return output.read_text(encoding="utf-8"), error


def _keys(sweep: Sweep) -> dict[str, dict]:
    """Key of each run → its parameters; made of them, the notebook's code, data and version."""
    code = [cell.source for cell in notebooks.code_cells(sweep.path)]
    about = [code, version("fmcnn-companion"), results.CODE_VERSION]
    of = {}  # the spectra themselves, wherever their archive lies
    for source in {own.get("DATA", "atlas") for own in sweep.runs}:
        spectra = data.load(source)
        of[source] = {"DATA": joblib.hash([spectra.X, spectra.minerals])}
    hashed = [joblib.hash([*about, own | of[own.get("DATA", "atlas")]]) for own in sweep.runs]
    return {f"run-{key[:10]}": own for key, own in zip(hashed, sweep.runs, strict=True)}


def _rows(path: Path, values: dict, error: str = "") -> list[dict]:
    """The rows of one run in ``numbers.csv``."""
    # of an archive its name is enough: it may lie elsewhere tomorrow
    row = {"run": path.stem} | {k: Path(v).name if k == "DATA" else v for k, v in values.items()}
    if error:
        return [row | {"error": error}]
    row["minutes"] = round(notebooks.minutes(path), 3)
    numbers = notebooks.numbers(path)
    return [row | {"number": n.name, "value": n.value, "unit": n.unit} for n in numbers]


def _write_numbers(keys: dict[str, dict], rows: dict[str, list], folder: Path) -> pd.DataFrame:
    names = dict.fromkeys(name for values in keys.values() for name in values)
    columns = ["run", *names, "number", "value", "unit", "minutes", "error"]
    table = pd.DataFrame([row for key in keys for row in rows.get(key, [])], columns=columns)
    results.write_text(folder / "numbers.csv", table.to_csv(index=False, lineterminator="\n"))
    return table


def summarise(sweep: Sweep, folder: Path) -> Path:
    """The executed summary notebook of a sweep's ``numbers.csv``, beside it."""
    about = {"title": sweep.title, "notebook": sweep.path.stem}
    about |= {key: getattr(sweep, key) for key in KEYS["plot"]}
    results.write_text(folder / "sweep.yaml", yaml.safe_dump(about, sort_keys=False))
    output = folder / "summary.ipynb"
    (summary,) = notebooks.find(["summary"], everywhere=True)
    notebooks.execute(summary, output, {"FOLDER": str(folder.resolve())})
    return output


@dataclass(frozen=True)
class Found:
    """The numbers of a sweep, read from its folder.

    ``table`` has a row per run that ended well, its parameters and a column per number; ``failed``
    has ``run``, parameters and ``error`` of the others. ``parameters`` are those with several
    values, without ``SEED``.
    """

    about: dict  # title, notebook, numbers, against, cost: see Sweep
    table: pd.DataFrame
    failed: pd.DataFrame
    parameters: list[str]

    def best(self) -> pd.DataFrame:
        """Mean, standard deviation and count of the first number for the best settings.

        The best eight; where the sweep has parameters besides those that it draws the number
        against, the best three for each of their values.
        """
        against = [name for name in self.about["against"] if name in self.parameters]
        others = [name for name in self.parameters if name not in against]
        settings = self.table.groupby(self.parameters or "run", dropna=False)
        found = settings[self.about["numbers"][0]].agg(["mean", "std", "count"])
        found = found.sort_values("mean", ascending=False).reset_index()
        if against and others:
            found = found.groupby(others, dropna=False).head(3).sort_values(others, kind="stable")
        return found.head(24 if others else 8).rename(columns={"count": "runs"}).round(4)


def load(folder: str | Path) -> Found:
    """What a sweep has left in ``folder``: a path, or the name of one in ``results/sweeps``."""
    kept = results.ROOT / "results" / "sweeps" / folder
    folder = kept if kept.is_dir() else Path(folder)
    for name in ("sweep.yaml", "numbers.csv"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing: give the folder of a sweep")
    about = yaml.safe_load((folder / "sweep.yaml").read_text(encoding="utf-8"))
    rows = pd.read_csv(folder / "numbers.csv")
    names = list(rows.columns[1 : rows.columns.get_loc("number")])
    good = rows[rows["number"].notna()]
    runs = good.drop_duplicates("run").set_index("run")[[*names, "minutes"]]
    values = good.pivot(index="run", columns="number", values="value")
    failed = rows.loc[rows["number"].isna(), ["run", *names, "error"]]
    several = [n for n in names if n != "SEED" and len(runs[n].unique()) > 1]
    return Found(about, runs.join(values).reset_index(), failed, several)
