"""The modes of teams that ship: `Team([researcher, critic], Leader(editor))`. Each is a value with few settings."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded when first asked for: a team needs only its own mode.
__getattr__, __dir__ = lazy_names(__name__, __file__)
