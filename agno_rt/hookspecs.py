"""The plugin interface: signatures and docstrings, nothing else.

A plugin is a Python package with an entry point in the group `agno_rt`; the entry point's name is the plugin's name,
and it leads to a module (or object) with some of these hooks, each marked with `agno_rt.hookimpl`. Registration hooks
are called once, when something first asks for the plugin, with a `register` callable of the form
`register(name, factory, help="One sentence.")`. A factory is called later, when the thing is wanted: import there what
takes time to import. Settings are the plugin's own table of agno-rt.toml, `[plugins.NAME]`, as a dictionary.
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
    """What a registration hook is given."""

    def __call__(
        self,
        name: str,
        factory: Callable[..., Any],
        help: str = "",
        *,
        examples: Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
        suggest: Callable[[str], str] | None = None,
    ) -> None:
        """Offer what `factory` makes under that name.

        Args:
            name: the name, or `*`
            factory: makes the thing when it is wanted
            help: the line that `agno-rt plugins` shows
            examples: for `*`: given the plugin's settings, returns names for `agno-rt models` to show; in them MODEL
                stands for any name, and PATH for any file
            suggest: given a spec string that nothing goes by, returns a hint such as "Write openai:gpt-5.", or ""
        """
        ...


Observer: TypeAlias = Callable[[Event], None]


@hookspec
def agno_rt_register_models(register: Register) -> None:
    """Offer models. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings) -> Model`.

    Register the name `*` to take every name that is not registered otherwise: its factory is called with all that
    follows `plugin:`. A factory returns at once; what takes time happens when the model is first asked.
    """


@hookspec
def agno_rt_register_tools(register: Register) -> None:
    """Offer tools. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings)`.

    A factory returns a `Tool` or a `Toolkit`.
    """


@hookspec
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer guardrails and hooks. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings)`.

    A factory returns a `Guardrail`, which then guards the input; a `Guard`, which says where it stands; or a `Hook`.
    """


@hookspec
def agno_rt_register_memory(register: Register) -> None:
    """Offer memory backends. The name is a URL's scheme; a URL leads to `factory(url, settings) -> MemoryBackend`.

    Name the plugin as its scheme where you can: then it is found without loading any other.
    """


@hookspec
def agno_rt_register_commands(register: Register) -> None:
    """Offer commands: `agno-rt NAME` leads to `factory() -> click.Command`.

    A command named as its plugin is found without loading any other.
    """


@hookspec
def agno_rt_register_routes(register: Register) -> None:
    """Offer HTTP routes: `agno-rt serve` mounts the ASGI application `factory(runtime)` at `/NAME`."""


@hookspec
def agno_rt_observe(runtime: Any) -> Observer | None:
    """Return an observer of the `Runtime`, called with each event of each run of the runtime, or nothing.

    Asked once, when the runtime opens; a runtime with no observer pays nothing per run. An observer is called in
    place, so it must be quick and must not wait. One that raises is dropped, and reported among the plugin failures.
    `runtime.settings` has each plugin's settings by its name. One that has an `aclose` is closed with the runtime; one
    whose `hears` is false is made and closed, but not called.
    """
