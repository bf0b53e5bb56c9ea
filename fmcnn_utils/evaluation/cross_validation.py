"""Cross-validation of scikit-learn estimators, on local processes or a Dask cluster.

Every finished fit is kept in a file of its own: a run that was stopped, by whatever means, goes on
where it was.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path

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

    Attributes:
        scores: a row per fit: ``protocol``, ``model``, ``repeat``, ``fold``, ``n_train``,
            ``n_test``, ``n_classes`` (trained on), ``accuracy``, ``macro_f1`` (over the minerals
            in the test fold), ``top3``, ``seconds``, ``seed``, ``versions``; of networks also
            ``epochs``, ``weights`` and ``best_epoch_accuracy`` (at the best test epoch); ``data``
            (its checksum).
        predictions: a row per fit and test spectrum: ``protocol``, ``model``, ``repeat``,
            ``fold``, ``file``, ``true``, ``predicted``, ``p`` (probability of the predicted
            mineral, NaN if the model gives none).
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame

    def _repr_html_(self) -> str:
        by = ["protocol", "model"]
        return self.scores.groupby(by, sort=False)["accuracy"].agg(["mean", "count"])._repr_html_()


@dataclass(frozen=True)
class _Fit:
    """One model on one fold."""

    protocol: str
    name: str
    model: ClassifierMixin
    split: Split
    seed: int
    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    files: np.ndarray
    data: str  # checksum of X and y

    def decided_by(self) -> list:
        """All that the outcome depends on."""
        with config_context(print_changed_only=False):  # a changed default is another setting, too
            settings = self.model.__repr__(N_CHAR_MAX=1_000_000)
        groups = self.groups if has_fit_parameter(self.model, "groups") else None
        return ["fit", self.data, self.split.train, self.split.test, settings, groups, self.seed]


def cross_validate(
    plans: dict[str, tuple[Spectra, list[Split]]],
    models: dict[str, ClassifierMixin],
    *,
    groups: str | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    scheduler: str | None = None,
    cache: bool | str | Path = True,
    quiet: bool = False,
) -> Results:
    """Fit and score every model on every split.

    Args:
        plans: name of a kind of split in the tables → spectra and their splits.
        models: name in the tables → scikit-learn estimator of raw counts and mineral names.
        groups: column of ``Spectra.meta`` to pass to models whose ``fit`` takes ``groups``.
        seed: each fit's ``random_state`` is drawn from it, the repeat and the fold: the same for
            all models.
        n_jobs: local processes, of one thread each; 1 stays in this process. By default two, or
            one where joblib sees a single core.
        scheduler: address of a Dask scheduler to use in place of local processes; joblib leaves
            a cluster of a single worker aside and fits in this process.
        cache: keep fits in the package's cache folder, in this folder, or (False) nowhere.
        quiet: no progress bar.

    Returns:
        The tables, in the order of ``plans``, their splits, then ``models``.

    Raises:
        UserError: if workers keep dying, or there is no Dask cluster at the address.
    """
    kept = Cache(_folder(cache))
    fits = [
        fit
        for protocol, plan in plans.items()
        for fit in _fits(protocol, *plan, models, groups, seed)
    ]
    paths = [kept.path(*fit.decided_by()) for fit in fits]
    done = {i: found for i, path in enumerate(paths) if (found := kept.get(path))}
    waiting = {
        i: (fit.model, fit.X, fit.y, fit.split, fit.groups, fit.seed)
        for i, fit in enumerate(fits)
        if i not in done
    }
    # Fits of earlier runs are ``initial``: they are not taken for speed.
    bar = tqdm(total=len(fits), initial=len(done), disable=quiet, unit="fit", smoothing=0)
    with bar:
        for i, outcome in parallel.run(
            fit_and_score, waiting, n_jobs or min(2, joblib.cpu_count()), scheduler
        ):
            kept.put(paths[i], outcome)
            done[i] = outcome
            bar.update()
            bar.set_postfix_str(_so_far(fits, done, fits[i]))
    scores, predictions = zip(*(_rows(fit, done[i]) for i, fit in enumerate(fits)), strict=True)
    scores = pd.DataFrame(scores)
    whole = {name: "Int64" for name in ("epochs", "weights") if name in scores}
    return Results(scores.astype(whole), pd.concat(predictions, ignore_index=True))


def fit_and_score(
    model: ClassifierMixin, X, y, split: Split, groups=None, seed: int = 0
) -> dict[str, object]:
    """Train a clone of a model on one fold and score it on what the fold leaves out.

    Args:
        model: the estimator; a ``random_state`` of its own or of a step of it is set to ``seed``.
        X: raw counts of all spectra, float32 (n, points).
        y: mineral of each, (n,).
        split: which of them train and which test.
        groups: specimen of each, (n,), for a model whose ``fit`` takes ``groups``.
        seed: for whatever the model draws.

    Returns:
        ``scores`` (column → value), ``predicted`` and ``p``, (n_test,).
    """
    start = time.perf_counter()
    train, test = split.train, split.test
    model = clone(model)
    drawn = {name: seed for name in model.get_params() if name.split("__")[-1] == "random_state"}
    model.set_params(**drawn)
    extras = {}
    if groups is not None and has_fit_parameter(model, "groups"):
        extras["groups"] = groups[train]
    if has_fit_parameter(model, "callbacks"):  # a network: note its test accuracy at each epoch
        from ..models.fmcnn import TestAccuracy

        extras["callbacks"] = [TestAccuracy(X[test], y[test])]
    with threadpool_limits(limits=1):
        model.fit(X[train], y[train], **extras)
        predicted, scores, p = _predict(model, X[test])
    place = np.searchsorted(model.classes_, y[test])
    known = np.isin(y[test], model.classes_)
    return {
        "scores": {
            "n_train": len(train),
            "n_test": len(test),
            "n_classes": len(model.classes_),
            "accuracy": float(np.mean(predicted == y[test])),
            "macro_f1": float(macro_f1(y[test], predicted)),
            "top3": float(np.sum(rank(scores[known], place[known]) <= 3) / len(test)),
            "seconds": round(time.perf_counter() - start, 2),
            "seed": seed,
            "versions": versions(),
            **_of_network(model),
        },
        "predicted": predicted,
        "p": np.round(p, 4),
    }


def macro_f1(true, predicted) -> float:
    """Mean F1 over the minerals that the test fold holds."""
    return f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)


def rank(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Place of the true class number among the scores (n, classes), 1 for the best.

    Ties count against it.
    """
    own = scores[np.arange(len(true)), true][:, None]
    return (scores >= own).sum(axis=1)


def versions() -> str:
    """The packages that decide the fits of this machine."""
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # one of TensorFlow's two builds
            continue
    return " · ".join(found)


def split_table(spectra: Spectra, splits: list[Split]) -> pd.DataFrame:
    """Which fold tests which spectrum: a row per spectrum, ``file`` and a column per repeat."""
    table = pd.DataFrame({"file": spectra.meta["file"]})
    for split in splits:
        table.loc[split.test, f"repeat_{split.repeat}"] = split.fold
    return table.astype({name: int for name in table.columns[1:]})


def _predict(model, X) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted minerals, scores of all classes, and the probability of what is predicted."""
    if hasattr(model, "predict_proba"):
        scores = model.predict_proba(X)
        return model.predict(X), scores, scores.max(axis=1)
    predicted = model.predict(X)
    if hasattr(model, "decision_function"):
        scores = model.decision_function(X)
        if scores.ndim == 1:  # of the second of two classes
            scores = np.column_stack([-scores, scores])
    else:
        scores = (predicted[:, None] == model.classes_).astype(float)
    return predicted, scores, np.full(len(X), np.nan)


def _of_network(model) -> dict[str, float]:
    """What only a network has."""
    if not hasattr(model, "history_"):
        return {}
    found = {"epochs": model.n_epochs_, "weights": model.model_.count_params()}
    if "test_accuracy" in model.history_:
        found["best_epoch_accuracy"] = float(model.history_["test_accuracy"].max())
    return found


def _folder(cache: bool | str | Path) -> Path | None:
    if cache is False:
        return None
    return cache_folder() / "fits" if cache is True else Path(cache)


def _fits(protocol, spectra, splits, models, groups, seed) -> list[_Fit]:
    X, y = np.ascontiguousarray(spectra.X), spectra.minerals.astype(str)
    of = None if groups is None else spectra.meta[groups].to_numpy(str)
    about = X, y, of, spectra.meta["file"].to_numpy(), joblib.hash([X, y])
    fits = []
    for split, (name, model) in product(splits, models.items()):
        drawn = np.random.SeedSequence([seed, split.repeat, split.fold]).generate_state(1)[0]
        fits.append(_Fit(protocol, name, model, split, int(drawn), *about))
    return fits


def _rows(fit: _Fit, outcome: dict) -> tuple[dict, pd.DataFrame]:
    place = {"protocol": fit.protocol, "model": fit.name}
    place |= {"repeat": fit.split.repeat, "fold": fit.split.fold}
    test = fit.split.test
    columns = {"file": fit.files[test], "true": fit.y[test]}
    columns |= {"predicted": outcome["predicted"], "p": outcome["p"].astype(float)}
    scores = place | outcome["scores"] | {"data": fit.data[:16]}
    return scores, pd.DataFrame(place | columns)


def _so_far(fits: list[_Fit], done: dict[int, dict], last: _Fit) -> str:
    """Fits and mean accuracy of each model, the last one's first: a terminal may cut off the end.

    Of the last one's kind of split.
    """
    accuracies = {last.name: []}
    for i, outcome in done.items():
        if fits[i].protocol == last.protocol:
            accuracies.setdefault(fits[i].name, []).append(outcome["scores"]["accuracy"])
    return " · ".join(f"{name} {len(a)}: {np.mean(a):.3f}" for name, a in accuracies.items())
