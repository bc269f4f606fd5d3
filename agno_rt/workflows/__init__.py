"""Workflows: in code, from `@workflow` and `@step`, and declared, as a `Workflow` of nodes."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded on demand: a program with agents alone needs no nodes.
__getattr__, __dir__ = lazy_names(__name__, __file__)
