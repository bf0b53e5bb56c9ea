"""What is left of the accuracy on new specimens, and a better model: results/rruff/beyond_*.csv.

    python scripts/beyond.py --data path/to/excellent_oriented.zip [STEP ...]

The steps, each with files of its own:

- ``protocol``: FMCNN + library on the first repeats of the two protocols.
- ``leakage``: the same spectra and models under five splits that share ever less with training.
- ``ablation``: what each part of the better model brings, on the folds of the search
  (``scripts/search.py``), which is where it was chosen.
- ``composition``: are the errors within a series the specimens in between?
- ``cut``: two specimens that begin late, when all spectra begin as late.

Every fit is kept, so that a run may be interrupted.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import search
from sklearn.base import BaseEstimator, ClassifierMixin

from fmcnn_utils import data, results
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.models import FMCNNClassifier, Library, LibraryFMCNN, RobustFMCNN
from fmcnn_utils.models.library import measured_range
from fmcnn_utils.models.robust import CHANGES

BETTER = "FMCNN + library"
#: Which models are compared under the five splits.
COMPARED = {name: protocol.MODELS[name] for name in ("FMCNN", *protocol.TUNED)}
COMPARED[BETTER] = LibraryFMCNN()


class LibraryAlone(ClassifierMixin, BaseEstimator):
    """The search in the library of the training spectra, without a network."""

    def fit(self, X, y):
        """Keep the spectra."""
        self.library_, self.classes_ = Library(X, y), np.unique(y)
        return self

    def decision_function(self, X) -> np.ndarray:
        """Similarity to each mineral, (n, n_classes)."""
        return self.library_.similarity(X, *measured_range(X))[0]

    def predict(self, X) -> np.ndarray:
        """The mineral of the most similar spectrum."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]


#: FMCNN's own size; of the better model it has a half.
SMALL = {"filters": 16, "squeeze": 4, "expand1": 8, "expand3": 8}
#: From FMCNN to the better model, a part at a time; then the other changes that were tried.
PARTS = {
    "FMCNN": FMCNNClassifier(),
    "library alone": LibraryAlone(),
    "FMCNN's size, and the library": LibraryFMCNN(**SMALL, changes=()),
    "twice the maps, 60 epochs, falling rate": RobustFMCNN(changes=()),
    "and changed heights": RobustFMCNN(changes=("heights",)),
    "and the library (FMCNN + library)": LibraryFMCNN(),
    "library, but no changes": LibraryFMCNN(changes=()),
    "library, and shift, heights, resolution": LibraryFMCNN(
        changes=("shift", "heights", "resolution")
    ),
    "library, and all changes": LibraryFMCNN(changes=CHANGES),
}
ROUNDED = {"accuracy": 5, "macro_f1": 5, "top3": 5, "best_epoch_accuracy": 5}


def splits(spectra: data.Spectra) -> tuple[data.Spectra, dict[str, list[data.Split]]]:
    """The spectra of minerals with two specimens or more, and one repeat of each of five splits.

    In the last, each specimen is predicted by a model that saw all others of its mineral: as many
    folds as the mineral with most specimens has, and of each mineral at most one specimen a fold.
    """
    curated = data.specimen_rule(spectra)
    meta, minerals = curated.meta, curated.minerals
    most = meta.groupby("mineral", observed=True)["specimen"].nunique().max()
    scan = meta["mount"].astype(str) + " " + meta["angle"].astype(str)
    by = data.by_specimen
    seed = protocol.SEED
    return curated, {
        "random": data.stratified(minerals, 5, 1, seed),
        "orientation": by(minerals, scan.to_numpy(), 5, 1, seed),
        "mount": by(minerals, meta["mount"].to_numpy(), 5, 1, seed),
        "specimen": by(minerals, meta["specimen"].to_numpy(), 5, 1, seed),
        "one specimen": by(minerals, meta["specimen"].to_numpy(), int(most), 1, seed),
    }


def leakage(spectra: data.Spectra, **how) -> None:
    """Write ``beyond_leakage.csv`` (a row per fit) and ``beyond_leakage_spectra.csv.gz``.

    The latter has a row per split and test spectrum: whether a scan of the same mount, and of the
    same specimen, was trained on; its similarity to the nearest training spectrum, and whether
    that is of its mineral; and what each model predicted.
    """
    curated, by_kind = splits(spectra)
    plans = {kind: (curated, folds) for kind, folds in by_kind.items()}
    outcome = cross_validate(plans, COMPARED, seed=protocol.SEED, **how)
    results.write(outcome.scores.round(ROUNDED), "beyond_leakage.csv")
    place = ["protocol", "fold", "file", "true"]
    wide = outcome.predictions.pivot(index=place, columns="model", values="predicted")
    near = [nearest(curated, kind, f) for kind, folds in by_kind.items() for f in folds]
    table = wide[list(COMPARED)].reset_index()
    table = table.merge(pd.concat(near), on=["protocol", "file"], validate="one_to_one")
    results.write(table, "beyond_leakage_spectra.csv.gz")


def nearest(curated: data.Spectra, kind: str, split: data.Split) -> pd.DataFrame:
    """Of each test spectrum, what the training set has in common with it."""
    X = data.normalise(data.normalise(curated.X, "sqrt"), "l2")
    alike = X[split.test] @ X[split.train].T
    best = alike.argmax(axis=1)
    test, train = curated.meta.iloc[split.test], curated.meta.iloc[split.train]
    return pd.DataFrame(
        {
            "protocol": kind,
            "file": test["file"].to_numpy(),
            "mount_seen": test["mount"].isin(set(train["mount"])).to_numpy(),
            "specimen_seen": test["specimen"].isin(set(train["specimen"])).to_numpy(),
            "similarity": alike.max(axis=1).round(4),
            "nearest": train["file"].to_numpy()[best],
        }
    )


def ablation(spectra: data.Spectra, **how) -> None:
    """Write ``beyond_ablation.csv``: a row per part and fit on the folds of the search.

    By specimen, where there are two folds, from several seeds: ``draw``.
    """
    plans, tables = search.plans(spectra), []
    for draw in range(search.DRAWS):
        some = plans if draw == 0 else {"specimen": plans["specimen"]}
        scores = cross_validate(some, PARTS, seed=search.SEED + draw, **how).scores
        tables.append(scores.assign(draw=draw))
    results.write(pd.concat(tables).round(ROUNDED), "beyond_ablation.csv")


def full(spectra: data.Spectra, repeats: dict[str, int], **how) -> None:
    """Write ``beyond_scores.csv`` and ``beyond_predictions.csv.gz`` of the two protocols."""
    plans = {kind: protocol.plan(spectra, kind, n) for kind, n in repeats.items()}
    outcome = cross_validate(plans, {BETTER: LibraryFMCNN()}, seed=protocol.SEED, **how)
    results.write(outcome.scores.round(ROUNDED), "beyond_scores.csv")
    results.write(outcome.predictions, "beyond_predictions.csv.gz")


def composition(archive: str) -> None:
    """Write ``beyond_composition.csv``: specimens of pairs in a series, where they lie, and errors.

    A row per specimen whose file gives its measured chemistry: the ratio of ``data/borders.csv``
    and its border, the number of tests by specimen in all repeats, and of each model the share of
    them in which it predicted the other mineral of the pair.
    """
    chemistry = {}
    for name, scan in data.rruff.scans(archive):
        mineral, specimen = name.split("__")[:2]
        chemistry[mineral, specimen.split("-")[0]] = scan.header.get("MEASURED CHEMISTRY", "")
    tests = results.read("predictions_specimen")
    better = results.read("beyond_predictions").query("protocol == 'specimen'")
    better = better.rename(columns={"predicted": BETTER})[["repeat", "file", BETTER]]
    tests = tests.merge(better, how="left", on=["repeat", "file"], validate="one_to_one")
    place = tests["file"].str.split("__", expand=True)
    tests["specimen"] = place[1].str.split("-").str[0]
    rows = []
    for pair in pd.read_csv(results.DATA / "borders.csv").itertuples():
        for mineral, other in ((pair.first, pair.second), (pair.second, pair.first)):
            for specimen, own in tests[tests["true"] == mineral].groupby("specimen"):
                if formula := chemistry.get((mineral, specimen), "").partition(";")[0]:
                    formula = re.sub(r"(?<!\d)\.(?=\d)", "0.", formula.strip())
                    atoms = dict.fromkeys(ELEMENTS, 0.0) | data.chemistry.amounts(formula)
                    row = {"pair": f"{pair.first}–{pair.second}", "mineral": mineral}
                    row |= {"specimen": specimen, "ratio": pair.ratio, "border": pair.border}
                    row["value"] = round(pd.DataFrame([atoms]).eval(pair.ratio)[0], 4)
                    row["tests"] = len(own)
                    for model in ("FMCNN", "LDA tuned", BETTER):
                        row[model] = round((own[model] == other).mean(), 4)
                    rows.append(row)
    results.write(pd.DataFrame(rows), "beyond_composition.csv")


#: That stand in the ratios.
ELEMENTS = ("Al", "Ca", "Fe", "Mg", "Mn", "Na")
#: Two specimens whose scans are cut, and the range, in cm⁻¹, that all of them cover.
CUT = {"R060029": (262, 1509), "R050075": (245, 1235)}


def cut(spectra: data.Spectra, **how) -> None:
    """Write ``beyond_cut.csv``: FMCNN's answers for two specimens if all spectra are cut alike.

    The folds and seeds are those of the protocol by specimen, so that its predictions are the
    answers without a cut. Outside of the range all spectra, of training too, are 0.
    """
    curated, folds = protocol.plan(spectra, "specimen", 10)
    specimen, plans = curated.meta["specimen"], {}
    for one, (low, high) in CUT.items():
        inside = (curated.grid >= low) & (curated.grid <= high)
        own = [fold for fold in folds if specimen.iloc[fold.test].eq(one).any()]
        plans[one] = replace(curated, X=curated.X * inside.astype(np.float32)), own
    model = {"FMCNN": protocol.MODELS["FMCNN"]}
    answers = cross_validate(plans, model, seed=protocol.SEED, **how).predictions
    of_file = curated.meta.set_index("file")["specimen"]
    answers = answers[answers["file"].map(of_file) == answers["protocol"]]
    answers = answers[["protocol", "repeat", "file", "true", "predicted"]]
    results.write(answers.rename(columns={"protocol": "specimen"}), "beyond_cut.csv")


STEPS = ("protocol", "leakage", "ablation", "composition", "cut")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; or all")
    parser.add_argument("--data", default="rruff", help="rruff, or the path of an archive")
    parser.add_argument("--repeats", type=int, default=10, help="of the split by specimen")
    parser.add_argument("--random-repeats", type=int, default=10, help="of the random split")
    parser.add_argument("--jobs", type=int, default=2, help="processes to fit with (default: 2)")
    args = parser.parse_args()
    steps = args.steps or STEPS
    if unknown := set(steps) - set(STEPS):
        raise results.UserError(f"step {unknown.pop()!r} is not one of {', '.join(STEPS)}")
    spectra = data.load_archive(args.data)
    if "protocol" in steps:
        repeats = {"specimen": args.repeats, "random": args.random_repeats}
        full(spectra, repeats, n_jobs=args.jobs)
    if "leakage" in steps:
        leakage(spectra, n_jobs=args.jobs)
    if "ablation" in steps:
        ablation(spectra, n_jobs=args.jobs)
    if "cut" in steps:
        cut(spectra, n_jobs=args.jobs)
    if "composition" in steps:
        composition(data.rruff.fetch() if args.data == "rruff" else args.data)


if __name__ == "__main__":
    results.in_a_sentence(main)
