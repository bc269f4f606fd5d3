"""Checks the named parts of an agent once they are made, and words the errors. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agno_rt.errors import AgnoError, NotFound, PluginError, UsageError
from agno_rt.limits import Limits
from agno_rt.tools import Tool

__all__ = [
    "check_choice",
    "check_run_limits",
    "name_tools",
    "not_a_hook_error",
    "not_a_provider_error",
    "not_a_tool_error",
    "wrong_product_error",
]

_DEFAULTS = Limits()


def wrong_product_error(spec: str, made: object, what: str) -> PluginError:
    """Return the error of a plugin whose product for the spec string or URL is not a `what`."""
    plugin = spec.partition(":")[0]
    return PluginError(
        f"plugin {plugin!r} made a {type(made).__name__} of {spec!r}, which is not a {what}", plugin=plugin
    )


def not_a_hook_error(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        return wrong_product_error(entry, made, "Hook or guardrail")
    hint = "Give a Hook, a guardrail, a Guard around one, or a spec string such as 'guardrails:pii'."
    if isinstance(made, type):
        hint = f"Make an instance of the class: {made.__name__}()."
    return UsageError(f"{made!r} in an agent's hooks is not a hook", hint=hint)


def not_a_provider_error(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        return wrong_product_error(entry, made, "ContextProvider")
    hint = "A context provider needs a name and `async def provide(self, context)`."
    if isinstance(made, type):
        hint = f"Make an instance of the class: {made.__name__}()."
    return UsageError(f"{made!r} in the context of a memory policy is not a context provider", hint=hint)


def not_a_tool_error(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        return wrong_product_error(entry, made, "Tool")
    hint = "Give a function, a Tool, a Toolkit, or a spec string of a tool."
    if isinstance(made, type):
        hint = f"Make an instance of the class: {made.__name__}(...)."
    return UsageError(f"{made!r} in an agent's tools is not a tool", hint=hint)


def name_tools(tools: Sequence[Tool]) -> Mapping[str, Tool]:
    by_name: dict[str, Tool] = {}
    for tool in tools:
        if by_name.setdefault(tool.name, tool) is not tool:
            hint = "Give one of them another name: @tool(name=...). Of two toolkits of plugins, leave one out."
            raise UsageError(f"two tools of the agent are called {tool.name!r}", hint=hint)
    return by_name


def check_choice(choice: str, tools: Mapping[str, Tool], offered: Sequence[Tool]) -> None:
    if choice == "none" or (choice == "required" and tools):
        return
    if choice in tools:
        if tools[choice] not in offered:
            hint = "Put the tool beside the ToolSearch, or leave tool_choice out."
            raise UsageError(f"tool_choice {choice!r} is a tool that the model has to search for", hint=hint)
        return
    if choice == "required":
        hint = "Give the agent tools, or leave tool_choice out."
        raise UsageError("tool_choice is 'required', and the agent has no tools", hint=hint)
    raise NotFound("tool", choice, tools, where="tool_choice", hint="" if tools else "The agent has no tools.")


def check_run_limits(limits: Limits) -> None:
    for name in ("runs", "queue", "model_calls", "depth", "threads", "abandoned_threads", "takeovers"):
        if getattr(limits, name) != getattr(_DEFAULTS, name):
            hint = f"Give it to the runtime: Runtime(limits=Limits({name}=...))."
            raise UsageError(f"limit {name} holds for a whole runtime, not for one agent", hint=hint)
