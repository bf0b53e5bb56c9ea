"""The tests that explanations are put to, on the held-out spectra of one fold.

What is explained is the mineral that the network names, right or wrong: that is the call that an
explanation has to account for.

============================  ==================================================================
test                          what it is, and what speaks for an explanation
============================  ==================================================================
deletion                      mean probability while the axis is deleted, the most important
                              regions first; low
insertion                     the same while it is put back; high
likeness to the spectrum      rank correlation with the intensities; 1 tells nothing new
strong peaks: precision       share of the highlighted regions that hold a strong peak; high, if
                              the paper's "strong highlights at strong Raman-peak regions" holds
strong peaks: recall          share of the regions with a strong peak that are highlighted; high
between peaks                 mean importance far from any peak, of the highest in the spectrum;
                              low ("near-zero values … at the background level region")
distinctive peaks: …          precision and recall for the strong peaks that all rivals lack
distinctive over shared       how often a distinctive peak has more than a shared one of equal
                              height; high, if shared peaks fade; the spectrum itself is the
                              measure, since heights are only about equal
re-drawn …, labels shuffled   rank correlation with the explanation of a network that knows
                              nothing, or nothing from there on; low
planted peak: found           how often the top region is at the peak that decides; 1
planted peak: share           share of the importance that is there; high
============================  ==================================================================

Each gives tables with a row per method and spectrum: ``method``, ``test``, ``mineral``, ``value``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import faithfulness as measures
from . import planted, training
from .attribution import METHODS, attribute
from .config import FMCNNConfig
from .model import build, keras
from .splits import Split

#: The method that knows nothing, and how many times it is drawn.
RANDOM, DRAWS = "random", 3

#: How many minerals are a spectrum's rivals, and how near, in cm⁻¹, a peak of theirs must be to
#: count as the same: a band moves by some cm⁻¹ from one composition of a mineral to another, and
#: the network's pool does not tell positions within 8 cm⁻¹ apart.
RIVALS, SAME = 3, 10
#: In cm⁻¹: what is so near a peak is at it, and what is so far from all is between them.
AT, BETWEEN = 5, 20
#: Layers that are re-drawn together, from the end of the network to its start.
STAGES = {
    "softmax": ("softmax",),
    "dense": ("dense",),
    "expand": ("expand1", "expand3"),
    "squeeze": ("squeeze",),
    "conv": ("batch_norm", "conv"),
}
#: Planted spectra to train on, and epochs: enough to name nearly all others right.
PLANTED, PLANTED_EPOCHS = 1200, 10


@dataclass(frozen=True)
class Explained:
    """A network, and its explanations of spectra.

    Attributes:
        model: the network.
        X: normalised spectra, (n, points).
        classes: class number that is explained, (n,).
        minerals: class number of the mineral, (n,).
        maps: method and importance, (n, points); RANDOM with each of its draws.
    """

    model: keras.Model
    X: np.ndarray
    classes: np.ndarray
    minerals: np.ndarray
    maps: list[tuple[str, np.ndarray]]

    @classmethod
    def by(cls, model: keras.Model, X, minerals, seed: int) -> Explained:
        """All methods on what the network names; ``seed`` is that of RANDOM."""
        classes = named(model, X)
        maps = [(method, attribute(method, model, X, classes)) for method in METHODS]
        maps += [(RANDOM, measures.random_importance(*X.shape, seed + i)) for i in range(DRAWS)]
        return cls(model, X, classes, minerals, maps)

    def take(self, rows: np.ndarray) -> Explained:
        """The same for some of the spectra: positions or a mask."""
        maps = [(method, importance[rows]) for method, importance in self.maps]
        own = (self.X, self.classes, self.minerals)
        return Explained(self.model, *(part[rows] for part in own), maps)


def rows(method: str, minerals, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """A table as every test gives it; ``values`` has a number per spectrum for each test."""
    tables = [
        pd.DataFrame({"test": test, "mineral": minerals, "value": np.asarray(value, dtype=float)})
        for test, value in values.items()
    ]
    return pd.concat(tables).assign(method=method)


def named(model: keras.Model, X) -> np.ndarray:
    """Class number that the network gives each spectrum, (n,)."""
    return _probabilities(model, X).argmax(axis=1)


def removal(shown: Explained) -> Iterator[pd.DataFrame]:
    """Areas under the deletion and the insertion curve.

    The score is the probability of the explained mineral: it moves with each region, where the
    share of spectra that are still named right waits until a rival has overtaken.
    """

    def probability(X):
        return _probabilities(shown.model, X)[np.arange(len(X)), shown.classes]

    for method, importance in shown.maps:
        curves = [measures.curve(probability, shown.X, importance, insert=i) for i in (False, True)]
        deleted, inserted = (measures.area(*curve) for curve in curves)
        yield rows(method, shown.minerals, {"deletion": deleted, "insertion": inserted})


def on_peaks(
    shown: Explained, X_train, y_train, peaks: pd.DataFrame, split: Split
) -> Iterator[pd.DataFrame]:
    """Whether importance is at the strong peaks, between peaks, and at the distinctive ones.

    Args:
        shown: explanations of the test fold.
        X_train: normalised spectra of the training fold.
        y_train: their class numbers.
        peaks: ``row`` (of all spectra), ``point``, ``strong``.
        split: which of all spectra train and test.
    """
    shape, minerals = shown.X.shape, shown.minerals
    train, test = _of(peaks, split.train), _of(peaks, split.test)
    present = measures.covered(train["row"], train["point"], X_train.shape, SAME)
    against = measures.rivals(shown.X, shown.classes, X_train, y_train, RIVALS)
    between = ~measures.covered(test["row"], test["point"], shape, BETWEEN)

    row, point = test.loc[test["strong"], ["row", "point"]].to_numpy().T
    distinct = measures.distinctive(row, point, against, measures.usual(present, y_train))
    strong = measures.holding(row, point, shape)
    telling = measures.holding(row[distinct], point[distinct], shape)
    height = measures.at_peaks(shown.X, row, point, AT)
    yield rows("", minerals[row], {"share of strong peaks that are distinctive": distinct})
    for method, importance in shown.maps:
        precision, recall = measures.precision_recall(importance, strong)
        precision_telling, recall_telling = measures.precision_recall(importance, telling)
        value = measures.at_peaks(importance, row, point, AT)
        size = np.abs(importance)
        highest = size.max(axis=1, keepdims=True)
        size = size / np.where(highest > 0, highest, np.nan)
        yield rows(
            method,
            minerals,
            {
                "likeness to the spectrum": measures.spearman(importance, shown.X),
                "strong peaks: precision": precision,
                "strong peaks: recall": recall,
                "between peaks": _mean(size, between),
                "distinctive peaks: precision": precision_telling,
                "distinctive peaks: recall": recall_telling,
                "distinctive over shared": measures.preference(
                    value, height, row, distinct, len(minerals)
                ),
            },
        )


def redrawn(shown: Explained, config: FMCNNConfig, seed: int) -> Iterator[pd.DataFrame]:
    """Likeness to the explanations of networks with weights drawn anew.

    First the end of the network, then more and more towards its start, as in Adebayo et al.; then
    each stage alone. The class that is explained stays the same.
    """
    there = {layer.name for layer in shown.model.layers}
    stages = {name: layers for name, layers in STAGES.items() if there.issuperset(layers)}
    drawn: tuple[str, ...] = ()
    plans = {}
    for name, layers in stages.items():
        drawn += layers
        plans[f"re-drawn down to {name}"] = drawn
    plans |= {f"re-drawn: {name} alone": layers for name, layers in list(stages.items())[1:]}
    for test, layers in plans.items():
        other = build(config, seed)
        for layer in other.layers:
            if layer.name not in layers:
                layer.set_weights(shown.model.get_layer(layer.name).get_weights())
        yield from _likeness(test, shown, other, shown.classes, seed)


def shuffled(
    shown: Explained, config: FMCNNConfig, X_train, y_train, epochs: int, seed: int
) -> Iterator[pd.DataFrame]:
    """Likeness to the explanations of a network that learnt shuffled labels by heart.

    Each network explains what it names itself, since its class numbers mean nothing to the other.
    """
    labels = np.random.default_rng(seed).permutation(y_train)
    other, _ = training.fit(config, X_train, labels, epochs=epochs, seed=seed)
    yield rows("", labels, {"accuracy on shuffled labels": named(other, X_train) == labels})
    yield from _likeness("labels shuffled", shown, other, named(other, shown.X), seed)


def finds_planted(X_train, X_test, config: FMCNNConfig, seed: int) -> Iterator[pd.DataFrame]:
    """Whether the planted peak is found, in the spectra that a network trained on such names right.

    Args:
        X_train: spectra, in counts, to plant the training peaks in.
        X_test: the same for those to explain.
        config: of the network.
        seed: of all that is drawn.
    """
    at = planted.places(config.n_points, seed)
    config = replace(config, n_classes=len(at))
    some = np.random.default_rng(seed).permutation(len(X_train))[:PLANTED]
    learnt = planted.plant(X_train[some], at, config.normalisation, seed)
    asked = planted.plant(X_test, at, config.normalisation, seed + 1)
    model, _ = training.fit(config, learnt.X, learnt.y, epochs=PLANTED_EPOCHS, seed=seed)
    shown = Explained.by(model, asked.X, asked.y, seed)
    right = shown.classes == asked.y
    yield rows("", asked.y, {"accuracy on planted peaks": right})
    for method, importance in shown.take(right).maps:
        found = planted.found(importance, asked.point[right])
        share = planted.share(importance, asked.point[right])
        values = {"planted peak: found": found, "planted peak: share": share}
        yield rows(method, asked.y[right], values)


def _probabilities(model: keras.Model, X, batch: int = 512) -> np.ndarray:
    """What ``predict`` gives, without its tenth of a second per call: there are many calls."""
    parts = [model.predict_on_batch(X[i : i + batch, :, None]) for i in range(0, len(X), batch)]
    return np.concatenate(parts)


def _of(peaks: pd.DataFrame, numbers: np.ndarray) -> pd.DataFrame:
    """The peaks of some of the spectra, ``row`` counted among these."""
    place = pd.Series(np.arange(len(numbers)), index=numbers)
    own = peaks[peaks["row"].isin(numbers)]
    return own.assign(row=own["row"].map(place))


def _mean(values, where) -> np.ndarray:
    """Mean of each row over some of its points, NaN where there are none."""
    count = where.sum(axis=1)
    return (values * where).sum(axis=1) / np.where(count > 0, count, np.nan)


def _likeness(test: str, shown: Explained, other: keras.Model, classes, seed: int):
    for method, importance in shown.maps:
        if method == RANDOM:
            new = measures.random_importance(*shown.X.shape, seed + DRAWS)
        else:
            new = attribute(method, other, shown.X, classes)
        yield rows(method, shown.minerals, {test: measures.spearman(importance, new)})
