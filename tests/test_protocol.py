"""The full protocol in small, and the kept results of the large one."""

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import data, plots, results
from fmcnn_utils.data import GRID, Spectra
from fmcnn_utils.evaluation import cross_validate, protocol
from fmcnn_utils.models import baseline
from scripts import figures, paper


def few_spectra():
    """Six minerals, three specimens each, four spectra of each."""
    rng = np.random.default_rng(0)
    rows = [(f"m{m}", f"R{m}{s}") for m in range(6) for s in range(3) for _ in range(4)]
    meta = pd.DataFrame(rows, columns=["mineral", "specimen"])
    meta["file"] = [f"{i}.txt" for i in range(len(meta))]
    meta["identification"] = "X-ray diffraction"
    peaks = np.exp(-(((GRID - 200 - 200 * np.arange(6)[:, None]) / 40) ** 2))
    X = np.repeat(peaks, 12, axis=0) + rng.normal(0, 0.02, (len(meta), len(GRID)))
    return Spectra(X.astype(np.float32), meta, GRID, "synthetic")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The protocol with nearest neighbours alone, writing into a temporary folder."""
    monkeypatch.setattr(results, "TABLES", tmp_path)
    few = {"FMCNN": baseline("KNN"), "KNN tuned": baseline("KNN", n_neighbors=3)}
    monkeypatch.setattr(protocol, "MODELS", few)
    return tmp_path


def test_run_keeps_scores_predictions_splits_and_confusions(small):
    scores = paper.run(few_spectra(), n_repeats=2, n_jobs=1, cache=False, quiet=True)
    assert len(scores) == 2 * 2 * (10 + 5)
    stored = results.read("scores")
    assert stored["accuracy"].tolist() == scores["accuracy"].round(5).tolist()
    for kind, n in (("random", 72), ("specimen", 72)):
        predictions = pd.read_csv(small / f"predictions_{kind}.csv.gz")
        assert len(predictions) == 2 * n
        splits = pd.read_csv(small / f"splits_{kind}.csv.gz")
        assert set(splits.columns) == {"file", "repeat_0", "repeat_1"}
    assert list(results.read("confusions").columns) == [
        *("protocol", "model", "true", "predicted", "times", "share")
    ]


def test_nothing_is_kept_of_a_run_that_stops_half_way(small):
    spectra = few_spectra()
    broken = data.Spectra(spectra.X * np.nan, spectra.meta, spectra.grid, spectra.source)
    with pytest.raises(ValueError, match="NaN"):
        paper.run(broken, n_repeats=1, n_jobs=1, cache=False, quiet=True)
    assert list(small.iterdir()) == []


def test_table_1_of_one_repeat_counts_its_minerals(small):
    scores = paper.run(few_spectra(), n_repeats=1, n_jobs=1, cache=False, quiet=True)
    scores["best_epoch_accuracy"] = scores["epochs"] = 1.0
    text = figures.table_1(scores)
    assert "one repeat; 30 fits" in text
    assert text.count("72 spectra of 6 minerals") == 2
    assert not {"nan", "±", "209"} & set(text.split())


def test_a_missing_table_or_figure_is_named_with_the_command_that_makes_it(small, monkeypatch):
    monkeypatch.setattr(results, "FIGURES", small)
    for name in ("atlas", "search", "paper"):
        with pytest.raises(FileNotFoundError, match=f"`make {name} DATA="):
            results.read(f"{name}_table")
        with pytest.raises(FileNotFoundError, match=f"`make {name} DATA="):
            plots.show_kept(f"{name}_figure", "1.1", "caption")


def test_a_figure_is_kept_whole_in_a_folder_made_for_it(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "FIGURES", tmp_path / "new")
    figures.keep(plots.plt.figure(figsize=(1, 1)), "one")
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == "one.png"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_first_repeats_do_not_depend_on_how_many_follow():
    spectra = few_spectra()
    for kind in protocol.PROTOCOLS:
        (_, two), (_, five) = (protocol.plan(spectra, kind, n) for n in (2, 5))
        for a, b in zip(two, five, strict=False):
            assert (a.repeat, a.fold) == (b.repeat, b.fold)
            assert np.array_equal(a.test, b.test)


def test_summary_and_confusions_by_hand():
    rows = [("random", "FMCNN", r, f, a) for r, f, a in [(0, 0, 1.0), (0, 1, 0.8), (1, 0, 0.9)]]
    rows.append(("random", "FMCNN", 1, 1, 0.9 + 0.1))
    scores = pd.DataFrame(rows, columns=["protocol", "model", "repeat", "fold", "accuracy"])
    for column in ("macro_f1", "top3", "seconds", "best_epoch_accuracy", "epochs"):
        scores[column] = 1.0
    row = protocol.summary(scores).loc["FMCNN"]
    assert row["accuracy"] == pytest.approx(0.925)
    assert row["sd"] == pytest.approx(np.std([0.9, 0.95], ddof=1))
    assert protocol.per_repeat(scores)["FMCNN"].tolist() == pytest.approx([0.9, 0.95])

    predictions = pd.DataFrame(
        {"protocol": "random", "model": "SVM", "true": list("aaab"), "predicted": list("abba")}
    )
    table = paper.confusions(predictions)
    assert table[["true", "predicted", "times"]].to_numpy().tolist() == [
        ["a", "b", 2],
        ["b", "a", 1],
    ]
    assert table["share"].tolist() == [0.6667, 1.0]


# ------------------------------------------------------------------ what is committed


@pytest.mark.parametrize("kind", protocol.PROTOCOLS)
def test_kept_scores_follow_from_the_kept_predictions(kind):
    scores = results.read("scores").query("protocol == @kind")
    predictions = results.read(f"predictions_{kind}")
    models = scores["model"].unique()
    assert set(models) == set(protocol.MODELS)
    right = predictions[models].eq(predictions["true"], axis=0)
    again = right.groupby([predictions["repeat"], predictions["fold"]]).mean()
    stored = scores.pivot(index=["repeat", "fold"], columns="model", values="accuracy")
    np.testing.assert_allclose(stored[models], again, atol=1e-5)
    folds = results.read(f"splits_{kind}").set_index("file")
    for repeat, part in predictions.groupby("repeat"):
        assert (folds.loc[part["file"], f"repeat_{repeat}"].to_numpy() == part["fold"]).all()


def test_kept_results_are_small():
    assert sum(path.stat().st_size for path in results.TABLES.iterdir()) < 10e6


@pytest.mark.parametrize("model", ["FMCNN", "SVM tuned"])
def test_one_fit_on_the_archive_gives_the_kept_accuracy_again(real, model):
    # Band: three of some 370 test spectra, for another processor's last digits.
    stored = results.read("scores").query(
        "protocol == 'random' and model == @model and repeat == 0 and fold == 0"
    )
    curated, splits = protocol.plan(real, "random", n_repeats=1)
    plans, models = {"random": (curated, splits[:1])}, {model: protocol.MODELS[model]}
    again = cross_validate(plans, models, n_jobs=1, cache=False, quiet=True).scores
    assert again["data"].tolist() == stored["data"].tolist()
    assert again["seed"].tolist() == stored["seed"].tolist()
    assert again["accuracy"][0] == pytest.approx(stored["accuracy"].iloc[0], abs=3 / 369)


def test_all_kept_figures_are_drawn_anew_from_the_kept_tables(real, monkeypatch, tmp_path):
    committed = sorted(path.name for path in results.FIGURES.iterdir())
    monkeypatch.setattr(results, "FIGURES", tmp_path)
    figures.draw_figures(real)
    assert sorted(path.name for path in tmp_path.iterdir()) == committed
