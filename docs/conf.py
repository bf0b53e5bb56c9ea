"""How Sphinx makes the pages; ``fmcnn_utils.notebooks`` gathers what they are made of."""

from importlib.util import find_spec
from pathlib import Path

from docutils.nodes import container, image
from sphinx.addnodes import pending_xref

ROOT = Path(__file__).resolve().parents[1]
#: Formulas as SVG need no fonts, which browsers may refuse to read from files. Of the package's 20
#: MB this one file is enough.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg-full.js"

project = html_title = "FMCNN companion"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
mathjax_path = MATHJAX.name
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # else tables in outputs stay text
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_mock_imports = ["keras", "tensorflow"]  # they take long to start
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "search_bar_text": "Search",
    "footer_content_items": [],
}
html_static_path = ["static", str(MATHJAX)]
html_css_files = ["pages.css"]
html_context = {"default_mode": "light"}
html_use_index = html_domain_indices = False
html_copy_source = html_show_sphinx = html_show_copyright = False


def alt_texts(app, doctree) -> None:
    """Figures get the alt texts of their outputs, which myst-nb leaves out."""
    for cell in doctree.findall(container):
        texts = cell.get("cell_metadata", {}).get("alt", [])
        for figure, text in zip(cell.findall(image), texts, strict=False):
            figure["alt"] = text


def unlink(app, doctree) -> None:
    """A link to a file of the repository that has no page here becomes its text."""
    folder = (ROOT / app.env.docname).parent
    for link in list(doctree.findall(pending_xref)):
        target = link["reftarget"].partition("#")[0]
        if link["reftype"] == "myst" and not link["refdomain"] and (folder / target).exists():
            link.replace_self(link.children)


def setup(app) -> None:
    """Let Sphinx call these."""
    app.connect("doctree-read", alt_texts)
    app.connect("doctree-read", unlink)
