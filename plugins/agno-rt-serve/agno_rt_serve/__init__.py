"""The plugin `serve`: the command `agno-rt serve`, and a check of its port. Its modules are imported when used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    import click

    from agno_rt.readiness import Finding

__all__ = ["agno_rt_examine", "agno_rt_register_commands"]


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt serve`."""
    register("serve", _load_command, help="Serve agents over HTTP, with a page to chat with them.")


@hookimpl
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Finding]:
    """Tell whether the server could listen on its port."""
    from agno_rt_serve.examine import check_port

    return check_port(settings)


def _load_command() -> click.Command:
    from agno_rt_serve.command import serve

    return serve
