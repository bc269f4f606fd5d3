"""What the command line says besides answers: notices and errors, all on stderr. Knows no verb."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from agno_rt.names import UNSEEN

if TYPE_CHECKING:
    from agno_rt.readiness import Finding

__all__ = ["clean", "notice", "remark", "show_error", "show_findings", "show_warning", "styled", "tell_warning"]

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
        from agno_rt.cli.text.word_wrap import wrap_words

        text = wrap_words(clean(text))
    notice(text)


def show_error(message: str, hint: str = "") -> None:
    """`error: message` on stderr, and what to do about it on the next line."""
    _show("error:", "red", message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """`warning: message` on stderr, where the command goes on all the same, and what to do about it."""
    _show("warning:", "yellow", message, hint)


def show_findings(findings: Iterable[Finding]) -> None:
    """Say what was found out about an agent before it runs; what is only good to know, where a person reads it."""
    for finding in findings:
        if finding.level != "note":
            show_warning(str(finding), finding.hint)
        elif sys.stderr.isatty():
            notice(str(finding))


_show_of_python = warnings.showwarning


def tell_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Show a warning of agno_rt in the command line's way, any other as Python does."""
    if not category.__module__.startswith("agno_rt."):
        _show_of_python(message, category, *place, **more)
        return
    text, _, hint = str(message).partition("\n")
    show_warning(text, hint)


def _show(word: str, colour: str, message: str, hint: str) -> None:
    lines = [f"{styled(word, fg=colour, bold=True)} {clean(message)}"]
    if hint:
        lines.append(f"{styled('hint:', bold=True)} {clean(hint)}")
    # Where it cannot be said, the exit code says it.
    with suppress(OSError, ValueError):
        click.echo("\n".join(lines), err=True)


def styled(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    """The text in that style, unless the user wants no colours; `click.echo` drops it where no terminal listens."""
    plain = not (fg or bold or dim) or os.environ.get("NO_COLOR")
    return text if plain else click.style(text, fg=fg, bold=bold, dim=dim)
