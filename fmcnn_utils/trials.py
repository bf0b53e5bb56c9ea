"""The tests that explanations are put to, on the held-out spectra of one fold.

What is explained is the mineral that the network names, right or wrong: that is the call that an
explanation has to account for.

============================  ==================================================================
test                          what it is, and what speaks for an explanation
============================  ==================================================================
deletion, …                   mean probability while the axis is deleted, the most important
                              regions first, and set to 0 (emptied) or to a straight line across
                              the hole (bridged); low
insertion, …                  the same while it is put back; high
likeness to the spectrum      rank correlation with the intensities; 1 tells nothing new
strong peaks: precision       share of the highlighted regions that hold a strong peak; high, if
                              the paper's "strong highlights at strong Raman-peak regions" holds
strong peaks: recall          share of the regions with a strong peak that are highlighted; high
between peaks                 mean importance far from any peak, of the highest in the spectrum;
                              low ("near-zero values … at the background level region")
distinctive peaks: …          precision and recall for the strong peaks that all rivals lack
distinctive over shared       how often a distinctive peak has more than a shared one of equal
                              height, as the network sees them (mean of the normalised spectrum
                              around the peak, within a tenth); above 0.5, if shared peaks fade; the
                              rows ``REMOVED`` say how far the network itself goes by that
agreement with removal, …     rank correlation, over the strong peaks of a spectrum, with what the
                              network loses without each, emptied or bridged; high
nothing shown                 share of the spectra in which no point has any importance
re-drawn …, labels shuffled   rank correlation with the explanation of a network that knows
                              nothing, or nothing from there on; low
planted peak: found           how often the top region is at the peak that decides; 1
planted peak: share           share of the importance that is there; high
============================  ==================================================================

Each gives tables with a row per method and spectrum: ``method``, ``test``, ``mineral``, ``value``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from . import faithfulness as measures
from .attribution import METHODS, attribute
from .model import keras, tf
from .splits import Split

#: The method that knows nothing, and how many times it is drawn.
RANDOM, DRAWS = "random", 3
#: In place of a method: a number about the fold as a whole.
FOLD = "(fold)"
#: In place of a method: what the network itself loses without a peak, taken out in either way.
REMOVED, FILLS = "peak", (measures.emptied, measures.bridged)

#: How many minerals are a spectrum's rivals, and how near, in cm⁻¹, a peak of theirs must be to
#: count as the same: a band moves by some cm⁻¹ from one composition of a mineral to another, and
#: the network's pool keeps one value of 16 cm⁻¹.
RIVALS, SAME = 3, 10
#: In cm⁻¹: what is so near a peak is at it, and what is so far from all is between them.
AT, BETWEEN = 5, 20


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
    """Areas under the deletion and the insertion curve, emptied and bridged.

    The score is the probability of the explained mineral: it moves with each region, where the
    share of spectra that are still named right waits until a rival has overtaken.
    """
    network = tf.function(shown.model)  # there are hundreds of calls, all of one shape

    def probability(X):
        found = network(tf.constant(X[..., None]), training=False).numpy()
        return found[np.arange(len(X)), shown.classes]

    for method, importance in shown.maps:
        areas = {}
        for fill, test in product(FILLS, ("deletion", "insertion")):
            curve = measures.curve(
                probability, shown.X, importance, insert=test == "insertion", fill=fill
            )
            areas[f"{test}, {fill.__name__}"] = measures.area(*curve)
        yield rows(method, shown.minerals, areas)


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
    effects = {fill.__name__: fall(shown, row, point, fill) for fill in FILLS}

    def preference(value):
        return measures.preference(value, height, row, distinct, len(minerals))

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
                "nothing shown": ~importance.any(axis=1),
                "likeness to the spectrum": likeness(importance, shown.X),
                "strong peaks: precision": precision,
                "strong peaks: recall": recall,
                "between peaks": _mean(size, between),
                "distinctive peaks: precision": precision_telling,
                "distinctive peaks: recall": recall_telling,
                "distinctive over shared": preference(value),
            }
            | {
                f"agreement with removal, {how}": measures.agreement(
                    value, effect, row, len(minerals)
                )
                for how, effect in effects.items()
            },
        )
    for how, effect in effects.items():
        yield rows(f"{REMOVED} {how}", minerals, {"distinctive over shared": preference(effect)})
    yield rows(FOLD, minerals[row], {"share of strong peaks that are distinctive": distinct})


def likeness(importance, other) -> np.ndarray:
    """Rank correlation, (n,); NaN where ``importance`` is empty: there is nothing to compare."""
    alike = measures.spearman(importance, other)
    return np.where(importance.any(axis=1), alike, np.nan)


def fall(shown: Explained, row, point, fill) -> np.ndarray:
    """What the explained mineral loses in log-probability without one peak, (peaks,).

    What is within ``SAME`` of the peak is emptied or bridged (``fill``, see
    ``faithfulness.curve``), and all else left as it is.
    """
    axis = np.arange(shown.X.shape[1])
    without = fill(shown.X[row], np.abs(axis - point[:, None]) > SAME)
    classes, least = shown.classes, np.finfo(np.float32).tiny
    before = _probabilities(shown.model, shown.X)[np.arange(len(shown.X)), classes]
    after = _probabilities(shown.model, without)[np.arange(len(row)), classes[row]]
    return np.log(np.maximum(before[row], least)) - np.log(np.maximum(after, least))


def _probabilities(model: keras.Model, X, batch: int = 512) -> np.ndarray:
    """What ``predict`` gives, without the tenth of a second that each of its calls takes."""
    parts = [model(X[i : i + batch, :, None], training=False) for i in range(0, len(X), batch)]
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
