"""The search for what the paper leaves open, FMCNN's and the baselines' alike.

Every candidate is scored on the same few splits, drawn from a seed of their own that no reported
split is drawn from: three of ten stratified folds, and two of five folds by specimen. The setting
with the best mean of the two accuracies is taken, for both kinds of split. The reported folds are
dealt anew, so a spectrum may well be in a fold of the search and in a reported test fold: with
every spectrum tested ten times, none is left over for a search alone. What the search can gain by
that is small beside the differences reported, but it is not nothing.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd

from . import crossval, protocol
from ._problem import Refused
from .config import FMCNNConfig
from .fits import FMCNN, Baseline, Model
from .spectra import Spectra
from .splits import Split

SEED = 1000
#: How many folds of the protocol's ten and five.
FOLDS = {"random": 3, "specimen": 2}

#: Where the search for FMCNN's settings starts: from here, each candidate changes one thing, and
#: few change more, to see how small the network may be and whether that one wants more epochs.
START = FMCNNConfig(squeeze=8, expand1=16, expand3=16)


def candidates() -> dict[str, dict[str, Model]]:
    """Per model, what is tried: a name that says what differs → the model."""
    scaled = ("minmax", "l2", "sqrt")
    one_by_one = [
        *({"normalisation": how} for how in ("none", *scaled)),
        {"kernel": 8},
        {"stride": 2, "pool": 8},
        *({"pool": points} for points in (8, 16)),
        {"squeeze": 4, "expand1": 8, "expand3": 8},
        {"squeeze": 4, "expand1": 8, "expand3": 8, "pool": 8},
        {"squeeze": 2, "expand1": 4, "expand3": 4},
        {"squeeze": 16, "expand1": 32, "expand3": 32},
        {"dense": 128},
        {"l2": 1e-5},
        {"batch": 128},
        {"epochs": 80},
        {"squeeze": 4, "expand1": 8, "expand3": 8, "epochs": 80},
        {"refit": False},
    ]
    networks = {"start": FMCNN(START)}
    for change in one_by_one:
        if not change.items() <= asdict(START).items():
            networks[_name(change)] = FMCNN(replace(START, **change))
    tried = {
        "KNN": [
            {"normalisation": how, "metric": metric, **more}
            for how in ("none", *scaled)
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
            for how in ("none", *scaled)
            for penalty in (100, 10, 1)
        ],
        "LDA": [
            {"normalisation": how, "solver": "lsqr", "shrinkage": shrinkage}
            for how in ("none", *scaled)
            for shrinkage in (0.1, 0.3, 0.5, 0.7, 0.9)
        ]
        + [{"normalisation": how} for how in ("none", *scaled)],
    }
    return {"FMCNN": networks} | {
        name: {_name(options): Baseline(name, options) for options in several}
        for name, several in tried.items()
    }


def _name(options: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items()) or "as in paper"


def plans(spectra: Spectra) -> dict[str, tuple[Spectra, list[Split]]]:
    """By kind of split, the curated spectra and the folds that candidates are scored on."""
    dealt = {kind: protocol.plan(spectra, kind, 1, SEED) for kind in FOLDS}
    return {kind: (data, folds[: FOLDS[kind]]) for kind, (data, folds) in dealt.items()}


def run(spectra: Spectra, models: list[str] | None = None, **how) -> pd.DataFrame:
    """Score the candidates of each model on the splits of the search.

    Args:
        spectra: all of an archive.
        models: only these; by default all five.
        how: passed on to ``crossval.run_all`` (``n_jobs``, ``scheduler``, ``cache``, ``quiet``).

    Returns:
        One row per candidate, the best of each model first: ``model``, ``setting``, ``random`` and
        ``specimen`` (accuracies by kind of split), ``mean`` of the two, ``seconds`` a fit, and
        ``weights`` (FMCNN). Of candidates that do equally well, the one tried first stands first.

    Raises:
        Refused: for an unknown model, a ``ValueError``.
    """
    tried = candidates()
    for name in models or []:
        if name not in tried:
            raise Refused(f"model {name!r} is not one of {', '.join(tried)}")
    named = {
        f"{name}: {setting}": model
        for name in models or tried
        for setting, model in tried[name].items()
    }
    scores = crossval.run_all(plans(spectra), named, seed=SEED, **how).scores
    by_label = scores.groupby("model", sort=False)
    table = scores.pivot_table(index="model", columns="protocol", values="accuracy", sort=False)
    table["mean"] = table[list(FOLDS)].mean(axis=1)
    table["seconds"] = by_label["seconds"].mean().round(1)
    if "weights" in scores:
        table["weights"] = by_label["weights"].max()  # of the split with more classes
    label = table.index.str.partition(": ")
    table = table.reset_index(drop=True)
    table.insert(0, "model", label.get_level_values(0))
    table.insert(1, "setting", label.get_level_values(2))
    by_name = table.groupby("model", sort=False)
    ranked = [part.sort_values("mean", ascending=False, kind="stable") for _, part in by_name]
    return pd.concat(ranked, ignore_index=True)
