"""Tools for tests of agents and plugins. Fixtures and markers are a pytest plugin; see the page on testing."""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded on demand: pytest imports this package before coverage can watch it.
__getattr__, __dir__ = lazy_names(__name__, __file__)
