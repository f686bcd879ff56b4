"""Configuration of the documentation site: ``python -m sphinx -W docs site``."""

import os
import pathlib
import re
import subprocess
import sys

import dg_jax

HERE = pathlib.Path(__file__).parent
PROGRAMS = ("dg_jax.run", "dg_jax.predict", "experiments.table1", "experiments.finetune", "experiments.spirals")

# Pages that are files of the repository outside this folder, which has a line in their place.
ELSEWHERE = {
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "reliability": "RELIABILITY.md",
    "benchmarks": "experiments/benchmark/README.md",
}

project = "dg_jax"
author = "The dg_jax authors"
copyright = "2026, the dg_jax authors"
version = release = dg_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
]
root_doc = "index"
exclude_patterns = ["README.md", "_generated"]
templates_path: list[str] = []
html_theme = "sphinx_book_theme"
html_title = "dg_jax"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what arguments are, with shapes
napoleon_use_rtype = False
napoleon_use_ivar = True
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}  # nothing is fetched while the site is built
nitpicky = False


def write_help(app) -> None:
    """Writes what the programs say of their flags, for the pages that include it."""
    del app
    folder = HERE / "_generated"
    folder.mkdir(exist_ok=True)
    surroundings = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(HERE.parent)}
    for name in PROGRAMS:
        command = [sys.executable, "-m", name, "--help"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings, cwd=HERE.parent)
        (folder / f"{name}.txt").write_text(done.stdout)


def read_elsewhere(app, page: str, source: list[str]) -> None:
    """Fetches what lies outside this folder, and leads links there to the page or the file."""
    del app
    if page in ELSEWHERE:
        path = HERE.parent / ELSEWHERE[page]
        folder = os.path.relpath(path.parent, HERE)
        source[0] = _with_links(path.read_text(), lambda link: os.path.normpath(f"{folder}/{link}"))
    pages = {f"../{path}": f"{name}.md" for name, path in ELSEWHERE.items()}
    source[0] = _with_links(source[0], lambda link: pages.get(link, link))
    # Any other file of the repository is handed out as it is.
    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#:]+\.(?:md|json|csv|tex))\)", r"{download}`\1 <\2>`", source[0])


def _with_links(text: str, change) -> str:
    """Changes the files, not the places in them, that Markdown links to."""
    return re.sub(r"\]\(([^)#:\s]+)((?:#[^)]*)?)\)", lambda found: f"]({change(found[1])}{found[2]})", text)


def setup(app) -> None:
    app.connect("builder-inited", write_help)
    app.connect("source-read", read_elsewhere)
