import pytest
from test_protocol import few_spectra

from fmcnn_utils import data, results
from fmcnn_utils.evaluation import protocol
from fmcnn_utils.models import baseline
from scripts import search

MODELS = ["FMCNN", *search.BASELINES]


@pytest.mark.parametrize("name", MODELS)
def test_the_protocol_has_the_best_baselines_of_the_kept_search_and_a_network_close_to_it(name):
    kept, tried = results.read(f"search_{name.lower()}"), search.candidates(name)
    assert set(kept["setting"]) == set(tried)
    best, chosen = kept["mean"].max(), kept[kept["chosen"]]
    assert (chosen["mean"] >= best - (search.CLOSE if name == "FMCNN" else 0)).all()
    (setting, *_) = chosen["setting"]
    assert repr(protocol.MODELS[protocol.tuned(name)]) == repr(tried[setting])
    assert len({repr(model) for model in tried.values()}) == len(tried)


def test_no_split_of_the_search_is_a_reported_one():
    curated, reported = protocol.plan(few_spectra(), "random", 2)
    searched = data.stratified(curated.minerals, n_repeats=1, seed=search.SEED)
    tests = [set(split.test) for split in reported]
    assert not any(set(split.test) in tests for split in searched)


def test_best_setting_comes_first_and_of_equals_the_one_tried_first(monkeypatch):
    tried = {f"k={k}": baseline("KNN", n_neighbors=k) for k in (48, 2, 1)}
    monkeypatch.setattr(search, "candidates", lambda model: tried)
    table = search.run(few_spectra(), "KNN", n_jobs=1, cache=False, quiet=True)
    assert table["setting"].tolist() == ["k=2", "k=1", "k=48"]
    assert table["mean"].tolist()[:2] == [1, 1]
    assert (table["mean"] == (table["random"] + table["specimen"]) / 2).all()


def test_an_unknown_model_is_refused():
    with pytest.raises(results.UserError, match="'LDR' is not one of FMCNN, KNN"):
        search.candidates("LDR")
