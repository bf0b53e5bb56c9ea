"""Exercises, by nbgrader's own autograder: full points, none, and what wrong answers should get."""

import os
import shutil
import sys

import nbformat
import pytest
import yaml

from fmcnn_utils import results
from scripts.classroom import EXERCISES, lay_out, nbgrader

SETS = sorted(path.parent.name for path in EXERCISES.glob("source/*/*.ipynb"))
WRONG = yaml.safe_load((results.ROOT / "tests" / "wrong_answers.yaml").read_text("utf-8"))
LONG = pytest.mark.skipif("CI" not in os.environ, reason="takes long: with CI")
#: Quick ones, which are graded in each run of the tests.
QUICK = ("01_split",)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A course with everything released, as ``make classroom`` lays it out."""
    course = tmp_path_factory.mktemp("course")
    assert lay_out(course) == SETS
    return course


@pytest.fixture
def course(released, tmp_path):
    """A copy of it, with a database of its own."""
    return shutil.copytree(released, tmp_path / "course")


def read(course, kind, name):
    return nbformat.read(course / kind / name / f"{name}.ipynb", as_version=4)


def about(cell):
    return cell["metadata"].get("nbgrader", {})


def points(notebook):
    return sum(about(cell).get("points", 0) for cell in notebook.cells)


def solved(course, name, answers=()):
    """The release, with the reference solutions filled in, or other answers."""
    notebook = read(course, "release", name)
    source = {about(c).get("grade_id"): c["source"] for c in read(course, "source", name).cells}
    answers = dict(answers)
    for cell in notebook.cells:
        if about(cell).get("solution"):
            key = about(cell)["grade_id"]
            cell["source"] = answers.pop(key, source[key])
    assert not answers, f"no such cells in {name}: {set(answers)}"
    return notebook


def submit(course, student, name, notebook):
    folder = course / "submitted" / student / name
    shutil.copytree(course / "release" / name, folder)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def marks(course, name):
    """Points by the autograder, a student each."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "raman") as book:
        return {
            submission.student.id: sum(
                grade.auto_score or 0 for part in submission.notebooks for grade in part.grades
            )
            for submission in book.assignment_submissions(name)
        }


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=LONG) for n in SETS])
def test_answers_get_the_points_they_should(course, name):
    submit(course, "reference", name, solved(course, name))
    submit(course, "untouched", name, read(course, "release", name))
    by_hand = sum(about(c)["points"] for c in read(course, "source", name).cells if _by_hand(c))
    expected = {"reference": points(read(course, "source", name)) - by_hand, "untouched": 0}
    assert len(WRONG[name]) == 3
    for k, wrong in enumerate(WRONG[name]):
        submit(course, f"wrong-{k}", name, solved(course, name, wrong["answers"]))
        expected[f"wrong-{k}"] = wrong["points"]
    nbgrader(course, "autograde", name)
    assert marks(course, name) == expected
    nbgrader(course, "generate_feedback", name)
    pages = {page.parts[-3]: page for page in course.glob(f"feedback/*/{name}/{name}.html")}
    assert set(pages) == set(expected)
    assert f"{expected['reference']:g}" in pages["reference"].read_text("utf-8")


def _by_hand(cell):
    return about(cell).get("grade") and about(cell).get("solution")


@pytest.mark.parametrize("name", SETS)
def test_a_release_gives_nothing_away(released, name):
    source, release = read(released, "source", name), read(released, "release", name)
    text = "\n".join(cell["source"] for cell in release.cells)
    assert "HIDDEN" not in text and "BEGIN SOLUTION" not in text
    assert text.count("YOUR CODE HERE") >= 4 and "## Level 3" in text and "Hint" in text
    assert 10 <= points(source) == points(release) <= 15
    assert not any(cell.get("outputs") for cell in source.cells)
    ids = [about(cell)["grade_id"] for cell in source.cells if about(cell)]
    assert len(set(ids)) == len(ids)


TROUBLES = {
    "endless loop": ("with-two", "while True:\n    pass", 7),
    "much memory": ("with-two", "much = bytearray(64 << 30)", 7),
    "input": ("with-two", "n = int(input('how many? '))", 7),
    "widget": (
        "with-two",
        "import ipywidgets\n"
        "ipywidgets.IntSlider(4)\n"
        "ipywidgets.interact(lambda n: n, n=(0, 9))\n"
        "raise SystemError('mine')",
        7,
    ),
    "exit": ("with-two", "import os\nos._exit(1)", 0),
}


@LONG
def test_what_goes_wrong_in_a_class_costs_only_its_own_points(course):
    """And the rest of the class is graded."""
    name, expected = "01_split", {}
    for trouble, (cell, answer, mark) in TROUBLES.items():
        if trouble == "much memory" and sys.platform != "linux":
            continue
        student = trouble.replace(" ", "-")
        submit(course, student, name, solved(course, name, {cell: answer}))
        expected[student] = mark
    deleted, doubled = solved(course, name), solved(course, name)
    at = [about(cell).get("grade_id") for cell in deleted.cells].index("folds-specimens")
    del deleted.cells[at]
    doubled.cells.insert(at, doubled.cells[at].copy())
    submit(course, "deleted-test", name, deleted)
    submit(course, "doubled-test", name, doubled)
    emptied = solved(course, name)
    emptied.cells[at]["source"] = "pass"
    submit(course, "emptied-test", name, emptied)
    submit(course, "zoe", name, solved(course, name))
    expected |= dict.fromkeys(["deleted-test", "doubled-test", "emptied-test", "zoe"], 10)
    said = ""
    try:
        nbgrader(course, "autograde", name, "--Execute.timeout=8")
    except results.UserError as error:
        said = str(error)
    found = marks(course, name)
    assert {student: found.get(student) for student in expected} == expected, said


def test_a_course_is_laid_out_again_over_its_marks(course):
    submit(course, "zoe", "01_split", solved(course, "01_split"))
    nbgrader(course, "autograde", "01_split")
    mine = course / "source" / "01_split" / "01_split.ipynb"
    mine.write_text(mine.read_text("utf-8").replace("Design a split", "An old title"), "utf-8")
    assert lay_out(course) == SETS
    assert "An old title" not in mine.read_text("utf-8")
    assert marks(course, "01_split") == {"zoe": 10}


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(results.UserError, match="holds other files"):
        lay_out(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
