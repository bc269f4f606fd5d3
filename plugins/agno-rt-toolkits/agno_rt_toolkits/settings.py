"""The settings of the toolkits: the table `[plugins.toolkits]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from agno_rt.config import read_settings

__all__ = ["ToolkitSettings", "read_toolkit_settings"]


@attrs.frozen
class ToolkitSettings:
    """The settings of the toolkits.

    Attributes:
        zone: the time zone of the toolkit `time`, for times without a zone
    """

    zone: str = "UTC"


def read_toolkit_settings(settings: Mapping[str, Any]) -> ToolkitSettings:
    """Make the settings from a table. Raises `ConfigError`."""
    return read_settings(ToolkitSettings, settings, "[plugins.toolkits]")
