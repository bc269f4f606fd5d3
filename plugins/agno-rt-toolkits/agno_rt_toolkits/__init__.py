"""The plugin `toolkits`: a calculator and a clock, which need neither a network nor a key.

Imports nothing slow: the code comes with the first toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.tools import Toolkit

__all__ = ["agno_rt_register_tools", "make_calculator", "make_time"]


def make_calculator(rest: str = "", settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit `calculator`. `rest` is empty, and no setting concerns the calculator.

    Raises `UsageError` for another `rest`, and `ConfigError` for the settings.
    """
    from agno_rt_toolkits.calculator import calculator_tools
    from agno_rt_toolkits.settings import read_toolkit_settings

    read_toolkit_settings(settings or {})
    _check_rest("calculator", rest)
    return calculator_tools()


def make_time(rest: str = "", settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit `time`, for the zone in `rest`, else of the settings: `make_time("Europe/Berlin")`.

    Raises `UsageError` for an unknown zone, and `ConfigError` for the settings.
    """
    from agno_rt_toolkits.settings import read_toolkit_settings
    from agno_rt_toolkits.time import time_tools

    read = read_toolkit_settings(settings or {})
    return time_tools(rest or read.zone)


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `toolkits:calculator` and `toolkits:time`."""
    register("calculator", make_calculator, help="Add, subtract, multiply, divide and calculate, exactly.")
    register("time", make_time, help="The time in any zone, conversions and durations: toolkits:time:Europe/Berlin.")


def _check_rest(name: str, rest: str) -> None:
    from agno_rt.errors import UsageError

    if rest:
        raise UsageError(f"toolkits:{name} has the rest {rest[:100]!r}", hint=f"Write toolkits:{name}.")
