"""Explanations of FMCNN put to the test on held-out spectra, fold by fold."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from . import atlas, curation, fits, planted, protocol, rruff, sanity, training, trials
from ._io import cache_folder
from .config import FMCNNConfig
from .spectra import Spectra, normalise
from .splits import Split

#: Peaks that are wider, FWHM in cm⁻¹, are humps of luminescence or glass, and left out.
WIDEST = 60.0
#: A strong peak is at least this high, and one that a rival has at least that high, as shares of
#: the highest peak of their spectrum: half as high, lest a peak that is just missed be lacking.
STRONG, PRESENT = 0.1, 0.05
#: How many test spectra of a fold the sanity checks take, and how many get a planted peak.
SANITY, PLANTED = 100, 150


def run(
    spectra: Spectra,
    *,
    n_folds: int = 5,
    seed: int = 0,
    config: FMCNNConfig | None = None,
    n_jobs: int = 2,
    cache: str | Path | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """All methods in all tests, on the first folds of the random protocol.

    Spectra are those of 2019: the atlas holds the peaks of these. Every finished fold is kept,
    under all that decides its outcome: a run that was stopped goes on where it was, and changed
    data, settings or code never meet an old fold.

    Args:
        spectra: all of a source.
        n_folds: how many of the ten folds.
        seed: of the training and of whatever is drawn.
        config: of the network, by default the usual one; ``n_classes`` is set to what there is.
        n_jobs: processes, of one thread each.
        cache: folder of finished folds, by default one in the package's cache folder.
        quiet: no progress bar.

    Returns:
        A row per method, test and fold: ``method`` (of ``attribution.METHODS``, or
        ``trials.RANDOM``, ``REMOVED``, or ``FOLD`` for a number about the fold itself), ``test``
        (see ``trials``), ``fold``, ``value`` (mean over the minerals of the mean over a mineral's
        spectra) and ``sd_minerals``, the standard deviation of the latter. In place of minerals,
        tests with planted peaks have the planted classes.

    Raises:
        ValueError: for a number of folds that there is not.
    """
    curated, dealt = protocol.plan(_of_2019(spectra), "random", 1)
    if not 1 <= n_folds <= len(dealt):
        raise ValueError(f"n_folds={n_folds}: give a whole number from 1 to {len(dealt)}")
    names, y = np.unique(curated.minerals.astype(str), return_inverse=True)
    config = replace(config or FMCNNConfig(), n_classes=len(names))
    peaks = _peaks(curated)
    what = [curated.X, y, peaks.astype(int).to_numpy(), config, seed, _code(), fits.versions()]
    made_from = joblib.hash(what)
    memory = joblib.Memory(Path(cache or cache_folder() / "faithfulness"), verbose=0)
    fold = memory.cache(_fold, ignore=["X", "y", "peaks", "config", "seed"])
    tasks = [
        joblib.delayed(fold)(split, made_from, curated.X, y, peaks, config, seed)
        for split in dealt[:n_folds]
    ]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        work = joblib.Parallel(n_jobs, batch_size=1, return_as="generator")(tasks)
        folds = list(tqdm(work, total=n_folds, unit="fold", disable=quiet))
    return pd.concat(folds, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Methods (rows) against tests (columns): mean ± standard deviation over the folds."""
    own = table[table["method"] != trials.FOLD]
    text = own.groupby(["method", "test"], sort=False)["value"].agg(_mean_and_sd)
    wide = text.unstack(fill_value="")
    return wide.loc[own["method"].unique(), own["test"].unique()]


def _mean_and_sd(values: pd.Series) -> str:
    spread = f" ± {values.std():.2f}" if len(values) > 1 else ""
    return f"{values.mean().round(2) + 0:.2f}{spread}"  # + 0: no minus before 0.00


def _of_2019(spectra: Spectra) -> Spectra:
    """The spectra of 2019; the new column ``spectrum`` has the atlas's number of each."""
    found, differences = curation.cut_to_manifest(spectra)
    missing = differences.loc[differences["difference"] == "missing", "file"]
    there = ~rruff.manifest()["file"].isin(missing)
    return replace(found, meta=found.meta.assign(spectrum=np.flatnonzero(there)))


def _peaks(curated: Spectra) -> pd.DataFrame:
    """Peaks that are ``PRESENT``: ``row`` of ``curated``, ``point`` of its grid, ``strong``."""
    table = atlas.peaks()
    table = table[(table["width"] <= WIDEST) & table["spectrum"].isin(curated.meta["spectrum"])]
    share = table["height"] / table.groupby("spectrum")["height"].transform("max")
    row = pd.Series(curated.meta.index, index=curated.meta["spectrum"])
    point = np.rint(table["position"] - curated.grid[0]).clip(0, len(curated.grid) - 1)
    columns = {"row": table["spectrum"].map(row), "point": point.astype(int)}
    return pd.DataFrame(columns | {"strong": share >= STRONG})[share >= PRESENT]


def _code() -> str:
    """Checksum of the code that a fold runs through."""
    digest = hashlib.sha256(fits.code_version(fits.FMCNN()).encode())
    explaining = ("peaks", "deconv", "attribution")
    for name in (*explaining, "faithfulness", "trials", "sanity", "planted", "explained"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def _fold(split: Split, made_from: str, X, y, peaks, config, seed: int) -> pd.DataFrame:
    """All tests on one fold; ``made_from`` stands in the cache for the arguments after it."""
    seed = int(np.random.SeedSequence([seed, split.repeat, split.fold]).generate_state(1)[0])
    x = normalise(X, config.normalisation)
    learnt = x[split.train], y[split.train]
    trained = training.fit_fold(config, *learnt, seed=seed)
    shown = trials.Explained.by(trained.model, x[split.test], y[split.test], seed)
    some = np.random.default_rng(seed).permutation(len(split.test))
    checked = shown.take(some[:SANITY])
    tables = [
        trials.rows(trials.FOLD, shown.minerals, {"recall": shown.classes == shown.minerals}),
        *trials.removal(shown),
        *trials.on_peaks(shown, *learnt, peaks, split),
        *sanity.redrawn(checked, config, seed),
        *sanity.shuffled(checked, config, *learnt, trained.epochs, seed),
        *planted.trial(X[split.train], X[split.test[some[:PLANTED]]], config, seed),
    ]
    by = ["method", "test"]
    means = pd.concat(tables).groupby([*by, "mineral"], sort=False)["value"].mean()
    table = means.groupby(by, sort=False).agg(value="mean", sd_minerals="std").reset_index()
    table.insert(2, "fold", split.fold)
    return table
