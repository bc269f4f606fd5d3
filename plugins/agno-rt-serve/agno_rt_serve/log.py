"""The log of the server: structlog's, which is loaded with the first line."""

from __future__ import annotations

from typing import Any

__all__ = ["logger"]


def logger() -> Any:
    """Return the logger."""
    import structlog  # it costs start-up time

    return structlog.get_logger("agno_rt.serve")
