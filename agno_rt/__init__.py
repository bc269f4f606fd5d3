"""agno_rt: a small agent runtime. Agents are plain values; models, tools and memory are plugins; trio runs it all."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: `agno-rt --version` and `--help` need no trio. `__init__.pyi` lists the names.
__getattr__, __dir__ = lazy_names(__name__, __file__)
