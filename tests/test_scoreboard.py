import pytest

from fmcnn_utils import results, scoreboard
from scripts import figures


@pytest.fixture
def readme(tmp_path, monkeypatch):
    """An empty file in the place of the README; with a block of two lines to show in it."""
    monkeypatch.setattr(figures, "README", tmp_path / "README.md")
    monkeypatch.setattr(figures, "blocks", lambda: {"one": "first", "two": "second"})
    return figures.README


def test_blocks_are_put_between_their_marks(readme):
    (one, end_one), (two, end_two) = map(figures.marks, ("one", "two"))
    readme.write_text(f"a\n{one}\nold\n{end_one}\nb\n{two}{end_two}\nc\n", encoding="utf-8")
    figures.update_readme()
    new = f"a\n{one}\nfirst\n{end_one}\nb\n{two}\nsecond\n{end_two}\nc\n"
    assert readme.read_text(encoding="utf-8") == new


@pytest.mark.parametrize("order", [[], [1, 0], [0, 1, 0, 1], [0]])
def test_readme_without_its_marks_is_refused(readme, order):
    text = "".join(figures.marks("one")[i] for i in order) + "".join(figures.marks("two"))
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(results.UserError, match="once each, in this order"):
        figures.update_readme()
    assert readme.read_text(encoding="utf-8") == text


def test_every_number_of_the_readme_follows_from_the_kept_tables():
    text = figures.README.read_text(encoding="utf-8")
    for name, body in figures.blocks().items():
        start, end = figures.marks(name)
        assert text.partition(start)[2].partition(end)[0].strip() == body


def test_scoreboard_has_all_claims_and_words_that_depend_on_the_numbers(monkeypatch):
    table = scoreboard.table()
    assert table["about"].value_counts().to_dict() == {
        "data": 2, "accuracy": 5, "network": 1, "picture": 5, "beyond": 2
    }  # fmt: skip
    assert (table.drop(columns="where") != "").all(axis=None)
    scores = results.read("scores")
    scores.loc[scores["model"] == "FMCNN", "accuracy"] -= 0.1
    read = results.read
    monkeypatch.setattr(results, "read", lambda name: scores if name == "scores" else read(name))
    changed = scoreboard.table()["verdict"] != table["verdict"]
    claims = table.loc[changed, "claim"]
    assert claims.str.startswith("0.988").any()
    assert not table.loc[changed, "about"].isin(["data", "picture"]).any()
