"""Cross-validation of scikit-learn estimators, on local processes or a Dask cluster.

Every finished fit is kept in a file of its own: a run that was stopped, by whatever means, goes on
where it was.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import f1_score
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from .. import parallel
from ..data.spectra import Spectra
from ..data.splits import Split
from ..results import Cache, cache_folder


@dataclass(frozen=True)
class Results:
    """What a cross-validation gives.

    ``scores`` has a row per fit: ``protocol``, ``model``, ``repeat``, ``fold``, ``n_train``,
    ``n_test``, ``n_classes`` (trained on), ``accuracy``, ``macro_f1`` (over the minerals in the
    test fold), ``top3``, ``seconds``, ``seed``, ``versions``; of networks also ``epochs``,
    ``weights`` and ``best_epoch_accuracy`` (at the best test epoch); ``data`` (its checksum).

    ``predictions`` has a row per fit and test spectrum: ``protocol``, ``model``, ``repeat``,
    ``fold``, ``file``, ``true``, ``predicted``, ``p`` (its probability, NaN if a model has none).
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame

    def _repr_html_(self) -> str:
        by = ["protocol", "model"]
        return self.scores.groupby(by, sort=False)["accuracy"].agg(["mean", "count"])._repr_html_()


def cross_validate(
    plans, models, *, groups=None, seed=0, n_jobs=None, scheduler=None, cache=True, quiet=False
) -> Results:
    """Fit and score every model on every split, in the order of ``plans``, splits, ``models``.

    Args:
        plans: name of a kind of split in the tables → ``(Spectra, list of Split)``.
        models: name in the tables → scikit-learn estimator of raw counts and mineral names.
        groups: column of ``Spectra.meta`` to pass to models whose ``fit`` takes ``groups``.
        seed: each fit's ``random_state`` is drawn from it, repeat and fold: alike for all models.
        n_jobs: local processes, of one thread each; 1 stays in this process. By default two, or
            one where joblib sees a single core.
        scheduler: address of a Dask scheduler to use in their place, as in ``parallel.run``, which
            raises ``UserError`` if no cluster is there, or workers keep dying.
        cache: keep fits in the package's cache folder, in this one (a path), or (False) nowhere.
        quiet: no progress bar.
    """
    if cache is True:
        cache = cache_folder() / "fits"
    kept = Cache(Path(cache) if cache else None)
    fits = list(_fits(plans, models, groups, seed))
    paths = [kept.path(*fit.decided_by) for fit in fits]
    outcomes = [kept.get(path) for path in paths]
    waiting = {i: fit.task for i, fit in enumerate(fits) if outcomes[i] is None}
    n_jobs = n_jobs or min(2, joblib.cpu_count())
    # Fits of earlier runs are ``initial``: they are not taken for speed.
    earlier = len(fits) - len(waiting)
    with tqdm(total=len(fits), initial=earlier, disable=quiet, unit="fit", smoothing=0) as bar:
        for i, outcome in parallel.run(fit_and_score, waiting, n_jobs, scheduler):
            kept.put(paths[i], outcome)
            outcomes[i] = outcome
            bar.update()
            bar.set_postfix_str(_so_far(fits, outcomes, fits[i].place))
    scores, predictions = [], []
    for fit, outcome in zip(fits, outcomes, strict=True):
        scores.append(fit.place | outcome["scores"] | {"data": fit.data[:16]})
        answers = {"predicted": outcome["predicted"], "p": outcome["p"].astype(float)}
        predictions.append(pd.DataFrame(fit.place | fit.tested | answers))
    scores = pd.DataFrame(scores)
    whole = {name: "Int64" for name in ("epochs", "weights") if name in scores}
    return Results(scores.astype(whole), pd.concat(predictions, ignore_index=True))


def fit_and_score(model: ClassifierMixin, X, y, split: Split, groups=None, seed: int = 0) -> dict:
    """Train a clone of a model on one fold: ``scores``, and ``predicted`` and ``p`` of its test.

    ``X`` are raw counts, float32 (n, points), ``y`` the minerals of all spectra, (n,); ``groups``,
    (n,), goes to the model's ``fit``. Each ``random_state`` of it and its steps is set to ``seed``.
    """
    start = time.perf_counter()
    train, test = split.train, split.test
    model = clone(model)
    drawn = {name: seed for name in model.get_params() if name.split("__")[-1] == "random_state"}
    model.set_params(**drawn)
    extras = {} if groups is None else {"groups": groups[train]}
    if has_fit_parameter(model, "callbacks"):  # a network: note its test accuracy at each epoch
        from ..models.fmcnn import TestAccuracy

        extras["callbacks"] = [TestAccuracy(X[test], y[test])]
    with threadpool_limits(limits=1):
        model.fit(X[train], y[train], **extras)
        predicted, class_scores, p = _predict(model, X[test])
    known = np.isin(y[test], model.classes_)
    place = np.searchsorted(model.classes_, y[test][known])
    scores = {
        "n_train": len(train),
        "n_test": len(test),
        "n_classes": len(model.classes_),
        "accuracy": float(np.mean(predicted == y[test])),
        "macro_f1": float(macro_f1(y[test], predicted)),
        "top3": float(np.sum(rank(class_scores[known], place) <= 3) / len(test)),
        "seconds": round(time.perf_counter() - start, 2),
        "seed": seed,
        "versions": versions(),
    }
    if hasattr(model, "history_"):  # a network
        scores |= {"epochs": model.n_epochs_, "weights": model.model_.count_params()}
        if "test_accuracy" in model.history_:
            scores["best_epoch_accuracy"] = float(model.history_["test_accuracy"].max())
    return {"scores": scores, "predicted": predicted, "p": np.round(p, 4)}


def macro_f1(true, predicted) -> float:
    """Mean F1 over the minerals that the test fold holds."""
    return f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)


def rank(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Place of the true class number among scores (n, classes): 1 for the best, ties against it."""
    return (scores >= scores[np.arange(len(true)), true][:, None]).sum(axis=1)


def versions() -> str:
    """The packages that decide the fits of this machine."""
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu"):
        with suppress(PackageNotFoundError):  # one of TensorFlow's two builds
            found.append(f"{package} {version(package)}")
    return " · ".join(found)


def split_table(spectra: Spectra, splits: list[Split]) -> pd.DataFrame:
    """Which fold tests which spectrum: a row per spectrum, ``file`` and a column per repeat."""
    table = pd.DataFrame({"file": spectra.meta["file"]})
    for split in splits:
        table.loc[split.test, f"repeat_{split.repeat}"] = split.fold
    return table.astype({name: int for name in table.columns[1:]})


class _Fit(NamedTuple):
    """One model on one fold."""

    place: dict[str, object]  # columns of its rows: where it stands
    tested: dict[str, np.ndarray]  # columns of its predictions: files and minerals
    data: str  # checksum of X and y
    task: tuple  # arguments of fit_and_score
    decided_by: list  # all that the outcome depends on


def _fits(plans, models, groups, seed) -> Iterator[_Fit]:
    for protocol, (spectra, splits) in plans.items():
        X, y = np.ascontiguousarray(spectra.X), spectra.minerals.astype(str)
        files, data = spectra.meta["file"].to_numpy(), joblib.hash([X, y])
        specimens = spectra.meta[groups].to_numpy(str) if groups else None
        for split, (name, model) in product(splits, models.items()):
            place = {"protocol": protocol, "model": name}
            place |= {"repeat": split.repeat, "fold": split.fold}
            tested = {"file": files[split.test], "true": y[split.test]}
            own = specimens if has_fit_parameter(model, "groups") else None
            drawn = np.random.SeedSequence([seed, split.repeat, split.fold]).generate_state(1)
            drawn = int(drawn[0])
            with config_context(print_changed_only=False):  # a changed default is a setting, too
                settings = model.__repr__(N_CHAR_MAX=1_000_000)
            decided_by = ["fit", data, split.train, split.test, settings, own, drawn]
            yield _Fit(place, tested, data, (model, X, y, split, own, drawn), decided_by)


def _predict(model, X) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted minerals, scores of all classes, and the probability of what is predicted."""
    predicted, p = model.predict(X), np.full(len(X), np.nan)
    if hasattr(model, "predict_proba"):
        scores = model.predict_proba(X)
        p = scores.max(axis=1)
    elif hasattr(model, "decision_function"):
        scores = model.decision_function(X)
        if scores.ndim == 1:  # of the second of two classes
            scores = np.column_stack([-scores, scores])
    else:
        scores = predicted[:, None] == model.classes_
    return predicted, scores, p


def _so_far(fits: list[_Fit], outcomes: list[dict | None], last: dict) -> str:
    """Fits and mean accuracy of each model on the last one's kind of split."""
    accuracies = {last["model"]: []}  # first: a terminal may cut off the end
    for fit, outcome in zip(fits, outcomes, strict=True):
        if outcome and fit.place["protocol"] == last["protocol"]:
            accuracies.setdefault(fit.place["model"], []).append(outcome["scores"]["accuracy"])
    return " · ".join(f"{name} {len(a)}: {np.mean(a):.3f}" for name, a in accuracies.items())
