"""The committed notebooks are whole, and nbval notices what it should.

That their outputs are reproduced is nbval's part: ``pytest --nbval`` on the folder ``notebooks``.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fmcnn_utils import notebooks, parameters

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
PATHS = [path for path in PATHS if ".ipynb_checkpoints" not in path.parts]

MACHINE_PATH = re.compile(r"/(?:root|home|work|tmp|Users|opt|usr)/|\b[A-Z]:\\\\|site-packages")

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_the_five_notebooks():
    assert {"01", "02", "03", "04", "05"} <= {path.name[:2] for path in notebooks.find()}


@each_notebook
def test_every_code_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "refresh it: make notebooks"


@each_notebook
def test_no_errors_and_no_warnings_in_the_outputs(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


@each_notebook
def test_one_parameters_cell_in_which_each_line_is_read(path):
    found = parameters.of_notebook(path)
    assert {"DATA", "PROFILE", "SEED"} <= set(found)
    for parameter in found.values():
        assert parameter.comment, f"{parameter.name} has no comment"
        # The default is a value that the notebook itself would accept.
        value = parameter.default
        text = value if isinstance(value, str) else repr(value)
        assert parameter.read(text) == value
    (cell,) = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(ast.parse(cell.source).body) == len(found)


@each_notebook
def test_small_and_the_same_on_every_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    notebook = json.loads(text)
    assert notebook["metadata"] == {
        "kernelspec": notebooks.KERNEL,
        "language_info": {"name": "python"},
    }, "refresh it: make notebooks"
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)  # base64 may spell anything
    found = MACHINE_PATH.search(json.dumps(notebook["cells"], ensure_ascii=False))
    assert not found, f"a path of some machine: {found.group()}"


@each_notebook
def test_every_figure_has_alt_text(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt) > 20, f"a figure without alt text, from: {cell.source[:200]}"


@each_notebook
def test_opens_with_its_title_and_question(path):
    title, question = notebooks.title_and_question(path)
    assert title
    assert question.endswith("?")


def test_of_a_widget_only_its_text_is_kept():
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "menus"}
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data)])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    kept = notebooks._without_widgets(notebook)
    assert kept.metadata == {}
    assert kept.cells[0].outputs[0].data == {"text/plain": "menus"}


#: A change, and what nbval says of a notebook with it.
CHANGES = {
    "nothing": ("", "", "PASSED"),
    "a number printed wrong": ("3684 spectra", "3683 spectra", "FAILED"),
    "a claim with other digits": ("≈0.901,", "≈0.902,", "PASSED"),
    "a claim with another band": ("0.850–", "0.860–", "FAILED"),
    "a claim that leaves its band": ("0.901", "0.801", "FAILED"),
    "a sentence with other digits": ("≈-1.5e-03", "≈2", "PASSED"),
}


@pytest.fixture(scope="module")
def nbval_outcomes(tmp_path_factory):
    """What nbval says of a notebook with each of the ``CHANGES``, made once."""
    folder = tmp_path_factory.mktemp("nbval")
    work = (
        "from fmcnn_utils.claims import check\n"
        "print(3684, 'spectra')\n"
        "check('accuracy', 0.901, 0.85, 0.95)\n"
        "print('difference ≈-1.5e-03 in ≈1,234.5 of ≈12%')"
    )
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": notebooks.KERNEL}, cells=[nbformat.v4.new_code_cell(work)]
    )
    nbformat.write(notebook, folder / "plain.ipynb")
    notebooks.refresh(folder / "plain.ipynb", tmp_path_factory.mktemp("run") / "plain.ipynb")
    plain = (folder / "plain.ipynb").read_text(encoding="utf-8")
    (folder / "plain.ipynb").unlink()
    for change, (old, new, _) in CHANGES.items():
        changed = nbformat.reads(plain, as_version=4)
        (cell,) = changed.cells
        if change.endswith("leaves its band"):  # as on a machine that trained to another number
            cell.source = cell.source.replace(old, new)
        else:
            cell.outputs[0].text = cell.outputs[0].text.replace(old, new)
        assert not old or nbformat.writes(changed) != plain.rstrip()
        nbformat.write(changed, folder / f"{change}.ipynb")
    sanitizer = f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"
    options = ["-p", "no:cacheprovider", "--rootdir=.", "-rA", "--nbval", "--nbval-current-env"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, sanitizer, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    lines = re.findall(r"^(PASSED|FAILED) \W*(.+?)\.ipynb::", done.stdout, re.MULTILINE)
    return {name: outcome for outcome, name in lines}


@pytest.mark.parametrize("change", CHANGES)
def test_nbval_sees(change, nbval_outcomes):
    assert nbval_outcomes[change] == CHANGES[change][-1]
