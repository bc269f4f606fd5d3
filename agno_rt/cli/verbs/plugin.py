"""`agno-rt plugin new`: makes a plugin from the template, with the new name throughout."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from agno_rt.cli.options import debug_option
from agno_rt.errors import UsageError

__all__ = ["command"]

TEMPLATE = "agno-rt-template"

_GOOD_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.group("plugin")
def command() -> None:
    """Make a plugin of your own."""


@command.command("new")
@click.argument("name")
@click.option("--dir", "parent", default=".", type=click.Path(path_type=Path), help="Parent folder. Default: here.")
@debug_option
def new(name: str, parent: Path) -> None:
    """Write a small, complete, tested plugin to start from.

    The folder and the distribution are called agno-rt-NAME. The folder has a model, a tool and a guardrail, their
    tests, a pyproject.toml and a README.md.
    """
    from agno_rt.cli.copy_files import copy_files
    from agno_rt.plugins import PluginHost

    _check_name(name, PluginHost().names())
    folder = parent / f"agno-rt-{name}"
    if folder.exists():
        raise UsageError(f"{folder} exists already", hint="Choose another name, or another folder with --dir.")
    copy_files(template_folder(), folder, lambda text: rename_template(text, name))
    click.echo(
        f"wrote {folder}: a plugin with the model {name}:echo, the tool {name}:shout, the guardrail {name}:calm,"
    )
    click.echo("and tests of each\n\nNow type:")
    click.echo(f"  cd {shlex.quote(str(folder))}")
    click.echo("  pip install -e .")
    click.echo(f"  agno-rt plugins {name}")
    click.echo(f'  agno-rt run {name}:echo "Hello!"')
    click.echo("\nIts README.md tells the rest.")


def template_folder() -> Path:
    """Return the folder of the template: inside an installed agno_rt, or beside agno_rt in a checkout.

    Raises `UsageError` if the template is in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "template", package.parents[1] / "plugins" / TEMPLATE)
    found = next((place for place in places if (place / "pyproject.toml").is_file()), None)
    if found is None:
        hint = "Reinstall it: pip install --force-reinstall agno-rt"
        raise UsageError("this installation of agno-rt lacks the template plugin", hint=hint)
    return found


def rename_template(text: str, name: str) -> str:
    """Replace the template's name in the text; after an underscore the name is part of a Python name."""
    return text.replace("_template", f"_{name.replace('-', '_')}").replace("template", name)


def _check_name(name: str, taken: list[str]) -> None:
    if name.startswith("agno-rt-"):
        short = name.removeprefix("agno-rt-")
        raise UsageError(f"{name!r} has the prefix already", hint=f"Give the name alone: agno-rt plugin new {short}")
    if not _GOOD_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a plugin", hint=_suggest_name(name))
    if name in taken:
        hint = "Choose another name; `agno-rt plugins` lists the installed ones."
        raise UsageError(f"a plugin {name!r} is installed already", hint=hint)


def _suggest_name(name: str) -> str:
    rule = "Use small letters, digits and single hyphens, and begin with a letter"
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{rule}: {better}" if _GOOD_NAME.fullmatch(better) else f"{rule}, as in my-search."
