"""What the command line says besides answers: notices and errors, all on stderr. Knows no verb."""

from __future__ import annotations

import os

import click

__all__ = ["clean", "notice", "show_error", "show_warning", "styled"]

_CONTROL = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """The text without control characters: what a model or a tool wrote must not steer the terminal."""
    return text.translate(_CONTROL)


def notice(text: str) -> None:
    """Say something on stderr, dimly: it is no part of an answer."""
    click.echo(styled(clean(text), dim=True), err=True)


def show_error(message: str, hint: str = "") -> None:
    """`error: message` on stderr, and what to do about it on the next line."""
    _show("error:", "red", message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """`warning: message` on stderr, where the command goes on all the same, and what to do about it."""
    _show("warning:", "yellow", message, hint)


def _show(word: str, colour: str, message: str, hint: str) -> None:
    click.echo(f"{styled(word, fg=colour, bold=True)} {clean(message)}", err=True)
    if hint:
        click.echo(f"{styled('hint:', bold=True)} {clean(hint)}", err=True)


def styled(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    """The text in that style, unless the user wants no colours; `click.echo` drops it where no terminal listens."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=fg, bold=bold, dim=dim)
