"""Sphinx configuration."""

import sys
from pathlib import Path

import retrodict


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "retrodict"
author = "the retrodict developers"
copyright = "the retrodict developers"
release = getattr(retrodict, "__version__", "")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "reference_pages",
]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = "retrodict"
html_show_sphinx = False
