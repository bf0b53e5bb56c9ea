"""Measure the peak atlas in the spectra of 2019: data/peaks_2019.csv.gz, and how good it is.

    python scripts/atlas.py --data path/to/excellent_oriented.zip

A spectrum is described as a sum of pseudo-Voigt peaks, see ``fmcnn_utils.data.peaks``.

The broad humps of luminescence and of glass come out as broad peaks, and a band of an unusual
form as two or three that overlap: a row of the result is a component, and most of the time a band.

The spectra rebuilt from the peaks are then compared with the real ones:
results/rruff/atlas_quality.csv, and R² of each spectrum in atlas_r2.csv.gz.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from tqdm import tqdm

from fmcnn_utils import data, results
from fmcnn_utils.data.peaks import NUMBERS, measure
from fmcnn_utils.evaluation import protocol
from fmcnn_utils.models import baseline


def of_2019(spectra: data.Spectra) -> data.Spectra:
    """The spectra of the manifest, in its order, out of an archive.

    Raises:
        UserError: if one of them is missing or has other numbers than in 2019.
    """
    known = data.rruff.manifest()["checksum"]
    if lacks := (~known.isin(spectra.meta["checksum"])).sum():
        raise results.UserError(
            f"the archive lacks {lacks:,} of the {len(known):,} spectra of 2019, or has other "
            "numbers in them: give the archive of 2019"
        )
    return data.curation.cut_to_manifest(spectra)[0]


def measure_all(spectra: data.Spectra) -> str:
    """The peaks of each spectrum, as the text of data/peaks_2019.csv.gz; the same at each call."""
    ranges = spectra.meta[["first_shift", "last_shift"]].to_numpy()
    inside = [(spectra.grid >= first) & (spectra.grid <= last) for first, last in ranges]
    tables = Parallel(return_as="generator")(
        delayed(measure)(spectra.grid[on], x[on]) for x, on in zip(spectra.X, inside, strict=True)
    )
    tables = list(tqdm(tables, total=len(spectra), desc="measuring peaks", unit="spectrum"))
    table = pd.DataFrame(np.concatenate(tables), columns=NUMBERS)
    table.insert(0, "spectrum", np.repeat(np.arange(len(spectra)), [len(t) for t in tables]))
    return table.to_csv(index=False, lineterminator="\n", float_format="%.10g")


def r2(real: data.Spectra, rebuilt: data.Spectra) -> np.ndarray:
    """Share of each spectrum's variance that its rebuilt one explains, (n,).

    1 − SS_res / SS_tot over the points of the grid, after min–max of either spectrum. The two are
    the same spectra, in the same order.
    """
    truth, guess = (data.normalise(spectra.X).astype(float).T for spectra in (real, rebuilt))
    return r2_score(truth, guess, multioutput="raw_values")


def quality(real: data.Spectra, rebuilt: data.Spectra) -> pd.DataFrame:
    """How well rebuilt spectra replace the real ones.

    R² over all of them, and the accuracy of classifiers that are trained and tested on the one
    or on the other, one repeat of the protocol.

    Args:
        real: the spectra of the manifest, see ``of_2019``.
        rebuilt: the same ones from the atlas, in the same order.

    Returns:
        ``quantity``, its value for ``real`` and ``atlas``, and the ``lowest`` and ``highest``
        value that is accepted for the atlas.
    """
    explained = r2(real, rebuilt)
    rows = [
        ("R², median", 1.0, np.median(explained), 0.985, 1.0),
        ("R², 5th percentile", 1.0, np.percentile(explained, 5), 0.93, 1.0),
    ]
    for name, model, kind, tolerance in (
        ("accuracy of KNN, 10-fold", "KNN", "random", 0.01),
        ("accuracy of SVM, 10-fold", "SVM", "random", 0.01),
        ("accuracy of KNN, by specimen", "KNN", "specimen", 0.02),
    ):
        accuracy = []
        for spectra in (real, rebuilt):
            curated, splits = protocol.plan(spectra, kind, n_repeats=1)
            cv = [(split.train, split.test) for split in splits]
            X, y = curated.X, curated.minerals
            accuracy.append(cross_val_score(baseline(model), X, y, cv=cv).mean())
        rows.append((name, *accuracy, accuracy[0] - tolerance, accuracy[0] + tolerance))
    return pd.DataFrame(rows, columns=["quantity", "real", "atlas", "lowest", "highest"])


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="rruff, or the path of an archive")
    parser.add_argument("--jobs", type=int, default=-1, help="processes (default: one per core)")
    parser.add_argument("--manifest", action="store_true", help="only write the manifest")
    args = parser.parse_args()
    spectra = data.load_archive(args.data)
    if args.manifest:
        table = spectra.meta.to_csv(index=False, lineterminator="\n")
        return results.write_text(data.rruff.MANIFEST, table)
    real = of_2019(spectra)
    with parallel_config(n_jobs=args.jobs):
        results.write_text(data.peaks.PEAKS, measure_all(real))
        rebuilt = data.load("atlas")
        table = quality(real, rebuilt).round(4)
    results.write(table, "atlas_quality.csv")
    each = pd.DataFrame({"file": real.meta["file"], "r2": r2(real, rebuilt).round(4)})
    results.write(each, "atlas_r2.csv.gz")
    print(table.to_string(index=False))


if __name__ == "__main__":
    results.in_a_sentence(main)
