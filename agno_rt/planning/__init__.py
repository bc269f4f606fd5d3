"""Toolkits for planning: `Todo`, a list of things to do."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: few agents plan.
__getattr__, __dir__ = lazy_names(__name__, __file__)
