"""Which mineral a spectrum is, by the network and by the library, and whether to believe it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from .. import data, results
from ..data import peaks as atlas
from ..data.reader import MAKERS, Measured, Prepared, measured, prepare, read_spectrum
from ..data.spectra import GRID
from ..explain import attribute
from ..models import load_pretrained
from ..models.library import Library, compare_peaks

#: The class of the network for what is none of its minerals.
OTHER = "(another mineral)"
#: Least probability, of a mineral or a series, that is called sure and likely.
SURE, LIKELY = 0.9, 0.6
#: A series is named together if the best two of its members have at least this probability each.
TOGETHER = 0.1
#: A mixture is sought where the spectrum rises so far above all library spectra of the mineral. It
#: has to be this much more similar than one mineral, and each part to hold at least this share.
LEFT_OVER, MIXTURE_GAIN, MIXTURE_SHARE = 0.04, 0.03, 0.05
#: Moves of the axis in cm⁻¹ are tried below this similarity; the gain that is told, and the least
#: similarity that a move has to reach.
SHIFTS, ALIGNED, SHIFT_GAIN, LEAST_MOVED = range(-16, 17, 2), 0.7, 0.1, 0.6
#: Files that are taken for spectra of a laboratory's own library.
SUFFIXES = {".txt", ".csv", ".dat", ".asc", ".tsv", ".xy", *MAKERS}


@dataclass(frozen=True)
class Calibration:
    """What turns the two answers into a confidence and a verdict; ``scripts/identify.py`` fits it.

    ``known`` has a constant and the weights of similarity and of log p(another mineral): together,
    log odds that the spectrum is of one of the minerals.
    """

    log_p: float  # weight of the logarithm of the network's probability
    distance: float  # weight of (1 − similarity)²
    known: tuple[float, float, float]
    sure: float  # least of the log odds to be sure; reached by 2 % of spectra of other minerals
    none: float  # fewer are "none of these"

    def probabilities(self, P, classes, S, names) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each of the library's ``names``, and the network's p(another mineral).

        From the network's probabilities, (n, classes), and similarities, (n, names). Minerals that
        the network does not know share its "another mineral" evenly.
        """
        is_class = np.isin(names, classes)
        other = P[:, classes == OTHER].sum(axis=1) + 1e-6
        p = np.empty_like(S, dtype=float)
        p[:, is_class] = P[:, np.searchsorted(classes, names[is_class])]
        p[:, ~is_class] = other[:, None] / max((~is_class).sum(), 1)
        score = self.log_p * np.log(p + 1e-6) - self.distance * (1 - S) ** 2
        return softmax(score, axis=1), other

    def odds(self, similarity, other) -> np.ndarray:
        """Log odds that the spectrum is of one of the library's minerals, (n,)."""
        constant, by_similarity, by_other = self.known
        return constant + by_similarity * np.asarray(similarity) + by_other * np.log(other)


@dataclass(frozen=True)
class Reference:
    """A network, a library and their calibration."""

    network: object
    library: Library
    calibration: Calibration


@lru_cache(maxsize=1)
def kept_reference() -> Reference:
    """The network and the library that come with the code."""
    kept = load_pretrained("identify")
    numbers = kept.about["calibration"]
    calibration = Calibration(**numbers | {"known": tuple(numbers["known"])})
    return Reference(kept.network, kept_library(), calibration)


def kept_library() -> Library:
    """All of the peak atlas, and what is kept of spectra of other lasers, rebuilt from peaks."""
    own, other = data.load("atlas"), atlas.load_unoriented()
    minerals = np.concatenate([own.minerals, other.minerals])
    return Library(np.concatenate([own.X, other.X]), minerals)


@dataclass(frozen=True)
class Identification:
    """The answer for one spectrum; displays itself in a notebook.

    ``table`` has ``rank``, ``mineral``, ``confidence`` (calibrated probability, if it is one of the
    library's minerals), ``network`` (its own probability; nan for a mineral that it does not know),
    ``similarity`` (to the library, −1 to 1), ``series`` and ``library``.
    """

    prepared: Prepared
    table: pd.DataFrame
    verdict: str  # sure, likely, unsure, or none of these
    name: str  # the mineral, or the members of a series that cannot be distinguished
    notes: list[str]  # a sentence each
    mixture: pd.DataFrame | None  # mineral and share of the signal, if one does not explain it
    odds: float  # log odds that it is of one of the library's minerals, see ``Calibration``
    network_says: str  # the likeliest mineral by the network alone
    _reference: Reference = field(repr=False)
    _row: int = field(repr=False)  # of the library's most similar spectrum of the first mineral

    @cached_property
    def peaks(self) -> dict[str, np.ndarray]:
        """``matched``, ``missing`` and ``left_over``: position (cm⁻¹) and height of each."""
        p = self.prepared
        return compare_peaks(p.x, p.noise, self._reference.library, self._row, p.low, p.high)

    @cached_property
    def attribution(self) -> np.ndarray:
        """Integrated gradients for the first mineral, (1360,); zeros if the network lacks it."""
        network, mineral = self._reference.network, self.table["mineral"].iloc[0]
        if mineral not in network.classes_:
            return np.zeros(len(GRID))
        return attribute("integrated gradients", network, self.prepared.x[None], [mineral])[0]

    def bands(self) -> pd.DataFrame:
        """The five peaks that speak most for the answer, and the groups of atoms they may be of.

        ``position`` is in cm⁻¹, ``weight`` the share of the positive attribution within 12 cm⁻¹.
        """
        weight = np.clip(self.attribution, 0, None)
        weight = weight / max(weight.sum(), 1e-12)
        at = self.peaks["matched"][:, 0]
        formula = _formulas().get(self.table["mineral"].iloc[0], "")
        try:
            groups = data.chemistry.explain(np.column_stack([at - 6, at + 6]), formula)
            groups = groups.query("allowed and kind == 'inorganic'")
            groups = groups.groupby("from")["group"].unique().map(", ".join)
        except results.UserError:  # a formula that cannot be read
            groups = {}
        rows = [(p, weight[np.abs(GRID - p) <= 12].sum(), groups.get(p - 6, "")) for p in at]
        table = pd.DataFrame(rows, columns=["position", "weight", "groups"])
        # not nlargest, which refuses the empty table of an answer without a matched peak
        table = table.sort_values("weight", ascending=False, kind="stable", ignore_index=True)
        return table.head(5)

    def plot(self):
        """The raw spectrum and its background; the prepared one over the library's; attribution."""
        from .pages import figure

        return figure(self)

    def __str__(self) -> str:
        shown = self.table[["rank", "mineral", "confidence", "network", "similarity"]]
        text = shown.to_string(index=False, float_format="%.2f", na_rep="–")
        notes = "".join(f"\n  {note}" for note in self.notes)
        return f"{self.prepared.measured.name}: {self.name}, {self.verdict}{notes}\n{text}"

    def _repr_html_(self) -> str:
        from .pages import block

        return block(self)


def identify(
    spectrum, *, top: int = 5, baseline: str = "auto", laser: float | None = None, library=None
) -> Identification:
    """The ``top`` likeliest minerals of one spectrum.

    ``spectrum`` is a path, see ``read_spectrum``, or two arrays, Raman shift in cm⁻¹ and intensity;
    ``baseline`` as of ``prepare``; ``laser`` in nm, where the file does not say it; ``library`` in
    place of the kept one, see ``own_library``. UserError or FileNotFoundError, with one sentence,
    for what cannot be identified.
    """
    if isinstance(spectrum, tuple | list) or hasattr(spectrum, "shape"):
        spectrum = measured(*spectrum)
    elif not isinstance(spectrum, Measured):
        spectrum = read_spectrum(spectrum)
    return answers([prepare(spectrum, baseline)], top, laser, library)[0]


def answers(
    prepared: list[Prepared], top=5, laser=None, library=None, reference: Reference | None = None
) -> list[Identification]:
    """The answers for many prepared spectra at once; arguments as of ``identify``."""
    ref = reference or kept_reference()
    ref = replace(ref, library=library or ref.library)
    X = np.stack([p.x for p in prepared])
    P = ref.network.predict_proba(X)
    S, rows = ref.library.similarity(X, [p.low for p in prepared], [p.high for p in prepared])
    Q, other = ref.calibration.probabilities(P, ref.network.classes_, S, ref.library.names)
    odds = ref.calibration.odds(S[np.arange(len(S)), Q.argmax(axis=1)], other)
    each = zip(prepared, P, S, rows, Q, odds, strict=True)
    return [_one(ref, top, laser, *one) for one in each]


def _one(ref, top, laser, prepared, p, s, rows, q, odds) -> Identification:
    names, classes = ref.library.names, ref.network.classes_
    series, limits = data.chemistry.series(), ref.calibration
    order = np.argsort(-q, kind="stable")[: max(top, 2)]
    first, another = names[order[0]], p[classes == OTHER].sum()
    by_network = dict(zip(classes, p, strict=True))
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "mineral": names[order],
            "confidence": q[order],
            "network": [by_network.get(name, np.nan) for name in names[order]],
            "similarity": s[order],
            "series": [", ".join(series.get(name, {})) for name in names[order]],
            "library": ref.library.sources[rows[order]],
        }
    )
    notes, together, why, confidence = list(prepared.notes), [first], "", q[order[0]]
    for group, its in series.get(first, {}).items():
        members = [k for k in order if names[k] in its["members"] and q[k] >= TOGETHER]
        if len(members) > len(together):
            together, confidence = [names[k] for k in members], q[members].sum()
            why = (
                f"{', '.join(together)} are members of one series ({group}: {its['differ in']}) "
                "whose spectra differ little"
            )
    name = " or ".join(together)
    if odds < limits.none:
        verdict = "none of these"
    elif odds >= limits.sure and confidence >= SURE:
        verdict = "sure"
    else:
        verdict = "likely" if confidence >= LIKELY else "unsure"
    if why and verdict != "none of these":
        notes.append(why)
    alone = classes[np.argmax(np.where(classes == OTHER, -1, p))]
    if another > 0.5:
        notes.append("the network holds it for a mineral that it was not trained on")
    elif alone != first and alone not in together:
        notes.append(
            f"the network alone says {alone} (≈{by_network[alone]:.2f}), the library is nearest to "
            f"{names[s.argmax()]} (≈{s.max():.2f}): compare both"
        )
    mixture = None
    if s[order[0]] < ALIGNED and (moved := _misaligned(prepared, ref.library, s.max())):
        verdict = "unsure"
        notes.append(
            f"moved by {moved[0]:+d} cm⁻¹ it would be much more like {moved[1]}: check the "
            "calibration of the axis (it was not moved)"
        )
    else:
        mixture = _mixture(prepared, ref, s, rows, another + 1e-6)
    if mixture is not None:
        parts = ", ".join(f"{m} {x:.0%}" for m, x in mixture.itertuples(index=False))
        notes.append(f"a mixture explains it better: {parts} of the signal, not of the amount")
        name, verdict = " with ".join(mixture["mineral"]), "likely"
    laser = laser or prepared.measured.laser
    if laser and not 500 <= laser <= 800:
        notes.append(
            f"the laser is {laser:g} nm, and the network and library know 514 to 785 nm: "
            "luminescence and resonance may differ"
        )
    if verdict == "none of these":
        name = f"unlike {first}"
    said = table.head(top), verdict, name, notes, mixture, float(odds), str(alone)
    return Identification(prepared, *said, ref, int(rows[order[0]]))


def _mixture(prepared, ref: Reference, s, rows, other) -> pd.DataFrame | None:
    """Two minerals whose sum is more similar than either, with their shares.

    Candidates are the most similar minerals, and those that resemble what the best three leave
    over. Each pair is fitted by non-negative least squares, and compared as the library compares.
    """
    library, order = ref.library, np.argsort(-s)
    x, low, high = prepared.x, prepared.low, prepared.high
    inside = (low <= GRID) & (high >= GRID)
    over = (x - library.envelope(library.minerals[rows[order[0]]]))[inside]
    if over.max() < max(LEFT_OVER, 5 * prepared.noise):
        return None

    def scaled(rows):
        X = library.X[rows] * inside
        return X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)

    nearest = rows[order[:14]]
    one, y = gaussian_filter1d(scaled(nearest[:3]), 2), gaussian_filter1d(x, 2)
    height = one @ y / np.maximum((one**2).sum(axis=1), 1e-12)
    left = np.clip(x - 0.9 * height[:, None] * one, 0, None)
    alike, best = library.similarity(left, [low] * 3, [high] * 3)
    filling = np.take_along_axis(best, np.argsort(-alike, axis=1)[:, :3], axis=1)
    candidates = pd.unique(np.concatenate([nearest, filling.ravel()]))

    names = library.minerals[candidates]
    first, second = np.triu_indices(len(candidates), 1)
    strong = np.isin(names, library.names[order[:6]])
    taken = (names[first] != names[second]) & (strong[first] | strong[second])
    first, second = first[taken], second[taken]
    X = scaled(candidates)
    share = _two_of(gaussian_filter1d(X, 2), y, first, second)
    sums = share[:, :1] * X[first] + share[:, 1:] * X[second]
    white = library.whiten(np.vstack([x[None], sums]), low, high)
    alike = white[1:] @ white[0]
    k = alike.argmax()
    pair = [first[k], second[k]]
    area = share[k] * X[pair].sum(axis=1)
    part = area / max(area.sum(), 1e-12)
    too_little = alike[k] < s.max() + MIXTURE_GAIN or part.min() < MIXTURE_SHARE
    unlike = ref.calibration.odds(alike[k], other) < ref.calibration.none
    if too_little or unlike or data.chemistry.same_series(*names[pair]):
        return None
    table = pd.DataFrame({"mineral": names[pair], "share": part})
    return table.sort_values("share", ascending=False, ignore_index=True)


def _two_of(X, y, first, second) -> np.ndarray:
    """Non-negative least squares of ``y`` by each pair of rows of ``X``: (pairs, 2)."""
    G, c = X @ X.T, X @ y
    own = np.diag(G)
    det = np.maximum(own[first] * own[second] - G[first, second] ** 2, 1e-12)
    a = (c[first] * own[second] - c[second] * G[first, second]) / det
    b = (c[second] * own[first] - c[first] * G[first, second]) / det
    a, b = np.where(b < 0, c[first] / own[first], a), np.where(a < 0, c[second] / own[second], b)
    return np.clip(np.column_stack([a, b]), 0, None)


def _misaligned(prepared, library: Library, similarity: float) -> tuple[int, str] | None:
    """By how many cm⁻¹ it has to be moved to be much more like some mineral, and which."""
    moved, n = np.stack([np.roll(prepared.x, k) for k in SHIFTS]), len(SHIFTS)
    alike, _ = library.similarity(moved, [prepared.low] * n, [prepared.high] * n)
    k, mineral = np.unravel_index(alike.argmax(), alike.shape)
    if alike[k, mineral] < max(similarity + SHIFT_GAIN, LEAST_MOVED):
        return None
    return SHIFTS[k], str(library.names[mineral])


@lru_cache(maxsize=1)
def _formulas() -> dict[str, str]:
    return data.rruff.manifest().groupby("mineral")["formula"].first().to_dict()


# ---------------------------------------------------------------- own spectra


def own_library(folder: str | Path, kept: Library) -> Library:
    """``kept``, joined by the spectra of a folder, without any training.

    The mineral of each file stands in ``labels.csv`` (columns ``file`` and ``mineral``), else it is
    the start of the file's name, up to the first underscore, or a number or blank at the end:
    ``Quartz_01.txt``, ``Quartz 2.csv``, RRUFF's names. The peaks of each are measured once and kept
    in ``data/cache``; a file that cannot be read is warned of and left out. FileNotFoundError: no
    such folder; UserError: no spectrum in it that can be used, or labels.csv does not fit.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give one of labelled spectra as library")
    cache, found = results.Cache(results.cache_folder() / "libraries"), []
    for path, mineral in _labels(folder).items():
        try:
            one = cache.call(partial(_measured, path), path.read_bytes(), path.name)
            found.append((mineral, *one))
        except (results.UserError, FileNotFoundError) as problem:
            warnings.warn(f"left out of the library: {problem}", stacklevel=2)
    if not found:
        raise results.UserError(
            f"{folder} holds no spectrum that can be used: give text files named after minerals"
        )
    minerals, tables, low, high = zip(*found, strict=True)
    peaks = pd.DataFrame(np.concatenate(tables), columns=atlas.NUMBERS)
    peaks["spectrum"] = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    X = atlas.rebuild(peaks, pd.DataFrame({"first_shift": low, "last_shift": high}))
    return kept.join(X, minerals, "your library")


def _measured(path: Path) -> tuple[np.ndarray, float, float]:
    one = prepare(read_spectrum(path))
    inside = (one.low <= GRID) & (one.high >= GRID)
    found = atlas.measure(GRID[inside], one.x[inside])
    if not len(found):
        raise results.UserError(f"{path}: no peak stands out of its noise")
    return found, one.low, one.high


def _labels(folder: Path) -> dict[Path, str]:
    if (labels := folder / "labels.csv").exists():
        table = pd.read_csv(labels, dtype=str, skipinitialspace=True)
        if not {"file", "mineral"} <= set(table.columns):
            raise results.UserError(f"{labels} needs the columns file and mineral")
        table = table.dropna(subset=["file", "mineral"])
        if lacking := [f for f in table["file"] if not (folder / f).is_file()]:
            raise results.UserError(f"{labels} names {lacking[0]}, which is not in {folder}")
        return {folder / f: m.strip() for f, m in zip(table["file"], table["mineral"], strict=True)}
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    stems = {path: re.split(r"_|[\s-]*\d+$", path.stem)[0].strip() for path in files}
    return {path: mineral for path, mineral in stems.items() if mineral}
