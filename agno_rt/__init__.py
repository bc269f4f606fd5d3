"""agno_rt: a small agent runtime. Agents are plain values; models, tools and memory are plugins; trio runs it all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agno_rt._limiter import Limiter as Limiter
    from agno_rt.agent import Agent as Agent
    from agno_rt.errors import AgnoError as AgnoError
    from agno_rt.events import Event as Event
    from agno_rt.hookspecs import hookimpl as hookimpl
    from agno_rt.limits import Limits as Limits
    from agno_rt.messages import Message as Message
    from agno_rt.messages import ToolCall as ToolCall
    from agno_rt.messages import Usage as Usage
    from agno_rt.models import Emit as Emit
    from agno_rt.models import Model as Model
    from agno_rt.models import ModelRequest as ModelRequest
    from agno_rt.models import ModelResponse as ModelResponse
    from agno_rt.models import ModelSettings as ModelSettings
    from agno_rt.runs import Run as Run
    from agno_rt.runs import RunResult as RunResult
    from agno_rt.runs import RunStream as RunStream
    from agno_rt.runtime import Runtime as Runtime
    from agno_rt.runtime import run as run
    from agno_rt.tools import Tool as Tool
    from agno_rt.tools import Toolkit as Toolkit
    from agno_rt.tools import tool as tool

__all__ = [
    "Agent",
    "AgnoError",
    "Emit",
    "Event",
    "Limiter",
    "Limits",
    "Message",
    "Model",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "Run",
    "RunResult",
    "RunStream",
    "Runtime",
    "Tool",
    "ToolCall",
    "Toolkit",
    "Usage",
    "hookimpl",
    "run",
    "tool",
]

_HOMES = {
    "_limiter": ("Limiter",),
    "agent": ("Agent",),
    "errors": ("AgnoError",),
    "events": ("Event",),
    "hookspecs": ("hookimpl",),
    "limits": ("Limits",),
    "messages": ("Message", "ToolCall", "Usage"),
    "models": ("Emit", "Model", "ModelRequest", "ModelResponse", "ModelSettings"),
    "runs": ("Run", "RunResult", "RunStream"),
    "runtime": ("Runtime", "run"),
    "tools": ("Tool", "Toolkit", "tool"),
}
"""Where each public name lives. Loaded when first asked for: `agno-rt --version` and `--help` need no trio."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}
_SUBMODULES = {*_HOMES, "chat_format", "config", "memory", "plugins", "project", "testing"} - {"_limiter"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = getattr(importlib.import_module(f"agno_rt.{_MODULES[name]}"), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"agno_rt.{name}")
    else:
        raise AttributeError(f"module 'agno_rt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
