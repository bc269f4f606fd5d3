"""The plugin `bench`: registers `agno-rt bench` and `agno-rt profile`, and imports each command on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["agno_rt_register_commands"]


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt bench` and `agno-rt profile`."""
    register("bench", _load_bench, help="Measure what agno_rt costs on this machine, with your agents.")
    register("profile", _load_profile, help="Profile a command: its time, or its memory.")


def _load_bench() -> click.Command:
    from agno_rt_bench.bench import command

    return command


def _load_profile() -> click.Command:
    from agno_rt_bench.profile import command

    return command
