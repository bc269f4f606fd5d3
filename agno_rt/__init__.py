"""agno_rt: a small agent runtime. Agents are plain values; models, tools and memory are plugins; trio runs it all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agno_rt._limiter import Limiter as Limiter
    from agno_rt.agent import Agent as Agent
    from agno_rt.cache import Cache as Cache
    from agno_rt.context import Deps as Deps
    from agno_rt.context import FromUser as FromUser
    from agno_rt.context import RunContext as RunContext
    from agno_rt.context import State as State
    from agno_rt.errors import AgnoError as AgnoError
    from agno_rt.events import Event as Event
    from agno_rt.fallback import Fallback as Fallback
    from agno_rt.fallback import Hedge as Hedge
    from agno_rt.hooks import Guard as Guard
    from agno_rt.hooks import Guardrail as Guardrail
    from agno_rt.hooks import Hook as Hook
    from agno_rt.hooks import Verdict as Verdict
    from agno_rt.hookspecs import hookimpl as hookimpl
    from agno_rt.instructions import Template as Template
    from agno_rt.limits import Limits as Limits
    from agno_rt.memory import MemoryPolicy as MemoryPolicy
    from agno_rt.messages import Media as Media
    from agno_rt.messages import Message as Message
    from agno_rt.messages import ToolCall as ToolCall
    from agno_rt.messages import Usage as Usage
    from agno_rt.models import Emit as Emit
    from agno_rt.models import Model as Model
    from agno_rt.models import ModelRequest as ModelRequest
    from agno_rt.models import ModelResponse as ModelResponse
    from agno_rt.models import ModelSettings as ModelSettings
    from agno_rt.output import Output as Output
    from agno_rt.pool import AgentPool as AgentPool
    from agno_rt.ratelimit import RateLimit as RateLimit
    from agno_rt.retry import Retry as Retry
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
    "AgentPool",
    "AgnoError",
    "Cache",
    "Deps",
    "Emit",
    "Event",
    "Fallback",
    "FromUser",
    "Guard",
    "Guardrail",
    "Hedge",
    "Hook",
    "Limiter",
    "Limits",
    "Media",
    "MemoryPolicy",
    "Message",
    "Model",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "Output",
    "RateLimit",
    "Retry",
    "Run",
    "RunContext",
    "RunResult",
    "RunStream",
    "Runtime",
    "State",
    "Template",
    "Tool",
    "ToolCall",
    "Toolkit",
    "Usage",
    "Verdict",
    "hookimpl",
    "run",
    "tool",
]

_HOMES = {
    "_limiter": ("Limiter",),
    "agent": ("Agent",),
    "cache": ("Cache",),
    "context": ("Deps", "FromUser", "RunContext", "State"),
    "errors": ("AgnoError",),
    "events": ("Event",),
    "fallback": ("Fallback", "Hedge"),
    "hooks": ("Guard", "Guardrail", "Hook", "Verdict"),
    "hookspecs": ("hookimpl",),
    "instructions": ("Template",),
    "limits": ("Limits",),
    "memory": ("MemoryPolicy",),
    "messages": ("Media", "Message", "ToolCall", "Usage"),
    "models": ("Emit", "Model", "ModelRequest", "ModelResponse", "ModelSettings"),
    "output": ("Output",),
    "pool": ("AgentPool",),
    "ratelimit": ("RateLimit",),
    "retry": ("Retry",),
    "runs": ("Run", "RunResult", "RunStream"),
    "runtime": ("Runtime", "run"),
    "tools": ("Tool", "Toolkit", "tool"),
}
"""Where each public name lives. Loaded when first asked for: `agno-rt --version` and `--help` need no trio."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}
_SUBMODULES = {
    *_HOMES,
    "chat_format",
    "config",
    "from_asyncio",
    "limits",
    "media",
    "names",
    "plugins",
    "project",
    "testing",
    "user_memory",
    "wrapping",
} - {"_limiter"}


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
