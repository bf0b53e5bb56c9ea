"""The derived entries of Table I against the sentences that they come from."""

import pytest

from fmcnn_utils import paper


def test_table_1_follows_from_the_stated_gains():
    table = paper.table_1()
    assert table.loc["FMCNN", "accuracy"] == 0.988
    assert table.loc["SVM", "accuracy"] == pytest.approx(0.964)
    assert table.loc["LDA", "accuracy"] == pytest.approx(0.838)
    assert table.loc["LDA", "accuracy_if_relative"] == pytest.approx(0.859, abs=5e-4)
    assert table.loc[["KNN", "RF"], "accuracy"].isna().all()
