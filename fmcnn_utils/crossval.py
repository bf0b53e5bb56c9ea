"""Cross-validation: many independent fits, on local processes or on a cluster, each one kept.

A fit that has finished is written to a file of its own, named after everything that decides its
outcome. So a run that was stopped, by whatever means, goes on where it was, and changed data,
settings or code never meet an old fit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from . import fits
from ._io import cache_folder, written_whole
from ._problem import Problem
from .fits import FMCNN, Baseline, Model
from .spectra import Spectra
from .splits import Split

__all__ = ["FMCNN", "Baseline", "Results", "run", "split_table"]

#: How often in a row workers may die without a single fit finished in between.
MAX_RESTARTS = 3


@dataclass(frozen=True)
class Results:
    """What a cross-validation gives.

    Attributes:
        scores: a row per fit: ``protocol``, ``model``, ``repeat``, ``fold``, ``n_train``,
            ``n_test``, ``n_classes`` (trained on), ``accuracy``, ``macro_f1`` (over the minerals
            in the test fold), ``top3``, ``seconds``, ``seed``, ``versions``, then what only some
            models have (``epochs``, ``weights``, ``optimistic_accuracy``), ``data`` (checksum).
        predictions: a row per fit and test spectrum: ``protocol``, ``model``, ``repeat``,
            ``fold``, ``spectrum`` (row), ``file``, ``true``, ``predicted``, ``p`` (probability of
            what was predicted, NaN if the model gives none).
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame


class WorkersFailed(Problem, RuntimeError):
    """The work cannot go on: workers keep dying, or run other code than this process."""


@dataclass(frozen=True)
class _Job:
    label: str  # the model's name in the tables
    model: Model
    split: Split
    seed: int
    key: str
    made_with: str  # the code and the packages that the key stands for


def run(
    spectra: Spectra,
    splits: list[Split],
    models: dict[str, Model],
    *,
    protocol: str = "random",
    seed: int = 0,
    n_jobs: int = 2,
    scheduler: str | None = None,
    cache: bool | str | Path = True,
    quiet: bool = False,
) -> Results:
    """Fit and score every model on every split.

    Args:
        spectra: raw counts; each model normalises for itself.
        splits: of these spectra.
        models: name in the tables → ``FMCNN(...)`` or ``Baseline(...)``.
        protocol: what to call this kind of split in the tables.
        seed: each fit's seed is drawn from it, its repeat and its fold: the same for all models.
        n_jobs: local processes, of one thread each; 1 stays in this process.
        scheduler: address of a Dask scheduler to use in place of local processes.
        cache: keep fits in the package's cache folder, in this folder, or (False) nowhere.
        quiet: no progress bar.

    Returns:
        The tables, in the order of ``splits``, then ``models``, whatever the order of the work.

    Raises:
        WorkersFailed: if workers keep dying, or run other code than this process.
    """
    names, y = np.unique(spectra.minerals.astype(str), return_inverse=True)
    folder = _folder(cache)
    data = checksum(spectra)
    jobs = _jobs(splits, models, data, seed)
    by_key = {job.key: job for job in jobs}  # the same fit under two names is run once
    done = {key: kept for key in by_key if folder and (kept := _read(folder / f"{key}.json"))}
    waiting = {key: job for key, job in by_key.items() if key not in done}
    work = _on_cluster(scheduler) if scheduler else _locally(n_jobs)
    with _Progress(by_key, done, quiet) as progress:
        for key, outcome in work(waiting, np.ascontiguousarray(spectra.X), y):
            if folder:
                _write(folder / f"{key}.json", outcome)
            done[key] = outcome
            progress.add(key, outcome)
    return _tables(jobs, done, names, y, spectra, protocol, data)


def split_table(spectra: Spectra, splits: list[Split]) -> pd.DataFrame:
    """Which fold tests which spectrum: a row per spectrum, ``file`` and a column per repeat."""
    table = pd.DataFrame({"file": spectra.meta["file"]})
    for repeat in sorted({split.repeat for split in splits}):
        folds = np.full(len(spectra), -1)
        for split in splits:
            if split.repeat == repeat:
                folds[split.test] = split.fold
        table[f"repeat_{repeat}"] = folds
    return table


def checksum(spectra: Spectra) -> str:
    """SHA-256 of the intensities and the minerals, in their order."""
    digest = hashlib.sha256(np.ascontiguousarray(spectra.X).tobytes())
    digest.update("\0".join(spectra.minerals.astype(str)).encode())
    return digest.hexdigest()


def _jobs(splits, models, data: str, seed: int) -> list[_Job]:
    code = {label: fits.code_version(model) for label, model in models.items()}
    versions = fits.versions()
    jobs = []
    for split in splits:
        fit_seed = int(
            np.random.SeedSequence([seed, split.repeat, split.fold]).generate_state(1)[0]
        )
        rows = hashlib.sha256(split.train.astype("<i8").tobytes() + b"|")
        rows.update(split.test.astype("<i8").tobytes())
        for label, model in models.items():
            what = [data, rows.hexdigest(), repr(model), fit_seed, code[label], versions]
            key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
            made_with = f"code {code[label][:16]} · {versions}"
            jobs.append(_Job(label, model, split, fit_seed, key, made_with))
    return jobs


# ---------------------------------------------------------------- the cache


def _folder(cache: bool | str | Path) -> Path | None:
    if cache is False:
        return None
    return cache_folder() / "fits" if cache is True else Path(cache)


def _read(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        warnings.warn(f"{path} is damaged: its fit is run again", stacklevel=2)
        return None


def _write(path: Path, outcome: dict) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(outcome), encoding="utf-8")


# ---------------------------------------------------------------- the work


@functools.cache  # once per process, as the code is imported once
def _made_with_here(model: type[Model]) -> str:
    return f"code {fits.code_version(model)[:16]} · {fits.versions()}"


def _fit(job: _Job, X: np.ndarray, y: np.ndarray) -> tuple[str, dict]:
    here = _made_with_here(type(job.model))
    if here != job.made_with:
        raise WorkersFailed(
            f"a worker has other code or packages ({here}) than the run that it works for "
            f"({job.made_with}): start the run again, with every worker of one checkout and one "
            "environment; fits that were finished are kept"
        )
    return job.key, fits.fit(job.model, X, y, job.split, job.seed)


def _start_tensorflow() -> None:
    from . import training  # noqa: F401


def _locally(n_jobs: int):
    def work(jobs: dict[str, _Job], X, y) -> Iterator[tuple[str, dict]]:
        left, deaths = dict(jobs), 0
        networks = any(isinstance(job.model, FMCNN) for job in jobs.values())
        while left:
            try:
                # A worker that starts TensorFlow late has grown by it, and joblib then takes it for
                # one that leaks, and replaces it.
                start = _start_tensorflow if networks else None
                with joblib.parallel_config("loky", inner_max_num_threads=1, initializer=start):
                    parallel = joblib.Parallel(
                        n_jobs, batch_size=1, return_as="generator_unordered"
                    )
                    tasks = [joblib.delayed(_fit)(job, X, y) for job in left.values()]
                    for key, outcome in parallel(tasks):
                        deaths = 0
                        del left[key]
                        yield key, outcome
            except TerminatedWorkerError as death:
                deaths += 1
                if deaths > MAX_RESTARTS:
                    raise WorkersFailed(
                        f"worker processes died {deaths} times in a row, without finishing one of "
                        f"{len(left)} fits left: is there enough memory for n_jobs={n_jobs}?"
                    ) from death

    return work


def _on_cluster(address: str):
    from distributed import Client, as_completed  # half of this module's import time

    def work(jobs: dict[str, _Job], X, y) -> Iterator[tuple[str, dict]]:
        with Client(address) as client:
            X, y = client.scatter([X, y], broadcast=True)
            futures = [client.submit(_fit, job, X, y, pure=False) for job in jobs.values()]
            try:
                for future in as_completed(futures):  # Dask itself runs a dead worker's fits again
                    yield future.result()
                    future.release()
            finally:
                client.cancel(futures)

    return work


# ---------------------------------------------------------------- what comes out


class _Progress:
    """One bar: fits done and time left, and for each model how many and how well so far."""

    def __init__(self, jobs: dict[str, _Job], done: dict[str, dict], quiet: bool):
        self._labels = {key: job.label for key, job in jobs.items()}
        self._accuracies: dict[str, list[float]] = {label: [] for label in self._labels.values()}
        for key, outcome in done.items():
            self._accuracies[self._labels[key]].append(outcome["scores"]["accuracy"])
        # ``initial``: fits of earlier runs are not taken for speed.
        self._bar = tqdm(total=len(jobs), initial=len(done), disable=quiet, unit="fit", smoothing=0)
        self._show()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def add(self, key: str, outcome: dict) -> None:
        self._accuracies[self._labels[key]].append(outcome["scores"]["accuracy"])
        self._bar.update()
        self._show()

    def _show(self) -> None:
        parts = [f"{k} {len(v)}: {np.mean(v):.3f}" for k, v in self._accuracies.items() if v]
        self._bar.set_postfix_str(" · ".join(parts))


def _tables(jobs, done, names, y, spectra: Spectra, protocol: str, data: str) -> Results:
    files = spectra.meta["file"].to_numpy()
    scores, predictions = [], []
    for job in jobs:
        place = {"protocol": protocol, "model": job.label}
        place |= {"repeat": job.split.repeat, "fold": job.split.fold}
        outcome = done[job.key]
        scores.append(place | outcome["scores"])
        part = outcome["predictions"]
        rows = np.asarray(part["spectrum"])
        columns = {"spectrum": rows, "file": files[rows], "true": names[y[rows]]}
        columns |= {"predicted": names[part["predicted"]], "p": part["p"]}
        predictions.append(pd.DataFrame(place | columns))
    table = pd.DataFrame(scores).assign(data=data[:16])
    whole = {name: "Int64" for name in ("epochs", "weights") if name in table}
    return Results(table.astype(whole), pd.concat(predictions, ignore_index=True))
