"""The committed notebooks are whole, and nbval notices what it should.

That their outputs are reproduced is nbval's part: ``pytest --nbval`` on the folder ``notebooks``.
"""

import ast
import json
import re
import subprocess
import sys

import nbformat
import pytest

from fmcnn_utils import notebooks
from fmcnn_utils.results import ROOT

PATHS = [p for p in sorted((ROOT / "notebooks").rglob("*.ipynb")) if "exercises" not in p.parts]
PATHS = [path for path in PATHS if ".ipynb_checkpoints" not in path.parts]

MACHINE_PATH = re.compile(r"/(?:root|home|work|tmp|Users|opt|usr)/|\b[A-Z]:\\\\|site-packages")

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@each_notebook
def test_executed_in_order_without_errors_and_warnings(path):
    cells = code_cells(path)
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(counts) + 1)), "refresh it: make notebooks"
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output.text


@each_notebook
def test_papermill_reads_each_line_of_the_parameters_cell(path):
    (cell,) = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    lines = ast.parse(cell.source).body
    written = {line.targets[0].id: ast.literal_eval(line.value) for line in lines}
    assert notebooks.parameters(path) == written
    assert {"DATA", "PROFILE", "SEED"} <= set(written)
    assert all(cell.source.splitlines()[line.end_lineno - 1].count("  # ") for line in lines)


@each_notebook
def test_small_and_the_same_on_every_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    notebook = json.loads(text)
    kept = {"kernelspec": notebooks.KERNEL, "language_info": {"name": "python"}}
    assert notebook["metadata"] == kept, "refresh it: make notebooks"
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)  # base64 may spell anything
    found = MACHINE_PATH.search(json.dumps(notebook["cells"], ensure_ascii=False))
    assert not found, f"a path of some machine: {found.group()}"


@each_notebook
def test_every_figure_has_alt_text_and_a_numbered_caption(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    found = [i for i, output in enumerate(outputs) if "image/png" in output.get("data", {})]
    for number, i in enumerate(found, start=1):
        alt = outputs[i].metadata["image/png"]["alt"]
        assert len(alt) > 60
        caption = outputs[i + 1].data["text/plain"]
        of_notebook = f"{int(path.name[:2])}." if path.name[0].isdigit() else ""
        assert caption == f"Figure {of_notebook}{number}. {alt}"


@each_notebook
def test_code_that_is_not_folded_comes_in_short_cells(path):
    for cell in code_cells(path):
        if not {"hide-input", "parameters"} & set(cell.metadata.get("tags", [])):
            assert len(cell.source.splitlines()) <= 12, cell.source


@each_notebook
def test_opens_with_its_title_and_question(path):
    title, question = notebooks.title_and_question(path)
    assert title
    assert question.endswith("?")


def test_of_a_widget_only_its_text_is_kept():
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "menus"}
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data)])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    kept = notebooks.without_widgets(notebook)
    assert kept.metadata == {}
    assert kept.cells[0].outputs[0].data == {"text/plain": "menus"}


#: A change, and what nbval says of a notebook with it.
CHANGES = {
    "nothing": ("", "", "PASSED"),
    "a number printed wrong": ("3684 spectra", "3683 spectra", "FAILED"),
    "a number with other digits": ("≈0.901", "≈0.902", "PASSED"),
    "the kept number with other digits": ("0.90125", "0.90225", "PASSED"),
    "a number with another range": ("0.850 to", "0.860 to", "FAILED"),
    "a sentence with other digits": ("≈-1.5e-03", "≈2", "PASSED"),
}


def test_nbval_notices_a_wrong_number_but_not_digits_of_training(tmp_path):
    work = (
        "from fmcnn_utils import numbers\n"
        "print(3684, 'spectra')\n"
        "numbers.show(numbers.Number('accuracy', 0.90125, 0.85, 0.95))\n"
        "print('difference ≈-1.5e-03 in ≈1,234.5 of ≈12%')"
    )
    cells = [nbformat.v4.new_code_cell(work)]
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": notebooks.KERNEL}, cells=cells)
    nbformat.write(notebook, tmp_path / "nothing.ipynb")
    notebooks.refresh(tmp_path / "nothing.ipynb", tmp_path / "run" / "nothing.ipynb")
    plain = nbformat.read(tmp_path / "nothing.ipynb", as_version=4)
    written = nbformat.writes(plain)
    for change, (old, new, _) in CHANGES.items():
        first, outputs = written.split('"outputs"')
        changed = f'{first}"outputs"{outputs.replace(old, new)}'
        (tmp_path / f"{change}.ipynb").write_text(changed, encoding="utf-8")
    sanitizer = f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"
    options = ["-p", "no:cacheprovider", "--rootdir=.", "-rA", "--nbval", "--nbval-current-env"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, sanitizer, *tmp_path.glob("*.ipynb")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    lines = re.findall(r"^(PASSED|FAILED) \W*(.+?)\.ipynb::", done.stdout, re.MULTILINE)
    outcomes = {name: outcome for outcome, name in lines}
    assert outcomes == {change: outcome for change, (*_, outcome) in CHANGES.items()}


def papermill(path, output, *options):
    """As on the command line, in the folder of the repository."""
    command = [sys.executable, "-m", "papermill", path, output, "--no-progress-bar", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@each_notebook
def test_papermill_takes_parameters_on_its_command_line(path, tmp_path):
    done = papermill(path, tmp_path / "out.ipynb", "-p", "SEED", "3", "--prepare-only")
    assert done.returncode == 0, done.stderr
    cells = code_cells(tmp_path / "out.ipynb")
    (given,) = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert "SEED = 3" in given.source


@pytest.mark.drill
@each_notebook
def test_papermill_runs_it_with_another_seed_from_a_file(path, tmp_path):
    (tmp_path / "values.yaml").write_text("SEED: 3\n", encoding="utf-8")
    done = papermill(path, tmp_path / "out.ipynb", "-f", tmp_path / "values.yaml")
    assert done.returncode == 0, done.stderr
