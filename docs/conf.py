"""Settings of Sphinx, which builds these pages: `make docs`."""

from importlib.metadata import version as version_of

project = "trajopt_sgp"
author = "trajopt_sgp contributors"
copyright = "trajopt_sgp contributors"
release = version = version_of("trajopt_sgp")

extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = "trajopt_sgp"
html_copy_source = False
