import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import crossval, fits, splits
from fmcnn_utils.config import FMCNNConfig
from fmcnn_utils.crossval import FMCNN, Baseline
from fmcnn_utils.spectra import Spectra

TINY = FMCNNConfig(
    n_points=80, filters=4, kernel=5, stride=3, batch=10, bn_momentum=0.8, epochs=3, patience=2
)


def made_up(n=60, n_minerals=4, seed=0) -> Spectra:
    """Spectra of one band per mineral, in counts."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_minerals
    centre = 10 + 60 * y / n_minerals + random.normal(size=n)
    X = 1000 * np.exp(-(((np.arange(80) - centre[:, None]) / 3) ** 2)) + 20 * random.random((n, 80))
    meta = pd.DataFrame({"file": [f"{i}.txt" for i in range(n)]})
    meta["mineral"] = np.array(["Albite", "Beryl", "Calcite", "Diopside"])[y]
    return Spectra(X.astype(np.float32), meta, np.arange(80.0), "made up")


@dataclass(frozen=True)
class Slow:
    """Guesses after a while; notes in ``folder`` that it was called."""

    folder: str
    seconds: float = 0.0
    modules: ClassVar = ()

    def predict(self, X, y, X_test, *, n_classes, seed, y_test):
        time.sleep(self.seconds)
        Path(self.folder, f"{seed}-{os.getpid()}-{time.time_ns()}").touch()
        scores = np.random.default_rng(seed).random((len(X_test), n_classes))
        return fits.Predicted(scores.argmax(axis=1), scores, scores.max(axis=1))


@dataclass(frozen=True)
class Deadly:
    """Kills its process the first ``times`` times."""

    folder: str
    times: int
    modules: ClassVar = ()

    def predict(self, X, y, X_test, *, n_classes, seed, y_test):
        if len(list(Path(self.folder).iterdir())) < self.times:
            Path(self.folder, str(time.time_ns())).touch()
            os._exit(9)
        return Slow(self.folder).predict(
            X, y, X_test, n_classes=n_classes, seed=seed, y_test=y_test
        )


SPECTRA = made_up()
FOLDS = splits.stratified(SPECTRA.minerals, n_splits=3, n_repeats=1, seed=1)


def same(a: crossval.Results, b: crossval.Results) -> bool:
    scores = [results.scores.drop(columns="seconds") for results in (a, b)]
    return scores[0].equals(scores[1]) and a.predictions.equals(b.predictions)


def run(models, **options):
    return crossval.run(
        SPECTRA, FOLDS, models, **{"n_jobs": 1, "cache": False, "quiet": True} | options
    )


def test_tables_have_a_row_per_fit_and_per_prediction():
    models = {"FMCNN": FMCNN(TINY, optimistic=True), "SVM": Baseline("SVM")}
    results = run(models, protocol="random")
    scores = results.scores
    assert list(scores["model"]) == ["FMCNN", "SVM"] * 3
    assert list(scores["fold"]) == [0, 0, 1, 1, 2, 2]
    assert set(scores["protocol"]) == {"random"}
    assert (scores["n_train"] + scores["n_test"] == 60).all()
    assert (scores["top3"] >= scores["accuracy"]).all()
    fmcnn = scores[scores["model"] == "FMCNN"]
    assert (fmcnn["optimistic_accuracy"] >= fmcnn["accuracy"]).all()
    assert fmcnn["epochs"].between(1, 3).all()
    assert scores["seed"].nunique() == 3, "a seed per fold, the same for all models"

    predictions = results.predictions
    assert len(predictions) == 2 * 60
    right = predictions["true"] == predictions["predicted"]
    recomputed = right.groupby([predictions["fold"], predictions["model"]]).mean()
    assert np.allclose(recomputed.to_numpy(), scores["accuracy"])
    assert (predictions["file"] == predictions["spectrum"].astype(str) + ".txt").all()
    assert right[predictions["model"] == "SVM"].mean() > 0.9


def test_rank_counts_ties_against_the_true_class():
    scores = np.array([[0.1, 0.7, 0.2], [0.0, 0.0, 1.0], [-np.inf, 2.0, 1.0]])
    assert list(fits.rank(scores, np.array([2, 0, 0]))) == [2, 3, 3]


def test_split_table_names_the_fold_that_tests_each_file():
    table = crossval.split_table(SPECTRA, FOLDS)
    assert list(table) == ["file", "repeat_0"]
    for split in FOLDS:
        assert (table["repeat_0"].to_numpy()[split.test] == split.fold).all()


def test_a_kept_fit_is_not_run_again_and_a_damaged_one_is(tmp_path):
    calls, cache = tmp_path / "calls", tmp_path / "cache"
    calls.mkdir()
    first = run({"slow": Slow(str(calls))}, cache=cache)
    assert same(run({"slow": Slow(str(calls))}, cache=cache), first)
    assert len(list(calls.iterdir())) == 3
    damaged = next(cache.glob("*.json"))
    damaged.write_text(damaged.read_text()[:40])
    with pytest.warns(UserWarning, match="is damaged: its fit is run again"):
        again = run({"slow": Slow(str(calls))}, cache=cache)
    assert same(again, first)
    assert len(list(calls.iterdir())) == 4
    json.loads(damaged.read_text())


@pytest.mark.parametrize("change", ["data", "labels", "rows", "settings", "seed", "code"])
def test_what_decides_a_fit_is_in_its_key(change, monkeypatch):
    def keys(spectra=SPECTRA, folds=FOLDS, model=None, seed=0):
        model = model or Baseline("SVM")
        data = crossval.checksum(spectra)
        return {job.key for job in crossval._jobs(folds, {"SVM": model}, data, seed)}

    before = keys()
    assert before == keys()
    if change == "data":
        after = keys(spectra=replace(SPECTRA, X=SPECTRA.X + 1))
    elif change == "labels":
        meta = SPECTRA.meta.assign(mineral=SPECTRA.minerals[::-1])
        after = keys(spectra=replace(SPECTRA, meta=meta))
    elif change == "rows":
        after = keys(folds=[replace(split, train=split.train[1:]) for split in FOLDS])
    elif change == "settings":
        after = keys(model=Baseline("SVM", {"normalisation": "sqrt"}))
    elif change == "seed":
        after = keys(seed=1)
    else:
        monkeypatch.setattr(Baseline, "modules", (*Baseline.modules, "claims"))
        after = keys()
    assert not before & after


def test_a_dead_worker_costs_its_fit_which_is_run_again(tmp_path):
    results = run({"deadly": Deadly(str(tmp_path), times=1)}, n_jobs=2)
    assert len(results.scores) == 3


def test_workers_that_keep_dying_end_the_run_with_a_sentence(tmp_path, monkeypatch):
    deaths = []

    def die(parallel, tasks):
        deaths.append(1)
        raise BrokenExecutor

    monkeypatch.setattr(crossval.joblib.Parallel, "__call__", die)
    with pytest.raises(RuntimeError, match=r"died 4 times in a row, .* 3 fits left"):
        run({"slow": Slow(str(tmp_path))}, n_jobs=2)
    assert len(deaths) == 4


def test_a_worker_with_other_code_is_refused_and_keeps_no_fit(tmp_path, monkeypatch):
    code = iter(["as the run was started", "as the worker found it"])
    monkeypatch.setattr(fits, "code_version", lambda model: next(code))
    crossval._made_with_here.cache_clear()
    with pytest.raises(crossval.WorkersFailed, match=r"as the worker fo.* than the run"):
        run({"SVM": Baseline("SVM")}, cache=tmp_path)
    crossval._made_with_here.cache_clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize("stop", ["SIGKILL", "SIGINT"])
def test_stopped_at_any_moment_it_resumes_and_ends_in_the_same_tables(stop, tmp_path):
    calls, cache = tmp_path / "calls", tmp_path / "cache"
    calls.mkdir()
    slow = f"{{'slow': t.Slow({str(calls)!r}, 0.7)}}"
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = heed + f"import test_crossval as t; t.run({slow}, cache={str(cache)!r}, n_jobs=2)"
    here = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    process = subprocess.Popen([sys.executable, "-c", code], env=here, stderr=subprocess.DEVNULL)
    while not list(cache.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(getattr(signal, stop))
    assert process.wait() != 0
    kept = len(list(cache.glob("*.json")))
    assert 0 < kept < 3
    resumed = run({"slow": Slow(str(calls), 0.7)}, cache=cache)
    own = [call for call in calls.iterdir() if f"-{os.getpid()}-" in call.name]
    assert len(own) == 3 - kept  # orphaned workers may still be at theirs
    assert same(resumed, run({"slow": Slow(str(calls), 0.7)}))


def dask_cluster(n_workers, threads=1):
    from distributed import LocalCluster

    return LocalCluster(n_workers=n_workers, threads_per_worker=threads, dashboard_address=None)


def test_a_dask_cluster_gives_the_same_rows():
    models = {"FMCNN": FMCNN(replace(TINY, epochs=2)), "LDA": Baseline("LDA")}
    with dask_cluster(2) as cluster:
        distributed = run(models, scheduler=cluster.scheduler_address)
    assert same(distributed, run(models))


def test_the_only_worker_of_a_dask_cluster_may_die(tmp_path):
    with dask_cluster(1) as cluster:
        results = run({"deadly": Deadly(str(tmp_path), 1)}, scheduler=cluster.scheduler_address)
    assert len(results.scores) == 3


def test_a_dask_cluster_that_will_not_do_is_refused(monkeypatch):
    monkeypatch.setattr(crossval, "WAIT_FOR_WORKERS", 0.1)
    lda = {"LDA": Baseline("LDA")}
    with pytest.raises(ValueError, match="no Dask scheduler answers at scheduler='nowhere'"):
        run(lda, scheduler="nowhere")
    with dask_cluster(0) as cluster, pytest.raises(ValueError, match=r"no worker has .* in 0.1 s"):
        run(lda, scheduler=cluster.scheduler_address)
    with dask_cluster(1, threads=2) as cluster, pytest.raises(ValueError, match="several threads"):
        run(lda, scheduler=cluster.scheduler_address)


def test_two_kinds_of_split_make_one_table():
    models = {"LDA": Baseline("LDA"), "KNN": Baseline("KNN")}
    other = replace(SPECTRA, X=SPECTRA.X * 2)
    plans = {"random": (SPECTRA, FOLDS), "specimen": (other, FOLDS[:2])}
    both = crossval.run_all(plans, models, n_jobs=1, cache=False, quiet=True)
    assert list(both.scores.groupby("protocol", sort=False).size()) == [6, 4]
    assert set(both.scores["data"]) == {crossval.checksum(s)[:16] for s in (SPECTRA, other)}
    first = both.scores[both.scores["protocol"] == "random"].drop(columns="seconds")
    alone = run(models).scores.drop(columns="seconds")
    pd.testing.assert_frame_equal(first, alone)


def test_the_model_that_finished_last_leads_the_progress_bar():
    models = {"KNN": Baseline("KNN"), "LDA": Baseline("LDA")}
    jobs = {job.key: job for job in crossval._jobs(FOLDS, models, "", 0)}
    done = {"scores": {"accuracy": 0.5}}
    with crossval._Progress(jobs, {}, quiet=True) as progress:
        for key in jobs:
            progress.add(key, done)
    assert list(progress._accuracies) == ["LDA", "KNN"]
