"""Values and protocols of knowledge: documents, stores, embedders, rerankers. Knows no plugin and no runtime."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: a store needs no reader.
__getattr__, __dir__ = lazy_names(__name__, __file__)
