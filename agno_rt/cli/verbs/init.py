"""`agno-rt init`: writes a project to start from, as shipped with agno_rt."""

from __future__ import annotations

import os
import shlex
from importlib import resources
from pathlib import Path

import click

from agno_rt.cli.options import debug_option

__all__ = ["command"]

# Many repositories have a guide for coding agents already: keep it, and write the other files.
_GUIDE = "AGENTS.md"


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@debug_option
def command(folder: Path) -> None:
    """Write agno-rt.toml and agents.py to start from, and AGENTS.md for coding agents.

    They are written into DIR, or into this folder. Files that exist are never overwritten.
    """
    from agno_rt.cli.copy_files import copy_files

    with resources.as_file(resources.files("agno_rt") / "defaults" / "project") as project:
        # People write API keys into agno-rt.toml, so only its owner may read the copy.
        written = copy_files(project, folder, private=True, spare=(_GUIDE,))
    for path in written:
        click.echo(f"wrote {path}")
    if folder / _GUIDE not in written:
        click.echo(f"left {folder / _GUIDE} as it was")
    click.echo("\nTry next:")
    if folder.resolve() != Path.cwd():
        click.echo(f"  cd {shlex.quote(os.fspath(folder))}")
    for command in (
        'run assistant "Hello!"',
        'run timekeeper "What time is it?"',
        "chat assistant",
        "agents",
        "doctor",
    ):
        click.echo(f"  agno-rt {command}")
