"""How Sphinx builds these pages. `make docs` runs it with warnings as errors."""

project = "agno_rt"
author = "the agno_rt authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
napoleon_use_ivar = True
html_theme = "furo"
html_title = "agno_rt"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
nitpick_ignore_regex = [("py:.*", r".*")]  # signatures name types of other projects, and private ones
myst_heading_anchors = 3
