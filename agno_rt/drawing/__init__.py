"""Pictures of runnables and of stored runs: a `Drawing` becomes SVG, Mermaid text, or rows of a timeline. Pure."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded on demand: only who draws needs the names.
__getattr__, __dir__ = lazy_names(__name__, __file__)
