"""How fast ``models.train`` is beside ``model.fit``, for the same Keras model.

    python benchmarks/training.py path/to/excellent_oriented.zip

Same folds, epochs, batches, initial weights and validation split for all. Nothing else should be
running. Printed are seconds a fit, as a machine with these cores delivers them, and the mean
accuracy: of one process with all threads, as ``model.fit`` is used by default; and of two processes
of one thread each, as the protocol runs its fits.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd

from fmcnn_utils import data, models

#: Label → trained by ``models.train``, and number of processes.
WAYS = {
    "model.fit, one process, all threads": (False, 1),
    "model.fit, two processes of one thread": (False, 2),
    "models.train, two processes of one thread": (True, 2),
}


def start_tensorflow(all_threads):
    """In a worker, once: the package takes one thread, unless TensorFlow already runs."""
    if all_threads:
        import tensorflow as tf

        tf.constant(0)
    print(f"threads: {models.tf.config.threading.get_intra_op_parallelism_threads() or 'all'}")


def fit(by_train, X, y, split, epochs):
    """Accuracy on the test fold after so many epochs; early stopping looks on."""
    network = models.FMCNNClassifier()
    known, number = np.unique(y, return_inverse=True)
    x = network.as_input(X)
    model = models.build(network, X.shape[1], len(known), split.fold)
    fitted, held = (split.train[rows] for rows in data.validation_split(number[split.train]))
    how = {
        "batch_size": network.batch_size,
        "epochs": epochs,
        "callbacks": [models.keras.callbacks.EarlyStopping(patience=epochs)],
    }
    validation = x[held], number[held]
    if by_train:
        models.train(model, x[fitted], number[fitted], validation=validation, **how)
    else:
        model.fit(x[fitted], number[fitted], validation_data=validation, verbose=0, **how)
    predicted = model(x[split.test], training=False).numpy().argmax(axis=1)
    return (predicted == number[split.test]).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="archive (zip or folder), or 'atlas'")
    parser.add_argument("--folds", type=int, default=4, help="of ten; an even number (default 4)")
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()

    spectra = data.paper_rule(data.load(args.data))
    X, y = spectra.X, spectra.minerals.astype(str)
    folds = data.stratified(y, n_repeats=1, seed=1000)[: args.folds]
    print(f"{spectra.source}: {len(X)} spectra; {args.epochs} epochs; {os.cpu_count()} cores")
    rows = {}
    for name, (by_train, processes) in WAYS.items():
        with ProcessPoolExecutor(
            processes, get_context("spawn"), start_tensorflow, [processes == 1]
        ) as pool:
            list(pool.map(time.sleep, [1] * processes))  # so that each worker is there
            start = time.perf_counter()
            fits = [pool.submit(fit, by_train, X, y, fold, args.epochs) for fold in folds]
            accuracies = [done.result() for done in fits]
            seconds = (time.perf_counter() - start) / len(folds)
        rows[name] = seconds, np.mean(accuracies)
        print(f"done: {name}", flush=True)
    table = pd.DataFrame(rows, index=["seconds/fit", "accuracy"]).T
    for i, label in enumerate(("all threads", "one thread")):
        table[f"× {label}"] = table["seconds/fit"].iloc[i] / table["seconds/fit"]
    print(table.round({"seconds/fit": 1, "accuracy": 4}).round(2).to_string())


if __name__ == "__main__":
    main()
