"""The pages, as they are built from the committed notebooks and from a small one."""

import re
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from test_run import write

from fmcnn_utils import notebooks, numbers

ALTS = ["One <spectrum> & its bands, drawn in blue", 'The "best" model of all, drawn in grey']
PIXEL = (  # a PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg"
    "GAWjR9awAAAABJRU5ErkJggg=="
)
TEXT = """\
Slope $a_1 * b_2 < 3$, see [two](02_architecture.ipynb) and [data](../data/README.md#the-manifest),
but [tables](../results/rruff) have no page.

$$f(x) = \\frac{x_i}{2}$$

## The answer

It is so, see [here](02_architecture.ipynb).

Or not.
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the pages, and what Sphinx said."""
    folder, said = tmp_path_factory.mktemp("site"), []
    small = write(folder / "99_small.ipynb", "a = 1", "b = 2")
    notebook = nbformat.read(small, as_version=4)
    shows, hides = notebook.cells[2:]
    hides.metadata.tags = ["hide-input"]
    for alt in ALTS:
        data, about = {"image/png": PIXEL, "application/x-odd": "1"}, {"image/png": {"alt": alt}}
        shows.outputs.append(nbformat.v4.new_output("display_data", data, metadata=about))
    kept = '[{"name": "accuracy", "value": 0.905, "low": 0.89, "high": 0.95}]'
    data = {numbers.MIME: kept, "text/plain": "a table"}
    hides.outputs.append(nbformat.v4.new_output("display_data", data))
    notebook.cells.append(nbformat.v4.new_markdown_cell(TEXT))
    nbformat.write(notebook, small)

    def run(*command, sphinx=subprocess.run, **how):
        said.append(sphinx(*command, **how, capture_output=True, text=True).stderr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks.subprocess, "run", run)
        index = notebooks.make_pages(
            folder, [*notebooks.find(), small], "Spectra: some.", {small.stem: 2}
        )
    return index.parent, said


@pytest.fixture(scope="module")
def pages(built):
    """Path → HTML of each page."""
    paths = [path for path in built[0].rglob("*.html") if "_static" not in path.parts]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def test_sphinx_warns_of_nothing(built):
    assert built[1] == [""]


def test_nothing_comes_from_the_network_and_links_lead_somewhere(built, pages):
    for path, text in pages.items():
        for tag, url in re.findall(r'<(\w+)\b[^>]*?\s(?:href|src)="([^"]*)"', text):
            if re.match(r"https?:|//|mailto:", url):
                assert tag == "a", f"{path.name} needs {url}"
                continue
            name, _, place = unquote(unescape(url)).partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            assert target.exists(), f"{path.name}: {url}"
            if place and target in pages:
                assert f'id="{place}"' in pages[target], f"{path.name}: {url}"
    for sheet in (built[0] / "_static").rglob("*.css"):
        assert not re.search(r"(url\(|@import )\W?(https?:|//)", sheet.read_text(encoding="utf-8"))


def test_every_figure_keeps_its_alt_text(built, pages):
    for path in [*notebooks.find(), built[0] / "99_small.ipynb"]:
        outputs = [output for cell in notebooks.code_cells(path) for output in cell.outputs]
        figures = [output for output in outputs if "image/png" in output.get("data", {})]
        page = pages[built[0] / "notebooks" / f"{path.stem}.html"]
        shown = re.findall(r'<img alt="([^"]*)" src="\.\./_images/', page)
        assert [unescape(alt) for alt in shown] == [f.metadata["image/png"].alt for f in figures]


def test_formulas_folded_code_and_links_of_a_notebook(built, pages):
    page = pages[built[0] / "notebooks" / "99_small.html"]
    assert r"\(a_1 * b_2 &lt; 3\)</span>" in page
    assert r"\[f(x) = \frac{x_i}{2}\]" in page
    assert 'src="../_static/tex-svg-full.js' in page
    assert re.search(r'<details class="[^"]*hide.*?Show the code.*?b</span>', page, re.DOTALL)
    assert page.count("<details") == 1
    assert 'href="02_architecture.html"' in page
    assert 'href="../data/README.html#the-manifest"' in page
    assert "results/rruff" not in page


def test_a_table_in_an_output_is_a_table(built, pages):
    page = pages[built[0] / "notebooks" / "00_start_here.html"]
    assert "<td><p>3,696 of 222</p></td>" in page
    assert "| ---" not in page and "<p>|" not in page


def test_index_has_claims_questions_answers_and_numbers(pages, built):
    index = re.sub(r"\s+", " ", pages[built[0] / "index.html"])
    for part in (
        "Spectra: some.",
        "0.988 in 10 × 10-fold cross-validation",
        '<a class="reference internal" href="notebooks/99_small.html">',
        "Is it so &amp; how?",
        'It is so, see <a class="reference internal" href="notebooks/02_architecture.html">',
        "It took 2.0 minutes.",
        "<td><p>0.905</p></td> <td><p>0.890 to 0.950</p></td>",
    ):
        assert part in index, part
    assert "Or not." not in index


def test_every_part_of_the_facade_is_on_the_page_of_the_package(built, pages):
    page = pages[built[0] / "docs" / "api.html"]
    for name in ("data.load", "models.FMCNNClassifier", "models.fmcnn.train", "explain.attribute"):
        assert f'id="fmcnn_utils.{name}"' in page
    assert Path(built[0] / "searchindex.js").stat().st_size > 10_000
