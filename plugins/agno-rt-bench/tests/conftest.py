"""The fixtures of the command line's own tests: the real `agno-rt` in a folder of its own."""

from __future__ import annotations

from tests.cli.conftest import agno, distribution, environment, project, started, terminal

__all__ = ["agno", "distribution", "environment", "project", "started", "terminal"]
