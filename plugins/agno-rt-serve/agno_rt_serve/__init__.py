"""The plugin `serve`: registers the command `agno-rt serve`. The command's own modules are imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    import click

__all__ = ["agno_rt_register_commands"]


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt serve`."""
    register("serve", _load_command, help="Serve agents over HTTP, with a page to chat with them.")


def _load_command() -> click.Command:
    from agno_rt_serve.command import serve

    return serve
