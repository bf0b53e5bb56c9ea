from dataclasses import replace

import pytest
from test_protocol import few_spectra

from fmcnn_utils import protocol, search
from fmcnn_utils.fits import FMCNN, Baseline


def test_chosen_baselines_and_fmcnn_are_among_the_candidates():
    tried = search.candidates()
    for label, model in {**protocol.TUNED, "FMCNN": protocol.AS_IN_PAPER["FMCNN"]}.items():
        if isinstance(model, FMCNN):  # noting one more accuracy does not change the model
            model = replace(model, optimistic=False)
        candidates = [repr(m) for m in tried[label.removesuffix(" tuned")].values()]
        assert repr(model) in candidates
        assert len(set(candidates)) == len(candidates)


def test_no_split_of_the_search_is_a_reported_one():
    assert search.SEED != protocol.SEED


def test_best_setting_comes_first(monkeypatch):
    one, three = (Baseline("KNN", {"n_neighbors": k}) for k in (1, 20))
    monkeypatch.setattr(search, "candidates", lambda: {"KNN": {"k=20": three, "k=1": one}})
    table = search.run(few_spectra(), n_jobs=1, cache=False, quiet=True)
    assert table["setting"].tolist() == ["k=1", "k=20"]
    assert (table["mean"] == (table["random"] + table["specimen"]) / 2).all()


def test_only_the_models_asked_for(monkeypatch):
    monkeypatch.setattr(search, "candidates", lambda: {"KNN": {}, "SVM": {}})
    with pytest.raises(ValueError, match="'LDR' is not one of KNN, SVM"):
        search.run(few_spectra(), ["LDR"])
