"""Other models on the same splits, one repeat: results/rruff/beyond_peers.csv.

    pip install aeon
    python scripts/peers.py --data path/to/excellent_oriented.zip [MODEL ...]
    python scripts/peers.py --data path/to/excellent_oriented.zip --time

With ``--time``, one after the other on the first fold by specimen: seconds to train and to predict,
``beyond_peers_time.csv``.

The networks are built from the descriptions in their papers, and trained as FMCNN is: square root
of min–max scaled intensities, Adam, epochs by early stopping on a tenth of the training spectra.
Where a paper has settings for spectra of another length or for many more classes, what was changed
is said at the network.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fmcnn_utils import data, results
from fmcnn_utils.data.spectra import Normaliser
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.models import FMCNNClassifier, LibraryFMCNN

#: Of the random split's ten folds, so many are fitted; of the split by specimen all five.
FOLDS = {"random": 3, "specimen": 5}


def liu(keras, n_points: int, n_classes: int):
    """Liu et al., Analyst 142 (2017) 4067: three convolutions, each with pool 2, dense 2,048."""
    layers = keras.layers
    spectrum = x = keras.Input((n_points, 1))
    for filters, kernel in ((16, 21), (32, 11), (64, 5)):
        x = layers.Conv1D(filters, kernel, padding="same")(x)
        x = layers.LeakyReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling1D(2)(x)
    x = layers.Dense(2048, activation="tanh")(layers.Flatten()(x))
    x = layers.Dropout(0.5)(x)
    return keras.Model(spectrum, layers.Dense(n_classes, activation="softmax")(x))


def resnet(keras, n_points: int, n_classes: int):
    """After Ho et al., Nature Communications 10 (2019) 4927: residual blocks, kernel 5, stride 2.

    Six residual layers as there, but of one block of two convolutions in place of two, and of 32
    maps in place of 100: their data set had 60,000 spectra.
    """
    layers = keras.layers
    spectrum = keras.Input((n_points, 1))

    def normed(x, kernel, stride=1):
        x = layers.Conv1D(32, kernel, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    x = layers.ReLU()(normed(spectrum, 5, 2))
    for layer in range(6):
        stride = 2 if layer else 1
        y = normed(layers.ReLU()(normed(x, 5, stride)), 5)
        x = layers.ReLU()(layers.Add()([y, normed(x, 1, stride)]))
    x = layers.Flatten()(x)
    return keras.Model(spectrum, layers.Dense(n_classes, activation="softmax")(x))


def transformer(keras, n_points: int, n_classes: int):
    """A small vision transformer (Dosovitskiy et al., ICLR 2021) on patches of 20 points.

    Four blocks of four heads, width 64, learnt positions, the mean of all patches at the end.
    """
    layers = keras.layers
    spectrum = keras.Input((n_points, 1))
    x = layers.Conv1D(64, 20, 20)(spectrum)
    places = keras.ops.arange(x.shape[1])
    x = x + layers.Embedding(x.shape[1], 64)(places)
    for _ in range(4):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 16, dropout=0.1)(y, y)
        y = layers.Dense(128, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dropout(0.1)(layers.Dense(64)(y))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(spectrum, layers.Dense(n_classes, activation="softmax")(x))


NETWORKS = {"Liu 2017": liu, "ResNet": resnet, "transformer": transformer}


class Network(FMCNNClassifier):
    """One of ``NETWORKS`` in the place of FMCNN, trained as that is, but for ``refit``."""

    def __init__(
        self,
        network="ResNet",
        *,
        epochs=40,
        patience=5,
        learning_rate=0.001,
        batch_size=64,
        refit=False,
        random_state=None,
    ):
        self.network = network
        super().__init__(
            epochs=epochs,
            patience=patience,
            learning_rate=learning_rate,
            batch_size=batch_size,
            refit=refit,
            random_state=random_state,
        )

    def build(self, n_points: int, n_classes: int, seed: int):
        """The untrained network, compiled."""
        from fmcnn_utils.models import keras

        keras.utils.set_random_seed(seed % 2**32)
        model = NETWORKS[self.network](keras, n_points, n_classes)
        model.compile(
            keras.optimizers.Adam(self.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model


def _for_trees(X):
    """Every four points averaged: trees look at each feature apart."""
    return X.reshape(len(X), -1, 4).mean(axis=2)


def _mini_rocket():
    from aeon.transformations.collection.convolution_based import MiniRocket

    return make_pipeline(
        Normaliser("sqrt"),
        MiniRocket(random_state=0),
        StandardScaler(with_mean=False),
        RidgeClassifierCV(alphas=[0.1, 1, 10, 100, 1000]),
    )


def models() -> dict:
    """Name in the table → estimator."""
    boosting = HistGradientBoostingClassifier(
        max_iter=100,
        max_leaf_nodes=8,
        max_features=0.1,
        min_samples_leaf=3,  # the default, 20, is as many as a mineral has
        l2_regularization=1,
        random_state=0,
    )
    found = {"FMCNN": FMCNNClassifier(), "LDA tuned": protocol.TUNED["LDA tuned"]}
    found |= {"FMCNN + library": LibraryFMCNN()}
    found |= {name: Network(name) for name in NETWORKS}
    found["gradient boosting"] = make_pipeline(
        Normaliser("sqrt"), FunctionTransformer(_for_trees), boosting
    )
    found["MiniRocket"] = _mini_rocket()
    return found


def timed(plan, chosen: dict) -> pd.DataFrame:
    """Seconds to train, and milliseconds to predict a spectrum, on the first fold of a plan."""
    spectra, (fold, *_) = plan
    rows = []
    for name, model in chosen.items():
        start = time.perf_counter()
        model.fit(spectra.X[fold.train], spectra.minerals[fold.train])
        trained = time.perf_counter()
        model.predict(spectra.X[fold.test])
        predicted = 1000 * (time.perf_counter() - trained) / len(fold.test)
        rows.append((name, round(trained - start, 1), round(predicted, 2)))
        print(*rows[-1], sep=", ", flush=True)
    return pd.DataFrame(rows, columns=["model", "train_seconds", "predict_milliseconds"])


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument("--data", default="rruff", help="rruff, or the path of an archive")
    parser.add_argument("--jobs", type=int, default=2, help="processes to fit with (default: 2)")
    parser.add_argument("--time", action="store_true", help="measure times, on one fold")
    args = parser.parse_args()
    tried = models()
    if unknown := set(args.models) - set(tried):
        raise results.UserError(f"{unknown.pop()!r} is not one of {', '.join(tried)}")
    spectra = data.load_archive(args.data)
    plans = {kind: protocol.plan(spectra, kind, 1) for kind in FOLDS}
    plans = {kind: (part, folds[: FOLDS[kind]]) for kind, (part, folds) in plans.items()}
    chosen = {name: tried[name] for name in args.models or tried}
    if args.time:
        results.write(timed(plans["specimen"], chosen), "beyond_peers_time.csv")
        return
    scores = cross_validate(plans, chosen, seed=protocol.SEED, n_jobs=args.jobs).scores
    scores = scores.round({"accuracy": 5, "macro_f1": 5, "top3": 5, "best_epoch_accuracy": 5})
    try:
        old = results.read("beyond_peers")
        scores = pd.concat([old[~old["model"].isin(chosen)], scores], ignore_index=True)
    except FileNotFoundError:
        pass
    results.write(scores, "beyond_peers.csv")


if __name__ == "__main__":
    results.in_a_sentence(main)
