"""The upkeep of memory backends: migrations, copies, sizes. A face of the modules within."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded on demand: only the tools that keep a store need the names.
__getattr__, __dir__ = lazy_names(__name__, __file__)
