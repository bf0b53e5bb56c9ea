"""The full protocol on the RRUFF archive: results/rruff, figures/, and the README's two tables.

    python scripts/paper.py --data path/to/excellent_oriented.zip

Every fit is kept: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from itertools import product

import explanations
import numpy as np
import pandas as pd

import figures
from fmcnn_utils import data, explain, models, paper, results
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.evaluation.cross_validation import split_table

#: In the archive, but no minerals.
NOT_MINERALS = ("Silicon", "Cubic zirconia")


def run(spectra: data.Spectra, n_repeats: int = protocol.REPEATS, **how) -> pd.DataFrame:
    """All models, both protocols; writes ``results/rruff`` when all fits are done.

    Kept are ``scores.csv`` (a row per fit), ``predictions_PROTOCOL.csv.gz`` (a row per repeat and
    test spectrum, a column per model), ``splits_PROTOCOL.csv.gz`` (the fold that tests each file
    in each repeat) and ``confusions.csv`` (how often one mineral was taken for another). The first
    repeats are the same for any ``n_repeats``.

    Args:
        spectra: all of the archive.
        n_repeats: number of repeats; the paper's ten.
        how: passed on to ``cross_validate`` (``n_jobs``, ``scheduler``, ``cache``, ``quiet``).

    Returns:
        The scores.
    """
    plans = {kind: protocol.plan(spectra, kind, n_repeats) for kind in protocol.PROTOCOLS}
    outcome = cross_validate(plans, protocol.MODELS, seed=protocol.SEED, **how)
    tables = {}
    for kind, predictions in outcome.predictions.groupby("protocol"):
        place = ["repeat", "fold", "file", "true"]
        wide = predictions.pivot(index=place, columns="model", values="predicted")
        tables[f"predictions_{kind}.csv.gz"] = wide[list(protocol.MODELS)].reset_index()
        tables[f"splits_{kind}.csv.gz"] = split_table(*plans[kind])
    rounded = {"accuracy": 5, "macro_f1": 5, "top3": 5, "best_epoch_accuracy": 5}
    tables["scores.csv"] = outcome.scores.round(rounded)
    tables["confusions.csv"] = confusions(outcome.predictions)
    for name, table in tables.items():  # all at the end: no table of this run beside an older one
        results.write(table, name)
    return outcome.scores


def confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """How often a mineral was taken for another, the most frequent first.

    Returns:
        ``protocol``, ``model``, ``true``, ``predicted``, ``times``, and ``share`` of the
        mineral's tests.
    """
    by = ["protocol", "model", "true"]
    tests = predictions.groupby(by).size().rename("tests")
    wrong = predictions[predictions["true"] != predictions["predicted"]]
    table = wrong.groupby([*by, "predicted"]).size().rename("times").reset_index()
    table["share"] = (table["times"] / table.join(tests, on=by)["tests"]).round(4)
    order = ["protocol", "model", "times", "true", "predicted"]
    return table.sort_values(order, ascending=[True, True, False, True, True], ignore_index=True)


def variants(spectra: data.Spectra) -> pd.DataFrame:
    """The curations that the paper's sentence allows, and how many spectra each of them leaves.

    Four questions that the sentence leaves open, and all combinations of the answers that we could
    think of; the first answer of each is that of ``paper_rule``:

    - what is not "a single sample category": a mineral with two spectra, or three, or five, or
      with two mounts, or two specimens;
    - is a measured chemistry part of the identification;
    - must a spectrum cover the range that is sampled, at its start, its end, or both. ("From 160"
      is a tolerance that was chosen by looking at the result: the sentence says nothing of it.)
    - are repeated files, synthetic non-minerals, or lasers other than 514 nm left out.

    The number per mineral is asked last, of the spectra that the other answers leave.

    Returns:
        One row per combination, the closest to the paper first: the four answers, ``spectra``,
        ``minerals``, ``deviations`` (how many answers are not those of ``paper_rule``) and
        ``distance``, the sum of the two counts' relative differences from the paper's.
    """
    meta = spectra.meta[spectra.meta["identification"] == data.curation.XRD]
    start, end = meta["first_shift"] <= paper.FIRST_SHIFT, meta["last_shift"] >= paper.LAST_SHIFT
    everything = pd.Series(True, index=meta.index)
    answers = {
        "at least": {
            "2 spectra": (2, "file"),
            "3 spectra": (3, "file"),
            "5 spectra": (5, "file"),
            "2 mounts": (2, "mount"),
            "2 specimens": (2, "specimen"),
        },
        "identity": {"X-ray": everything, "X-ray and chemistry": meta["measured_chemistry"]},
        "range": {
            "any": everything,
            "from 150": start,
            "from 160": meta["first_shift"] <= 160,
            "to 1510": end,
            "150–1510": start & end,
        },
        "left out": {
            "nothing": everything,
            "repeated data": ~meta.duplicated("checksum"),
            "non-minerals": ~meta["mineral"].isin(NOT_MINERALS),
            "other lasers": meta["laser"].between(514, 514.5),
        },
    }
    rows = []
    for choice in product(*(of_question.items() for of_question in answers.values())):
        names, (number, *conditions) = zip(*choice, strict=True)
        kept = meta[np.logical_and.reduce(conditions)]
        kept = kept[data.curation.has(*number, kept)]
        rows.append((*names, len(kept), kept["mineral"].nunique()))
    questions, counts = list(answers), ["spectra", "minerals"]
    table = pd.DataFrame(rows, columns=questions + counts)
    # The first row has the answers of paper_rule.
    table["deviations"] = (table[questions] != table[questions].iloc[0]).sum(axis=1)
    stated = [paper.CURATED_SPECTRA, paper.CURATED_MINERALS]
    table["distance"] = (table[counts] / stated - 1).abs().sum(axis=1)
    return table.sort_values(["distance", "deviations"], kind="stable", ignore_index=True)


def write_tables(spectra: data.Spectra, source: str, n_jobs: int) -> None:
    """The tables of notebooks 01, 05 and 06."""
    path = data.rruff.fetch() if source == "rruff" else source
    whole, unreadable, raw, _ = data.rruff.read(path)
    results.write(data.curation.reconcile(whole, raw, len(unreadable)), "reconciliation.csv")
    results.write(variants(whole), "variants.csv")
    results.write(explanations.run(spectra, n_jobs=n_jobs).round(4), "attribution.csv")
    curated, pretrained = data.paper_rule(spectra), models.load_pretrained()
    explained = curated, pretrained.rows_held_out(curated)
    untrained = explain.untrained(pretrained.network, *explained, draws=40)
    results.write(untrained.round(4), "deconvolution.csv")
    results.write(explain.band_agreement(pretrained.network, *explained).round(3), "bands.csv")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="rruff", help="rruff (default), or a path")
    parser.add_argument("--repeats", type=int, choices=range(1, 11), default=10)
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--scheduler", help="address of a Dask cluster to run on")
    args = parser.parse_args()
    spectra = data.load_archive(args.data)
    data.paper_rule(data.curation.cut_to_manifest(spectra)[0])  # enough, or refuse now
    run(spectra, args.repeats, n_jobs=args.jobs, scheduler=args.scheduler)
    write_tables(spectra, args.data, args.jobs)
    figures.update_readme()
    figures.draw_figures(spectra)


if __name__ == "__main__":
    results.in_a_sentence(main)
