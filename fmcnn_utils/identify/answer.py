"""Which mineral a spectrum is, by the network and by the library, and whether to believe it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from .. import data, results
from ..data import peaks as atlas
from ..data.peaks import measure
from ..data.reader import MAKERS, Measured, Prepared, measured, prepare, read_spectrum
from ..data.spectra import GRID
from ..models import load_pretrained
from ..models.library import Library, compare_peaks

#: The class of the network for what is none of its minerals.
OTHER = "(another mineral)"
VERDICTS = ("sure", "likely", "unsure", "none of these")
#: Least probability, of a mineral or a series, that is called sure and likely.
SURE, LIKELY = 0.9, 0.6
#: A series is named together if the best two of its members have at least this probability each.
TOGETHER = 0.1
#: A mixture has to be this much more similar than one mineral, and hold at least this share.
MIXTURE_GAIN, MIXTURE_SHARE = 0.03, 0.05
#: Moves of the axis that are tried, in cm⁻¹, and the gain in similarity that is told.
SHIFTS, SHIFT_GAIN = range(-16, 17, 2), 0.1
#: A similarity from which on this is not asked, and the least that it has to reach.
ALIGNED, LEAST_MOVED = 0.7, 0.6
#: A mixture is sought where the spectrum rises so far above all library spectra of the mineral.
LEFT_OVER = 0.04


@dataclass(frozen=True)
class Calibration:
    """What turns the two answers into a confidence and a verdict; ``scripts/identify.py`` fits it.

    Attributes:
        log_p: weight of the logarithm of the network's probability.
        distance: weight of (1 − similarity)².
        known: constant and weights of similarity and of log p(another mineral): together, log odds
            that the spectrum is of one of the minerals.
        sure: least of these log odds to be sure; reached by 2 % of spectra of other minerals.
        none: most of them for "none of these".
    """

    log_p: float
    distance: float
    known: tuple[float, float, float]
    sure: float
    none: float

    def probabilities(self, P, classes, S, names) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each mineral of the library, and p(another mineral) of the network.

        Minerals that the network does not know share its "another mineral" evenly.

        Args:
            P: the network's probabilities, (n, classes).
            classes: their names, ``OTHER`` among them.
            S: similarities, (n, minerals).
            names: of the minerals.
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

    Attributes:
        prepared: the spectrum, and what was done to it.
        table: ``rank``, ``mineral``, ``confidence`` (calibrated probability, if it is one of the
            library's minerals), ``network`` (its own probability; nan for a mineral that it does
            not know), ``similarity`` (to the library, −1 to 1), ``series`` and ``library``.
        verdict: one of ``VERDICTS``.
        name: the mineral, or the members of a series that cannot be distinguished.
        notes: a sentence each.
        mixture: ``mineral`` and ``share`` of the signal, if one mineral does not explain it.
        odds: log odds that it is of one of the library's minerals, see ``Calibration``.
        network_says: the likeliest mineral by the network alone.
    """

    prepared: Prepared
    table: pd.DataFrame
    verdict: str
    name: str
    notes: list[str]
    mixture: pd.DataFrame | None
    odds: float
    network_says: str
    _reference: Reference = field(repr=False)
    _row: int = field(repr=False)

    @cached_property
    def peaks(self) -> dict[str, np.ndarray]:
        """``matched``, ``missing`` and ``left_over``: position (cm⁻¹) and height of each."""
        p = self.prepared
        return compare_peaks(p.x, p.noise, self._reference.library, self._row, p.low, p.high)

    @cached_property
    def attribution(self) -> np.ndarray:
        """Integrated gradients for the first mineral, (1360,); zeros if the network lacks it."""
        from ..explain import attribute

        network, mineral = self._reference.network, self.table["mineral"].iloc[0]
        if mineral not in network.classes_:
            return np.zeros(len(GRID))
        return attribute("integrated gradients", network, self.prepared.x[None], [mineral])[0]

    def bands(self) -> pd.DataFrame:
        """The peaks that speak most for the answer, and the groups of atoms that they may be of.

        Returns:
            ``position`` (cm⁻¹), ``weight`` (share of the positive attribution within 12 cm⁻¹) and
            ``groups``, of up to five peaks.
        """
        weight = np.clip(self.attribution, 0, None)
        weight = weight / max(weight.sum(), 1e-12)
        formula, rows = _formulas().get(self.table["mineral"].iloc[0], ""), []
        for position in self.peaks["matched"][:, 0]:
            try:
                groups = data.chemistry.explain([(position - 6, position + 6)], formula)
                groups = groups.query("allowed and kind == 'inorganic'")["group"].unique()
            except results.UserError:  # a formula that cannot be read
                groups = []
            near = np.abs(GRID - position) <= 12
            rows.append((position, weight[near].sum(), ", ".join(groups)))
        table = pd.DataFrame(rows, columns=["position", "weight", "groups"])
        # not nlargest, which refuses the empty table of an answer without a matched peak
        table = table.sort_values("weight", ascending=False, kind="stable")
        return table.head(5).reset_index(drop=True)

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
    """The likeliest minerals of one spectrum.

    Args:
        spectrum: a path, see ``read_spectrum``; or two arrays, Raman shift in cm⁻¹ and intensity.
        top: how many minerals the table holds.
        baseline: see ``prepare``.
        laser: wavelength in nm, where the file does not say it.
        library: a ``Library`` in place of the kept one, see ``own_library``.

    Raises:
        UserError, FileNotFoundError: one sentence, for what cannot be identified.
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
    library = library or ref.library
    ref = Reference(ref.network, library, ref.calibration)
    X = np.stack([p.x for p in prepared])
    low, high = np.array([p.low for p in prepared]), np.array([p.high for p in prepared])
    P = ref.network.predict_proba(X)
    S, rows = library.similarity(X, low, high)
    Q, other = ref.calibration.probabilities(P, ref.network.classes_, S, library.names)
    best = Q.argmax(axis=1)
    odds = ref.calibration.odds(S[np.arange(len(S)), best], other)
    return [
        _one(p, ref, P[i], S[i], rows[i], Q[i], odds[i], top, laser) for i, p in enumerate(prepared)
    ]


def _one(prepared, ref, p, s, rows, q, odds, top, laser) -> Identification:
    names, classes = ref.library.names, ref.network.classes_
    order = np.argsort(-q, kind="stable")[: max(top, 2)]
    series = data.chemistry.series()
    table = pd.DataFrame({"rank": np.arange(1, len(order) + 1), "mineral": names[order]})
    table["confidence"] = q[order]
    by_network = dict(zip(classes, p, strict=True))
    table["network"] = [by_network.get(name, np.nan) for name in names[order]]
    table["similarity"] = s[order]
    table["series"] = [", ".join(series.get(name, {})) for name in names[order]]
    table["library"] = ref.library.sources[rows[order]]
    first = names[order[0]]
    together, why, confidence = [first], "", q[order[0]]
    for group, row in series.get(first, {}).items():
        members = [k for k in order if names[k] in row["members"] and q[k] >= TOGETHER]
        if len(members) > len(together):
            together, confidence = [names[k] for k in members], q[members].sum()
            why = (
                f"{', '.join(together)} are members of one series ({group}: {row['differ in']}) "
                "whose spectra differ little"
            )
    if odds < ref.calibration.none:
        verdict = "none of these"
    elif odds >= ref.calibration.sure and confidence >= SURE:
        verdict = "sure"
    else:
        verdict = "likely" if confidence >= LIKELY else "unsure"
    notes = list(prepared.notes)
    if why and verdict != "none of these":
        notes.append(why)
    alone = classes[np.argmax(np.where(classes == OTHER, -1, p))]
    if p[classes == OTHER].sum() > 0.5:
        notes.append("the network holds it for a mineral that it was not trained on")
    elif alone != first and alone not in together:
        notes.append(
            f"the network alone says {alone} (≈{p.max():.2f}), the library is nearest to "
            f"{names[s.argmax()]} (≈{s.max():.2f}): compare both"
        )
    name, mixture = " or ".join(together), None
    if s[order[0]] < ALIGNED and (moved := _misaligned(prepared, ref.library, s.max())):
        verdict = "unsure"
        notes.append(
            f"moved by {moved[0]:+d} cm⁻¹ it would be much more like {moved[1]}: check the "
            "calibration of the axis (it was not moved)"
        )
    else:
        mixture, alike = _mixture(prepared, ref.library, s, rows)
    if mixture is not None:
        mixed = ref.calibration.odds(alike, p[classes == OTHER].sum() + 1e-6)
        if mixed < ref.calibration.none:
            mixture = None
        else:
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


def _mixture(prepared, library: Library, s, rows) -> tuple[pd.DataFrame | None, float]:
    """Two minerals whose sum is more similar than either, with their shares, and how similar.

    Candidates are the most similar minerals, and those that resemble what the best three leave
    over. Each pair is fitted by non-negative least squares, and compared as the library compares.
    """
    x, order = prepared.x, np.argsort(-s)
    measured_part = (prepared.low <= GRID) & (prepared.high >= GRID)
    over = (x - library.envelope(library.minerals[rows[order[0]]]))[measured_part]
    if over.max() < max(LEFT_OVER, 5 * prepared.noise):
        return None, 0.0

    def smooth(X):
        return gaussian_filter1d(X, 2, axis=-1)

    def scaled(rows):
        X = library.X[list(rows)] * measured_part
        return X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)

    candidates = [rows[k] for k in order[:14]]
    one, y = smooth(scaled(candidates[:3])), smooth(x)
    height = one @ y / np.maximum((one**2).sum(axis=1), 1e-12)
    left = np.clip(x - 0.9 * height[:, None] * one, 0, None)
    alike, best = library.similarity(left, [prepared.low] * 3, [prepared.high] * 3)
    for a, b in zip(alike, best, strict=True):
        candidates += [b[k] for k in np.argsort(-a)[:3]]
    candidates = np.array(list(dict.fromkeys(candidates)))
    names = library.minerals[candidates]
    first, second = np.triu_indices(len(candidates), 1)
    strong = np.isin(names, library.names[order[:6]])
    taken = (names[first] != names[second]) & (strong[first] | strong[second])
    first, second = first[taken], second[taken]
    X = scaled(candidates)
    share = _two_of(smooth(X), y, first, second)
    sums = share[:, :1] * X[first] + share[:, 1:] * X[second]
    white = library.whiten(np.vstack([x[None], sums]), prepared.low, prepared.high)
    alike = white[1:] @ white[0]
    k = alike.argmax()
    area = share[k] * X[[first[k], second[k]]].sum(axis=1)
    part = area / max(area.sum(), 1e-12)
    pair = names[[first[k], second[k]]]
    too_little = alike[k] < s.max() + MIXTURE_GAIN or part.min() < MIXTURE_SHARE
    if too_little or data.chemistry.same_series(*pair):
        return None, 0.0
    table = pd.DataFrame({"mineral": pair, "share": part})
    return table.sort_values("share", ascending=False, ignore_index=True), float(alike[k])


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
    moved = np.stack([np.roll(prepared.x, k) for k in SHIFTS])
    low, high = [prepared.low] * len(moved), [prepared.high] * len(moved)
    alike, _ = library.similarity(moved, low, high)
    k, mineral = np.unravel_index(alike.argmax(), alike.shape)
    if alike[k, mineral] < max(similarity + SHIFT_GAIN, LEAST_MOVED):
        return None
    return SHIFTS[k], str(library.names[mineral])


@lru_cache(maxsize=1)
def _formulas() -> dict[str, str]:
    known = data.rruff.manifest()
    return known.groupby("mineral")["formula"].first().to_dict()


# ---------------------------------------------------------------- own spectra

SUFFIXES = {".txt", ".csv", ".dat", ".asc", ".tsv", ".xy", *MAKERS}


def own_library(folder: str | Path, kept: Library) -> Library:
    """``kept``, joined by the spectra of a folder, without any training.

    The mineral of each file stands in ``labels.csv`` (columns ``file`` and ``mineral``), else it is
    the start of the file's name, up to the first underscore, or a number or blank at the end:
    ``Quartz_01.txt``, ``Quartz 2.csv``, RRUFF's names. The peaks of each are measured once and kept
    in ``data/cache``; a file that cannot be read is warned of and left out.

    Raises:
        FileNotFoundError: if there is no such folder.
        UserError: if it holds no spectrum that can be used, or labels.csv does not fit.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give one of labelled spectra as library")
    cache, found = results.Cache(results.cache_folder() / "libraries"), []
    for path, mineral in _labels(folder).items():
        try:
            one = cache.call(lambda path=path: _measured(path), path.read_bytes(), path.name)
            found.append((mineral, *one))
        except (results.UserError, FileNotFoundError) as problem:
            warnings.warn(f"left out of the library: {problem}", stacklevel=2)
    if not found:
        raise results.UserError(
            f"{folder} holds no spectrum that can be used: give text files named after minerals"
        )
    minerals, tables, low, high = zip(*found, strict=True)
    peaks = pd.DataFrame(np.concatenate(tables), columns=atlas.NUMBERS)
    peaks.insert(0, "spectrum", np.repeat(np.arange(len(tables)), [len(t) for t in tables]))
    X = atlas.rebuild(peaks, pd.DataFrame({"first_shift": low, "last_shift": high}))
    return kept.join(X, minerals, "your library")


def _measured(path: Path) -> tuple[np.ndarray, float, float]:
    one = prepare(read_spectrum(path))
    inside = (one.low <= GRID) & (one.high >= GRID)
    found = measure(GRID[inside], one.x[inside])
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
