"""The plugin interface: signatures and docstrings, nothing else.

A plugin is a Python package with an entry point in the group `agno_rt`. The entry point's name is the plugin's name; it
points to a module or object with some of these hooks, each marked with `agno_rt.hookimpl`. Registration hooks are
called once, when the plugin is first needed, with a `register` callable of the form
`register(name, factory, help="One sentence.")`. A factory is called later, when the thing is needed: import slow
modules inside the factory. `settings` is the plugin's own table of agno-rt.toml, `[plugins.NAME]`, as a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import pluggy

from agno_rt.events import Event

__all__ = [
    "Observer",
    "Register",
    "agno_rt_observe",
    "agno_rt_register_commands",
    "agno_rt_register_guardrails",
    "agno_rt_register_memory",
    "agno_rt_register_models",
    "agno_rt_register_routes",
    "agno_rt_register_tools",
    "hookimpl",
]

hookspec = pluggy.HookspecMarker("agno_rt")
hookimpl = pluggy.HookimplMarker("agno_rt")


class Register(Protocol):
    """The callable that a registration hook receives."""

    def __call__(
        self,
        name: str,
        factory: Callable[..., Any],
        help: str = "",
        *,
        examples: Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
        suggest: Callable[[str], str] | None = None,
    ) -> None:
        """Offer the things made by `factory` under a name.

        Args:
            name: the name, or `*`
            factory: makes the thing when needed
            help: the line in the output of `agno-rt plugins`
            examples: for `*`: given the plugin's settings, returns names for `agno-rt models` to show, in which MODEL
                stands for any name, and PATH for any file
            suggest: given an unknown spec string, returns a hint such as "Write openai:gpt-5.", or ""
        """
        ...


Observer: TypeAlias = Callable[[Event], None]


@hookspec
def agno_rt_register_models(register: Register) -> None:
    """Offer models. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings) -> Model`.

    Register the name `*` for all names not registered otherwise; its factory receives everything after `plugin:`. A
    factory returns at once; slow work happens when the model is first asked.
    """


@hookspec
def agno_rt_register_tools(register: Register) -> None:
    """Offer tools. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings)`.

    A factory returns a `Tool` or a `Toolkit`, at once. If tools need a connection, return a `Toolkit` with `open`: the
    runtime opens it before the first run that needs them.
    """


@hookspec
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer guardrails and hooks. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings)`.

    A factory returns a `Guardrail`, to guard the input; a `Guard`, with its own places; or a `Hook`.
    """


@hookspec
def agno_rt_register_memory(register: Register) -> None:
    """Offer memory backends. The name is a URL's scheme; a URL leads to `factory(url, settings) -> MemoryBackend`.

    If you can, name the plugin as the scheme: the backend is then found without loading other plugins.
    """


@hookspec
def agno_rt_register_commands(register: Register) -> None:
    """Offer commands: `agno-rt NAME` leads to `factory() -> click.Command`.

    A command with the plugin's name is found without loading other plugins.
    """


@hookspec
def agno_rt_register_routes(register: Register) -> None:
    """Offer HTTP routes: `agno-rt serve` mounts the ASGI application `factory(runtime)` at `/NAME`."""


@hookspec
def agno_rt_observe(runtime: Any) -> Observer | None:
    """Return an observer of the `Runtime`, or `None`. An observer is called with each event of each run of the runtime.

    The hook is called once, when the runtime opens; a runtime without observers pays nothing per run. An observer runs
    in place, so it must be quick and must not wait. An observer that raises is dropped, and reported as a plugin
    failure. `runtime.settings` has each plugin's settings by name. An observer with an `aclose` is closed with the
    runtime; one whose `hears` is false is made and closed, but not called.
    """
