from dataclasses import replace

import pytest
from test_protocol import few_spectra

from fmcnn_utils import protocol, results, search, splits
from fmcnn_utils.fits import FMCNN, Baseline


@pytest.mark.parametrize("name", search.candidates())
def test_the_protocol_has_the_best_setting_of_the_kept_search(name):
    models = protocol.AS_IN_PAPER | protocol.TUNED
    model = models[protocol.tuned(name)]
    if isinstance(model, FMCNN):  # noting one more accuracy does not change the model
        model = replace(model, optimistic=False)
    kept, tried = results.read(f"search_{name.lower()}"), search.candidates()[name]
    assert set(kept["setting"]) == set(tried)
    best = kept.loc[kept["mean"] == kept["mean"].max(), "setting"]
    assert repr(model) in [repr(tried[setting]) for setting in best]


@pytest.mark.parametrize("name", search.candidates())
def test_no_candidate_is_tried_twice(name):
    models = [repr(model) for model in search.candidates()[name].values()]
    assert len(set(models)) == len(models)


def test_no_split_of_the_search_is_a_reported_one():
    curated, reported = protocol.plan(few_spectra(), "random", 2)
    searched = splits.stratified(curated.minerals, n_repeats=1, seed=search.SEED)
    tests = [set(split.test) for split in reported]
    assert not any(set(split.test) in tests for split in searched)


def test_best_setting_comes_first_and_of_equals_the_one_tried_first(monkeypatch):
    tried = {f"k={k}": Baseline("KNN", {"n_neighbors": k}) for k in (48, 2, 1)}
    monkeypatch.setattr(search, "candidates", lambda: {"KNN": tried})
    table = search.run(few_spectra(), n_jobs=1, cache=False, quiet=True)
    assert table["setting"].tolist() == ["k=2", "k=1", "k=48"]
    assert table["mean"].tolist()[:2] == [1, 1]
    assert (table["mean"] == (table["random"] + table["specimen"]) / 2).all()


def test_only_the_models_asked_for(monkeypatch):
    one = {"k=1": Baseline("KNN")}
    monkeypatch.setattr(search, "candidates", lambda: {"KNN": one, "SVM": {}})
    table = search.run(few_spectra(), ["KNN"], n_jobs=1, cache=False, quiet=True)
    assert table["model"].unique().tolist() == ["KNN"]
    with pytest.raises(ValueError, match="'LDR' is not one of KNN, SVM"):
        search.run(few_spectra(), ["LDR"])
