"""New specimens and the better model: the splits, and kept tables that agree with each other."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import data, results
from fmcnn_utils.evaluation import protocol
from scripts import beyond

SCRIPTS = sorted(path.name for path in (results.ROOT / "scripts").glob("*.py"))


@pytest.fixture(scope="module")
def leakage():
    return beyond.splits(data.load("atlas"))


@pytest.mark.parametrize(
    ("kind", "apart"),
    [
        ("orientation", ["mount", "angle"]),
        ("mount", ["mount"]),
        ("specimen", ["specimen"]),
        ("one specimen", ["specimen"]),
    ],
)
def test_what_a_split_keeps_apart_is_on_one_side_only(leakage, kind, apart):
    curated, by_kind = leakage
    key = curated.meta[apart].astype(str).agg(" ".join, axis=1).to_numpy()
    tested = np.zeros(len(curated), dtype=int)
    for split in by_kind[kind]:
        assert not set(key[split.train]) & set(key[split.test])
        assert set(curated.minerals[split.test]) <= set(curated.minerals[split.train])
        tested[split.test] += 1
    assert (tested == 1).all()


def test_a_model_has_seen_all_other_specimens_of_a_mineral(leakage):
    curated, by_kind = leakage
    meta = curated.meta
    for split in by_kind["one specimen"]:
        assert (
            meta.iloc[split.test]
            .groupby("mineral", observed=True)["specimen"]
            .nunique()
            .eq(1)
            .all()
        )


def test_answers_with_all_spectra_cut_alike_are_to_the_tests_of_the_protocol():
    cut, kept = results.read("beyond_cut"), results.read("predictions_specimen")
    place = ["repeat", "file", "true"]
    assert len(cut.merge(kept[place], on=place, validate="one_to_one")) == len(cut)
    assert cut["specimen"].unique().tolist() == list(beyond.CUT)
    meta = data.rruff.manifest()
    for specimen, (low, high) in beyond.CUT.items():
        own = meta[meta["specimen"] == specimen]
        assert (cut["specimen"] == specimen).sum() == 10 * len(own)
        assert own["first_shift"].max() <= low and own["last_shift"].min() >= high


@pytest.mark.parametrize("kind", protocol.PROTOCOLS)
def test_kept_scores_of_the_better_model_follow_from_its_predictions(kind):
    scores = results.read("beyond_scores").query("protocol == @kind")
    predictions = results.read("beyond_predictions").query("protocol == @kind")
    right = predictions["predicted"] == predictions["true"]
    again = right.groupby([predictions["repeat"], predictions["fold"]]).mean()
    stored = scores.set_index(["repeat", "fold"])["accuracy"]
    assert len(stored) == len(again)
    np.testing.assert_allclose(stored.sort_index(), again.sort_index(), atol=1e-5)
    folds = results.read(f"splits_{kind}").set_index("file")  # the very folds of the protocol
    for repeat, own in predictions.groupby("repeat"):
        assert (folds.loc[own["file"], f"repeat_{repeat}"].to_numpy() == own["fold"]).all()


def test_kept_scores_of_the_five_splits_follow_from_their_predictions():
    scores = results.read("beyond_leakage").pivot_table("accuracy", ["protocol", "fold"], "model")
    spectra = results.read("beyond_leakage_spectra")
    right = spectra[list(scores)].eq(spectra["true"], axis=0)
    again = right.groupby([spectra["protocol"], spectra["fold"]]).mean()
    np.testing.assert_allclose(scores, again.loc[scores.index], atol=1e-5)


def test_composition_of_the_archive_gives_the_kept_table_again(archive, monkeypatch):
    kept, made = results.read("beyond_composition"), {}
    monkeypatch.setattr(results, "write", lambda table, name: made.update({name: table}))
    beyond.composition(archive)
    again = made["beyond_composition.csv"]
    pd.testing.assert_frame_equal(again.reset_index(drop=True), kept, check_dtype=False)


@pytest.mark.drill
@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_says_how_to_call_it(script):
    command = [sys.executable, f"scripts/{script}", "--help"]
    done = subprocess.run(command, cwd=results.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script}")
