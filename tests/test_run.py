"""Parameters are refused before anything runs; notebooks run, fail and are read as promised."""

import html
import re
from base64 import b64decode
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from fmcnn_utils import (
    claims,
    datasets,
    explained,
    notebooks,
    parameters,
    pretrained,
    protocol,
    report,
    results,
    run,
    search,
)
from fmcnn_utils._problem import Problem

PARAMETERS = """\
DATA = "atlas"  # "atlas" | "rruff" | path of an archive
PROFILE = "quick"  # "quick" | "full": how much is computed
SEED = 0  # 0–4294967295
RATE = 0.001  # 1e-6–0.1: Adam's step, alpha = 0.001 in the paper
MINERALS = [
    "Albite",
    "Zircon",
]  # minerals: to show
"""
WORK = """\
import sys
from fmcnn_utils.claims import check
check("accuracy", 0.9 + SEED / 1000, 0.89, 0.95)
check("mean difference", -0.01, -0.10, 0.10, digits=2)
print(sys.prefix)
"""


PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write(path: Path, *cells: str) -> Path:
    """A notebook as ours are: title and question, parameters, the rest."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": notebooks.KERNEL})
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# 01 · A title\n\n*Is it so & how?*\n\nMore."),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"], "old": 1}),
        *map(nbformat.v4.new_code_cell, cells),
    ]
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder in the place of the repository."""
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    find = notebooks.find
    monkeypatch.setattr(notebooks, "find", lambda names=None: find(names, tmp_path))
    return tmp_path


@pytest.fixture
def notebook(project):
    return write(project / "01-title.ipynb", WORK)


def test_parameters_are_read_from_the_cell(notebook):
    found = parameters.of_notebook(notebook)
    assert list(found) == ["DATA", "PROFILE", "SEED", "RATE", "MINERALS"]
    assert found["RATE"].default == 0.001
    assert found["RATE"].comment.startswith("1e-6–0.1: Adam's step")
    assert found["MINERALS"].default == ["Albite", "Zircon"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PROFILE", "full", "full"),
        ("SEED", "7", 7),
        ("RATE", "0.1", 0.1),
        ("MINERALS", '["Quartz"]', ["Quartz"]),
    ],
)
def test_allowed_values(notebook, name, text, value):
    assert parameters.assign([notebook], {name: text}) == {notebook: {name: value}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("SEEED", "1", "SEEED is not a parameter here.*01-title: DATA, PROFILE, SEED, RATE"),
        ("PROFILE", "fast", 'PROFILE = fast is none of "quick" | "full"'),
        ("DATA", "rruf", r"DATA = rruf \(there is no such file or folder\) is none of \"atlas\""),
        ("SEED", "-1", "SEED = -1 is out of range: 0–4294967295"),
        ("SEED", "0.5", "SEED = 0.5 is not of the type int"),
        ("SEED", "True", "SEED = True is not of the type int"),
        ("RATE", "1", "RATE = 1 is out of range: 1e-6–0.1"),
        ("RATE", "nan", "RATE = nan is not of the type float"),
        ("MINERALS", "Quartz", "MINERALS = Quartz is not of the type list"),
        ("MINERALS", '["Quartz", "Albit"]', "'Albit' is not a mineral .* is it Albite"),
    ],
)
def test_refused_before_anything_runs(notebook, name, text, said, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("runs"))
    monkeypatch.setattr(datasets, "load", lambda *_: pytest.fail("loads"))
    for command in ("reproduce", "paper", "sweep 01"):
        fixed = command == "paper" and name in ("DATA", "PROFILE", "SEED")
        expected = f"-p {name} is not for paper" if fixed else said.replace("|", r"\|")
        assert run.main([*command.split(), "-p", name, text]) == 2
        printed = capsys.readouterr()
        assert re.search(expected, printed.err)
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["paper", "search"])
def test_what_is_not_rruff_is_never_kept_as_rruff(command, notebook, monkeypatch, capsys):
    for module in (protocol, search):
        monkeypatch.setattr(module, "run", lambda *_, **__: pytest.fail("runs"))
    assert run.main([command, "--data", "atlas"]) == 2
    said = capsys.readouterr().err
    assert "atlas is not the RRUFF archive but atlas (rebuilt from measured peaks)" in said
    assert said.count("\n") == 1


def test_paper_takes_repeats_and_jobs(notebook, monkeypatch):
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace("SEED = 0 ", "REPEATS = 10 "), encoding="utf-8")
    write(notebook.with_name("02-two.ipynb"), "1")
    ran = []
    monkeypatch.setattr(run, "_from_rruff", lambda data: f"spectra of {data}")
    monkeypatch.setattr(protocol, "run", lambda *given, **how: ran.append((given, how)))
    for module, name in (
        *((pretrained, "make"), (results, "keep")),
        *((report, "readme_parts"), (report, "update_readme")),
    ):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(
        explained, "run", lambda spectra, n_jobs: pd.DataFrame({"n_jobs": [n_jobs]})
    )
    monkeypatch.setattr(notebooks, "execute", lambda _, output, values: ran.append(values) or 0)
    monkeypatch.setattr(notebooks, "write_html", lambda output: output)
    monkeypatch.setattr(notebooks, "write_index", lambda *_: None)
    monkeypatch.setattr(notebooks, "numbers", lambda *_: "")
    assert run.main(["paper", "--repeats", "3", "--jobs", "1"]) == 0
    (given, how), one, two = ran
    assert given == ("spectra of rruff", 3)
    assert how["n_jobs"] == 1
    assert one == {"DATA": "rruff", "PROFILE": "full", "REPEATS": 3}
    assert two == {"DATA": "rruff", "PROFILE": "full", "SEED": 0}
    for wrong in (["--repeats", "11"], ["--jobs", "0"]):
        with pytest.raises(SystemExit):
            run.main(["paper", *wrong])
    assert run.main(["paper", "-p", "REPEATS", "3"]) == 2


@pytest.mark.parametrize("error", [Problem, ConnectionError, PermissionError, FileNotFoundError])
def test_what_the_user_can_put_right_is_said_in_one_sentence(error, monkeypatch, capsys):
    def refuse(names):
        raise error("put it right")

    monkeypatch.setattr(notebooks, "find", refuse)
    assert run.main(["reproduce"]) == 2
    assert capsys.readouterr().err == "put it right\n"


def test_a_fault_of_the_code_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(notebooks, "find", lambda names: int("one"))
    with pytest.raises(ValueError, match="invalid literal"):
        run.main(["reproduce"])


def test_sweep_over_one_parameter_twice_is_refused(notebook, capsys):
    assert run.main(["sweep", "01", "-p", "SEED", "1", "-p", "SEED", "2"]) == 2
    assert "-p SEED is given more than once" in capsys.readouterr().err


def test_pages_describe_each_picture_in_its_own_words(project):
    alts = ["One <spectrum> & its bands", "", 'The "best" model']
    cells = [
        f"from IPython.display import Image, display\n"
        f"display(Image({PIXEL!r}), metadata={{'image/png': {{'alt': {alt!r}}}}})"
        for alt in alts
    ]
    path = write(project / "01-one.ipynb", *cells)
    output = project / "run" / path.name
    notebooks.execute(path, output, {})
    page = notebooks.write_html(output).read_text(encoding="utf-8")
    assert "No description has been provided" not in page
    assert [html.unescape(alt) for alt in re.findall('<img alt="(.*?)"', page)] == alts


def test_both_sources_end_to_end(archive, tmp_path, monkeypatch):
    """The two quickest notebooks, on the atlas and on the real archive."""
    for data, source in (("atlas", "atlas (rebuilt"), (str(archive), "RRUFF")):
        monkeypatch.setattr(run, "BUILD", tmp_path / source)
        assert run.main(["reproduce", "--data", data, "00", "02"]) == 0
        folder = tmp_path / source / "reproduce"
        assert source in (folder / "index.html").read_text(encoding="utf-8")
        assert {"00", "02"} == {page.name[:2] for page in folder.glob("0*.html")}


def test_path_of_an_archive_is_made_absolute(notebook, monkeypatch):
    monkeypatch.chdir(notebook.parent)
    Path("archive.zip").touch()
    given = parameters.assign([notebook], {"DATA": "archive.zip"})
    assert given[notebook]["DATA"] == str(notebook.parent / "archive.zip")


def test_each_notebook_gets_only_the_parameters_that_it_has(tmp_path):
    one, two = write(tmp_path / "01-one.ipynb"), write(tmp_path / "02-two.ipynb")
    text = two.read_text(encoding="utf-8").replace("SEED = 0", "FOLDS = 3")
    two.write_text(text, encoding="utf-8")
    assert parameters.assign([one, two], {"SEED": "1"}) == {one: {"SEED": 1}, two: {}}


def test_claims_are_read_as_they_are_printed(tmp_path, capsys):
    claims.check("accuracy: FMCNN", 0.98765, 0.95, 1)
    claims.check("difference", -0.5, -1, 0, digits=1)
    path = tmp_path / "01.ipynb"
    cell = nbformat.v4.new_code_cell(
        outputs=[nbformat.v4.new_output("stream", text="loading\n" + capsys.readouterr().out)]
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert notebooks.claims(path).to_numpy().tolist() == [
        ["accuracy: FMCNN", "0.988", "0.950", "1.000"],
        ["difference", "-0.5", "-1.0", "0.0"],
    ]


def test_reproduce_leaves_notebooks_pages_and_numbers(notebook, capsys):
    import sys

    before = notebook.read_bytes()
    assert run.main(["reproduce", "-p", "SEED", "5"]) == 0
    folder = run.BUILD / "reproduce"
    assert sorted(file.name for file in folder.iterdir()) == [
        "01-title.html",
        "01-title.ipynb",
        "index.html",
    ]
    printed = capsys.readouterr().out
    assert "0.905 0.890–0.950" in printed
    assert str(folder / "index.html") in printed
    index = (folder / "index.html").read_text(encoding="utf-8")
    for part in ('<a href="01-title.html">01 · A title</a>', "Is it so &amp; how?", "0.905"):
        assert part in index
    for where in (printed, index):
        assert "atlas (rebuilt from measured peaks)" in where
    assert "SEED = 5" in index
    # The kernel is the one of this very environment, whatever else is installed for the user.
    assert sys.prefix in (folder / "01-title.ipynb").read_text(encoding="utf-8")
    assert notebook.read_bytes() == before


def test_formulas_are_drawn_without_the_network(tmp_path):
    path = write(tmp_path / "01-title.ipynb")
    notebook = nbformat.read(path, as_version=4)
    formulas = "Slope $a_1$ of\n\n$$f(x) = \\frac{x_i}{2}$$"
    notebook.cells.append(nbformat.v4.new_markdown_cell(formulas))
    nbformat.write(notebook, path)
    page = notebooks.write_html(path).read_text(encoding="utf-8")
    assert page.count("<math") == page.count("</math>") == 2
    assert "<mfrac><mrow><msub><mi>x</mi><mi>i</mi></msub></mrow>" in page
    assert "$" not in page.partition("Slope")[2].partition("</div>")[0]


def test_failing_notebook_stops_the_run(project, capsys):
    write(project / "01-one.ipynb", "before = 1\nprint('as far as here')", "# why\n1 / 0")
    write(project / "02-two.ipynb")
    assert run.main(["reproduce"]) == 1
    printed = capsys.readouterr()
    assert "01-one.ipynb failed in cell In [3], `# why`" in printed.err
    assert "ZeroDivisionError: division by zero" in printed.err
    assert printed.err.count("\n") <= 3
    assert "02-two" not in printed.out
    page = run.BUILD / "reproduce" / "01-one.html"
    assert str(page) in printed.err
    assert "as far as here" in page.read_text(encoding="utf-8")
    assert not (run.BUILD / "reproduce" / "index.html").exists()


def test_dying_kernel_is_told_with_its_cell(project, capsys):
    write(project / "01-one.ipynb", "import os", "os._exit(1)", "print('not reached')")
    assert run.main(["reproduce"]) == 1
    said = capsys.readouterr().err
    assert "01-one.ipynb failed in cell In [" in said
    assert "`os._exit(1)`" in said
    assert "the kernel died" in said


def test_sweep_runs_every_combination_and_keeps_what_fails(notebook, capsys):
    # With SEED = 90 the accuracy leaves its band.
    assert run.main(["sweep", "01", "-p", "SEED", "3", "90", "-p", "PROFILE", "quick"]) == 1
    table = pd.read_csv(run.BUILD / "sweep" / "01-title" / "claims.csv")
    assert table["run"].tolist() == ["run-001", "run-001", "run-002"]
    assert table["SEED"].tolist() == [3, 3, 90]
    assert table["value"].tolist()[:2] == [0.903, -0.01]
    assert "accuracy: 0.990 is outside the expected" in table["problem"][2]


def test_refresh_leaves_nothing_of_the_machine(notebook):
    assert run.main(["notebooks"]) == 0
    refreshed = nbformat.read(notebook, as_version=4)
    assert refreshed.metadata == {
        "kernelspec": notebooks.KERNEL,
        "language_info": {"name": "python"},
    }
    code = [cell for cell in refreshed.cells if cell.cell_type == "code"]
    assert [cell.metadata for cell in code] == [{"tags": ["parameters"]}, {}]
    assert [cell.execution_count for cell in code] == [1, 2]
    assert "≈0.900, expected" in code[1].outputs[0].text


def test_refresh_of_a_failing_notebook_leaves_the_file(project, capsys):
    path = write(project / "01-one.ipynb", "1 / 0")
    before = path.read_bytes()
    assert run.main(["notebooks"]) == 1
    assert path.read_bytes() == before
    assert "01-one.ipynb failed in cell In [2], `1 / 0`" in capsys.readouterr().err


def test_sweep_without_values_is_refused(notebook, capsys):
    assert run.main(["sweep", "01", "-p", "SEED"]) == 2
    assert "the values to try" in capsys.readouterr().err


def test_unknown_notebook_is_named(notebook, capsys):
    assert run.main(["reproduce", "07"]) == 2
    said = capsys.readouterr().err
    assert "a name that starts with '07'; there are: 01-title" in said
