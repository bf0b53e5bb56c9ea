"""The commands: what they refuse, run, leave and say, on small notebooks."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fmcnn_utils import __main__ as commands
from fmcnn_utils import notebooks
from fmcnn_utils.results import ROOT, UserError

PARAMETERS = """\
DATA = "atlas"  # "atlas" | "rruff" | path of an archive
PROFILE = "quick"  # "quick" | "full"
SEED = 0  # draws the folds
RATE = 0.001  # Adam's step
MINERALS = ["Albite", "Zircon"]  # to show
"""
WORK = """\
import sys
from fmcnn_utils.numbers import Number, show
show(Number("accuracy", 0.9 + SEED / 1000, 0.89, 0.95), Number("time", 2, unit="s"))
print(sys.prefix)
"""


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook as ours are: title and question, parameters, the rest."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": notebooks.KERNEL})
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# 01 · A title\n\n*Is it so & how?*\n\nMore."),
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"], "old": 1}),
        *map(nbformat.v4.new_code_cell, cells),
    ]
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder in the place of the repository's notebooks and of build/."""
    monkeypatch.setattr(commands, "BUILD", tmp_path / "build")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    return tmp_path


@pytest.fixture
def notebook(project):
    return write(project / "01-title.ipynb", WORK)


@pytest.fixture
def no_pages(monkeypatch):
    """They take some ten seconds."""
    monkeypatch.setattr(notebooks, "make_pages", lambda folder, *about: folder / "index.html")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PROFILE", "full", "full"),
        ("SEED", "7", 7),
        ("RATE", "1", 1.0),
        ("MINERALS", '["Quartz"]', ["Quartz"]),
    ],
)
def test_text_becomes_a_value_of_the_type_of_the_default(notebook, name, text, value):
    assert notebooks.assign([notebook], {name: text}) == {notebook: {name: value}}


def test_path_of_an_archive_is_made_absolute(notebook, monkeypatch):
    monkeypatch.chdir(notebook.parent)
    given = notebooks.assign([notebook], {"DATA": "01-title.ipynb"})
    assert given[notebook]["DATA"] == str(notebook)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("SEEED", "1", "SEEED is not a parameter here; .* 01-title: DATA, PROFILE, SEED, RATE"),
        ("SEED", "0.5", "SEED = 0.5 is not of the type int: its default is 0"),
        ("SEED", "True", "SEED = True is not of the type int"),
        ("RATE", "nan", "RATE = nan is not of the type float"),
        ("MINERALS", "Quartz", "MINERALS = Quartz is not of the type list"),
    ],
)
@pytest.mark.parametrize("command", ["reproduce", "sweep 01"])
def test_refused_in_one_sentence_before_anything_runs(notebook, command, name, text, said):
    with pytest.raises(UserError, match=said) as told:
        commands.main([*command.split(), "-p", name, text])
    assert "\n" not in str(told.value)
    assert not commands.BUILD.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce", "77"], "a name that starts with '77'; there are: 00_start_here"),
        (["sweep", "0", "-p", "SEED", "1"], "'0' begins more than one notebook's name"),
        (["sweep", "no.yaml"], "no.yaml: No such file or directory"),
        (["sweep", "no.yaml", "-p", "SEED", "1"], "-p is for a notebook"),
        (["sweep", "03", "--jobs", "0"], "0 is less than 1"),
        (["reprodcue"], "invalid choice: 'reprodcue'"),
    ],
)
def test_wrong_command_lines_get_a_message_and_exit_code_2(arguments, said):
    done = subprocess.run(
        [sys.executable, "-m", "fmcnn_utils", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("given", [["-p", "SEED"], ["-p", "SEED", "1", "-p", "SEED", "2"]])
def test_sweep_needs_values_and_each_name_once(notebook, given):
    with pytest.raises(UserError, match="each -p takes a name, once, and the values"):
        commands.main(["sweep", "01", *given])


def test_each_notebook_gets_only_the_parameters_that_it_has(tmp_path):
    one = write(tmp_path / "01-one.ipynb")
    two = write(tmp_path / "02-two.ipynb", parameters='DATA = "atlas"\nREPEATS = 10')
    given = {"SEED": "1", "PROFILE": "full", "REPEATS": "2"}
    assert notebooks.assign([one, two], given) == {
        one: {"PROFILE": "full", "SEED": 1},
        two: {"REPEATS": 2},
    }


def test_reproduce_leaves_notebooks_pages_and_numbers(notebook, capsys):
    before = notebook.read_bytes()
    assert commands.main(["reproduce", "-p", "SEED", "5"]) == 0
    folder = commands.BUILD / "reproduce"
    printed = capsys.readouterr().out
    assert re.search(r"accuracy\s+0.905\s+0.89\s+0.95", printed)
    assert str(folder / "index.html") in printed
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "0.890 to 0.950" in index
    for where in (printed, index):
        assert "atlas (rebuilt from measured peaks). SEED = 5" in where
    assert (folder / "notebooks" / "01-title.html").exists()
    # The kernel is the one of this very environment, whatever else is installed for the user.
    assert sys.prefix in (folder / "01-title.ipynb").read_text(encoding="utf-8")
    assert notebook.read_bytes() == before


def test_failing_notebook_stops_the_run(project, capsys):
    write(project / "01-one.ipynb", "before = 1\nprint('as far as here')", "# why\n1 / 0")
    write(project / "02-two.ipynb")
    assert commands.main(["reproduce"]) == 1
    printed = capsys.readouterr()
    assert "01-one.ipynb failed in cell In [3], `# why`" in printed.err
    assert "ZeroDivisionError: division by zero" in printed.err
    assert printed.err.count("\n") <= 4
    assert "02-two" not in printed.out
    page = commands.BUILD / "reproduce" / "notebooks" / "01-one.html"
    assert str(page) in printed.err
    assert "as far as here" in page.read_text(encoding="utf-8")
    index = page.parents[1] / "index.html"
    assert "This run stopped." in index.read_text(encoding="utf-8")


def test_dead_kernel_is_reported_with_its_cell(project, capsys, no_pages):
    write(project / "01-one.ipynb", "import os", "os._exit(1)", "print('not reached')")
    assert commands.main(["reproduce"]) == 1
    said = capsys.readouterr().err
    assert re.search(
        r"01-one.ipynb failed in cell In \[.\], `os._exit\(1\)`:\n +the kernel died", said
    )


def test_a_kernel_that_does_not_start_is_started_again(notebook, monkeypatch, tmp_path):
    starts, run = [], notebooks.papermill.execute_notebook

    def collide(*given, **named):
        starts.append(given)
        if len(starts) < fails:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return run(*given, **named)

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", collide)
    for fails in (3, 4):
        starts.clear()
        if fails == 3:
            assert notebooks.execute(notebook, tmp_path / "out.ipynb", {}) > 0
        else:
            with pytest.raises(notebooks.NotebookFailed, match=r"01-title.ipynb failed: no kernel"):
                notebooks.execute(notebook, tmp_path / "out.ipynb", {})
        assert len(starts) == 3


def test_refresh_leaves_nothing_of_the_machine_and_no_failure(notebook, no_pages):
    failing = write(notebook.with_name("02-two.ipynb"), "1 / 0")
    before = failing.read_bytes()
    assert commands.main(["notebooks"]) == 1
    assert failing.read_bytes() == before
    refreshed = nbformat.read(notebook, as_version=4)
    assert set(refreshed.metadata) == {"kernelspec", "language_info"}
    code = [cell for cell in refreshed.cells if cell.cell_type == "code"]
    assert [cell.metadata for cell in code] == [{"tags": ["parameters"]}, {}]
    assert [cell.execution_count for cell in code] == [1, 2]
    assert "≈0.900" in code[1].outputs[0].data["text/plain"]


@pytest.mark.drill
def test_both_sources_end_to_end(archive, tmp_path, monkeypatch):
    """The two quickest notebooks, on the atlas and on the real archive."""
    for source, name in (("atlas", "atlas (rebuilt"), (str(archive), "RRUFF")):
        monkeypatch.setattr(commands, "BUILD", tmp_path / name)
        assert commands.main(["reproduce", "--data", source, "00", "02"]) == 0
        folder = tmp_path / name / "reproduce"
        assert name in (folder / "index.html").read_text(encoding="utf-8")
        assert {"00", "02"} == {page.name[:2] for page in folder.glob("notebooks/0*.html")}
