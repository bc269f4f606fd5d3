"""The configuration of Sphinx for these pages. `make docs` builds them with warnings as errors."""

import sys
from importlib.metadata import metadata
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "agno_rt"
author = "the agno_rt developers"
project_copyright = "2026, the agno_rt developers"
release = version = version_of("agno-rt")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages"]
exclude_patterns = ["_build"]
smartquotes = False  # curly quotes would break copied code

html_theme = "furo"
html_title = f"agno_rt {release}"
# The repository has an address only if the distribution was built for an index.
_urls = dict(line.split(", ", 1) for line in metadata("agno-rt").get_all("Project-URL") or [])
if "Source" in _urls:
    html_theme_options = {
        "source_repository": _urls["Source"],
        "source_branch": "main",
        "source_directory": "docs/",
    }
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False

napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has the types
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
nitpick_ignore_regex = [("py:.*", r".*")]  # signatures name types of other projects, and private ones
# Two modules may have a class with the same name. Sphinx then warns, and links one of the two.
suppress_warnings = ["ref.python"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
