"""A model from outside the package, scored beside those of the protocol."""

import pandas as pd
import pytest
from sklearn.neighbors import NearestCentroid

from fmcnn_utils import data, evaluation, results
from fmcnn_utils.__main__ import main


def test_a_model_from_outside_is_scored():
    spectra = data.load("atlas")
    X = pd.DataFrame(data.normalise(spectra.X, "sqrt"), index=spectra.meta["file"])
    mineral = pd.Series(spectra.minerals, index=X.index)
    fold = results.read("splits_specimen").set_index("file")["repeat_0"]
    predicted = pd.Series(index=fold.index, dtype=object)
    for k in range(5):
        train, test = fold.index[fold != k], fold.index[fold == k]
        model = NearestCentroid().fit(X.loc[train], mineral[train])
        predicted[test] = model.predict(X.loc[test])
    table = evaluation.benchmark(predicted.rename("predicted").reset_index(), "nearest centroid")
    own = table.loc["nearest centroid"]
    assert own["accuracy"] == pytest.approx(
        (predicted == mineral[predicted.index]).mean(), abs=0.01
    )
    assert own["accuracy"] < own["series as one"] < 1
    assert table["accuracy"].is_monotonic_decreasing
    lda = table.loc["LDA tuned"]
    assert lda["low"] < lda["yours minus it"] < 0  # in points, this model is worse
    assert {"FMCNN", "SVM", "LDA raw"} <= set(table.index)


def test_kept_predictions_score_as_in_the_table(tmp_path, capsys):
    kept = results.read("predictions_specimen")
    own = kept[["repeat", "file", "FMCNN"]].rename(columns={"FMCNN": "predicted"})
    own.to_csv(tmp_path / "own.csv", index=False)
    assert main(["score", str(tmp_path / "own.csv"), "--name", "again"]) == 0
    assert "again" in capsys.readouterr().out
    table = evaluation.benchmark(own, "again")
    scores = results.read("scores")
    summary = evaluation.protocol.summary(scores, "specimen")
    assert table["accuracy"].drop("again").to_dict() == pytest.approx(
        summary["accuracy"].to_dict(), abs=2e-4
    )
    assert table.loc["again", "accuracy"] == table.loc["FMCNN", "accuracy"]
    assert table.loc["FMCNN", "yours minus it"] == 0


def test_incomplete_predictions_are_refused():
    kept = results.read("predictions_specimen").query("repeat == 1")
    own = kept[["repeat", "file", "FMCNN"]].rename(columns={"FMCNN": "predicted"})
    for wrong, said in (
        (own.iloc[1:], "lack 1 files"),
        (own.assign(file=own["file"].str.replace("Actinolite", "Tremolite", n=1)), "lack"),
        (own.drop(columns="predicted"), "lack the column 'predicted'"),
        (pd.concat([own, own.iloc[:1]]), "more than once"),
        (own.assign(predicted=None), "are empty"),
    ):
        with pytest.raises(results.UserError, match=said):
            evaluation.benchmark(wrong)
    with pytest.raises(results.UserError, match="not one of random, specimen"):
        evaluation.benchmark(own, protocol="all")
    with pytest.raises(results.UserError, match="give another"):
        evaluation.benchmark(own, "KNN tuned")
