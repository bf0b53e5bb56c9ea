"""All explanations in all tests, on held-out spectra: results/rruff/attribution.csv.

    python scripts/explanations.py --data path/to/excellent_oriented.zip

What is explained is the mineral that the network predicts, right or wrong: that is the answer that
an explanation has to account for. Every finished fold is kept, so that a run may be interrupted.

===================================  ===========================================================
test                                 what it is, and what speaks for an explanation
===================================  ===========================================================
deletion area, zero-filled           mean probability while regions of the axis are deleted, the
deletion area, interpolated          most important first, and replaced by zeros or by a straight
                                     line; low
insertion area, …                    the same while they are put back; high
nothing shown                        share of the spectra in which no point has any importance
rank correlation with the spectrum   1 says no more than the spectrum itself
precision at strong peaks            share of the highlighted regions that hold a strong peak;
                                     high, if the paper's "strong highlights at strong Raman-peak
                                     regions" holds
importance between peaks             mean importance far from any peak, as a share of the highest;
                                     low ("near-zero values … at the background level region")
distinctive over shared              how often a peak that all rivals lack has more importance than
                                     a shared one of equal height (mean of the normalised spectrum
                                     around the peak, within a tenth); above 0.5, if shared peaks
                                     fade. The methods ``NETWORK`` say how far the network itself
                                     goes by that: what it loses when a peak is removed
… re-initialised                     rank correlation with the explanation of the network after
                                     some of its layers have got random weights: cascading
                                     randomisation, from the softmax on; low
random labels                        the same with a network that was trained on random labels
inserted peak hit rate               how often the most important region is at the peak that alone
                                     decides, see ``insert_peaks``; 1
===================================  ===========================================================

The re-initialised weights and the random labels are the sanity checks of Adebayo, Gilmer, Muelly,
Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps" (2018).

Peaks of n spectra are two arrays, one number per peak: ``row``, the spectrum (0 … n − 1), and
``point``, its position on the axis.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import joblib
import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d
from sklearn.base import clone
from sklearn.metrics.pairwise import cosine_similarity
from tqdm.auto import tqdm

from fmcnn_utils import data, models, paper, results
from fmcnn_utils.data import peaks
from fmcnn_utils.explain import METHODS, attribute, insert_peaks, metrics
from fmcnn_utils.explain.deconvolution import in_batches
from fmcnn_utils.explain.experiments import CONTROL, random_weights
from fmcnn_utils.results import Cache, cache_folder

#: The method that knows nothing, and what the network itself loses without a peak.
RANDOM, NETWORK = "random", "network, {}"
#: Peaks that are wider, FWHM in cm⁻¹, are humps of luminescence or glass, and left out.
WIDEST = 60.0
#: A strong peak is at least this high, and one that a rival has at least that high, as shares of
#: the highest peak of their spectrum: half as high, lest a peak that is just missed be lacking.
STRONG, PRESENT = 0.1, 0.05
#: How many minerals are a spectrum's rivals, and how near, in cm⁻¹, a peak of theirs must be to
#: count as the same: a band moves by some cm⁻¹ from one composition of a mineral to another, and
#: the network's pool keeps one value of 16 cm⁻¹.
RIVALS, SAME = 3, 10
#: How many test spectra of a fold the sanity checks take, and how often weights are drawn.
CHECKED, DRAWS = 100, 3
#: Of the inserted peaks: how many spectra are trained on, for how many epochs, and explained.
INSERTED, EPOCHS, EXPLAINED = 1200, 10, 150
#: Share of the regions that counts as highlighted, for every method alike: 7 of 68, which is as
#: many as hold a strong peak in a usual spectrum.
HIGHLIGHTED = 0.1


def run(
    spectra: data.Spectra,
    *,
    n_folds: int = 5,
    network: models.FMCNNClassifier | None = None,
    n_jobs: int = 2,
    cache: bool = True,
) -> pd.DataFrame:
    """All methods in all tests, on the first folds of the random protocol.

    Spectra are those of 2019: the atlas holds the peaks of these. Every finished fold is kept: a
    run that was stopped goes on where it was.

    Args:
        spectra: all of a source.
        n_folds: how many of the ten folds.
        network: its settings, by default the usual ones.
        n_jobs: processes, of one thread each.
        cache: keep finished folds in the package's cache folder.

    Returns:
        A row per method, test and fold: ``method`` (of ``METHODS``, or ``RANDOM``, ``NETWORK``,
        ``CONTROL``), ``test`` (see the module's table), ``fold``, ``value`` (mean over the minerals
        of the mean over a mineral's spectra) and ``sd_minerals``, the standard deviation of the
        latter. In place of minerals, tests with inserted peaks have the made-up classes.

    Raises:
        UserError: if the curation leaves too few minerals.
    """
    curated = data.paper_rule(data.curation.cut_to_manifest(spectra)[0])
    y = curated.minerals.astype(str)
    network = network or models.FMCNNClassifier()
    made_from = joblib.hash([curated.X, y, peaks.peaks()]), network.get_params()
    fold = joblib.delayed(Cache(cache_folder() / "explanations" if cache else None).call)
    tasks = [
        fold(partial(_fold, network, curated, split), *made_from, split.fold)
        for split in data.stratified(y, paper.FOLDS, 1, 0)[:n_folds]
    ]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        work = joblib.Parallel(n_jobs, batch_size=1, return_as="generator")(tasks)
        return pd.concat(tqdm(work, total=n_folds, unit="fold"), ignore_index=True)


def _fold(network, spectra: data.Spectra, split: data.Split) -> pd.DataFrame:
    """All tests on one fold: its rows of the table.

    A test yields method, name of the test, and the mineral and the measure of each spectrum.
    """
    seed = int(np.random.SeedSequence([0, split.repeat, split.fold]).generate_state(1)[0])
    train, test = spectra.take(split.train), spectra.take(split.test)
    network = clone(network).set_params(random_state=seed).fit(train.X, train.minerals)
    predicted = network.predict(test.X)
    maps = _explanations(network, test.X, predicted, seed)
    some = np.random.default_rng(seed).permutation(len(test))
    few = some[:CHECKED]
    of_few = {method: importance[few] for method, importance in maps.items()}
    tests = [
        *_removal(network, test, predicted, maps),
        *_on_peaks(network, train, test, predicted, maps),
        *_reinitialised(network, test.take(few), predicted[few], of_few, seed),
        *_random_labels(network, train, test.take(few), of_few, seed),
        *_inserted(network, train.X, test.X[some[:EXPLAINED]], seed),
    ]
    rows = []
    for method, name, minerals, values in tests:
        means = pd.Series(values, dtype=float).groupby(minerals).mean()
        rows.append((method, name, split.fold, means.mean(), means.std()))
    columns = ["method", "test", "fold", "value", "sd_minerals"]
    return pd.DataFrame(rows, columns=columns).dropna(subset="value")


def _explanations(network, X, minerals, seed: int) -> dict[str, np.ndarray]:
    """Importances (n, points) by method, and one that knows nothing, drawn from ``seed``."""
    maps = {method: attribute(method, network, X, minerals) for method in METHODS}
    return maps | {RANDOM: np.random.default_rng(seed).random(X.shape, dtype=np.float32)}


def _probability(network, minerals) -> Callable:
    """The probability of each spectrum's mineral, as a function of normalised spectra."""
    number, model = np.searchsorted(network.classes_, minerals), network.model_
    every = partial(in_batches, partial(model, training=False))
    return lambda x: every(x[..., None])[np.arange(len(x)), number]


def _removal(network, test, predicted, maps) -> Iterator[tuple]:
    """Deletion and insertion.

    The score is the probability of the explained mineral: it moves with each region, where the
    share of spectra that are still predicted right waits until a rival has overtaken.
    """
    x, probability = network.as_input(test.X)[..., 0], _probability(network, predicted)
    ways = {"deletion": False, "insertion": True}
    for method, way, fill in product(maps, ways, metrics.FILLS):
        how = {"insert": ways[way], "fill": fill}
        share, scores = metrics.curve(probability, x, maps[method], **how)
        yield method, f"{way} area, {fill}", test.minerals, np.trapezoid(scores, share, axis=1)


def _on_peaks(network, train, test, predicted, maps) -> Iterator[tuple]:
    """Whether importance is at the strong peaks, between peaks, and at the distinctive ones."""
    x, x_train = (network.as_input(spectra.X)[..., 0] for spectra in (test, train))
    at, at_train, n = _peaks(test), _peaks(train), len(test)
    row, point = at.loc[at["strong"], ["row", "point"]].to_numpy().T
    present = near_peaks(at_train["row"], at_train["point"], x_train.shape, SAME)
    distinct = _distinctive(row, point, x, predicted, x_train, train.minerals, present)
    height = at_peaks(x, row, point)

    for method, importance in maps.items():
        value = at_peaks(importance, row, point)
        measured = {
            "nothing shown": ~importance.any(axis=1),
            "rank correlation with the spectrum": metrics.rank_correlation(importance, x),
            "precision at strong peaks": precision(importance, row, point),
            "importance between peaks": between_peaks(importance, at["row"], at["point"]),
            "distinctive over shared": preference(value, height, row, distinct, n),
        }
        for name, values in measured.items():
            yield method, name, test.minerals, values
    for fill in metrics.FILLS:
        value = _lost(network, x, predicted, row, point, fill)
        values = preference(value, height, row, distinct, n)
        yield NETWORK.format(fill), "distinctive over shared", test.minerals, values


def _peaks(spectra: data.Spectra) -> pd.DataFrame:
    """Peaks that are ``PRESENT``: ``row`` of the spectra, ``point`` of the grid, ``strong``."""
    rows = spectra.meta[["spectrum"]].assign(row=np.arange(len(spectra)))
    table = peaks.peaks().merge(rows, on="spectrum")
    table = table[table["width"] <= WIDEST]
    share = table["height"] / table.groupby("row")["height"].transform("max")
    point = np.rint(table["position"] - spectra.grid[0]).clip(0, len(spectra.grid) - 1)
    found = table[["row"]].assign(point=point.astype(int), strong=share >= STRONG)
    return found[share >= PRESENT]


def _distinctive(row, point, x, predicted, x_train, y_train, present) -> np.ndarray:
    """Whether each peak is one that all rivals of its spectrum lack, bool (peaks,).

    Rivals are the minerals whose mean training spectrum is most like the spectrum, by the cosine
    of the two; the predicted one is none. A mineral lacks what fewer than half of its training
    spectra have: ``present`` says whether they have a peak near a point, (n, points).
    """
    minerals = np.unique(y_train)
    mean, has = (
        np.stack([part[y_train == mineral].mean(axis=0) for mineral in minerals])
        for part in (x_train, present)
    )
    alike = np.where(predicted[:, None] == minerals, -np.inf, cosine_similarity(x, mean))
    rivals = np.argsort(-alike, axis=1, kind="stable")[:, :RIVALS]
    return (has[rivals[row], point[:, None]] < 0.5).all(axis=1)


def _lost(network, x, predicted, row, point, fill: str) -> np.ndarray:
    """What the explained mineral loses in log-probability without each peak, (peaks,).

    What is within ``SAME`` of the peak is replaced, see ``metrics.FILLS``; all else stays.
    """
    kept = np.abs(np.arange(x.shape[1]) - point[:, None]) > SAME
    before = _probability(network, predicted)(x)[row]
    after = _probability(network, predicted[row])(metrics.FILLS[fill](x[row], kept))
    least = np.finfo(np.float32).tiny
    return np.log(np.maximum(before, least)) - np.log(np.maximum(after, least))


def _reinitialised(network, test, predicted, maps, seed: int) -> Iterator[tuple]:
    """Cascading randomisation, from the softmax to the first layer; and the first layer alone."""
    layers, first = [x.name for x in network.model_.layers if x.weights], ["conv", "batch_norm"]
    stages = {
        "softmax": ["softmax"],
        "all but the first convolution": [name for name in layers if name not in first],
        "all layers": layers,
        "the first convolution alone": first,
    }
    for stage, drawn in stages.items():
        others = []
        for draw in range(DRAWS):
            other = random_weights(network, _other_seed(seed, draw))
            for name in set(layers) - set(drawn):
                weights = network.model_.get_layer(name).get_weights()
                other.model_.get_layer(name).set_weights(weights)
            others.append(_explanations(other, test.X, predicted, seed + 1 + draw))
        yield from _alike(f"{stage} re-initialised", test, maps, others)


def _random_labels(network, train, test, maps, seed: int) -> Iterator[tuple]:
    """Against the explanations of a network that has learnt random labels by heart.

    Each network explains what it predicts itself, since its minerals mean nothing to the other.
    """
    labels = np.random.default_rng(seed).permutation(train.minerals)
    other = random_weights(network, fresh := _other_seed(seed, DRAWS))
    number = np.searchsorted(other.classes_, labels)
    how = {"batch_size": other.batch_size, "epochs": other.n_epochs_, "seed": fresh}
    models.train(other.model_, other.as_input(train.X), number, **how)  # without early stopping
    right = other.predict(train.X) == labels
    yield CONTROL, "accuracy on random labels trained on", labels, right
    others = [_explanations(other, test.X, other.predict(test.X), seed + 1)]
    yield from _alike("random labels", test, maps, others)


def _alike(name: str, test, maps, others: list[dict]) -> Iterator[tuple]:
    """Rank correlation with the explanations of other networks, the mean of these."""
    for method, importance in maps.items():
        each = [metrics.rank_correlation(importance, other[method]) for other in others]
        yield method, name, test.minerals, np.mean(each, axis=0)


def _other_seed(seed: int, draw: int) -> int:
    """Not the trained network's own: much of its weights is still as drawn from that."""
    return int(np.random.SeedSequence([seed, 1, draw]).generate_state(1)[0])


def _inserted(network, X_train, X_test, seed: int) -> Iterator[tuple]:
    """Whether the inserted peak is found, in the spectra whose class is predicted right."""
    some = np.random.default_rng(seed).permutation(len(X_train))[:INSERTED]
    X, y, _ = insert_peaks(X_train[some], seed, seed)
    network = clone(network).set_params(random_state=seed, epochs=EPOCHS).fit(X, y)
    X, y, point = insert_peaks(X_test, seed + 1, seed)
    right = network.predict(X) == y
    yield CONTROL, "accuracy on inserted peaks", y, right
    for method, importance in _explanations(network, X[right], y[right], seed).items():
        yield method, "inserted peak hit rate", y[right], metrics.hit_rate(importance, point[right])


# ---------------------------------------------------------------- at peaks


def near_peaks(row, point, shape: tuple[int, int], reach: int) -> np.ndarray:
    """Whether a point is at most ``reach`` from a peak: bool of ``shape``, (n, points)."""
    at = np.zeros(shape, dtype=bool)
    at[row, point] = True
    return maximum_filter1d(at, 2 * reach + 1, axis=1, mode="constant")


def at_peaks(importance: np.ndarray, row, point) -> np.ndarray:
    """Mean importance within 5 points of each peak, (peaks,)."""
    total = np.pad(importance, ((0, 0), (1, 0))).cumsum(axis=1, dtype=float)
    first, last = np.clip([point - 5, point + 6], 0, importance.shape[1])
    return (total[row, last] - total[row, first]) / (last - first)


def precision(importance: np.ndarray, row, point) -> np.ndarray:
    """Share of the highlighted regions that hold a peak, (n,); NaN for a spectrum without peaks."""
    place = metrics.ranking(importance)
    held = np.zeros(place.shape, dtype=bool)
    held[row, point // metrics.REGION] = True
    count = round(HIGHLIGHTED * place.shape[1])
    return np.where(held.any(axis=1), (held & (place < count)).sum(axis=1) / count, np.nan)


def between_peaks(importance: np.ndarray, row, point) -> np.ndarray:
    """Mean size of the importance further than 20 points from all peaks, (n,).

    As a share of the largest in the spectrum; NaN where nothing is so far, or all is 0.
    """
    size, far = np.abs(importance), ~near_peaks(row, point, importance.shape, 20)
    whole = far.sum(axis=1) * size.max(axis=1)
    return (size * far).sum(axis=1) / np.where(whole > 0, whole, np.nan)


def preference(value, height, row, distinct, n: int) -> np.ndarray:
    """How often a distinctive peak is more important than a shared one of equal height, (n,).

    Over all pairs of a distinctive and a shared peak in a spectrum whose heights are within a
    tenth of each other; a tie counts half. 0.5 is no preference; NaN, no such pair.

    Args:
        value: importance at each peak, (peaks,).
        height: of the spectrum at each peak.
        row: spectrum of each peak.
        distinct: whether it is distinctive, bool; the others are shared.
        n: number of spectra.
    """
    peaks = pd.DataFrame({"row": row, "value": value, "height": height})
    pairs = peaks[distinct].merge(peaks[~distinct], on="row", suffixes=("", "_shared"))
    heights = pairs[["height", "height_shared"]]
    pairs = pairs[heights.max(axis=1) <= 1.1 * heights.min(axis=1)]
    better = np.sign(pairs["value"] - pairs["value_shared"]) / 2 + 0.5
    return better.groupby(pairs["row"]).mean().reindex(range(n)).to_numpy()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="rruff", help="rruff, or the path of an archive")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    table = run(data.load_archive(args.data), n_jobs=args.jobs)
    results.write(table.round(4), "attribution.csv")


if __name__ == "__main__":
    results.in_a_sentence(main)
