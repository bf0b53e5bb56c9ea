"""An FMCNN for spectra of other lasers, instruments and specimens, and the networks that are kept.

The former is FMCNN with twice the maps, and each epoch sees each spectrum changed, in ways in which
two measurements of one mineral differ. Each network that comes with the code is an ordinary Keras
file, ``results/rruff/NAME.keras``; ``NAME.json`` says what it was made from, and
``NAME_held_out.csv`` what it predicts for each spectrum that it has not seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pooch
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from .. import results
from ..data.spectra import Spectra
from .classifier import FMCNNClassifier
from .library import Library, measured_range, to_one

#: What may be changed, in this order. *shift*: moved (standard deviation 3 points) and stretched
#: (0.2 %). *heights*: bands raised and lowered smoothly along the axis, as polarisation and
#: orientation do. *resolution*: smoothed by up to 3 points. *background*: a low, smooth one added.
#: *noise*: added. *range*: one in three cut to a part of its range.
CHANGES = ("shift", "heights", "resolution", "background", "noise", "range")


def augment(X, random: np.random.Generator, changes=CHANGES) -> np.ndarray:
    """Each spectrum as another instrument, laser or orientation might have measured it.

    Of intensities (n, points), at a step of 1 cm⁻¹: float32, at least 0, with maximum 1. The
    ``changes``, of ``CHANGES``, are drawn from ``random``; another one is a ``ValueError``.
    """
    if unknown := set(changes) - set(CHANGES):
        raise ValueError(f"changes: {unknown.pop()!r} is not one of {', '.join(CHANGES)}")
    n, points = X.shape
    X = to_one(X)
    at = np.arange(points)
    if "shift" in changes:
        move, stretch = random.normal(0, 3, n), random.normal(0, 0.002, n)
        middle = points / 2
        to = (at - middle) * (1 + stretch[:, None]) + middle + move[:, None]
        X = np.stack([np.interp(place, at, x) for place, x in zip(to, X, strict=True)])
    if "heights" in changes:
        X *= np.exp(0.5 * _smooth(random, n, points, 60))
    if "resolution" in changes:
        blur = random.integers(0, 4, n)  # in points
        for sigma in (1, 2, 3):
            X[blur == sigma] = gaussian_filter1d(X[blur == sigma], sigma, axis=1)
    X = to_one(X)
    if "background" in changes:
        background = np.abs(_smooth(random, n, points, 150))
        X = X + background * random.exponential(0.02, (n, 1))
    if "noise" in changes:
        X = X + random.normal(size=X.shape) * random.exponential(0.008, (n, 1))
    if "range" in changes:
        cut = random.random(n) < 1 / 3
        low = np.where(cut & (random.random(n) < 0.6), random.uniform(0, 200, n), 0)
        high = np.where(cut & (random.random(n) < 0.6), points - random.uniform(0, 450, n), points)
        X[(at < low[:, None]) | (at > high[:, None])] = 0
    return to_one(X).astype(np.float32)


def _smooth(random, n, points, scale) -> np.ndarray:
    """Smooth random curves of standard deviation 1, which change over ``scale`` points."""
    knots = np.arange(-2 * scale, points + 3 * scale, scale)
    values = random.normal(size=(n, len(knots)))
    at = (np.arange(points) - knots[0]) / scale
    left = at.astype(int)
    part = (1 - np.cos(np.pi * (at - left))) / 2
    curve = values[:, left] * (1 - part) + values[:, left + 1] * part
    return curve / curve.std()


class RobustFMCNN(FMCNNClassifier):
    """FMCNN with augmented training, for a fixed number of epochs under a falling learning rate.

    Each epoch makes the ``changes``, of ``CHANGES``, to the spectra; () makes none. There is no
    validation split, and no early stopping.
    """

    def __init__(
        self,
        *,
        changes=CHANGES,
        filters=32,
        squeeze=8,
        expand1=16,
        expand3=16,
        learning_rate=0.002,
        epochs=60,
        batch_size=64,
        random_state=None,
    ):
        self.changes = changes
        size = {"filters": filters, "squeeze": squeeze, "expand1": expand1, "expand3": expand3}
        how = {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size}
        super().__init__(**size, **how, random_state=random_state)

    def fit(self, X, y) -> RobustFMCNN:
        """Train on raw counts (n, points) and mineral names (n,)."""
        from . import fmcnn

        X, number, seed = self._begin(X, y)
        random = np.random.default_rng(seed)
        model = self.build(X.shape[1], len(self.classes_), seed)
        falling = fmcnn.keras.optimizers.schedules.CosineDecay
        steps = self.epochs * -(-len(X) // self.batch_size)
        model.optimizer.learning_rate = falling(self.learning_rate, steps)

        def changed() -> np.ndarray:
            return self.as_input(augment(X, random, self.changes))

        how = {"batch_size": self.batch_size, "epochs": self.epochs, "seed": seed}
        self.history_ = fmcnn.train(model, changed, number, **how)
        self.model_, self.n_epochs_ = model, self.epochs
        return self

    def as_input(self, X) -> np.ndarray:
        """The square root of the spectrum over its maximum, smoothed by one point."""
        return gaussian_filter1d(np.sqrt(to_one(X)), 1, axis=1).astype(np.float32)[..., None]


class LibraryFMCNN(RobustFMCNN):
    """The network and a search in the library of its training spectra, weighed together.

    The probability of a mineral is proportional to ``p ** log_p · exp(−distance · (1 − s)²)``: p is
    the network's, s the similarity to the mineral's most similar training spectrum, of the
    ``Library`` ``library_``. The weights ``log_p`` and ``distance`` were fitted on specimens of
    another archive (``scripts/identify.py``). Changing only heights had the best mean of random
    and by specimen on the search's folds (``scripts/beyond.py``).
    """

    def __init__(
        self,
        *,
        log_p=0.2,
        distance=12.24,
        changes=("heights",),
        filters=32,
        squeeze=8,
        expand1=16,
        expand3=16,
        learning_rate=0.002,
        epochs=60,
        batch_size=64,
        random_state=None,
    ):
        self.log_p, self.distance = log_p, distance
        size = {"filters": filters, "squeeze": squeeze, "expand1": expand1, "expand3": expand3}
        how = {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size}
        super().__init__(changes=changes, **size, **how, random_state=random_state)

    def fit(self, X, y) -> LibraryFMCNN:
        """Train on raw counts (n, points) and mineral names (n,)."""
        super().fit(X, y)
        self.library_ = Library(X, y)
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each mineral, (n, n_classes), in the order of ``classes_``."""
        p = super().predict_proba(X)
        similarity, _ = self.library_.similarity(X, *measured_range(X))
        log = self.log_p * np.log(np.clip(p, 1e-9, 1)) - self.distance * (1 - similarity) ** 2
        return softmax(log, axis=1)


#: To add a pretrained network, give its files a name here, and its class.
NETWORKS = {"fmcnn": FMCNNClassifier, "identify": RobustFMCNN}


class Pretrained(NamedTuple):
    """A kept network: the fitted estimator, and what it was made from.

    ``held_out`` has a row per spectrum that it was not trained on: ``file``, ``mineral``,
    ``predicted`` and its probability ``p``. ``about`` says ``data`` (checksum), ``accuracy`` on
    the spectra held out, ``seed``, ``versions``.
    """

    network: FMCNNClassifier
    held_out: pd.DataFrame
    about: dict

    def rows_held_out(self, spectra: Spectra) -> np.ndarray:
        """Row positions of the spectra held out, of minerals that the network knows."""
        known = spectra.meta["mineral"].isin(self.network.classes_)
        return np.flatnonzero(known & spectra.meta["file"].isin(self.held_out["file"]))


def load_pretrained(name: str = "fmcnn") -> Pretrained:
    """One of ``NETWORKS``, from ``results/rruff``.

    ``FileNotFoundError``, with the command that makes it, if a file is missing; ``UserError`` if
    they do not belong together.
    """
    from .fmcnn import keras

    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is not one of {', '.join(NETWORKS)}")
    network, about_it = kept_files(name)
    for path in (network, about_it):
        if not path.exists():
            raise FileNotFoundError(
                f"results/rruff/{path.name} is missing: `{results.made_by(name)}` makes it"
            )
    about = json.loads(about_it.read_text(encoding="utf-8"))
    if about["sha256"] != pooch.file_hash(network):
        raise results.UserError(
            f"results/rruff/{network.name} is not the network that {about_it.name} is about: get "
            f"both from the repository again, or make them with `{results.made_by(name)}`"
        )
    classifier = NETWORKS[name](**about.pop("settings"))
    classifier.model_ = keras.saving.load_model(network)
    classifier.classes_ = np.array(about.pop("minerals"))
    classifier.n_features_in_ = classifier.model_.input.shape[1]
    classifier.n_epochs_ = about.pop("epochs")
    return Pretrained(classifier, results.read(f"{name}_held_out"), about)


def kept_files(name: str) -> tuple[Path, Path]:
    """The Keras file of a network, and the file that says what it was made from."""
    return results.TABLES / f"{name}.keras", results.TABLES / f"{name}.json"
