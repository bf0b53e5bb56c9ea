"""What rounding the intensities gains the random forest, and what it costs.

    python benchmarks/forest.py path/to/excellent_oriented.zip

scikit-learn's forest with the paper's 500 trees, on the same folds and seeds, with intensities
rounded as in ``models.baseline`` and as they are. Two processes of one thread each; nothing else
should be running. Printed are seconds a fit, the accuracy, and the ratio and the difference.
"""

import argparse
import os

import joblib
import pandas as pd

from fmcnn_utils import data, models
from fmcnn_utils.evaluation.cross_validation import fit_and_score


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="archive (zip or folder), or 'atlas'")
    parser.add_argument("--folds", type=int, default=4, help="of ten (default 4)")
    parser.add_argument("--trees", type=int, default=500)
    args = parser.parse_args()

    spectra = data.paper_rule(data.load(args.data))
    X, y = spectra.X, spectra.minerals.astype(str)
    folds = data.stratified(y, n_repeats=1, seed=1000)[: args.folds]
    print(f"{spectra.source}: {len(X)} spectra; {args.trees} trees; {os.cpu_count()} cores")
    rounded = models.baseline("RF", n_estimators=args.trees)
    exact = models.baseline("RF", n_estimators=args.trees).set_params(normalise__levels=None)
    rows = {}
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        for name, forest in {"unrounded": exact, "rounded": rounded}.items():
            fits = joblib.Parallel(2)(
                joblib.delayed(fit_and_score)(forest, X, y, fold, seed=fold.fold) for fold in folds
            )
            rows[name] = pd.DataFrame(fit["scores"] for fit in fits)[["seconds", "accuracy"]].mean()
    table = pd.DataFrame(rows).T
    table["times faster"] = table["seconds"].iloc[0] / table["seconds"]
    table["points gained"] = 100 * (table["accuracy"] - table["accuracy"].iloc[0])
    print(table.round({"seconds": 1, "accuracy": 4}).round(2))


if __name__ == "__main__":
    main()
