"""`agno-rt completion`: prints the script that lets a shell complete commands, options and names of agents."""

from __future__ import annotations

import click

from agno_rt.cli.options import debug_option

__all__ = ["command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
def command(shell: str) -> None:
    """Print a script that lets a shell complete commands.

    For bash, add the line eval "$(agno-rt completion bash)" to ~/.bashrc; for zsh, add eval "$(agno-rt completion zsh)"
    to ~/.zshrc; for fish, type agno-rt completion fish > ~/.config/fish/completions/agno-rt.fish. The shell then
    completes commands, options and the names of agents.
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    root = click.get_current_context().find_root().command
    # Format the script here, because click's own `source()` starts bash first, to check its version.
    source = complete(root, {}, "agno-rt", "_AGNO_RT_COMPLETE")
    click.echo(source.source_template % source.source_vars())
