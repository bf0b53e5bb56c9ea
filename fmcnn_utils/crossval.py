"""Cross-validation: many independent fits, on local processes or on a cluster, each one kept.

A fit that has finished is written to a file of its own, named after everything that decides its
outcome. So a run that was stopped, by whatever means, goes on where it was, and changed data,
settings or code never meet an old fit.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from . import fits
from ._io import cache_folder, written_whole
from ._problem import Problem, Refused
from .fits import FMCNN, Baseline, Model
from .spectra import Spectra
from .splits import Split

__all__ = ["FMCNN", "Baseline", "Results", "run", "run_all", "split_table"]

#: How often in a row workers may die without a single fit finished in between.
MAX_RESTARTS = 3
#: How long, in seconds, a Dask scheduler may be without any worker.
WAIT_FOR_WORKERS = 60


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
    **how,
) -> Results:
    """Fit and score every model on every split.

    Args:
        spectra: raw counts; each model normalises for itself.
        splits: of these spectra.
        models: name in the tables → ``FMCNN(...)`` or ``Baseline(...)``.
        protocol: what to call this kind of split in the tables.
        how: see ``run_all``.

    Returns:
        The tables, in the order of ``splits``, then ``models``, whatever the order of the work.

    Raises:
        WorkersFailed: see ``run_all``, Refused too.
    """
    return run_all({protocol: (spectra, splits)}, models, **how)


def run_all(
    plans: dict[str, tuple[Spectra, list[Split]]],
    models: dict[str, Model],
    *,
    seed: int = 0,
    n_jobs: int = 2,
    scheduler: str | None = None,
    cache: bool | str | Path = True,
    quiet: bool = False,
) -> Results:
    """``run`` for several kinds of split, under one progress bar.

    Args:
        plans: name in the tables → spectra and their splits.
        models: name in the tables → ``FMCNN(...)`` or ``Baseline(...)``.
        seed: each fit's seed is drawn from it, its repeat and its fold: the same for all models.
        n_jobs: local processes, of one thread each; 1 stays in this process.
        scheduler: address of a Dask scheduler to use in place of local processes.
        cache: keep fits in the package's cache folder, in this folder, or (False) nowhere.
        quiet: no progress bar.

    Returns:
        The tables, in the order of ``plans``, their splits, then ``models``.

    Raises:
        WorkersFailed: if workers keep dying, or run other code than this process.
        Refused: if there is no Dask cluster of one-thread workers at the address, a
            ``ValueError``.
    """
    folder = _folder(cache)
    data = {name: checksum(spectra) for name, (spectra, _) in plans.items()}
    jobs = {name: _jobs(plans[name][1], models, data[name], seed) for name in plans}
    by_key = {job.key: job for job in chain(*jobs.values())}  # the same fit is run once
    done = {key: kept for key in by_key if folder and (kept := _read(folder / f"{key}.json"))}
    work = _on_cluster(scheduler) if scheduler else _locally(n_jobs)
    tables = []
    with _Progress(by_key, done, quiet) as progress:
        for name, (spectra, _) in plans.items():
            names, y = np.unique(spectra.minerals.astype(str), return_inverse=True)
            waiting = {job.key: job for job in jobs[name] if job.key not in done}
            for key, outcome in _to_the_end(work, waiting, np.ascontiguousarray(spectra.X), y):
                if folder:
                    _write(folder / f"{key}.json", outcome)
                done[key] = outcome
                progress.add(key, outcome)
            tables.append(_tables(jobs[name], done, names, y, spectra, name, data[name]))
    scores, predictions = zip(*tables, strict=True)
    scores = pd.concat(scores, ignore_index=True)
    whole = {name: "Int64" for name in ("epochs", "weights") if name in scores}
    return Results(scores.astype(whole), pd.concat(predictions, ignore_index=True))


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


for _model in (FMCNN, Baseline):  # now: a file may be edited after it was imported
    _made_with_here(_model)


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


def _to_the_end(work, jobs: dict[str, _Job], X, y) -> Iterator[tuple[str, dict]]:
    """The outcomes of ``work``, which is started again for what is left when workers die."""
    left, deaths = dict(jobs), 0
    while left:
        try:
            for key, outcome in work(list(left.values()), X, y):
                deaths = 0
                del left[key]
                yield key, outcome
        except BrokenExecutor as death:
            deaths += 1
            if deaths > MAX_RESTARTS:
                raise WorkersFailed(
                    f"worker processes died {deaths} times in a row, without finishing one of "
                    f"{len(left)} fits left: is there enough memory for as many workers?"
                ) from death


def _locally(n_jobs: int):
    def work(jobs: list[_Job], X, y) -> Iterator[tuple[str, dict]]:
        # A worker that starts TensorFlow late has grown by it, and joblib then takes it for one
        # that leaks, and replaces it.
        networks = any(isinstance(job.model, FMCNN) for job in jobs)
        start = _start_tensorflow if networks else None
        with joblib.parallel_config("loky", inner_max_num_threads=1, initializer=start):
            parallel = joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered")
            yield from parallel(joblib.delayed(_fit)(job, X, y) for job in jobs)

    return work


def _on_cluster(address: str):
    from distributed import KilledWorker, as_completed  # half of this module's import time

    def work(jobs: list[_Job], X, y) -> Iterator[tuple[str, dict]]:
        with _client(address) as client:
            X, y = client.scatter([X, y], broadcast=True)
            futures = [client.submit(_fit, job, X, y, pure=False) for job in jobs]
            try:
                for future in as_completed(futures):  # Dask itself runs a dead worker's fits again
                    yield future.result()
                    future.release()
            except (KilledWorker, CancelledError) as death:  # the last holder of the data died
                raise BrokenExecutor("Dask's workers died") from death
            finally:
                client.cancel(futures)

    return work


@contextmanager
def _client(address: str):
    from distributed import Client

    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise Refused(
            f"no Dask scheduler answers at scheduler={address!r} ({error}): give the address that "
            "`dask scheduler` prints when it starts, such as tcp://192.168.0.2:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except asyncio.TimeoutError as error:
            raise Refused(
                f"no worker has joined the Dask scheduler at scheduler={address!r} in "
                f"{WAIT_FOR_WORKERS} s: start some by `dask worker {address} --nthreads 1`"
            ) from error
        if max(client.nthreads().values()) > 1:
            raise Refused(
                f"a Dask worker at scheduler={address!r} has several threads, and a fit takes one "
                "process of one thread: start workers by `dask worker --nthreads 1`"
            )
        yield client


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
        latest = self._labels[key]  # to the front: a narrow terminal cuts off the end
        self._accuracies = {latest: self._accuracies.pop(latest)} | self._accuracies
        self._accuracies[latest].append(outcome["scores"]["accuracy"])
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
    return table, pd.concat(predictions, ignore_index=True)
