"""Other archives, and minerals learnt from a few spectra: results/rruff/beyond_*.csv.

    python scripts/transfer.py --data excellent_oriented.zip --unoriented excellent_unoriented.zip

The steps, each with a file of its own:

- ``archives``: models of the oriented archive on the unoriented one (other lasers, no polariser),
  and both archives together, by specimen: ``beyond_archives.csv.gz``, a row per test spectrum.
- ``finetuning``: twenty minerals are taken out, FMCNN is trained on all others, and then learns the
  twenty from 1, 2, 4 and 8 spectra each: ``beyond_finetuning.csv``, a row per draw and method.

Every fit is kept, so that a run may be interrupted.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from beyond import COMPARED
from sklearn.base import clone
from tqdm import tqdm

from fmcnn_utils import data, parallel, results
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.models import FMCNNClassifier

DRAWS, NEW_MINERALS, SHOTS = 10, 20, (1, 2, 4, 8)
#: Of the trainings on few spectra, where nothing is left to validate on; fixed beforehand.
EPOCHS, BATCH_SIZE = 100, 16
#: Repeats of the training on the whole oriented archive: what is drawn differs.
REPEATS = 3


def archives(oriented: data.Spectra, unoriented: data.Spectra, **how) -> None:
    """Write ``beyond_archives.csv.gz``.

    A row per test: ``trained_on`` (``oriented, all``: every spectrum of ``data.paper_rule``; else
    by specimen over both archives, of which the training half is ``both``, ``oriented`` or
    ``unoriented``), ``repeat``, ``file``, ``archive``, ``laser``, ``true``, ``specimen_seen`` and
    ``mineral_seen`` (in training), and what each model predicted.
    """
    unoriented = unoriented.take(unoriented.meta["identification"] == data.curation.XRD)
    first = data.paper_rule(oriented)
    known = unoriented.take(unoriented.meta["mineral"].isin(set(first.minerals)))
    across = joined(first, known)
    rows = np.arange(len(first)), np.arange(len(first), len(across))
    plans = {"oriented, all": (across, [data.Split(k, 0, *rows) for k in range(REPEATS)])}
    both = data.specimen_rule(joined(oriented, unoriented))
    meta = both.meta
    folds = data.by_specimen(both.minerals, meta["specimen"].to_numpy(), 5, 1, protocol.SEED)
    plans["both"] = both, folds
    for archive in ("oriented", "unoriented"):
        own = np.flatnonzero(meta["archive"] == archive)
        part = [
            data.Split(f.repeat, f.fold, np.intersect1d(f.train, own), np.intersect1d(f.test, own))
            for f in folds
        ]
        plans[archive] = both, part
    outcome = cross_validate(plans, COMPARED, seed=protocol.SEED, **how)
    place = ["protocol", "repeat", "fold", "file", "true"]
    wide = outcome.predictions.pivot(index=place, columns="model", values="predicted")
    about = pd.concat([seen(kind, *plan) for kind, plan in plans.items()])
    table = about.merge(wide[list(COMPARED)].reset_index(), on=place[:-1], validate="one_to_one")
    table = table.drop(columns="fold").rename(columns={"protocol": "trained_on"})
    results.write(table, "beyond_archives.csv.gz")


def joined(one: data.Spectra, other: data.Spectra) -> data.Spectra:
    """Both sets of spectra as one, with a column ``archive``."""
    meta = [one.meta.assign(archive="oriented"), other.meta.assign(archive="unoriented")]
    X = np.concatenate([one.X, other.X])
    return data.Spectra(X, pd.concat(meta, ignore_index=True), one.grid, one.source)


def seen(kind: str, spectra: data.Spectra, splits: list[data.Split]) -> pd.DataFrame:
    """Of each test spectrum of a plan, what the training set has of it."""
    tables = []
    for split in splits:
        test, train = spectra.meta.iloc[split.test], spectra.meta.iloc[split.train]
        table = test[["file", "archive", "laser"]].assign(
            protocol=kind, repeat=split.repeat, fold=split.fold
        )
        for what in ("specimen", "mineral"):
            table[f"{what}_seen"] = test[what].isin(set(train[what]))
        tables.append(table)
    return pd.concat(tables)


def finetuning(spectra: data.Spectra, n_jobs: int) -> None:
    """Write ``beyond_finetuning.csv``.

    Columns: ``draw``, ``spectra`` of each new mineral, ``method``, and the accuracy on other scans
    of the specimens that were learnt from, ``same_specimens``, and on others, ``new_specimens``.
    """
    spectra = data.paper_rule(spectra)
    cache = results.Cache(results.cache_folder() / "finetuning")
    about = [spectra.X, spectra.minerals, DRAWS, NEW_MINERALS, SHOTS, EPOCHS, BATCH_SIZE]
    paths = {draw: cache.path("finetuning", draw, *about) for draw in range(DRAWS)}
    done = {draw: table for draw, path in paths.items() if (table := cache.get(path)) is not None}
    left = {draw: (spectra, draw) for draw in paths if draw not in done}
    with tqdm(total=DRAWS, initial=len(done), unit="draw") as bar:
        for draw, table in parallel.run(one_draw, left, n_jobs):
            cache.put(paths[draw], table)
            done[draw] = table
            bar.update()
    table = pd.concat([done[draw] for draw in range(DRAWS)])
    results.write(table.round(4), "beyond_finetuning.csv")


def one_draw(spectra: data.Spectra, draw: int) -> pd.DataFrame:
    """Twenty minerals taken out, and learnt in each way."""
    random = np.random.default_rng([protocol.SEED, draw])
    learnt, other = {}, {}  # of each mineral that has enough: spectra to learn from, and others
    for mineral, own in spectra.meta.groupby("mineral", observed=True):
        specimens = random.permutation(own["specimen"].unique())
        size = own["specimen"].value_counts()[specimens].cumsum()
        n = 1 + int(np.searchsorted(size, max(SHOTS) + 1))  # one more, to test on
        if n < len(specimens):
            inside = own["specimen"].isin(specimens[:n])
            learnt[mineral] = random.permutation(own.index[inside])
            other[mineral] = own.index[~inside].to_numpy()
    new = random.choice(sorted(learnt), NEW_MINERALS, replace=False)
    X, y = spectra.X, spectra.minerals.astype(str)
    rest = ~np.isin(y, new)
    pretrained = FMCNNClassifier(random_state=draw).fit(X[rest], y[rest])
    same_test = np.concatenate([learnt[mineral][max(SHOTS) :] for mineral in new])
    new_test = np.concatenate([other[mineral] for mineral in new])
    rows = []
    for shots in SHOTS:
        train = np.concatenate([learnt[mineral][:shots] for mineral in new])
        methods = {
            "fine-tuned": FewSpectra(pretrained, random_state=draw),
            "fine-tuned, last layer": FewSpectra(pretrained, frozen=True, random_state=draw),
            "from scratch": FewSpectra(None, random_state=draw),
            "1-NN": clone(protocol.TUNED["KNN tuned"]),
            "LDA": clone(protocol.TUNED["LDA tuned"]),
        }
        if shots == 1:
            del methods["LDA"]  # one spectrum a mineral leaves no covariance within minerals
        for method, model in methods.items():
            model.fit(X[train], y[train])
            accuracy = {
                name: (model.predict(X[test]) == y[test]).mean()
                for name, test in (("same_specimens", same_test), ("new_specimens", new_test))
            }
            rows.append({"draw": draw, "spectra": shots, "method": method} | accuracy)
    return pd.DataFrame(rows)


class FewSpectra(FMCNNClassifier):
    """FMCNN trained for a fixed number of epochs, from another one's weights but the last layer's.

    Args:
        start: a fitted ``FMCNNClassifier``; None trains from scratch.
        frozen: train the last layer only, on what the others make of a spectrum.
        random_state: of the weights that are new, and of the batches.
    """

    def __init__(self, start, frozen=False, random_state=None):
        self.start = start
        self.frozen = frozen
        super().__init__(batch_size=BATCH_SIZE, epochs=EPOCHS, random_state=random_state)

    def fit(self, X, y):
        """Train on raw counts (n, points) and mineral names (n,)."""
        self.classes_, number = np.unique(y, return_inverse=True)
        self.n_features_in_ = X.shape[1]
        x = self.as_input(X)
        self.model_, self.history_ = self._train(x, number, self.random_state, EPOCHS, None, ())
        return self

    def build(self, n_points: int, n_classes: int, seed: int):
        """A network with the other's weights in all layers but the last."""
        model = super().build(n_points, n_classes, seed)
        if self.start is not None:
            for layer, trained in zip(model.layers, self.start.model_.layers, strict=True):
                if layer.name != "softmax":
                    layer.set_weights(trained.get_weights())
                    layer.trainable = not self.frozen
        return model


STEPS = ("archives", "finetuning")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; or all")
    parser.add_argument("--data", default="rruff", help="rruff, or the path of an archive")
    parser.add_argument("--unoriented", required=True, help="path of excellent_unoriented.zip")
    parser.add_argument("--jobs", type=int, default=2, help="processes to fit with (default: 2)")
    args = parser.parse_args()
    steps = args.steps or STEPS
    if unknown := set(steps) - set(STEPS):
        raise results.UserError(f"step {unknown.pop()!r} is not one of {', '.join(STEPS)}")
    oriented = data.load_archive(args.data)
    if "finetuning" in steps:
        finetuning(oriented, args.jobs)
    if "archives" in steps:
        archives(oriented, data.load_archive(args.unoriented), n_jobs=args.jobs)


if __name__ == "__main__":
    results.in_a_sentence(main)
