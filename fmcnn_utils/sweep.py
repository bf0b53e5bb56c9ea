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

#: Keys of a sweep's file, and of the parts that have keys of their own.
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
    """What is to be run, and drawn.

    Attributes:
        name: of the folder of its results.
        title: a heading.
        path: of the notebook.
        runs: parameters of each run, those of one run in a dict.
        numbers: names of the numbers to draw.
        against: names of the parameters to draw them against, one or two.
        cost: names of numbers to draw the first one against.
    """

    name: str
    title: str
    path: Path
    runs: list[dict[str, object]]
    numbers: list[str]
    against: list[str]
    cost: list[str]


def read(path: Path, given: dict[str, object] | None = None) -> Sweep:
    """A sweep from its YAML file; ``given`` are parameters of all its runs.

    Raises:
        UserError: for a file that is not YAML, anything in it that is not known or of the wrong
            type, and a sweep without runs.
    """
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not text"
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


def build(
    notebook: str,
    combinations: list[dict],
    repeats: int = 1,
    *,
    name: str | None = None,
    title: str | None = None,
    numbers=(),
    against=(),
    cost=(),
) -> Sweep:
    """A sweep of a notebook.

    Args:
        notebook: its name, or how the name begins.
        combinations: values of the parameters, one dict for each run.
        repeats: runs each of them for as many values of ``SEED``, from 0.
        name: by default the notebook's.
        title: by default the notebook's.
        numbers: by default the first one of the notebook.
        against: by default the first two parameters with several values.
        cost: as the others, see ``Sweep``.

    Raises:
        UserError: as ``read``.
    """
    path, *others = notebooks.find([notebook], everywhere=True)
    if others:
        raise UserError(f"{notebook!r} begins more than one notebook's name")
    if type(repeats) is not int or repeats < 1:
        raise UserError(f"repeats = {repeats!r}: give a whole number from 1")
    if repeats > 1:
        if any("SEED" in own for own in combinations):
            raise UserError(
                "SEED is among the parameters, and repeats would set it, too: leave one out"
            )
        combinations = [own | {"SEED": seed} for own in combinations for seed in range(repeats)]
    # each value is read as it would be from the command line: of the default's type, or refused
    texts = [{name: str(value) for name, value in own.items()} for own in combinations]
    runs = [notebooks.assign([path], own)[path] for own in texts]
    runs = [own for i, own in enumerate(runs) if own not in runs[:i]]
    known = notebooks.numbers(path)["name"].tolist()
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
    for part in ("grid", "zip"):
        if not isinstance(parts.get(part, {}), dict):
            raise UserError(f"{part} must hold parameters and their values, such as {{SEED: [0]}}")
        for name, values in parts.get(part, {}).items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{name} has no list of values: give it, such as [1, 2]")
    grid, zipped, rows = (parts.get(part) for part in KEYS["parameters"])
    if zipped and len({len(values) for values in zipped.values()}) > 1:
        raise UserError(f"the lists of zip ({', '.join(zipped)}) differ in length")
    if "list" in parts and not (rows and all(isinstance(row, dict) for row in rows)):
        raise UserError("list must hold combinations, such as [{SEED: 0}, {SEED: 1}]")
    factors = [[{name: value} for value in values] for name, values in (grid or {}).items()]
    if zipped:
        columns = zip(*zipped.values(), strict=True)
        factors.append([dict(zip(zipped, row, strict=True)) for row in columns])
    if rows:
        factors.append(rows)
    if not factors:
        raise UserError("parameters holds no values: give a grid, a zip or a list")
    return [{k: v for part in parts for k, v in part.items()} for parts in product(*factors)]


# ---------------------------------------------------------------- the runs


def run(sweep: Sweep, folder: Path, n_jobs: int = 2, scheduler: str | None = None) -> pd.DataFrame:
    """Run what has not been run yet; returns ``numbers.csv``, which is written after each run.

    An executed notebook is kept as ``run-KEY.ipynb``, whole or not at all. Its key is made of the
    notebook's code, its parameters, the data and the version of the package.

    Args:
        sweep: what to run.
        folder: of the results; runs that are there already are not made again.
        n_jobs: kernels at a time, of one thread each, at most one for each core.
        scheduler: address of a Dask cluster whose workers have this repository (and the archive)
            at the same path.

    Returns:
        A row per run and number: ``run``, a column per parameter, ``number``, ``value``, ``unit``,
        ``minutes``, ``error``. A run that failed has one row, without a number.
    """
    keys = _keys(sweep)
    done = {key: path for key in keys if (path := folder / f"{key}.ipynb").exists()}
    left = {key: (str(sweep.path), values) for key, values in keys.items() if key not in done}
    n_jobs = min(n_jobs, joblib.cpu_count())
    minutes, rest = [notebooks.minutes(path) for path in done.values()], ""
    if minutes and not scheduler:
        rest = f", about {sum(minutes) / len(minutes) * len(left) / n_jobs:.0f} min"
    print(f"{len(keys)} runs, {len(done)} done, {len(left)} to run{rest}", flush=True)
    rows = {key: _rows(key, keys[key], path) for key, path in done.items()}
    with tqdm(total=len(keys), initial=len(done), unit="run", smoothing=0) as bar:
        for key, (text, error) in parallel.run(execute, left, n_jobs, scheduler):
            path, failed = folder / f"{key}.ipynb", folder / f"{key}.failed.ipynb"
            results.write_text(failed if error else path, text)
            if error:
                bar.write(error)
            else:
                failed.unlink(missing_ok=True)
            rows[key] = _rows(key, keys[key], path, error)
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
    """Key of each run → its parameters."""
    code = [cell.source for cell in notebooks.code_cells(sweep.path)]
    about = [code, version("fmcnn-companion"), results.CODE_VERSION]
    of = {}  # the spectra themselves, wherever their archive lies
    for source in {own.get("DATA", "atlas") for own in sweep.runs}:
        spectra = data.load(source)
        of[source] = {"DATA": joblib.hash([spectra.X, spectra.minerals])}
    hashed = [joblib.hash([*about, own | of[own.get("DATA", "atlas")]]) for own in sweep.runs]
    return {f"run-{key[:10]}": own for key, own in zip(hashed, sweep.runs, strict=True)}


def _rows(key: str, values: dict, path: Path, error: str = "") -> list[dict]:
    """The rows of one run in ``numbers.csv``."""
    # of an archive its name is enough: it may lie elsewhere tomorrow
    row = {"run": key} | {k: Path(v).name if k == "DATA" else v for k, v in values.items()}
    if error:
        return [row | {"error": error}]
    row["minutes"] = round(notebooks.minutes(path), 3)
    numbers = notebooks.numbers(path)[["name", "value", "unit"]]
    return [row | n for n in numbers.rename(columns={"name": "number"}).to_dict("records")]


def _write_numbers(keys: dict[str, dict], rows: dict[str, list], folder: Path) -> pd.DataFrame:
    names = dict.fromkeys(name for values in keys.values() for name in values)
    columns = ["run", *names, "number", "value", "unit", "minutes", "error"]
    table = pd.DataFrame([row for key in keys for row in rows.get(key, [])], columns=columns)
    results.write_text(folder / "numbers.csv", table.to_csv(index=False, lineterminator="\n"))
    return table


def summarise(sweep: Sweep, folder: Path) -> Path:
    """The executed summary notebook of a sweep's ``numbers.csv``, beside it."""
    about = {"title": sweep.title, "notebook": sweep.path.stem}
    about |= {"numbers": sweep.numbers, "against": sweep.against, "cost": sweep.cost}
    results.write_text(folder / "sweep.yaml", yaml.safe_dump(about, sort_keys=False))
    output = folder / "summary.ipynb"
    (summary,) = notebooks.find(["summary"], everywhere=True)
    notebooks.execute(summary, output, {"FOLDER": str(folder.resolve())})
    return output


# ---------------------------------------------------------------- what was found


@dataclass(frozen=True)
class Found:
    """The numbers of a sweep, read from its folder.

    Attributes:
        about: ``title``, ``notebook``, ``numbers``, ``against``, ``cost``: see ``Sweep``.
        table: a row per run that ended well: its parameters, and a column per number.
        failed: ``run``, its parameters and ``error`` of those that failed.
        parameters: names of the parameters that have several values, without ``SEED``.
    """

    about: dict
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
    """What a sweep has left in its folder.

    Args:
        folder: its path, or the name of one that is kept in ``results/sweeps``.

    Raises:
        FileNotFoundError: if there is no sweep.
    """
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
    several = [name for name in names if name != "SEED" and len(runs[name].unique()) > 1]
    return Found(about, runs.join(values).reset_index(), failed, several)
