"""The network that comes with the code."""

import numpy as np
import pandas as pd
import pytest
from test_protocol import few_spectra

from fmcnn_utils import crossval, curation, datasets, pretrained, results
from fmcnn_utils._problem import Refused
from fmcnn_utils.config import FMCNNConfig
from fmcnn_utils.spectra import normalise

SMALL = FMCNNConfig(filters=4, squeeze=2, expand1=4, expand3=4, pool=16, epochs=2, batch=16)


def test_made_and_loaded_it_says_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "TABLES", tmp_path)
    spectra = few_spectra()
    pretrained.make(spectra, SMALL)
    kept = pretrained.load()
    assert kept.config.n_classes == len(kept.minerals) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("fmcnn.json", "fmcnn.keras", "fmcnn_held_out.csv")
    ]
    table = results.read("fmcnn_held_out")
    rows = [spectra.meta["file"].tolist().index(file) for file in table["file"]]
    again = pretrained.tell(kept.model, normalise(spectra.X[rows], "sqrt"), kept.minerals)
    pd.testing.assert_frame_equal(again, table[["predicted", "p"]])
    assert kept.about["accuracy"] == pytest.approx((table["predicted"] == table["mineral"]).mean())


def test_files_that_do_not_belong_together_are_refused(monkeypatch, tmp_path):
    for name in ("fmcnn.keras", "fmcnn.json"):
        (tmp_path / name).write_bytes((results.TABLES / name).read_bytes())
    monkeypatch.setattr(results, "TABLES", tmp_path)
    with (tmp_path / "fmcnn.keras").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(Refused, match=r"fmcnn\.keras is not the network that fmcnn\.json"):
        pretrained.load()


def test_a_missing_network_is_named_with_the_command_that_makes_it(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "TABLES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fmcnn\.keras is missing: `make paper DATA="):
        pretrained.load()


def test_every_mineral_has_a_spectrum_held_out_and_one_to_train_on():
    spectra = curation.paper_rule(datasets.load("atlas"))
    cut = pretrained.split(spectra)
    assert len(np.intersect1d(cut.train, cut.test)) == 0
    assert len(cut.train) + len(cut.test) == len(spectra)
    for rows in (cut.train, cut.test):
        assert set(spectra.minerals[rows]) == set(spectra.minerals)


def test_typical_is_the_spectrum_nearest_to_the_median():
    spectra = few_spectra()
    spectra.X[1] *= 0.5  # scaled, it is the same
    spectra.X[2, 900:] += 1
    rows = np.array([2, 3])
    assert pretrained.typical(spectra, rows) == 3


# ------------------------------------------------------------------ what is committed


def test_kept_network_is_small_and_of_the_documented_settings():
    kept = pretrained.load()
    assert (results.TABLES / "fmcnn.keras").stat().st_size < 6e6
    assert kept.config == FMCNNConfig(n_classes=209)
    assert kept.model.output_shape == (None, 209)


def test_kept_network_still_says_of_the_archive_what_it_said(real):
    kept, table = pretrained.load(), results.read("fmcnn_held_out")
    spectra = curation.paper_rule(real)
    assert crossval.checksum(spectra)[:16] == kept.about["data"]
    cut = pretrained.split(spectra)
    assert spectra.meta.loc[cut.test, "file"].tolist() == table["file"].tolist()
    again = pretrained.tell(
        kept.model, normalise(spectra.X[cut.test], kept.config.normalisation), kept.minerals
    )
    assert again["predicted"].tolist() == table["predicted"].tolist()
    np.testing.assert_allclose(again["p"], table["p"], atol=2e-3)
