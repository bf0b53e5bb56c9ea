"""Make what ``identify`` needs, and measure how good it is: results/rruff/identify*.

    python scripts/identify.py --data excellent_oriented.zip --unoriented excellent_unoriented.zip

With --raw and a zip of RAW and Processed files of the same scans, both are answered, too.

The unoriented archive of 2019 has other lasers, unpolarised, and minerals that the oriented one
lacks; a third of it is used (``data/spectra_unoriented.csv.gz`` lists it). Half of its specimens is
for development: they are trained on together with the oriented archive, and all settings come from
them. The other half is only reported on. Where minerals are to be unknown, halves are of minerals.

1. Peaks of the unoriented spectra, and the network, trained on what is for development.
2. Five draws: each leaves out a fifth of the minerals whole, and a fifth of the specimens of the
   others. Predictions of these fit the calibration, by maximum likelihood and logistic regression.
3. The report: ``identify_draws.csv.gz``, ``identify_report.csv.gz``, ``identify_backgrounds.csv``,
   ``identify_mixtures.csv``, ``identify_raw.csv``, ``identify_protocol.csv``.

It takes about half an hour on one core; each fit is kept, so that it may be interrupted.
"""

from __future__ import annotations

import argparse
import warnings
import zipfile
from dataclasses import asdict

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from pretrained import keep
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from fmcnn_utils import data, identify, models, results
from fmcnn_utils.data import peaks as atlas
from fmcnn_utils.data.peaks import measure
from fmcnn_utils.data.reader import Measured
from fmcnn_utils.evaluation import protocol
from fmcnn_utils.evaluation.cross_validation import versions
from fmcnn_utils.identify import OTHER, Calibration, Reference
from fmcnn_utils.identify.answer import answers, kept_library
from fmcnn_utils.models import Library, RobustFMCNN

DRAWS = 5
#: Share of the spectra of other minerals that may be called sure, and of the library's own that
#: may be called "none of these".
FALSELY_SURE, FALSELY_NONE = 0.02, 0.05
#: Weight in the logistic regression of minerals that were left out whole: many are relatives, of
#: which nobody could say that they are none of these.
WEIGHT_LEFT_OUT = 0.2
CACHE = results.Cache(results.cache_folder() / "identify")


class Pool:
    """All spectra of both archives, and who is what.

    Attributes:
        X: raw counts.
        meta: ``known`` (the mineral is one of the network's), ``half``, ``archive``, and the rest.
        y: the class of each: its mineral, or ``OTHER``.
        points: of each file, Raman shift and intensity as measured.
    """

    def __init__(self, oriented: data.Spectra, unoriented: data.Spectra, points: dict):
        self.points = points
        oriented = data.paper_rule(oriented)
        self.X = np.concatenate([oriented.X, unoriented.X])
        own = oriented.meta.assign(known=True, half="development", archive="oriented")
        other = unoriented.meta.assign(archive="unoriented")
        self.meta = pd.concat([own, other], ignore_index=True)
        self.meta["seen"] = self.meta["specimen"].isin(set(own["specimen"]))
        self.y = np.where(self.meta["known"], self.meta["mineral"], OTHER).astype(str)
        self._part(np.random.default_rng(1))

    def _part(self, random) -> None:
        m, develop = self.meta, self.meta["half"] == "development"
        for column, rows in (("of_known", m["known"]), ("of_other", develop & ~m["known"])):
            minerals = np.unique(m.loc[rows, "mineral"].astype(str))
            part = dict(zip(random.permutation(minerals), np.arange(len(minerals)), strict=True))
            m[column] = m["mineral"].map(part).where(rows) % DRAWS
        part = {}
        for _, group in m[develop & m["known"]].groupby("mineral"):
            specimens = np.unique(group["specimen"])
            if len(specimens) > 1:
                first = random.integers(DRAWS)
                for k, specimen in enumerate(random.permutation(specimens)):
                    part[specimen] = (first + k) % DRAWS
        m["of_specimen"] = m["specimen"].map(part).where(develop)

    def draw(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on; rows to test on: specimens and minerals left out."""
        m, develop = self.meta, self.meta["half"] == "development"
        left = (m[["of_known", "of_other", "of_specimen"]] == k).any(axis=1)
        train = np.flatnonzero(develop & ~left)
        return train, np.flatnonzero(develop & left)

    def prepared(self, rows) -> list:
        """Each of these spectra as ``identify`` prepares it; None for one that it refuses."""
        return [self._prepared(row) for row in tqdm(rows, desc="preparing", unit="spectrum")]

    def _prepared(self, row):
        meta = self.meta.iloc[row]
        one = Measured(meta["file"], *self.points[meta["file"]], meta["laser"])
        try:
            return identify.prepare(one)
        except results.UserError:
            return None


def read_unoriented(source: str) -> data.Spectra:
    """The spectra of ``data/spectra_unoriented.csv.gz`` out of an archive, in its order."""
    spectra = data.load_archive(source)
    kept = pd.read_csv(atlas.UNORIENTED, float_precision="round_trip")
    at = pd.Series(np.arange(len(spectra)), spectra.meta["checksum"]).groupby(level=0).first()
    if lacks := (~kept["checksum"].isin(at.index)).sum():
        raise results.UserError(
            f"{source} lacks {lacks:,} of the {len(kept):,} unoriented spectra: give RRUFF's "
            "excellent_unoriented.zip of 2019"
        )
    spectra = spectra.take(at[kept["checksum"]].to_numpy())
    return data.Spectra(spectra.X, kept, spectra.grid, spectra.source)


def points_of(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each Processed file of an archive, its points as measured."""
    return {name: (scan.shift, scan.intensity) for name, scan in data.rruff.scans(path)}


def list_unoriented(oriented: data.Spectra, source: str) -> None:
    """Write ``data/spectra_unoriented.csv.gz``: which spectra, and which half each is in."""
    spectra = data.load_archive(source)
    columns = ["file", "mineral", "specimen", "laser", "first_shift", "last_shift", "checksum"]
    table = spectra.meta[columns].copy()
    table["known"] = table["mineral"].isin(set(data.paper_rule(oriented).minerals))
    table["half"] = "report"
    for rows, column in ((table["known"], "specimen"), (~table["known"], "mineral")):
        names = np.unique(table.loc[rows, column].astype(str))
        first = np.random.default_rng(0).permutation(names)[: len(names) // 2]
        table.loc[rows & table[column].isin(first), "half"] = "development"
    text = table.to_csv(index=False, lineterminator="\n")
    results.write_text(atlas.UNORIENTED, text)


def measure_unoriented(spectra: data.Spectra) -> None:
    """Write ``data/peaks_unoriented.csv.gz``: of known minerals, of the half for development."""
    known = spectra.take(atlas.in_library(spectra.meta))
    ends = known.meta[["first_shift", "last_shift"]].to_numpy()
    inside = [(spectra.grid >= first) & (spectra.grid <= last) for first, last in ends]
    tables = Parallel()(
        delayed(measure)(spectra.grid[on], x[on]) for x, on in zip(known.X, inside, strict=True)
    )
    table = pd.DataFrame(np.concatenate(tables), columns=atlas.NUMBERS)
    table.insert(0, "spectrum", np.repeat(np.arange(len(known)), [len(t) for t in tables]))
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    results.write_text(atlas.UNORIENTED_PEAKS, text)


def fit(X, y, seed: int = protocol.SEED) -> RobustFMCNN:
    """A network, kept: the weights are computed once."""

    def weights():
        network = RobustFMCNN(random_state=seed).fit(X, y)
        return network.model_.get_weights(), network.classes_

    settings = RobustFMCNN(random_state=seed).get_params()
    kept, classes = CACHE.call(weights, "identify", settings, X, y)
    network = RobustFMCNN(**settings)
    network.classes_, network.n_features_in_ = classes, X.shape[1]
    network.n_epochs_ = network.epochs
    network.model_ = models.build(network, X.shape[1], len(classes), 0)
    network.model_.set_weights(kept)
    return network


def library_of(pool: Pool, train: np.ndarray) -> Library:
    """The library without the minerals and specimens that are not in training."""
    whole = {"oriented": data.load("atlas"), "unoriented": atlas.load_unoriented()}
    X, minerals = [], []
    for archive, spectra in whole.items():
        files = set(pool.meta["file"].iloc[train][pool.meta["archive"].iloc[train] == archive])
        on = spectra.meta["file"].isin(files).to_numpy()
        X.append(spectra.X[on])
        minerals.append(spectra.minerals[on])
    return Library(np.concatenate(X), np.concatenate(minerals))


def raw_answers(network, library, prepared) -> tuple[np.ndarray, np.ndarray]:
    """The network's probabilities and the library's similarities, of prepared spectra."""
    X = np.stack([p.x for p in prepared])
    S, _ = library.similarity(X, [p.low for p in prepared], [p.high for p in prepared])
    return network.predict_proba(X), S


def calibrate(pool: Pool, jobs: int) -> tuple[Calibration, pd.DataFrame]:
    """Five draws, and the calibration that they give; of each draw by the four others, too."""
    plans = [pool.draw(k) for k in range(DRAWS)]
    networks = Parallel(n_jobs=jobs)(delayed(fit)(pool.X[a], pool.y[a]) for a, _ in plans)
    answers = []
    for network, (train, test) in zip(networks, plans, strict=True):
        prepared = pool.prepared(test)
        test = test[[p is not None for p in prepared]]
        library = library_of(pool, train)
        P, S = raw_answers(network, library, [p for p in prepared if p])
        answers.append((P, network.classes_, S, library.names, test))
    tables = []
    for k in range(DRAWS):
        others = [a for j, a in enumerate(answers) if j != k]
        tables.append(_table(pool, answers[k], _calibration(pool, others)).assign(draw=k))
    return _calibration(pool, answers), pd.concat(tables, ignore_index=True)


def _calibration(pool: Pool, answers) -> Calibration:
    def loss(weights):
        total, n = 0.0, 0
        for P, classes, S, names, test in answers:
            known = np.isin(pool.y[test], names)
            q, _ = Calibration(*weights, (0, 0, 0), 0, 0).probabilities(P, classes, S, names)
            right = np.searchsorted(names, pool.y[test][known])
            total -= np.log(q[np.flatnonzero(known), right] + 1e-12).sum()
            n += known.sum()
        return total / n

    log_p, distance = minimize(loss, [0.2, 12.0], method="Nelder-Mead").x.round(3)
    first = Calibration(log_p, distance, (0, 1, 0), 0, 0)
    table = pd.concat([_table(pool, a, first) for a in answers], ignore_index=True)
    known = table["kind"] == "known"
    weight = np.where(table["kind"] == "left out", WEIGHT_LEFT_OUT, 1.0)
    line = LogisticRegression(C=10.0, max_iter=1000)
    line.fit(table[["similarity", "log_other"]], known & table["right"], sample_weight=weight)
    weights = (*line.intercept_, *line.coef_[0])
    odds = line.decision_function(table[["similarity", "log_other"]])
    return Calibration(
        float(log_p),
        float(distance),
        tuple(float(round(w, 3)) for w in weights),
        float(np.quantile(odds[table["kind"] == "other"], 1 - FALSELY_SURE).round(3)),
        float(np.quantile(odds[known], FALSELY_NONE).round(3)),
    )


def _table(pool: Pool, answers, calibration: Calibration) -> pd.DataFrame:
    """One row per spectrum of a draw."""
    P, classes, S, names, test = answers
    Q, other = calibration.probabilities(P, classes, S, names)
    best, meta = Q.argmax(axis=1), pool.meta.iloc[test]
    rows = np.arange(len(test))
    known = np.isin(pool.y[test], names)
    at = np.searchsorted(names, np.where(known, pool.y[test], names[0]))
    rank = 1 + (Q[rows, at][:, None] < Q).sum(axis=1)
    similarity = S[rows, best]
    return pd.DataFrame(
        {
            "file": meta["file"].to_numpy(),
            "archive": meta["archive"].to_numpy(),
            "mineral": meta["mineral"].to_numpy(),
            "kind": np.where(known, "known", np.where(meta["known"], "left out", "other")),
            "answer": names[best],
            "right": known & (names[best] == pool.y[test]),
            "rank": np.where(known, rank, 0),
            "confidence": Q.max(axis=1).round(4),
            "similarity": similarity.round(4),
            "log_other": np.log(other).round(4),
            "network": P[:, classes != OTHER].max(axis=1).round(4),
            "odds": calibration.odds(similarity, other).round(3),
        }
    )


def report(pool: Pool, reference: Reference) -> pd.DataFrame:
    """The answer for each spectrum of the half that nothing was chosen on."""
    rows = np.flatnonzero(pool.meta["half"] == "report")
    prepared = pool.prepared(rows)
    given = [p for p in prepared if p]
    found = dict(
        zip(rows[[p is not None for p in prepared]], _answers(given, reference), strict=True)
    )
    lines = []
    for row in rows:
        meta, one = pool.meta.iloc[row], found.get(row)
        line = {c: meta[c] for c in ("file", "mineral", "known", "seen", "laser")}
        line["narrow"] = bool(meta["first_shift"] > 250 or meta["last_shift"] < 1210)
        if one is None:
            lines.append(line | {"verdict": "refused"})
            continue
        names = one.table["mineral"].tolist()
        line |= {
            "answer": names[0],
            "name": one.name,
            "verdict": one.verdict,
            "confidence": round(one.table["confidence"][0], 4),
            "similarity": round(float(one.table["similarity"][0]), 4),
            "odds": round(float(one.odds), 3),
            "rank": names.index(meta["mineral"]) + 1 if meta["mineral"] in names else 0,
            "network": one.network_says,
            "mixture": one.mixture is not None,
        }
        lines.append(line)
    return pd.DataFrame(lines)


def _answers(prepared, reference: Reference, step: int = 200) -> list:
    found = []
    for start in tqdm(range(0, len(prepared), step), desc="identifying", unit="batch"):
        found += answers(prepared[start : start + step], reference=reference)
    return found


def backgrounds(pool: Pool, reference: Reference, n: int = 300) -> pd.DataFrame:
    """Accuracy on spectra of the report half with a synthetic background, against its strength.

    Backgrounds are slopes, exponentials and humps, their highest point ``strength`` times the
    highest band, with the shot noise that such a background brings.
    """
    random = np.random.default_rng(protocol.SEED)
    m = pool.meta
    rows = np.flatnonzero((m["half"] == "report") & m["known"])
    rows = random.permutation(rows)[:n]
    lines = []
    for strength in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0):
        draw = np.random.default_rng(protocol.SEED)
        spectra = [_with_background(pool, row, strength, draw) for row in rows]
        for baseline in ("none", "auto"):
            prepared, at = [], []
            for row, one in zip(rows, spectra, strict=True):
                try:
                    prepared.append(identify.prepare(one, baseline))
                    at.append(row)
                except results.UserError:
                    pass
            found = _answers(prepared, reference)
            names = [one.table["mineral"].tolist() for one in found]
            truth = m["mineral"].iloc[at].tolist()
            lines.append(
                {
                    "strength": strength,
                    "baseline": baseline,
                    "n": len(rows),
                    "taken_away": np.mean([p.background.any() for p in prepared]),
                    "top_1": sum(a[0] == t for a, t in zip(names, truth, strict=True)) / len(rows),
                    "top_5": sum(t in a for a, t in zip(names, truth, strict=True)) / len(rows),
                }
            )
    return pd.DataFrame(lines).round(4)


def _with_background(pool: Pool, row: int, strength: float, random) -> Measured:
    meta, x = pool.meta.iloc[row], pool.X[row].astype(float)
    on = (meta["first_shift"] <= data.GRID) & (meta["last_shift"] >= data.GRID)
    t, kind = np.linspace(0, 1, len(data.GRID)), random.integers(4)
    curve = [
        lambda: np.exp(-t * random.uniform(0.5, 4)),
        lambda: np.exp(t * random.uniform(0.5, 3)),
        lambda: np.exp(-(((t - random.uniform(-0.3, 1.3)) / random.uniform(0.35, 1)) ** 2)),
        lambda: (c := np.polyval(random.uniform(-1, 1, 4), 2 * t - 1)) - c.min(),
    ][kind]()
    hump = np.exp(-(((t - random.random()) / random.uniform(0.12, 0.3)) ** 2))
    curve = curve / curve.max() + 0.2 * random.random() * hump
    y = x / x.max() + strength * curve / curve.max()
    y = y + random.normal(size=len(y)) * 0.003 * np.sqrt(1 + 10 * strength) * (strength > 0)
    return Measured(meta["file"], data.GRID[on], y[on], meta["laser"])


def mixtures(pool: Pool, reference: Reference, n: int = 150) -> pd.DataFrame:
    """How often both minerals of a mixture of two spectra of the report half are named."""
    random = np.random.default_rng(protocol.SEED)
    m = pool.meta
    whole = (m["first_shift"] <= 200) & (m["last_shift"] >= 1300)
    rows = np.flatnonzero((m["half"] == "report") & m["known"] & whole)
    pairs = []
    while len(pairs) < n:
        i, j = random.choice(rows, 2, replace=False)
        if m["mineral"].iloc[i] != m["mineral"].iloc[j]:
            pairs.append((i, j))
    lines = []
    for share in (0.5, 0.7, 0.9, 1.0):
        prepared = []
        for i, j in pairs:
            a, b = (pool.X[k] / pool.X[k].max() for k in (i, j))
            first = max(m["first_shift"].iloc[[i, j]].max(), data.GRID[0])
            on = (first <= data.GRID) & (m["last_shift"].iloc[[i, j]].min() >= data.GRID)
            y = (share * a + (1 - share) * b).astype(float)
            prepared.append(identify.prepare(Measured("mixture", data.GRID[on], y[on])))
        both, first, told = 0, 0, 0
        for (i, j), one in zip(pairs, _answers(prepared, reference), strict=True):
            named = set(one.table["mineral"][:1])
            if one.mixture is not None:
                named = set(one.mixture["mineral"])
                told += 1
            both += {m["mineral"].iloc[i], m["mineral"].iloc[j]} <= named
            first += m["mineral"].iloc[i] in named
        lines.append(
            {
                "share": share,
                "n": n,
                "told_as_mixture": told / n,
                "both": both / n,
                "first": first / n,
            }
        )
    return pd.DataFrame(lines).round(4)


def raw_and_processed(path: str, reference: Reference) -> pd.DataFrame:
    """For each scan that has a RAW and a Processed file: the answer for either."""
    lines = []
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name) for name in archive.namelist()}
    scans: dict = {}
    for name, content in sorted(texts.items()):
        fields = name.rsplit("/", 1)[-1].split("__")
        scan = data.rruff.parse(content)
        one = Measured(name, scan.shift, scan.intensity, 514.0)
        kind = "RAW" if "RAW" in fields[6] else "Processed"
        scans.setdefault("__".join(fields[:6]), {})[kind] = (one, scan.header.get("NAMES"))
    for key, pair in scans.items():
        if len(pair) == 2:
            line = {"scan": key, "mineral": pair["RAW"][1]}
            for kind, (one, _) in pair.items():
                for baseline in ("none", "auto"):
                    got = answers([identify.prepare(one, baseline)], reference=reference)[0]
                    line[f"{kind}, {baseline}"] = got.table["mineral"][0]
                    line[f"{kind}, {baseline}, verdict"] = got.verdict
            lines.append(line)
    return pd.DataFrame(lines)


def by_protocol(pool: Pool, oriented: data.Spectra, jobs: int) -> pd.DataFrame:
    """Accuracy of the network alone on the first repeat of both protocols, beside FMCNN's.

    It is trained as FMCNN is: on the fold's spectra of the oriented archive, and no others.
    """
    kept, lines = results.read("scores"), []
    for kind in ("random", "specimen"):
        spectra, splits = protocol.plan(oriented, kind, 1)
        y = spectra.minerals.astype(str)
        networks = Parallel(n_jobs=jobs)(
            delayed(fit)(spectra.X[s.train], y[s.train]) for s in splits
        )
        score = [
            np.mean(net.predict(spectra.X[s.test]) == y[s.test])
            for net, s in zip(networks, splits, strict=True)
        ]
        own = kept.query("model == 'FMCNN' and protocol == @kind and repeat == 0")["accuracy"]
        lines.append({"split": kind, "RobustFMCNN": np.mean(score), "FMCNN": own.mean()})
    return pd.DataFrame(lines).round(4)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="rruff, or the path of an archive")
    parser.add_argument("--unoriented", required=True, help="excellent_unoriented of 2019")
    parser.add_argument("--raw", help="a zip with RAW and Processed files of the same scans")
    parser.add_argument(
        "--manifest", action="store_true", help="choose the unoriented spectra anew"
    )
    parser.add_argument("--protocol", action="store_true", help="run by_protocol, too")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="pybaselines")
    oriented = data.load_archive(args.data)
    if args.manifest:
        list_unoriented(oriented, args.unoriented)
    unoriented = read_unoriented(args.unoriented)
    with parallel_config(n_jobs=args.jobs):
        if args.manifest or not atlas.UNORIENTED_PEAKS.exists():
            measure_unoriented(unoriented)
    archive = data.rruff.fetch() if args.data == "rruff" else args.data
    pool = Pool(oriented, unoriented, points_of(archive) | points_of(args.unoriented))
    calibration, draws = calibrate(pool, args.jobs)
    results.write(draws, "identify_draws.csv.gz")
    train = np.flatnonzero(pool.meta["half"] == "development")
    network = fit(pool.X[train], pool.y[train])
    tested = Reference(network, kept_library(), calibration)
    table = report(pool, tested)
    results.write(table, "identify_report.csv.gz")
    known = table[table["known"]]
    held_out = known[["file", "mineral"]].assign(predicted=known["network"], p=known["confidence"])
    about = {
        "accuracy": round(float((known["network"] == known["mineral"]).mean()), 5),
        "calibration": asdict(calibration),
        "data": joblib.hash([pool.X[train], pool.y[train]])[:16],
        "seed": protocol.SEED,
        "versions": versions(),
    }
    keep("identify", network, held_out, about)
    results.write(backgrounds(pool, tested), "identify_backgrounds.csv")
    results.write(mixtures(pool, tested), "identify_mixtures.csv")
    if args.raw:
        results.write(raw_and_processed(args.raw, tested), "identify_raw.csv")
    if args.protocol:
        results.write(by_protocol(pool, oriented, args.jobs), "identify_protocol.csv")


if __name__ == "__main__":
    results.in_a_sentence(main)
