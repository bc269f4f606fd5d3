"""The plugin `codemode`: a tool for programs of the model, which call the other tools.

`codemode` is the toolkit of a file; `code_mode([...])` also describes the functions. Imports nothing slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.errors import UsageError
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.tools import Tool, Toolkit

__all__ = ["agno_rt_register_tools", "code_mode"]


def code_mode(tools: Sequence[Tool | Callable[..., Any]] = (), settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make a toolkit of the tools and of `run_code`, whose description has the tools as typed functions.

    Programs may call the agent's other tools, too. `settings` are as in `[plugins.codemode]`. Raises `ConfigError`.
    """
    from agno_rt.config import read_settings
    from agno_rt_codemode.settings import CodeSettings
    from agno_rt_codemode.toolkit import make_toolkit

    return make_toolkit(tools, read_settings(CodeSettings, settings or {}, "[plugins.codemode]"))


def _make_from_spec(rest: str, settings: Mapping[str, Any]) -> Toolkit:
    if rest:
        raise UsageError(f"'codemode:{rest}' is not known", hint="Write codemode.")
    return code_mode((), settings)


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `codemode`."""
    register("codemode", _make_from_spec, help="A tool that runs a program in a sandbox; it calls the other tools.")
