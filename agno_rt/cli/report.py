"""What the command line says besides answers: notices and errors, all on stderr. Knows no verb."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress

import click

from agno_rt.names import UNSEEN

__all__ = ["clean", "notice", "remark", "show_error", "show_warning", "styled"]

_UNSEEN = re.compile(f"(?![\n\t])[{UNSEEN}]")


def clean(text: str) -> str:
    """The text without what is not to be seen: what a model, a tool or a user wrote must not steer the terminal."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub("", text)


def notice(text: str) -> None:
    """Say something on stderr, dimly: it is no part of an answer."""
    click.echo(styled(clean(text), dim=True), err=True)


def remark(text: str) -> None:
    """Say something as `notice` does, with no word cut at a terminal's edge; what people copy would be torn apart."""
    if sys.stderr.isatty():
        from agno_rt.cli.word_wrap import wrap_words

        text = wrap_words(clean(text))
    notice(text)


def show_error(message: str, hint: str = "") -> None:
    """`error: message` on stderr, and what to do about it on the next line."""
    _show("error:", "red", message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """`warning: message` on stderr, where the command goes on all the same, and what to do about it."""
    _show("warning:", "yellow", message, hint)


def _show(word: str, colour: str, message: str, hint: str) -> None:
    lines = [f"{styled(word, fg=colour, bold=True)} {clean(message)}"]
    if hint:
        lines.append(f"{styled('hint:', bold=True)} {clean(hint)}")
    # Where it cannot be said, the exit code says it.
    with suppress(OSError, ValueError):
        click.echo("\n".join(lines), err=True)


def styled(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    """The text in that style, unless the user wants no colours; `click.echo` drops it where no terminal listens."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=fg, bold=bold, dim=dim)
