"""Settings of Sphinx, which builds these pages: `make docs`."""

import re
from importlib.metadata import version as version_of
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

project = "trajopt_sgp"
author = "trajopt_sgp contributors"
copyright = "trajopt_sgp contributors"
release = version = version_of("trajopt_sgp")

extensions = ["myst_parser", "sphinx.ext.mathjax", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # names in docstrings are for readers; links between pages are checked

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes and units

html_theme = "furo"
html_title = "trajopt_sgp"
html_copy_source = False

# what reStructuredText must not read: code between backquotes, and indented blocks such as formulas
_AS_IT_IS = re.compile(r"(`+[^`]+`+|(?<=\n\n)(?:    .*\n)+)")


def read_docstring(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Turn plain text with backquotes, and sections such as Args and Raises, into reStructuredText."""
    parts = _AS_IT_IS.split("\n".join(lines))
    parts[::2] = [re.sub(r"([|_\\]|\*(?! ))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f"``{part.strip('`')}``" if part[0] == "`" else f"::\n\n{part}" for part in parts[1::2]]
    lines[:] = "".join(parts).split("\n")
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines, Config(napoleon_use_rtype=False)).lines()


def leave_out(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: Any) -> bool:
    """Leave out what comes from other packages."""
    return skip or not str(getattr(obj, "__module__", "trajopt_sgp")).startswith("trajopt_sgp")


def setup(app: Sphinx) -> None:
    """Let autodoc read docstrings as they are written here."""
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-skip-member", leave_out)
