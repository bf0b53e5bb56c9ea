"""How fast FMCNN trains here, beside ``model.fit`` of the same network in plain Keras.

    python benchmarks/training.py path/to/excellent_oriented.zip

Same folds, epochs, batches, optimiser and initial weights for all, and the same tenth of the
training fold looked at after every epoch, as early stopping does. Nothing else should be running.
Printed are seconds a fit as a machine with these cores delivers them, CPU seconds a fit, the test
accuracy, and the share of one core's measured matrix-multiply limit that the training steps reach.
"""

import argparse
import os
import time

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fmcnn_utils import curation, datasets, splits
from fmcnn_utils.config import FMCNNConfig, map_length
from fmcnn_utils.spectra import normalise


def plain_keras(config, X, y, split, epochs, threads):
    """Accuracy and CPU seconds of a fit as most would write it."""
    from fmcnn_utils.model import build, keras, tf

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    start = time.process_time()
    keras.utils.set_random_seed(split.fold)
    model = build(config, seed=split.fold)
    kept, stop = splits.hold_back(y, split.train, config.hold_back, split.fold)
    model.fit(
        X[kept][..., None],
        y[kept],
        validation_data=(X[stop][..., None], y[stop]),
        batch_size=config.batch,
        epochs=epochs,
        verbose=0,
    )
    return accuracy(model, X, y, split), time.process_time() - start


def this_path(config, X, y, split, epochs, threads):
    """The same, by ``fmcnn_utils.training``, which is always on one thread."""
    from fmcnn_utils.training import fit

    start = time.process_time()
    kept, stop = splits.hold_back(y, split.train, config.hold_back, split.fold)
    watch = X[stop], y[stop]
    model, _ = fit(config, X[kept], y[kept], watch=watch, epochs=epochs, seed=split.fold)
    return accuracy(model, X, y, split), time.process_time() - start


def accuracy(model, X, y, split):
    predicted = model.predict(X[split.test][..., None], verbose=0).argmax(axis=1)
    return (predicted == y[split.test]).mean()


def warm_up(threads):
    """Start TensorFlow in a worker, which a run of 100 fits does once."""
    from fmcnn_utils.model import tf

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    time.sleep(1)  # so that each worker gets one


def flop_per_spectrum(config):
    """Multiplications and additions of one spectrum's share of a training step."""
    c, length = config, map_length(config)
    convolutions = c.squeeze * c.filters + c.squeeze * (c.expand1 + 3 * c.expand3)
    features = (c.expand1 + c.expand3) * (length // c.pool)
    dense = features * c.dense + c.dense * c.n_classes if c.dense else features * c.n_classes
    # Each weight is used forward, for its own gradient and for its input's; the first
    # convolution's input needs none.
    return 2 * (3 * (length * convolutions + dense) + 2 * length * c.filters * c.kernel)


def matmul_limit(n=2048):
    """Floating-point operations a second of one thread in a large matrix product."""
    a = np.ones((n, n), np.float32)
    seconds = []
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="archive (zip or folder), or 'atlas'")
    parser.add_argument("--folds", type=int, default=4, help="of ten; an even number (default 4)")
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()

    spectra = curation.paper_rule(datasets.load(args.data))
    names, y = np.unique(spectra.minerals, return_inverse=True)
    config = FMCNNConfig(n_classes=len(names))
    X = normalise(spectra.X, config.normalisation)
    folds = splits.stratified(spectra.minerals, n_repeats=1, seed=1000)[: args.folds]
    limit = matmul_limit()
    trained_on = len(folds[0].train) * (1 - config.hold_back)
    flop = flop_per_spectrum(config) * trained_on * args.epochs
    print(f"{len(spectra)} spectra, {len(names)} minerals; {args.epochs} epochs, {config}")
    print(f"{os.cpu_count()} cores; matrix product on one: {limit / 1e9:.0f} GFLOP/s")

    rows = []
    for name, function, processes, threads in (
        ("model.fit, one process, all threads", plain_keras, 1, 0),
        ("model.fit, two processes of one thread", plain_keras, 2, 1),
        ("this path, two processes of one thread", this_path, 2, 1),
    ):
        with joblib.parallel_config("loky", inner_max_num_threads=threads or None):
            parallel = joblib.Parallel(processes, batch_size=1)
            parallel(joblib.delayed(warm_up)(threads) for _ in range(processes))
            start = time.perf_counter()
            done = parallel(
                joblib.delayed(function)(config, X, y, fold, args.epochs, threads) for fold in folds
            )
            seconds = (time.perf_counter() - start) / len(folds)
        accuracies, cpu = np.mean(done, axis=0)
        share = flop / cpu / limit
        rows.append((name, seconds, cpu, accuracies, share))
        print(f"done: {name}", flush=True)
    table = pd.DataFrame(
        rows, columns=["", "seconds/fit", "CPU s/fit", "accuracy", "of matmul limit"]
    ).set_index("")
    for i, label in enumerate(("all threads", "one thread")):
        table[f"× {label}"] = table["seconds/fit"].iloc[i] / table["seconds/fit"]
    print(table.round({"seconds/fit": 1, "CPU s/fit": 1, "accuracy": 4}).round(2).to_string())


if __name__ == "__main__":
    main()
