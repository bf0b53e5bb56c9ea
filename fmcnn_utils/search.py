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

from . import crossval, curation, splits
from ._problem import Refused
from .config import FMCNNConfig
from .fits import FMCNN, Baseline, Model
from .spectra import Spectra

SEED = 1000

#: Where the search for FMCNN's settings starts: from here, each candidate changes one thing, and
#: two change more to see how small the network may be.
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
            {"normalisation": how, **more}
            for how in ("minmax", "sqrt")  # its rounding makes minmax of l2
            for more in ({}, {"max_features": "log2"})
        ],
        "SVM": [
            {"normalisation": how, "C": penalty}
            for how in ("none", *scaled)
            for penalty in (1, 10, 100)
        ],
        "LDA": [
            {"normalisation": how, "solver": "lsqr", "shrinkage": shrinkage}
            for how in ("none", *scaled)
            for shrinkage in (0.1, 0.3, 0.5)
        ]
        + [{"normalisation": how} for how in ("none", *scaled)],
    }
    return {"FMCNN": networks} | {
        name: {_name(options): Baseline(name, options) for options in several}
        for name, several in tried.items()
    }


def _name(options: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def run(spectra: Spectra, models: list[str] | None = None, **how) -> pd.DataFrame:
    """Score the candidates of each model on the splits of the search.

    Args:
        spectra: all of an archive.
        models: only these; by default all five.
        how: passed on to ``crossval.run`` (``n_jobs``, ``scheduler``, ``cache``, ``quiet``).

    Returns:
        One row per candidate, the best of each model first: ``model``, ``setting``, ``random`` and
        ``specimen`` (accuracies by kind of split), ``mean`` of the two, ``seconds`` a fit, and
        ``weights`` (FMCNN).

    Raises:
        Refused: for an unknown model, a ``ValueError``.
    """
    tried = candidates()
    for name in models or []:
        if name not in tried:
            raise Refused(f"model {name!r} is not one of {', '.join(tried)}")
    random, whole = curation.paper_rule(spectra), curation.specimen_rule(spectra)
    kinds = {
        "random": (random, splits.stratified(random.minerals, n_repeats=1, seed=SEED)[:3]),
        "specimen": (
            whole,
            splits.by_specimen(
                whole.minerals, whole.meta["specimen"].to_numpy(), n_repeats=1, seed=SEED
            )[:2],
        ),
    }
    tables = []
    for name in models or tried:
        settings = tried[name]
        scores = pd.concat(
            crossval.run(data, plan, settings, protocol=kind, seed=SEED, **how).scores
            for kind, (data, plan) in kinds.items()
        )
        table = scores.pivot_table(index="model", columns="protocol", values="accuracy")
        table["mean"] = table[list(kinds)].mean(axis=1)
        table["seconds"] = scores.groupby("model")["seconds"].mean().round(1)
        if "weights" in scores:
            table["weights"] = (
                scores[scores["protocol"] == "random"].groupby("model")["weights"].max()
            )
        table = (
            table.sort_values("mean", ascending=False, kind="stable")
            .rename_axis("setting")
            .reset_index()
        )
        table.insert(0, "model", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
