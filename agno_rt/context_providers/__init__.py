"""The context providers that ship for `MemoryPolicy(context=[...])`: past sessions, notes, AGENTS.md, skills."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: an agent needs only its own providers.
__getattr__, __dir__ = lazy_names(__name__, __file__)
