"""Train the network that comes with the code: results/rruff/fmcnn.keras, .json and _held_out.csv.

python scripts/pretrained.py --data path/to/excellent_oriented.zip
"""

from __future__ import annotations

import argparse
import json

import joblib
import numpy as np
import pandas as pd
import pooch
from sklearn.base import clone

from fmcnn_utils import data, results
from fmcnn_utils.evaluation import protocol
from fmcnn_utils.evaluation.cross_validation import versions
from fmcnn_utils.models import FMCNNClassifier, TestAccuracy, keras
from fmcnn_utils.models.robust import kept_files


def split(spectra: data.Spectra) -> data.Split:
    """What is held out: the first fold of the random split, and of each mineral it lacks, one.

    So every mineral has a spectrum that the network has not seen: of a mineral that the fold
    lacks, the medoid. Other scans of the same specimen are in training.
    """
    fold = protocol.plan(spectra, "random", 1)[1][0]
    lacking = np.setdiff1d(spectra.minerals, spectra.minerals[fold.test])
    medoids = [data.medoid(spectra, np.flatnonzero(spectra.minerals == m)) for m in lacking]
    test = np.union1d(fold.test, medoids).astype(int)
    return data.Split(0, 0, np.setdiff1d(np.arange(len(spectra)), test), test)


def make(spectra: data.Spectra, seed: int = protocol.SEED, **settings) -> None:
    """Train the network and keep it, with its predictions of what was held out and its history.

    Args:
        spectra: all of the archive.
        seed: of the training.
        settings: of ``FMCNNClassifier``, in place of the defaults.
    """
    spectra = data.paper_rule(spectra)
    y, cut = spectra.minerals.astype(str), split(spectra)
    network = FMCNNClassifier(**settings, random_state=seed)
    network.fit(spectra.X[cut.train], y[cut.train])
    p = network.predict_proba(spectra.X[cut.test])
    held_out = pd.DataFrame(
        {
            "file": spectra.meta["file"].to_numpy()[cut.test],
            "mineral": y[cut.test],
            "predicted": network.classes_[p.argmax(axis=1)],
            "p": p.max(axis=1).astype(float).round(4),
        }
    )
    about = {
        "accuracy": round(float((held_out["mineral"] == held_out["predicted"]).mean()), 5),
        "data": joblib.hash([spectra.X, y])[:16],
        "seed": seed,
        "versions": versions(),
    }
    keep("fmcnn", network, held_out, about)
    # The training that chose the number of epochs once more, with the test accuracy noted.
    first = clone(network).set_params(refit=False)
    test = TestAccuracy(spectra.X[cut.test], y[cut.test])
    first.fit(spectra.X[cut.train], y[cut.train], callbacks=[test])
    results.write(first.history_.round(5), "fmcnn_history.csv")


def keep(name: str, network: FMCNNClassifier, held_out: pd.DataFrame, about: dict) -> None:
    """Write the files that ``load_pretrained`` reads; the columns are those of ``Pretrained``."""
    path, about_it = kept_files(name)
    # Without its optimiser, whose state would triple the file.
    bare = keras.Model(network.model_.input, network.model_.output, name=name)
    part = path.with_name(f"part-{path.name}")  # Keras asks for its own suffix
    try:
        bare.save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    results.write(held_out, f"{name}_held_out.csv")
    about = about | {
        "epochs": network.n_epochs_,
        "settings": network.get_params(),
        "minerals": network.classes_.tolist(),
        "sha256": pooch.file_hash(path),
    }
    results.write_text(about_it, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="rruff, or the path of an archive")
    make(data.load_archive(parser.parse_args().data))


if __name__ == "__main__":
    results.in_a_sentence(main)
