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
    "agno_rt_examine",
    "agno_rt_observe",
    "agno_rt_register_commands",
    "agno_rt_register_context",
    "agno_rt_register_embedders",
    "agno_rt_register_guardrails",
    "agno_rt_register_knowledge",
    "agno_rt_register_memory",
    "agno_rt_register_models",
    "agno_rt_register_modes",
    "agno_rt_register_readers",
    "agno_rt_register_rerankers",
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
        any_name: str = "NAME",
    ) -> None:
        """Offer the things made by `factory` under a name.

        Args:
            name: the name, or `*`
            factory: makes the thing when needed
            help: the line in the output of `agno-rt plugins`
            examples: for `*`: given the plugin's settings, returns names for `agno-rt models` to show, in which MODEL
                stands for any name, and PATH for any file
            suggest: given an unknown spec string, returns a hint such as "Write openai:gpt-5.", or ""
            any_name: for `*`: the word for the name in messages, such as `FOLDER`
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
def agno_rt_register_context(register: Register) -> None:
    """Offer context providers. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings)`.

    A factory returns a `ContextProvider`, at once. An agent names it in `MemoryPolicy(context=["plugin:name"])`, or in
    agno-rt.toml: `[agents.NAME.memory]`, `context = ["plugin:name"]`.
    """


@hookspec
def agno_rt_register_modes(register: Register) -> None:
    """Offer modes of teams. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings) -> Mode`.

    A mode is a subclass of `agno_rt.teams.Mode`: `Team([a, b], "plugin:name")`. The factory is called for each run.
    """


@hookspec
def agno_rt_register_embedders(register: Register) -> None:
    """Offer embedders. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings) -> Embedder`.

    The name `*` and the factory are as for models. `agno_rt.knowledge` has the protocol.
    """


@hookspec
def agno_rt_register_rerankers(register: Register) -> None:
    """Offer rerankers. The spec `plugin:name` or `plugin:name:rest` leads to `factory(rest, settings) -> Reranker`.

    The name `*` and the factory are as for models. `agno_rt.knowledge` has the protocol.
    """


@hookspec
def agno_rt_register_memory(register: Register) -> None:
    """Offer memory backends. The name is a URL's scheme; a URL leads to `factory(url, settings) -> MemoryBackend`.

    If you can, name the plugin as the scheme: the backend is then found without loading other plugins.
    """


@hookspec
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer knowledge stores. The name is a URL's scheme; a URL leads to `factory(url, settings) -> KnowledgeStore`.

    If you can, name the plugin as the scheme, as for memory. `agno_rt.knowledge` has the protocol, and
    `agno_rt.testing.KnowledgeContract` the tests.
    """


@hookspec
def agno_rt_register_readers(register: Register) -> None:
    """Offer readers. The name is a media type, as in `application/pdf`, or a URL's scheme with a colon, as in `https:`.

    Something of that type leads to `factory(name, settings) -> Reader`. The factory is called once for each runtime.
    """


@hookspec
def agno_rt_register_commands(register: Register) -> None:
    """Offer commands: `agno-rt NAME` leads to `factory() -> click.Command`.

    A command with the plugin's name is found without loading other plugins.
    """


@hookspec
def agno_rt_register_routes(register: Register) -> None:
    """Offer HTTP routes: `agno-rt serve` mounts the ASGI application `factory(runtime)` at `/NAME`.

    `runtime.runnables` has the project's agents by name. An application with a method `open` is opened for the life of
    the server: `async with app.open():`. The server checks its keys before each request; a route that runs agents or
    shows their runs must also ask `agno_rt.access.access_of(scope)`.
    """


@hookspec
def agno_rt_observe(runtime: Any) -> Observer | None:
    """Return an observer of the `Runtime`, or `None`. An observer is called with each event of each run of the runtime.

    The hook is called once, when the runtime opens; a runtime without observers pays nothing per run. An observer runs
    in place, so it must be quick and must not wait. An observer that raises is dropped, and reported as a plugin
    failure. `runtime.settings` has each plugin's settings by name. An observer with an `aclose` is closed with the
    runtime; one whose `hears` is false is made and closed, but not called.
    """


@hookspec
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Any] | None:
    """Return findings for `agno-rt doctor`, given the plugin's table: each is a `Finding` of `agno_rt.readiness`.

    A `note` is well, a `warning` may be intended, an `error` is broken. The hook is quick, asks no other machine and
    changes nothing. Models, tools and memory backends have their own `check_ready`: see `agno_rt.readiness`.
    """
