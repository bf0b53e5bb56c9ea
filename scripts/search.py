"""Search for what the paper leaves open: results/rruff/search_*.csv and validation_split.csv.

    python scripts/search.py --data path/to/excellent_oriented.zip [MODEL ...]

FMCNN's settings and the baselines' are searched alike. Every candidate is scored on the same few
splits, drawn from a seed that no reported split is drawn from: three of ten stratified folds, and
two of five folds by specimen. What counts is the mean of the two accuracies, for both kinds of
split, and of the baselines the best setting was taken. FMCNN's was taken from an earlier run, of
one training a candidate, and has stayed since: networks close to the best are now trained from
several seeds, which shows how little one training decides.

A spectrum may well be in a test fold of the search and in a reported one: with every spectrum
tested ten times, none is left over for a search alone. What the search can gain by that is small
beside the differences reported, but it is not nothing; notebook 04 measures it.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone

from fmcnn_utils import data, results
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.models import FMCNNClassifier, baseline

SEED = 1000
#: How many folds of the protocol's ten and five.
FOLDS = {"random": 3, "specimen": 2}
#: How often a network close to the best is trained on each fold, from different seeds, and how
#: close that is: two trainings of one network may differ by as much.
DRAWS, CLOSE = 4, 0.02
#: What a validation split keeps whole → ``groups`` of ``cross_validate``.
VALIDATION = {"spectra": None, "specimens": "specimen"}

#: Where the search for FMCNN's settings starts: from here, each candidate changes one thing, and
#: few change more, to see how small the network may be and whether that one wants more epochs.
START = FMCNNClassifier(squeeze=8, expand1=16, expand3=16)
SCALED = ("minmax", "l2", "sqrt")
NETWORKS = [
    *({"normalisation": how} for how in ("none", "minmax", "l2")),
    {"kernel": 8},
    {"stride": 2, "pool": 8},
    *({"pool": points} for points in (8, 16)),
    {"squeeze": 4, "expand1": 8, "expand3": 8},
    {"squeeze": 4, "expand1": 8, "expand3": 8, "pool": 8},
    {"squeeze": 2, "expand1": 4, "expand3": 4},
    {"squeeze": 16, "expand1": 32, "expand3": 32},
    {"dense": 128},
    {"l2": 1e-5},
    {"batch_size": 128},
    {"epochs": 80},
    {"squeeze": 4, "expand1": 8, "expand3": 8, "epochs": 80},
    {"refit": False},
]
BASELINES = {
    "KNN": [
        {"normalisation": how, "metric": metric, **more}
        for how in ("none", *SCALED)
        for metric in ("euclidean", "cosine")
        for more in ({}, {"n_neighbors": 3})
    ],
    "RF": [
        {**width, **sample}
        for width in ({}, {"max_features": "log2"}, {"max_features": 4})
        for sample in ({}, {"bootstrap": False})
    ],
    "SVM": [
        {"normalisation": how, "C": penalty}
        for how in ("none", *SCALED)
        for penalty in (100, 10, 1)
    ],
    "LDA": [
        {"normalisation": how, "solver": "lsqr", "shrinkage": shrinkage}
        for how in ("none", *SCALED)
        for shrinkage in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    + [{"normalisation": how} for how in ("none", *SCALED)],
}


def candidates(model: str) -> dict[str, ClassifierMixin]:
    """What is tried of a model: a name that says what differs → the estimator.

    Raises:
        UserError: for an unknown model.
    """
    if model == "FMCNN":
        return {"start": START} | {_name(c): clone(START).set_params(**c) for c in NETWORKS}
    if model in BASELINES:
        return {_name(options): baseline(model, **options) for options in BASELINES[model]}
    raise results.UserError(f"model {model!r} is not one of FMCNN, {', '.join(BASELINES)}")


def plans(spectra: data.Spectra) -> dict[str, tuple[data.Spectra, list[data.Split]]]:
    """By kind of split, the curated spectra and the folds that candidates are scored on."""
    drawn = {kind: protocol.plan(spectra, kind, 1, SEED) for kind in FOLDS}
    return {kind: (part, folds[: FOLDS[kind]]) for kind, (part, folds) in drawn.items()}


def run(spectra: data.Spectra, model: str, **how) -> pd.DataFrame:
    """Score the candidates of a model on the splits of the search.

    Args:
        spectra: all of an archive.
        model: ``"FMCNN"`` or one of the baselines.
        how: passed on to ``cross_validate`` (``n_jobs``, ``scheduler``, ``cache``, ``quiet``).

    Returns:
        One row per candidate, the best first: ``model``, ``setting``, ``random`` and ``specimen``
        (accuracies by kind of split), ``mean`` of the two and its standard deviation ``sd`` over
        the ``draws`` of the seed, ``weights`` (FMCNN), ``chosen`` (the protocol has it),
        ``seconds`` a fit. Of candidates that do equally well, the one tried first stands first.
    """
    tried = candidates(model)
    scores = cross_validate(plans(spectra), tried, seed=SEED, **how).scores.assign(draw=0)
    if model == "FMCNN":
        mean = scores.groupby(["model", "protocol"])["accuracy"].mean().groupby("model").mean()
        close = {name: tried[name] for name in tried if mean[name] >= mean.max() - CLOSE}
        for draw in range(1, DRAWS):
            more = cross_validate(plans(spectra), close, seed=SEED + draw, **how).scores
            scores = pd.concat([scores, more.assign(draw=draw)])
    by_draw = scores.pivot_table(
        index=["model", "draw"], columns="protocol", values="accuracy", sort=False
    )[list(FOLDS)]
    by_setting = by_draw.assign(mean=by_draw.mean(axis=1)).groupby("model", sort=False)
    table = by_setting.mean()
    table["sd"], table["draws"] = by_setting["mean"].std(), by_setting.size()
    of_fits = scores.groupby("model")
    if model == "FMCNN":
        table["weights"] = of_fits["weights"].max()  # of the split with more minerals
    reported = repr(protocol.MODELS[protocol.tuned(model)])
    table["chosen"] = [repr(tried[name]) == reported for name in table.index]
    table["seconds"] = of_fits["seconds"].mean().round(1)
    table = table.rename_axis("setting").reset_index()
    table.insert(0, "model", model)
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def validation_splits(spectra: data.Spectra, **how) -> pd.DataFrame:
    """FMCNN by specimen, with a validation split by spectra and with one by specimens.

    Args:
        spectra: all of an archive.
        how: passed on to ``cross_validate``.

    Returns:
        A row per fit on the search's folds by specimen: ``validation`` (spectra or specimens),
        ``draw``, ``fold``, ``epochs`` (chosen on the validation split), ``accuracy``.
    """
    by_specimen = {"specimen": plans(spectra)["specimen"]}
    tables = []
    for draw, (kind, groups) in product(range(DRAWS), VALIDATION.items()):
        network = {"FMCNN": FMCNNClassifier()}
        found = cross_validate(by_specimen, network, groups=groups, seed=draw, **how)
        tables.append(found.scores.assign(validation=kind, draw=draw))
    return pd.concat(tables)[["validation", "draw", "fold", "epochs", "accuracy"]]


def _name(options: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items()) or "as in paper"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="e.g. KNN SVM (default: all)")
    parser.add_argument("--data", default="rruff", help="rruff, or the path of an archive")
    parser.add_argument("--jobs", type=int, default=2, help="processes to fit with (default: 2)")
    parser.add_argument("--scheduler", help="of a Dask cluster to fit on")
    args = parser.parse_args()
    spectra = data.load_archive(args.data)
    models = args.models or ["FMCNN", *BASELINES]
    for model in models:  # refuse before hours are spent
        candidates(model)
    tested = {
        kind: part.meta["file"].iloc[np.concatenate([fold.test for fold in folds])]
        for kind, (part, folds) in plans(spectra).items()
    }
    folds = pd.concat(tested, names=["protocol", None]).reset_index(level=0)
    results.write(folds, "search_folds.csv")
    how = {"n_jobs": args.jobs, "scheduler": args.scheduler}
    for model in models:
        table = run(spectra, model, **how).round(4)
        results.write(table, f"search_{model.lower()}.csv")
        print(f"\n{table.to_string(index=False)}\n")
    if "FMCNN" in models:
        table = validation_splits(spectra, **how).round(5)
        results.write(table, "validation_split.csv")
        print(table.groupby("validation")["accuracy"].agg(["mean", "std"]))


if __name__ == "__main__":
    results.in_a_sentence(main)
