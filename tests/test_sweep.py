"""Sweeps: what is refused, run, kept, taken up again and drawn, on small notebooks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from fmcnn_utils import __main__ as commands
from fmcnn_utils import notebooks, plots, sweep
from fmcnn_utils.results import ROOT, UserError

PARAMETERS = """\
DATA = "atlas"  # where the spectra come from
SEED = 0  # draws
WIDTH = 1  # of something
NAME = "a"  # of something
"""
WORK = """\
from fmcnn_utils.numbers import Number, show
if WIDTH == 3:
    raise ValueError("too wide")
show(Number("accuracy", 0.9 + WIDTH / 100 + SEED / 1000), Number("time of a fit", WIDTH, unit="s"))
"""
WHOLE = """\
title: How wide?
notebook: toy
parameters:
  grid: {WIDTH: [1, 2]}
  zip: {NAME: [a, b], DATA: [atlas, atlas]}
repeats: 2
plot: {numbers: [accuracy], against: [WIDTH], cost: [time of a fit]}
"""


def write_toy(folder: Path, work: str = WORK) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# A toy\n\n*Does it play?*"),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(work),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebooks.KERNEL})
    path = folder / "sweeps" / "toy.ipynb"
    nbformat.write(notebook, path)
    notebooks.refresh(path, folder / "refreshed.ipynb")  # so that it has numbers to be known by


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a small notebook to sweep, and the summary notebook."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "sweeps").mkdir()
    shutil.copy(ROOT / "notebooks" / "sweeps" / "summary.ipynb", folder / "sweeps")
    (folder / "00-first.ipynb").write_text("{}", encoding="utf-8")
    write_toy(folder)
    return folder


@pytest.fixture
def project(toy, tmp_path, monkeypatch):
    """That folder in the place of the repository's notebooks; a folder to write into."""
    monkeypatch.setattr(notebooks, "NOTEBOOKS", toy)
    monkeypatch.setattr(commands, "BUILD", tmp_path / "build")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "wide.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_combinations_of_grid_and_zip_with_their_repeats(project):
    plan = sweep.read(write(project, WHOLE))
    assert len(plan.runs) == 8
    assert plan.runs[0] == {"WIDTH": 1, "NAME": "a", "DATA": "atlas", "SEED": 0}
    assert plan.runs[-1] == {"WIDTH": 2, "NAME": "b", "DATA": "atlas", "SEED": 1}
    assert (plan.name, plan.title, plan.against) == ("wide", "How wide?", ["WIDTH"])
    given = sweep.read(write(project, WHOLE), {"NAME": "c"})
    assert {run["NAME"] for run in given.runs} == {"c"}
    assert len(given.runs) == 4


def test_a_list_of_combinations(project):
    listed = "notebook: toy\nparameters: {list: [{WIDTH: 2}, {WIDTH: 1, NAME: b}, {WIDTH: 2}]}"
    plan = sweep.read(write(project, listed))
    assert plan.runs == [{"WIDTH": 2}, {"WIDTH": 1, "NAME": "b"}]
    assert (plan.title, plan.numbers) == ("A toy", ["accuracy"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("notebook: toy", "notebook: tot", "no notebook in .* starts with 'tot'; there are: .*toy"),
        ("WIDTH: [1, 2]", "WIDHT: [1, 2]", "WIDHT is not a parameter here; there are: .*WIDTH"),
        ("WIDTH: [1, 2]", "WIDTH: [1, 2.5]", "WIDTH = 2.5 is not of the type int"),
        ("WIDTH: [1, 2]", "WIDTH: []", "WIDTH has no list of values"),
        ("WIDTH: [1, 2]", "WIDTH: 2", "WIDTH has no list of values"),
        ("{WIDTH: [1, 2]}", "[1, 2]", "grid must hold parameters and their values"),
        ("DATA: [atlas, atlas]", "DATA: [atlas]", "lists of zip .* differ in length"),
        ("grid:", "gird:", "'gird' is not a key here: did you mean 'grid'"),
        ("title:", "titel:", "'titel' is not a key here: did you mean 'title'"),
        ("plot: {", "plot: {agianst: [WIDTH], ", "'agianst' is not a key"),
        ("[accuracy]", "[acuracy]", "'acuracy' is not a number of toy: did you mean 'accuracy'"),
        ("against: [WIDTH]", "against: [WIDTHS]", "'WIDTHS' is not a parameter of this sweep: did"),
        ("repeats: 2", "repeats: 0", "repeats = 0: give a whole number from 1"),
        ("WIDTH: [1, 2]", "SEED: [1, 2]", "SEED is among the parameters, and repeats would"),
        ("notebook: toy\n", "", "the key 'notebook' is missing"),
        ("repeats: 2", "repeats: [2", "line 7: this is not YAML"),
        (WHOLE, "- 1", "the file must have the keys title, notebook"),
        (WHOLE, "notebook: toy\nparameters: {}", "parameters holds no values"),
        (WHOLE, "notebook: toy\nparameters: {list: [1]}", "list must hold combinations"),
    ],
)
def test_refused_before_anything_runs(project, old, new, said):
    path = write(project, WHOLE.replace(old, new))
    with pytest.raises(UserError, match=said) as told:
        commands.main(["sweep", str(path)])
    assert str(told.value).startswith(str(path))
    assert "\n" not in str(told.value)
    assert not commands.BUILD.exists()


def test_a_sweep_keeps_what_ended_well_and_says_what_failed(project, capsys):
    arguments = ["sweep", "toy", "-p", "WIDTH", "1", "2", "3", "-p", "SEED", "0", "1"]
    assert commands.main(arguments) == 1
    folder = commands.BUILD / "sweep" / "toy"
    table = pd.read_csv(folder / "numbers.csv")
    assert "6 runs, 0 done, 6 to run" in capsys.readouterr().out
    columns = ["run", "SEED", "WIDTH", "number", "value", "unit", "minutes", "error"]
    assert list(table.columns) == columns
    accuracy = table.query("number == 'accuracy'").set_index(["WIDTH", "SEED"])["value"]
    assert accuracy.round(3).to_dict() == {
        (1, 0): 0.91, (1, 1): 0.911, (2, 0): 0.92, (2, 1): 0.921
    }  # fmt: skip
    failed = table[table["error"].notna()]
    assert failed["WIDTH"].tolist() == [3, 3]
    place = r"toy.ipynb failed in cell In \[3\], `from fmcnn_utils"
    assert failed["error"].str.contains(place).all()
    assert failed["error"].str.endswith("ValueError: too wide").all()
    found = sweep.load(folder)
    assert found.best().iloc[0].to_dict() == {
        "WIDTH": 2, "mean": 0.9205, "std": 0.0007, "runs": 2
    }  # fmt: skip
    page = folder / "pages" / "notebooks" / "summary.html"
    text = page.read_text(encoding="utf-8")
    assert "too wide" in text
    linked = [path.stem for path in folder.glob("run-*.ipynb")]
    assert len(linked) == 6
    assert all((page.parent / f"{stem}.html").exists() for stem in linked)
    assert all(f'href="{stem}.html"' in text for stem in linked)
    # again: only what had failed is run
    good = [path for path in folder.glob("run-*.ipynb") if "failed" not in path.name]
    before = {path: path.stat().st_mtime_ns for path in good}
    assert commands.main(arguments) == 1
    assert "6 runs, 4 done, 2 to run" in capsys.readouterr().out
    assert all(
        path.stat().st_mtime_ns == then
        for path, then in before.items()
        if "failed" not in path.name
    )


def test_what_changed_is_run_again(project, capsys):
    before = dict(os.environ)
    plan = sweep.build("toy", [{"WIDTH": 1}])
    for changed, said in ((False, "1 to run"), (False, "0 to run"), (True, "1 to run")):
        if changed:
            write_toy(notebooks.NOTEBOOKS, WORK + "# another word\n")
        sweep.run(plan, project / "out", n_jobs=1)
        assert said in capsys.readouterr().out
    assert dict(os.environ) == before
    write_toy(notebooks.NOTEBOOKS)


def test_kill_9_loses_only_the_runs_in_flight(project, capsys):
    slow = "import time\ntime.sleep(0.5)\n" + WORK
    write_toy(notebooks.NOTEBOOKS, slow)
    script = (
        "import sys; from pathlib import Path; from fmcnn_utils import notebooks, sweep\n"
        "if __name__ == '__main__':\n"
        "    notebooks.NOTEBOOKS = Path(sys.argv[1])\n"
        "    plan = sweep.build('toy', [{'SEED': seed} for seed in range(12)])\n"
        "    sweep.run(plan, Path(sys.argv[2]))\n"
    )
    folder = project / "out"
    (project / "start.py").write_text(script, encoding="utf-8")
    command = [sys.executable, project / "start.py", notebooks.NOTEBOOKS, folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("run-*.ipynb"))) < 4 and time.monotonic() < deadline:
        assert started.poll() is None
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("run-*.ipynb")}
    assert 4 <= len(done) < 12
    assert len(pd.read_csv(folder / "numbers.csv")) >= 2 * (len(done) - 1)
    table = sweep.run(sweep.build("toy", [{"SEED": seed} for seed in range(12)]), folder)
    assert f"12 runs, {len(done)} done, {12 - len(done)} to run" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert table.query("number == 'accuracy'")["SEED"].tolist() == list(range(12))
    write_toy(notebooks.NOTEBOOKS)


@pytest.mark.drill
def test_a_dask_cluster_gives_the_same_numbers(project):
    from distributed import LocalCluster

    plan = sweep.build("toy", [{"SEED": seed} for seed in range(4)])
    here = sweep.run(plan, project / "here")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        there = sweep.run(plan, project / "there", scheduler=cluster.scheduler_address)
    pd.testing.assert_frame_equal(here.drop(columns="minutes"), there.drop(columns="minutes"))


@pytest.mark.filterwarnings("error")
def test_a_measured_number_is_drawn_as_a_line_for_each_model_and_a_panel_for_each_split():
    found = sweep.load("learning")
    fig = plots.sweep(found.table, "accuracy", found.about["against"], found.parameters)
    assert [ax.get_title() for ax in fig.axes] == ["SPLIT = random", "SPLIT = specimen"]
    texts = [text.get_text() for text in fig.legends[0].get_texts()]
    assert texts == ["FMCNN", "SVM tuned", "KNN tuned", "RF tuned", "LDA tuned"]
