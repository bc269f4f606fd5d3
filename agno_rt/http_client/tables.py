"""Reads the tables of a model plugin's settings: servers by name, the facts of single models, and specs with both."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import HttpServer

__all__ = [
    "check_model",
    "choose_server",
    "find_by_name",
    "no_address_error",
    "place_of_server",
    "read_servers",
    "read_table",
    "split_spec",
]

ServerT = TypeVar("ServerT", bound=HttpServer)
ValueT = TypeVar("ValueT")


def read_table(kind: type[ServerT], facts: type[Any], table: Mapping[str, Any], where: str) -> ServerT:
    """Return the server of a table at `where`, with the `facts` of its models. Raises `ConfigError`."""
    server = read_settings(kind, table, f"[{where}]")
    models: dict[str, Any] = {}
    for name, given in table.get("models", {}).items():
        if not isinstance(given, Mapping):
            raise ConfigError(f"[{where}.models]: {name!r} is not a table", hint=f"Write [{where}.models.{name!r}].")
        models[name] = read_settings(facts, given, f"[{where}.models.{name}]")
    # A plugin's class of servers has the field; `HttpServer` has not.
    return attrs.evolve(server, models=models)  # type: ignore[call-arg]


def place_of_server(plugin: str, name: str) -> str:
    """Return the name of the table for a server, without brackets. Raises `ConfigError` for an unusable name."""
    where = f"plugins.{plugin}.servers.{name}"
    if not name or ":" in name:
        raise ConfigError(f"[{where}]: a server's name may not be empty or hold a colon", hint="Rename the table.")
    return where


def no_address_error(where: str, example: str) -> ConfigError:
    """Return the error for a server's table without an address; `example` completes the hint."""
    return ConfigError(f"[{where}]: base_url is missing", hint=f"Say where it is: base_url = {example}.")


def read_servers(
    plugin: str,
    kind: type[ServerT],
    facts: type[Any],
    settings: Mapping[str, Any],
    *,
    example: str = "",
    needs_address: Callable[[ServerT], bool] | None = None,
) -> dict[str, ServerT]:
    """Return the servers in the table `servers` of a plugin's settings, by name. Raises `ConfigError`.

    With an `example`, each server needs an address of its own, or only those of which `needs_address` says so.
    """
    servers: dict[str, ServerT] = {}
    for name, table in settings.get("servers", {}).items():
        where = place_of_server(plugin, name)
        servers[name] = server = read_table(kind, facts, table, where)
        if example and "base_url" not in table and (needs_address is None or needs_address(server)):
            raise no_address_error(where, example)
    return servers


def choose_server(
    plugin: str, spec: str, own: ServerT, servers: Mapping[str, ServerT], *, example: str = ""
) -> tuple[str, str, ServerT]:
    """Return the model, the server's name (or "") and the server of a spec: `MODEL`, or `SERVER:MODEL`.

    `own` is the plugin's own server. Raises `UsageError` for a spec without a model; `example` is one, for the hint.
    """
    name, model = split_spec(spec, servers)
    check_model(plugin, spec, name, model, example)
    return model, name, servers.get(name, own)


def split_spec(spec: str, names: Container[str]) -> tuple[str, str]:
    """Return the server's name, or "", and the model of a spec. `names` has the known servers."""
    first, _, rest = spec.partition(":")
    return (first, rest) if first and first in names else ("", spec)


def check_model(plugin: str, spec: str, name: str, model: str, example: str = "") -> None:
    """Raise `UsageError` for a spec without a model. `example` is a model, for the hint."""
    if not model:
        hint = f"Write {plugin}:{name}:MODEL." if name else f"Write {plugin}:MODEL."
        if example and not name:
            hint = f"Write {plugin}:MODEL, as in {plugin}:{example}."
        raise UsageError(f"the spec {f'{plugin}:{spec}'!r} names no model", hint=hint)


def find_by_name(values: Mapping[str, ValueT], model: str) -> ValueT | None:
    """Return the value under the model's name, else under the longest prefix that is written with a `*`, else None."""
    exact = values.get(model)
    if exact is not None:
        return exact
    fitting = [name for name in values if name.endswith("*") and model.startswith(name[:-1])]
    return values[max(fitting, key=len)] if fitting else None
