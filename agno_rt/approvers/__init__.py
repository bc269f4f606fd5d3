"""Hooks that approve calls in a person's place: a model for low risks, and rules written beforehand."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: few agents have approvers.
__getattr__, __dir__ = lazy_names(__name__, __file__)
