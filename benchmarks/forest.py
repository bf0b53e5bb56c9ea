"""What rounding the intensities gains the random forest, and what it costs.

    python benchmarks/forest.py path/to/excellent_oriented.zip

scikit-learn's forest with the paper's 500 trees, on the same folds and seeds, with intensities
rounded as in ``fmcnn_utils.baselines`` and as they are. Two processes of one thread each; nothing
else should be running. Printed are seconds a fit, the accuracy, and the ratio and the difference.
"""

import argparse
import time

import joblib
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from fmcnn_utils import baselines, curation, datasets, splits


def fit(spectra, split, rounded, trees):
    """Seconds to train and test, and accuracy."""
    forest = baselines.make("RF", seed=split.fold, n_estimators=trees)
    if not rounded:
        forest = Pipeline([step for step in forest.steps if step[0] != "round"])
    start = time.perf_counter()
    forest.fit(spectra.X[split.train], spectra.minerals[split.train])
    accuracy = forest.score(spectra.X[split.test], spectra.minerals[split.test])
    return time.perf_counter() - start, accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="archive (zip or folder), or 'atlas'")
    parser.add_argument("--folds", type=int, default=4, help="of ten (default 4)")
    parser.add_argument("--trees", type=int, default=500)
    args = parser.parse_args()

    spectra = curation.paper_rule(datasets.load(args.data))
    folds = splits.stratified(spectra.minerals, n_repeats=1, seed=1000)[: args.folds]
    print(f"{spectra.source}: {len(spectra)} spectra; {args.trees} trees, {len(folds)} folds")
    rows = {}
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        for name, rounded in (("unrounded", False), (f"{baselines.LEVELS} levels", True)):
            fits = joblib.Parallel(2)(
                joblib.delayed(fit)(spectra, split, rounded, args.trees) for split in folds
            )
            rows[name] = np.mean(fits, axis=0)
    table = pd.DataFrame(rows, index=["seconds/fit", "accuracy"]).T
    table["times faster"] = table["seconds/fit"].iloc[0] / table["seconds/fit"]
    table["points gained"] = 100 * (table["accuracy"] - table["accuracy"].iloc[0])
    print(table.round({"seconds/fit": 1, "accuracy": 4, "times faster": 2, "points gained": 2}))


if __name__ == "__main__":
    main()
