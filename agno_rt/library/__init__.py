"""Knowledge at work: documents are added, searched, embedded in the background, and offered to agents."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: most runtimes have no knowledge.
__getattr__, __dir__ = lazy_names(__name__, __file__)
