"""Cross-validation: the tables, the cache, and what happens when it is stopped or workers die."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier

from fmcnn_utils import data, parallel, results
from fmcnn_utils.data import Spectra
from fmcnn_utils.evaluation import cross_validation, split_table
from fmcnn_utils.models import FMCNNClassifier, baseline

TINY = FMCNNClassifier(
    filters=4, kernel=5, stride=3, batch_size=10, bn_momentum=0.8, epochs=3, patience=2
)


def made_up(n=60, n_minerals=4, seed=0) -> Spectra:
    """Spectra of one band per mineral, in counts."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_minerals
    centre = 10 + 60 * y / n_minerals + random.normal(size=n)
    X = 1000 * np.exp(-(((np.arange(80) - centre[:, None]) / 3) ** 2)) + 20 * random.random((n, 80))
    meta = pd.DataFrame({"file": [f"{i}.txt" for i in range(n)]})
    meta["mineral"] = np.array(["Albite", "Beryl", "Calcite", "Diopside"])[y]
    meta["specimen"] = [f"R{i // 8}" for i in range(n)]
    return Spectra(X.astype(np.float32), meta, np.arange(80.0), "made up")


class Slow(ClassifierMixin, BaseEstimator):
    """Takes the nearest spectrum's mineral after a while; notes in ``folder`` that it was fitted.

    It kills its process the first ``deaths`` times.
    """

    def __init__(self, folder="", seconds=0.0, deaths=0, random_state=None):
        self.folder, self.seconds, self.deaths = folder, seconds, deaths
        self.random_state = random_state

    def fit(self, X, y):
        dead = len(list(Path(self.folder).glob("dead-*")))
        if dead < self.deaths:
            Path(self.folder, f"dead-{time.time_ns()}").touch()
            os._exit(9)
        time.sleep(self.seconds)
        Path(self.folder, f"{self.random_state}-{os.getpid()}-{time.time_ns()}").touch()
        self.nearest_ = KNeighborsClassifier(1).fit(X, y)
        self.classes_ = self.nearest_.classes_
        return self

    def predict(self, X):
        return self.nearest_.predict(X)


SPECTRA = made_up()
FOLDS = data.stratified(SPECTRA.minerals, n_splits=3, n_repeats=1, seed=1)


def same(a, b) -> bool:
    scores = [results.scores.drop(columns="seconds") for results in (a, b)]
    return scores[0].equals(scores[1]) and a.predictions.equals(b.predictions)


def run(models, spectra=SPECTRA, folds=FOLDS, **options):
    options = {"n_jobs": 1, "cache": False, "quiet": True} | options
    return cross_validation.cross_validate({"random": (spectra, folds)}, models, **options)


def test_tables_have_a_row_per_fit_and_per_prediction():
    results = run({"FMCNN": TINY, "SVM": baseline("SVM")})
    scores = results.scores
    assert list(scores["model"]) == ["FMCNN", "SVM"] * 3
    assert list(scores["fold"]) == [0, 0, 1, 1, 2, 2]
    assert (scores["n_train"] + scores["n_test"] == 60).all()
    assert (scores["top3"] >= scores["accuracy"]).all()
    fmcnn = scores[scores["model"] == "FMCNN"]
    assert (fmcnn["best_epoch_accuracy"] >= fmcnn["accuracy"]).all()
    assert fmcnn["epochs"].between(1, 3).all()
    assert scores["seed"].nunique() == 3, "a seed per fold, the same for all models"
    assert "FMCNN" in results._repr_html_()

    predictions = results.predictions
    assert len(predictions) == 2 * 60
    right = predictions["true"] == predictions["predicted"]
    recomputed = right.groupby([predictions["fold"], predictions["model"]]).mean()
    assert np.allclose(recomputed.to_numpy(), scores["accuracy"])
    assert right[predictions["model"] == "SVM"].mean() > 0.9
    assert predictions.loc[predictions["model"] == "FMCNN", "p"].between(0, 1).all()


def test_rank_counts_ties_against_the_true_class():
    scores = np.array([[0.1, 0.7, 0.2], [0.0, 0.0, 1.0], [-np.inf, 2.0, 1.0]])
    assert list(cross_validation.rank(scores, np.array([2, 0, 0]))) == [2, 3, 3]


def test_two_minerals_and_a_mineral_that_training_lacks():
    two = SPECTRA.take(np.isin(SPECTRA.minerals, ["Albite", "Beryl"]))
    folds = data.stratified(two.minerals, n_splits=3, n_repeats=1)
    assert run({"SVM": baseline("SVM")}, two, folds).scores["accuracy"].min() > 0.9
    split = FOLDS[0]
    lacking = replace(split, train=split.train[SPECTRA.minerals[split.train] != "Albite"])
    scores = run({"FMCNN": TINY, "KNN": baseline("KNN")}, folds=[lacking]).scores
    assert (scores["n_classes"] == 3).all()
    assert (scores["top3"] <= 0.75).all()


def test_groups_reach_the_models_that_take_them():
    kept = run({"FMCNN": TINY, "KNN": baseline("KNN")}, groups="specimen")
    plain = run({"FMCNN": TINY, "KNN": baseline("KNN")})
    differ = kept.predictions["p"].ne(plain.predictions["p"]).groupby(kept.predictions["model"])
    assert differ.any()["FMCNN"]


def test_split_table_names_the_fold_that_tests_each_file():
    table = split_table(SPECTRA, FOLDS)
    assert list(table) == ["file", "repeat_0"]
    for split in FOLDS:
        assert (table["repeat_0"].to_numpy()[split.test] == split.fold).all()


def test_a_kept_fit_is_not_run_again_and_a_damaged_one_is(tmp_path):
    calls, cache = tmp_path / "calls", tmp_path / "cache"
    calls.mkdir()
    slow = {"slow": Slow(str(calls))}
    first = run(slow, cache=cache)
    assert same(run(slow, cache=cache), first)
    assert len(list(calls.iterdir())) == 3
    damaged = next(cache.iterdir())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged and computed again"):
        assert same(run(slow, cache=cache), first)
    assert len(list(calls.iterdir())) == 4
    assert same(run(slow, cache=cache), first)


CHANGES = {
    "data": {"spectra": replace(SPECTRA, X=SPECTRA.X + 1)},
    "minerals": {
        "spectra": replace(SPECTRA, meta=SPECTRA.meta.assign(mineral=SPECTRA.minerals[::-1]))
    },
    "split": {"folds": [replace(split, train=split.train[1:]) for split in FOLDS]},
    "setting": {"models": {"KNN": baseline("KNN", "sqrt")}},
    "seed": {"seed": 1},
    "nothing": {},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_a_fit_decides_whether_it_is_run_again(change, tmp_path):
    knn = {"KNN": baseline("KNN")}
    run(knn, cache=tmp_path)
    run(**{"models": knn, "cache": tmp_path} | CHANGES[change])
    assert len(list(tmp_path.iterdir())) == (3 if change == "nothing" else 6)


def test_another_code_version_runs_fits_again_and_another_comment_does_not(tmp_path, monkeypatch):
    package = tmp_path / "fmcnn_utils"
    code = "import test_cross_validation as t; t.run({'KNN': t.baseline('KNN')}, cache='fits')"

    def fits(old="", new="") -> int:
        for path in results.ROOT.joinpath("fmcnn_utils").rglob("*.py"):
            copy = package / path.relative_to(results.ROOT / "fmcnn_utils")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        paths = os.pathsep.join([str(tmp_path), os.path.dirname(__file__)])
        here = {**os.environ, "PYTHONPATH": paths}
        subprocess.run([sys.executable, "-c", code], env=here, cwd=tmp_path, check=True)
        return len(list((tmp_path / "fits").iterdir()))

    assert fits() == 3
    assert fits("# a network: note its", "# another comment, its") == 3
    assert fits("Train a clone", "Another docstring") == 3
    version = results.CODE_VERSION
    assert fits(f"CODE_VERSION = {version}", f"CODE_VERSION = {version + 1}") == 6


# ---------------------------------------------------------------- stopped, and dead workers


def test_a_dead_worker_costs_its_fit_which_is_run_again(tmp_path):
    assert len(run({"deadly": Slow(str(tmp_path), deaths=1)}, n_jobs=2).scores) == 3


def test_workers_that_keep_dying_end_the_run_with_a_sentence(tmp_path):
    with pytest.raises(results.UserError, match=r"died 4 times in a row, .* 3 tasks left"):
        run({"deadly": Slow(str(tmp_path), deaths=1000)}, n_jobs=2)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize("stop", ["SIGKILL", "SIGINT"])
def test_stopped_at_any_moment_it_resumes_and_ends_in_the_same_tables(stop, tmp_path):
    calls, cache = tmp_path / "calls", tmp_path / "cache"
    calls.mkdir()
    slow = f"{{'slow': t.Slow({str(calls)!r}, 0.7)}}"
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = (
        heed + f"import test_cross_validation as t; t.run({slow}, cache={str(cache)!r}, n_jobs=2)"
    )
    here = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    process = subprocess.Popen([sys.executable, "-c", code], env=here, stderr=subprocess.DEVNULL)
    while not list(cache.glob("*.gz")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(getattr(signal, stop))
    assert process.wait() != 0
    kept = len(list(cache.glob("*.gz")))
    assert 0 < kept < 3
    slow = {"slow": Slow(str(calls), 0.7)}
    resumed = run(slow, cache=cache)
    own = [call for call in calls.iterdir() if f"-{os.getpid()}-" in call.name]
    assert len(own) == 3 - kept  # orphaned workers may still be at theirs
    assert same(resumed, run(slow))


def dask_cluster(n_workers):
    from distributed import LocalCluster

    return LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)


def test_a_dask_cluster_gives_the_same_rows():
    models = {"FMCNN": TINY, "LDA": baseline("LDA")}
    with dask_cluster(2) as cluster:
        distributed = run(models, scheduler=cluster.scheduler_address)
    assert same(distributed, run(models))


def test_a_worker_of_a_dask_cluster_may_die(tmp_path):
    with dask_cluster(2) as cluster:
        slow = {"deadly": Slow(str(tmp_path), deaths=1)}
        assert len(run(slow, scheduler=cluster.scheduler_address).scores) == 3


def test_a_dask_cluster_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(parallel, "WAIT_FOR_WORKERS", 0.1)
    lda = {"LDA": baseline("LDA")}
    with pytest.raises(ValueError, match="no Dask scheduler answers at scheduler='nowhere'"):
        run(lda, scheduler="nowhere")
    with dask_cluster(0) as cluster, pytest.raises(ValueError, match=r"no worker has .* in 0.1 s"):
        run(lda, scheduler=cluster.scheduler_address)


def test_two_kinds_of_split_make_one_table():
    models = {"LDA": baseline("LDA"), "KNN": baseline("KNN")}
    plans = {"random": (SPECTRA, FOLDS), "specimen": (SPECTRA, FOLDS[:2])}
    both = cross_validation.cross_validate(plans, models, n_jobs=1, cache=False, quiet=True)
    assert list(both.scores.groupby("protocol", sort=False).size()) == [6, 4]
    first = both.scores[both.scores["protocol"] == "random"].drop(columns="seconds")
    pd.testing.assert_frame_equal(first, run(models).scores.drop(columns="seconds"))
